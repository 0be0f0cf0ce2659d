"""An exchange on loopback that plays a recorded session again, and the live service that stores what it sends in a lake."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from aiohttp import WSMsgType, web

from tests.sources.live_server import until
from ticklake.collect.capture import Capture
from ticklake.collect.live import LiveService
from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument
from ticklake.core.streams import StreamStatus
from ticklake.lake import Lake
from ticklake.sources.live.base import Control, Feed, LiveMessage, Subscription
from ticklake.sources.live.feeds import live_feeds
from ticklake.sources.live.options import FeedOptions
from ticklake.sources.pacing.pace import Pace

_END = b"that was all"
_SOME = 20
_QUIET = 0.1
"""A client that has asked for nothing for so many seconds has asked for everything."""

Frame = str | bytes
Answer = Callable[[Any], Sequence[Any]]
"""Returns the answers of an exchange to a message of a client."""


def records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a recording of ``ws_rec``."""
    for line in pa.input_stream(str(path), compression="zstd").read().splitlines():
        yield json.loads(line)


def frames(path: Path, connection: str = "") -> list[Frame]:
    """Return what was received over sockets, or over one connection, as it came."""
    if not path.name.endswith(".jsonl.zst"):
        lines = pa.input_stream(str(path), compression="zstd").read().decode().splitlines()
        return [line.partition(": ")[2] for line in lines if line[:1].isdigit()]
    received = [record for record in records(path) if record["t"] == "recv" and connection in record["conn"]]
    return [record["data"] if "data" in record else base64.b64decode(record["b64"]) for record in received]


def texts(sent: Sequence[Frame]) -> Iterator[Any]:
    """Yield the content of messages."""
    for frame in sent:
        if isinstance(frame, bytes) and frame.startswith(b"\x1f\x8b"):
            frame = gzip.decompress(frame)
        yield json.loads(frame)


def calls(path: Path) -> dict[str, Any]:
    """Return the recorded answers to calls, by path and parameters."""
    answers = [record for record in records(path) if record["t"] == "http"]
    return {record["url"].partition("//")[2].partition("/")[2]: json.loads(record["data"]) for record in answers}


@dataclass
class Player:
    """Accepts subscriptions in the way of an exchange, then sends the recorded messages as fast as they are read.

    Parameters
    ----------
    sent
        The messages.
    answer
        How it answers a request.
    called
        Returns the answer to a call by path and parameters.
    waits
        Whether a message answers a request: it is sent once there are more requests than answers, or as many as there will be.
    books
        So many whole books must have been asked for before more than some messages are sent.
    """

    sent: Sequence[Frame]
    answer: Answer = lambda _message: ()
    called: Callable[[str], Any] = lambda _path: {}
    waits: Callable[[Frame], bool] = lambda _frame: False
    most_requests: int = 0
    books: int = 0
    url: str = ""
    asked: int = 0
    peers: list[Peer] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Player:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if "Upgrade" not in request.headers:
            self.asked += 1
            return web.json_response(self.called(str(request.rel_url)[1:]))
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        peer = Peer(socket)
        self.peers.append(peer)
        self._tasks.append(asyncio.create_task(self._play(peer)))
        async for message in socket:
            if message.type is WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type is WSMsgType.PONG and message.data == _END:
                peer.has_all = True
            if message.type is not WSMsgType.TEXT:
                continue
            content = json.loads(message.data) if message.data[:1] in "{[" else message.data
            peer.requests += 1
            peer.asked.set()
            for answer in self.answer(content):
                await peer.send(answer if isinstance(answer, str | bytes) else json.dumps(answer))
        return socket

    async def _play(self, peer: Peer) -> None:
        await peer.asked.wait()
        while peer.asked.is_set():
            peer.asked.clear()
            await asyncio.sleep(_QUIET)
        answered = 0
        for number, frame in enumerate(self.sent):
            if self.waits(frame):
                answered += 1
                wanted = min(answered + 1, self.most_requests)
                await until(lambda wanted=wanted: peer.requests >= wanted)  # type: ignore[misc]
            await peer.send(frame)
            if number == _SOME:
                await until(lambda: self.asked >= self.books)
            if number % 100 == 0:
                await asyncio.sleep(0)
        # Who answers this ping has read everything before it.
        await peer.socket.ping(_END)


@dataclass
class Peer:
    socket: web.WebSocketResponse
    requests: int = 0
    has_all: bool = False
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, frame: Frame) -> None:
        if isinstance(frame, bytes):
            await self.socket.send_bytes(frame)
        else:
            await self.socket.send_str(frame)


@dataclass
class Stored:
    """What came of a replay."""

    status: list[StreamStatus]
    controls: list[Control]

    def named(self, name: str) -> list[Control]:
        return [control for control in self.controls if control.name == name]


class Listening(LiveService):
    """The live service, which also keeps the control events that it was told."""

    controls: list[Control]

    async def put(self, feed: Feed, message: LiveMessage) -> None:
        self.controls += message.controls
        await super().put(feed, message)


class Quick(Pace):
    """A pace that lets every call pass at once."""

    def __init__(self) -> None:
        pass

    async def turn(self, length: float) -> None:
        pass

    def pause_on_refusal(self) -> Any:
        return nullcontext()

    def pause_by_headers(self, *_arguments: Any) -> None:
        pass


async def _quiet(service: LiveService) -> None:
    """Wait until everything that was read has been handed over."""
    before = -1
    while (messages := sum(status.messages for status in service.status())) > before:
        before = messages
        await asyncio.sleep(0.05)


def replay(
    lake: Lake,
    exchange: str,
    player: Player,
    wanted: Sequence[str],
    instruments: Sequence[Instrument],
    seconds: float = 30,
    capture: Capture | None = None,
    **options: Any,
) -> Stored:
    """Store in *lake* what an exchange plays, through its feeds."""
    subscriptions = [Subscription(Dataset.parse(name)) for name in wanted]

    async def run() -> Stored:
        async with player:
            settings = FeedOptions(player.url, capture=capture is not None, first_pause=0.01, **options)
            feeds = live_feeds(exchange, subscriptions, instruments, settings, Quick())
            service = Listening(lake.engine, None, clock=lake.engine.now, capture=capture)
            service.controls = []
            collecting = asyncio.create_task(service.run(feeds))
            try:
                async with asyncio.timeout(seconds):
                    while len(player.peers) < len(feeds) or not all(peer.has_all for peer in player.peers):
                        if collecting.done():
                            collecting.result()
                        await asyncio.sleep(0.02)
                    await _quiet(service)
            except TimeoutError as error:
                raise AssertionError(f"waited in vain: {service.status()} {service.controls}") from error
            finally:
                collecting.cancel()
                await asyncio.wait([collecting])
            if not collecting.cancelled():
                collecting.result()
            return Stored(service.status(), service.controls)

    return asyncio.run(run())
