"""The WebSockets of the simulated exchange: connections, the pump that sends what happens, and the journal of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from ticklake.core.dataset import Dataset
from ticklake.core.time import SECOND
from ticklake.testing.exchange.binance_streams import BinanceStreams
from ticklake.testing.exchange.binance_ws import BinanceSession
from ticklake.testing.exchange.book import Books
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.streams import Message, Session, Stream

__all__ = ["HOSTS", "Journal", "SocketServer"]

HOSTS: dict[str, tuple[str, str]] = {
    "stream.binance.com:9443": ("binance", "spot"),
    "stream.binance.com": ("binance", "spot"),
    "data-stream.binance.vision": ("binance", "spot"),
    "fstream.binance.com": ("binance", "linear"),
    "stream.binance.us:9443": ("binanceus", "spot"),
}
"""The real hosts that are served, each under its own name, with the exchange and the family of its streams.

ccxt tells spot from futures by the host, so that it must stay in the address.
"""

_TICK = 0.005
_SLICE = 10 * SECOND
_HIGH_WATER = 8 * 2**20


@dataclass
class Journal:
    """The ids of the trades that were sent, as runs of consecutive ids in the order of sending."""

    runs: list[list[int]] = field(default_factory=list)

    def add(self, identity: int) -> None:
        """Note that a trade was sent."""
        if self.runs and self.runs[-1][1] + 1 == identity:
            self.runs[-1][1] = identity
        else:
            self.runs.append([identity, identity])

    def ids(self) -> set[int]:
        """Return the ids that were sent at least once."""
        found: set[int] = set()
        for first, last in list(self.runs):
            found.update(range(first, last + 1))
        return found


@dataclass(eq=False)
class _Connection:
    """One client: its session, and the socket."""

    session: Session
    socket: web.WebSocketResponse
    request: web.Request
    opened: int

    @property
    def backlog(self) -> int:
        """How many bytes the client has not read yet."""
        transport = self.request.transport
        if transport is None:
            return 0
        return transport.get_write_buffer_size()

    def write(self, frames: bytes) -> None:
        """Send whole frames, without waiting."""
        transport = self.request.transport
        if transport is not None and not transport.is_closing():
            transport.write(frames)


class SocketServer:
    """Sends each connection the messages of its streams as the exchange's clock reaches them."""

    def __init__(self, clock: SimulatedClock, faults: Callable[[], Faults]) -> None:
        self._clock = clock
        self._faults = faults
        self._connections: list[_Connection] = []
        self._sites: dict[tuple[str, str], BinanceStreams] = {}
        self._position = clock.now()
        self._pump: asyncio.Task[None] | None = None
        self.served: dict[Dataset, Journal] = {}

    def wire(self, market: Market, books: Books) -> None:
        """Serve this market from now on."""
        self._market = market
        self._books = books
        self._sites.clear()

    async def start(self) -> None:
        """Begin to send."""
        self._position = self._clock.now()
        self._pump = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Close all connections."""
        if self._pump is not None:
            self._pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump
        for connection in list(self._connections):
            await connection.socket.close(code=WSCloseCode.GOING_AWAY)

    async def serve(self, request: web.Request, host: str, path: str) -> web.StreamResponse:
        """Serve one connection until it is closed."""
        exchange, family = HOSTS[host]
        if exchange not in self._market.exchanges():
            return web.json_response({"error": f"{exchange} is not simulated"}, status=404)
        socket = web.WebSocketResponse(compress=False)
        if not socket.can_prepare(request):
            return web.json_response({"error": "this is a WebSocket: connect with ws://"}, status=426)
        await socket.prepare(request)
        session = self._session(exchange, family, path, dict(request.query))
        connection = _Connection(session, socket, request, self._position)
        self._connections.append(connection)
        try:
            for text in session.greet(self._position):
                await socket.send_str(text)
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    for text in session.receive(message.data, self._position, self._faults()):
                        await socket.send_str(text)
        finally:
            self._connections.remove(connection)
        return socket

    def _session(self, exchange: str, family: str, path: str, query: dict[str, str]) -> Session:
        return BinanceSession(self._site(exchange, family), path, query)

    def _site(self, exchange: str, family: str) -> BinanceStreams:
        key = exchange, family
        if key not in self._sites:
            self._sites[key] = BinanceStreams(self._market, exchange, family, self._books, self._faults)
        return self._sites[key]

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            now = self._clock.now()
            if now < self._position:
                self._position = now
            while self._position < now:
                end = min(now, self._position + _SLICE)
                self._deliver(self._position, end)
                self._position = end
                await self._drained()

    async def _drained(self) -> None:
        """Wait until all clients have read most of what was sent."""
        while any(connection.backlog > _HIGH_WATER for connection in self._connections):
            await asyncio.sleep(_TICK)
        await asyncio.sleep(0)

    def _deliver(self, start: int, end: int) -> None:
        """Send what happened after *start*, up to *end*."""
        produced: dict[int, list[Message]] = {}
        for connection in list(self._connections):
            queue: list[tuple[int, str, Stream, Message]] = []
            for name in connection.session.subscriptions:
                stream = connection.session.stream(name)
                if stream is None:
                    continue
                if id(stream) not in produced:
                    produced[id(stream)] = stream.produce(start, end)
                queue += [(message.ts, name, stream, message) for message in produced[id(stream)]]
            queue.sort(key=_time)
            frames: list[bytes] = []
            for _, name, stream, message in queue:
                frames.append(_frame(connection.session.wrap(name, message.text)))
                if stream.dataset is not None:
                    self._note(stream.dataset, message)
            if frames:
                connection.write(b"".join(frames))

    def _note(self, dataset: Dataset, message: Message) -> None:
        journal = self.served.setdefault(dataset, Journal())
        for identity in message.ids:
            journal.add(identity)


def _time(entry: tuple[Any, ...]) -> int:
    ts: int = entry[0]
    return ts


def _frame(text: str) -> bytes:
    """Return a whole text message as a server sends it (RFC 6455, 5.2)."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload
