"""The WebSockets of the simulated exchange: connections, the pump that sends what happens, and the journal of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from ticklake.core.dataset import Dataset
from ticklake.core.time import SECOND
from ticklake.testing.exchange.binance_streams import BinanceStreams
from ticklake.testing.exchange.binance_ws import BinanceSession
from ticklake.testing.exchange.book import Books
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.kraken_streams import KrakenStreams
from ticklake.testing.exchange.kraken_ws import KrakenSession
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.socket_faults import Delivery, Fate, SubscriptionFaults, Wire, has_message_faults
from ticklake.testing.exchange.streams import Message, Session, Stream

__all__ = ["HOSTS", "Journal", "SocketServer"]

HOSTS: dict[str, tuple[str, str]] = {
    "stream.binance.com:9443": ("binance", "spot"),
    "stream.binance.com": ("binance", "spot"),
    "data-stream.binance.vision": ("binance", "spot"),
    "fstream.binance.com": ("binance", "linear"),
    "dstream.binance.com": ("binance", "inverse"),
    "stream.binance.us:9443": ("binanceus", "spot"),
    "ws.kraken.com": ("kraken", "spot"),
}
"""The real hosts that are served, each under its own name, with the exchange and the family of its streams.

ccxt tells spot from futures by the host, so that it must stay in the address.
"""

_TICK = 0.01
_LONGEST_SLICE = 10 * SECOND
_HIGH_WATER = 8 * 2**20
_PATIENCE = 5.0
_PING = b"\x89\x00"


@dataclass
class Journal:
    """The ids of trades, as runs of consecutive ids in the order in which they were noted."""

    runs: list[list[int]] = field(default_factory=list)

    def add(self, ids: Iterable[int]) -> None:
        """Note trades."""
        runs = self.runs
        for identity in ids:
            if runs and runs[-1][1] + 1 == identity:
                runs[-1][1] = identity
            else:
                runs.append([identity, identity])

    def ids(self) -> set[int]:
        """Return the ids that were noted at least once."""
        found: set[int] = set()
        for first, last in list(self.runs):
            found.update(range(first, last + 1))
        return found


@dataclass(eq=False)
class _Connection:
    """One client: its session, and the socket. Times are the exchange's."""

    session: Session
    socket: web.WebSocketResponse
    request: web.Request
    opened: int
    wire: Wire = field(default_factory=Wire)
    is_silent: bool = False
    sent_at: int = 0
    pinged_at: int = 0

    @property
    def backlog(self) -> int:
        """How many bytes the client has not read yet."""
        transport = self.request.transport
        if transport is None:
            return 0
        return transport.get_write_buffer_size()

    def write(self, frames: bytes, now: int) -> None:
        """Send whole frames, without waiting."""
        transport = self.request.transport
        if transport is not None and not transport.is_closing() and not self.socket.closed:
            transport.write(frames)
            self.sent_at = now

    def abort(self) -> None:
        """Break the connection, as a network does."""
        if self.request.transport is not None:
            self.request.transport.abort()


class _Batch:
    """The messages of one stream in a stretch of time, with their frames: many connections send the same ones."""

    def __init__(self, stream: Stream, start: int, end: int) -> None:
        self.stream = stream
        self.messages: list[Message] = stream.produce(start, end)
        self._frames: dict[bool, list[tuple[int, bytes]]] = {}

    def frames(self, session: Session, name: str) -> list[tuple[int, bytes]]:
        """Return the time and the frame of each message."""
        form = session.names_streams
        if form not in self._frames:
            self._frames[form] = [(message.ts, _frame(session.wrap(name, message.text))) for message in self.messages]
        return self._frames[form]


