"""A WebSocket server on loopback that plays a script, and a sink that remembers: what the tests of live feeds share."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument
from ticklake.sources.live.base import Control, Feed, LiveMessage, Subscription
from ticklake.sources.live.options import FeedOptions
from ticklake.sources.live.watchdog import Silence
from ticklake.sources.wire.rows import Row

KRAKEN_MARKETS: dict[str, Any] = {
    "/0/public/AssetPairs": {
        "error": [],
        "result": {
            "XXBTZUSD": {
                "altname": "XBTUSD",
                "wsname": "XBT/USD",
                "base": "XXBT",
                "quote": "ZUSD",
                "pair_decimals": 1,
                "lot_decimals": 8,
                "status": "online",
            }
        },
    },
    "/0/public/Assets": {"error": [], "result": {}},
}
"""Kraken's answers to the calls with which ccxt begins, by path."""


@dataclass
class Peer:
    """One connection as the server sees it: what it received, and how it answers."""

    socket: web.WebSocketResponse
    number: int
    path: str
    received: list[Any] = field(default_factory=list)

    async def send(self, *messages: Any) -> None:
        for message in messages:
            if isinstance(message, bytes):
                await self.socket.send_bytes(message)
            else:
                await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))


Script = Callable[[Peer, Any], Awaitable[None]]


class ScriptedServer:
    """Calls *script* with each message that a client sends, and with ``None`` when it connects."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.peers: list[Peer] = []
        self.calls: list[str] = []
        self.books: Callable[[str, dict[str, str]], Any] = lambda _path, _query: {}
        self.is_deaf = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> ScriptedServer:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        for peer in self.peers:
            await peer.socket.close()
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if "Upgrade" not in request.headers:
            self.calls.append(str(request.rel_url))
            answer = self.books(request.path, dict(request.query))
            if isinstance(answer, web.Response):
                return answer
            return web.json_response(answer)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        peer = Peer(socket, len(self.peers), request.path)
        self.peers.append(peer)
        await self.script(peer, None)
        async for message in socket:
            if message.type is WSMsgType.PING and not self.is_deaf:
                await socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                content = json.loads(message.data) if message.data[:1] in "{[" else message.data
                peer.received.append(content)
                await self.script(peer, content)
        return socket


@dataclass
class Remembers:
    """A sink that keeps all messages, and is as slow as it is told."""

    messages: list[LiveMessage] = field(default_factory=list)
    delay: float = 0.0

    async def put(self, feed: Feed, message: LiveMessage) -> None:
        self.messages.append(message)
        if self.delay:
            await asyncio.sleep(self.delay)

    @property
    def rows(self) -> list[Row]:
        return [row for message in self.messages for row in message.rows]

    @property
    def controls(self) -> list[Control]:
        return [control for message in self.messages for control in message.controls]

    def named(self, name: str) -> list[Control]:
        return [control for control in self.controls if control.name == name]

    def ids(self, kind: str = "trades") -> list[str]:
        return [row.values[2] for row in self.rows if row.kind == kind]


async def until(holds: Callable[[], object], seconds: float = 6.0) -> None:
    """Wait until something holds, for so long at most."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not holds():
        assert loop.time() < end, "waited in vain"
        await asyncio.sleep(0.002)


async def collected(feed: Feed, sink: Remembers, holds: Callable[[], object], seconds: float = 6.0) -> None:
    """Run a feed until something holds, then cancel it. Its errors are raised."""
    task = asyncio.create_task(feed.run(sink))
    waiting = asyncio.create_task(until(holds, seconds))
    done, _ = await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    waiting.cancel()
    results = await asyncio.gather(task, waiting, return_exceptions=True)
    for finished, result in zip((task, waiting), results, strict=True):
        if finished in done and isinstance(result, BaseException):
            raise result


def options(server: ScriptedServer, **changes: Any) -> FeedOptions:
    """Return options that suit a test: short times, no jitter to speak of."""
    usual: dict[str, Any] = {
        "url": server.url,
        "connect_timeout": 1.0,
        "acknowledge_timeout": 0.15,
        "ping_every": 0.02,
        "silence": Silence(dead=1.5, factor=4, shortest=0.05, longest=10),
        "first_pause": 0.005,
        "longest_pause": 0.02,
        "overlap": 0.05,
        "tick": 0.01,
        "random": random.Random(7),
    }
    return FeedOptions(**{**usual, **changes})


def instrument(exchange: str, symbol: str, native: str, market_type: str = "spot", **details: Any) -> Instrument:
    base, _, rest = symbol.partition("/")
    quote, _, settle = rest.partition(":")
    details = {"base": base, "quote": quote, "settle": settle or None, **details}
    return Instrument(exchange, symbol, native, market_type, details=details)


def subscription(text: str, depth: int | None = None) -> Subscription:
    return Subscription(Dataset.parse(text), depth)


def wanted(*texts: str) -> Sequence[Subscription]:
    return [subscription(text) for text in texts]