class SocketServer:
    """Sends each connection the messages of its streams as the exchange's clock reaches them.

    ``served`` and ``withheld`` are the ids of the trades that were sent, and that a fault left out.
    """

    def __init__(self, clock: SimulatedClock, faults: Callable[[], Faults]) -> None:
        self._clock = clock
        self._faults = faults
        self._connections: list[_Connection] = []
        self._binance: dict[tuple[str, str], BinanceStreams] = {}
        self._kraken: dict[str, KrakenStreams] = {}
        self._subscription_faults = SubscriptionFaults()
        self._position = clock.now()
        self._slice = SECOND
        self._closed_until = 0
        self._pump: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[Any]] = set()
        self.served: dict[Dataset, Journal] = {}
        self.withheld: dict[Dataset, Journal] = {}

    def wire(self, market: Market, books: Books) -> None:
        """Serve this market from now on."""
        self._market = market
        self._books = books
        self._binance.clear()
        self._kraken.clear()
        for connection in self._connections:
            self._rewire(connection)

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
        for task in list(self._closing):
            task.cancel()
        for connection in list(self._connections):
            if not connection.socket.closed:
                self._later(connection.socket.close(code=WSCloseCode.GOING_AWAY))
        # A client that does not answer is not waited for.
        if self._closing:
            await asyncio.wait(self._closing, timeout=0.5)
        for connection in list(self._connections):
            connection.abort()

    def disturb(self, what: str, seconds: float = 0.0) -> None:
        """Do this to all connections now: ``drop``, ``silence``, or ``restart``, which refuses new ones for some seconds."""
        for connection in list(self._connections):
            if what == "drop":
                connection.abort()
            elif what == "silence":
                connection.is_silent = True
            else:
                self._close(connection, WSCloseCode.SERVICE_RESTART)
        if what == "restart":
            self._closed_until = self._position + int(seconds * SECOND)

    async def serve(self, request: web.Request, host: str, path: str) -> web.StreamResponse:
        """Serve one connection until it is closed."""
        exchange, family = HOSTS[host]
        if exchange not in self._market.exchanges():
            return web.json_response({"error": f"{exchange} is not simulated"}, status=404)
        if self._is_restarting():
            return web.Response(status=503, text="Service Unavailable")
        socket = web.WebSocketResponse(compress=False)
        if not socket.can_prepare(request):
            return web.json_response({"error": "this is a WebSocket: connect with ws://"}, status=426)
        session = self._session(exchange, family, path, dict(request.query))
        now = self._position
        connection = _Connection(session, socket, request, now, sent_at=now, pinged_at=now)
        await socket.prepare(request)
        connection.write(b"".join(map(_frame, session.greet(now))), now)
        # The client may be quicker than this task: what happened since it could connect is not lost.
        if self._position > now:
            self._deliver_to([connection], now, self._position)
        self._connections.append(connection)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT and not connection.is_silent:
                    self._receive(connection, message.data)
        finally:
            self._connections.remove(connection)
        return socket

    def _receive(self, connection: _Connection, text: str) -> None:
        """Answer a client. Answers and the first messages of a stream leave in one piece, with nothing in between."""
        self._subscription_faults.faults = self._faults()
        answers = connection.session.receive(text, self._position, self._subscription_faults)
        connection.write(b"".join(map(_frame, answers)), self._position)

    def _session(self, exchange: str, family: str, path: str, query: dict[str, str]) -> Session:
        if exchange == "kraken":
            return KrakenSession(self._kraken_streams(exchange))
        return BinanceSession(self._binance_streams(exchange, family), path, query)

    def _binance_streams(self, exchange: str, family: str) -> BinanceStreams:
        key = exchange, family
        if key not in self._binance:
            self._binance[key] = BinanceStreams(self._market, exchange, family, self._books, self._faults)
        return self._binance[key]

    def _kraken_streams(self, exchange: str) -> KrakenStreams:
        if exchange not in self._kraken:
            self._kraken[exchange] = KrakenStreams(self._market, exchange, self._books, self._faults)
        return self._kraken[exchange]

    def _rewire(self, connection: _Connection) -> None:
        """Let a connection go on with the streams of another market."""
        host, path = connection.request.match_info["exchange"], connection.request.match_info["path"]
        session = self._session(*HOSTS[host], path, dict(connection.request.query))
        session.subscriptions = connection.session.subscriptions
        connection.session = session

    def _is_restarting(self) -> bool:
        every = int(self._faults().socket_restart_every * SECOND)
        if every and self._position % every < int(self._faults().socket_restart_seconds * SECOND):
            return True
        return self._position < self._closed_until

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            now = self._clock.now()
            if now < self._position:
                self._position = now
            while self._position < now:
                end = min(now, self._position + self._slice)
                # Processor time: on a busy machine short slices would only cost more.
                began = time.thread_time()
                self._deliver(self._position, end)
                self._adapt(end - self._position, time.thread_time() - began)
                self._position = end
                await self._let_clients_read()

    def _adapt(self, length: int, took: float) -> None:
        """Choose slices of time that take some milliseconds: long ones would keep calls waiting."""
        if took > 4 * _TICK:
            self._slice = max(self._slice // 2, SECOND // 10)
        elif took < 2 * _TICK and length == self._slice:
            self._slice = min(self._slice * 2, _LONGEST_SLICE)

    async def _let_clients_read(self) -> None:
        """Wait until all clients have read most of what was sent; one that does not in time is disconnected."""
        await asyncio.sleep(0)
        limit = self._faults().socket_slow_bytes
        if limit:
            for connection in list(self._connections):
                if connection.backlog > limit:
                    connection.abort()
        for _ in range(int(_PATIENCE / _TICK)):
            if not any(connection.backlog > _HIGH_WATER for connection in self._connections):
                return
            await asyncio.sleep(_TICK)
        for connection in list(self._connections):
            if connection.backlog > _HIGH_WATER:
                connection.abort()

    def _deliver(self, start: int, end: int) -> None:
        """Send what happened after *start*, up to *end*."""
        self._restart(start, end)
        self._deliver_to(list(self._connections), start, end)

    def _deliver_to(self, connections: list[_Connection], start: int, end: int) -> None:
        faults = self._faults()
        batches: dict[int, _Batch] = {}
        ranks: Counter[int] = Counter()
        for connection in connections:
            if connection.session.lifetime and connection.opened + connection.session.lifetime <= end:
                self._close(connection, WSCloseCode.GOING_AWAY)
                continue
            received: list[tuple[str, _Batch, int]] = []
            for name in list(connection.session.subscriptions.values()):
                stream = connection.session.stream(name)
                if stream is not None:
                    key = id(stream)
                    if key not in batches:
                        batches[key] = _Batch(stream, start, end)
                    received.append((name, batches[key], ranks[key]))
                    ranks[key] += 1
            if connection.is_silent:
                continue
            if has_message_faults(faults):
                self._send_disturbed(connection, received, faults, end)
            else:
                self._send(connection, received, end)
            self._keep_alive(connection, end)

    def _restart(self, start: int, end: int) -> None:
        every = int(self._faults().socket_restart_every * SECOND)
        if every and start // every != end // every:
            for connection in list(self._connections):
                self._close(connection, WSCloseCode.SERVICE_RESTART)

    def _send(self, connection: _Connection, received: list[tuple[str, _Batch, int]], now: int) -> None:
        frames: list[tuple[int, bytes]] = []
        for name, batch, _ in received:
            if batch.messages:
                frames += batch.frames(connection.session, name)
                self._note(self.served, batch.stream, batch.messages)
        if frames:
            frames.sort(key=itemgetter(0))
            connection.write(b"".join([frame for _, frame in frames]), now)

    def _send_disturbed(
        self, connection: _Connection, received: list[tuple[str, _Batch, int]], faults: Faults, now: int
    ) -> None:
        deliveries: list[Delivery] = []
        for _, batch, rank in received:
            deliveries += [Delivery(batch.stream, message, rank) for message in batch.messages]
        deliveries.sort(key=lambda delivery: delivery.message.ts)
        sent, left_out, fate = connection.wire.disturbed(deliveries, faults)
        session = connection.session
        frames = [_frame(session.wrap(delivery.stream.name, delivery.text)) for delivery in sent]
        if frames:
            connection.write(b"".join(frames), now)
        for delivery in sent:
            self._note(self.served, delivery.stream, [delivery.message])
        for delivery in left_out:
            self._note(self.withheld, delivery.stream, [delivery.message])
        if fate is Fate.DROP:
            # What was written before it is delivered, as by a network that breaks a moment later.
            self._close(connection, None)
        if fate is Fate.SILENCE:
            connection.is_silent = True

    def _note(self, journals: dict[Dataset, Journal], stream: Stream, messages: list[Message]) -> None:
        if stream.dataset is None:
            return
        journal = journals.setdefault(stream.dataset, Journal())
        for message in messages:
            journal.add(message.ids)

    def _keep_alive(self, connection: _Connection, now: int) -> None:
        every = connection.session.ping_every
        if every and now - connection.pinged_at >= every:
            connection.pinged_at = now
            connection.write(_PING, now)
        if now - connection.sent_at >= SECOND:
            heartbeat = connection.session.heartbeat()
            if heartbeat is not None:
                connection.write(_frame(heartbeat), now)

    def _close(self, connection: _Connection, code: int | None) -> None:
        """Close a connection: with a closing handshake, or without a code by closing the socket under it."""
        connection.is_silent = True
        if code is not None:
            self._later(connection.socket.close(code=code))
        elif connection.request.transport is not None:
            connection.request.transport.close()

    def _later(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _frame(text: str) -> bytes:
    """Return a whole text message as a server sends it (RFC 6455, 5.2)."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload
