"""One connection to an exchange, from its opening to its end: subscribes, reads, proves, keeps alive."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from ticklake.core.dataset import Dataset
from ticklake.errors import Banned, InvalidData, SourceError, SourceUnavailable, TicklakeError
from ticklake.sources.address import at_base
from ticklake.sources.live.base import Control, LiveMessage, RowKey, wanted_rows
from ticklake.sources.live.books import Book, Books
from ticklake.sources.live.bridge import Bridge, WholeBook
from ticklake.sources.live.clock import SteeredClock
from ticklake.sources.live.continuity import Chain, TradeIds, complete_bars
from ticklake.sources.live.final_bars import FinalBars
from ticklake.sources.live.options import FeedOptions
from ticklake.sources.live.protocol import Protocol, Reply, Stream
from ticklake.sources.live.socket import Socket
from ticklake.sources.live.subscribing import Subscriptions
from ticklake.sources.live.watchdog import Watchdog
from ticklake.sources.wire.decode import decode
from ticklake.sources.wire.reading import Mark, Memory, Reading, read_with
from ticklake.sources.wire.rows import Row

__all__ = ["Carrier", "Session"]

Put = Callable[[LiveMessage], Awaitable[None]]


@dataclass
class Carrier:
    """What the connections of one feed share.

    Attributes
    ----------
    refused
        The channels that the exchange refused; they are not tried again.
    owners
        The number of the connection that delivers a book.
    """

    protocol: Protocol
    options: FeedOptions
    streams: tuple[Stream, ...]
    datasets: Mapping[RowKey, Dataset]
    http: aiohttp.ClientSession
    fetch: Callable[[str], Awaitable[bytes]]
    clock: SteeredClock
    refused: dict[str, str] = field(default_factory=dict)
    owners: dict[RowKey, int] = field(default_factory=dict)


class Session:
    """One connection.

    Attributes
    ----------
    due
        Set when another connection should take over: this one is near the end of its life, or oddly quiet.
    ready
        Set when every subscription was answered and every whole book that must be fetched is here.
    trades
        The ids of the trades that came.
    watchdog
        Knows the usual rate of the streams, also that of the connection *before*.
    """

    def __init__(self, number: int, carrier: Carrier, before: Session | None = None, *, is_first: bool = True) -> None:
        self.number = number
        self.due = asyncio.Event()
        self.ready = asyncio.Event()
        self.trades = TradeIds()
        before_watchdog: Watchdog | None = None
        if before is not None:
            before_watchdog = before.watchdog
        self.watchdog: Watchdog = Watchdog(carrier.options.silence, carrier.options.monotonic(), before_watchdog)
        self._carrier = carrier
        self._is_first = is_first
        self._protocol = carrier.protocol
        self._readers = carrier.protocol.readers
        self._options = carrier.options
        self._books = Books(number, carrier.datasets, carrier.owners, self._begin_anew)
        self._memory: Memory = {}
        self._subscriptions = Subscriptions(
            carrier.protocol,
            carrier.streams,
            carrier.refused,
            send=self._send,
            start=self._begin,
            on_accepted=self._note_accepted,
            timeout=carrier.options.acknowledge_timeout,
            monotonic=carrier.options.monotonic,
        )
        for streams in self._subscriptions.channels.values():
            for stream in streams:
                self._add(stream)
        self._limits = self._protocol.limits(carrier.streams[0].market)
        self._connection_chain = Chain()
        self._controls: list[Control] = []
        self._fetched: set[str] = set()
        self._is_handing_over = False
        self._ending = ""
        self._late: list[LiveMessage] = []
        self._final_bars = FinalBars(carrier.datasets)

    def _add(self, stream: Stream) -> None:
        if stream.key[0] != "book":
            return
        book = Book(stream, self._protocol.exchange, self._options.backoff())
        book.begin_anew()
        if self._protocol.needs_snapshots and stream.depth is None:
            book.bridge = Bridge()
        self._books.by_native[stream.native] = book

    @property
    def accepted(self) -> Mapping[str, Sequence[Stream]]:
        """The streams that the exchange has acknowledged, by channel."""
        return self._subscriptions.accepted

    def take_back(self, number: int) -> None:
        """Deliver the books again that the connection *number* had taken over: it ended early."""
        self._books.take_back(number)

    async def run(self, put: Put) -> str:
        """Deliver messages until the connection ends, and return why it did.

        Raises
        ------
        TicklakeError
            What *put* raised, and what no new connection can cure.
        """
        url = at_base(self._protocol.url(self._carrier.streams[0]), self._options.url)
        try:
            self._socket = await Socket.open(self._carrier.http, url, self._options.connect_timeout)
        except TicklakeError as error:
            if not error.retriable:
                raise
            return str(error)
        self._opened_at = self._pinged_at = self._options.monotonic()
        self._sent_at = self._opened_at - 1
        self.watchdog.restart(self._opened_at)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._tasks.create_task(self._subscriptions.subscribe_all())
                self._tasks.create_task(self._tend())
                await self._read(put)
        except BaseExceptionGroup as errors:
            cause = _cause(errors)
            if not isinstance(cause, SourceUnavailable):
                raise cause from None
            return str(cause)
        finally:
            await self._socket.close()
        return "the connection ended"

    async def _read(self, put: Put) -> None:
        clock, monotonic = self._carrier.clock, self._options.monotonic
        if self._is_first:
            await put(LiveMessage(clock(), controls=(Control("connected", clock()),)))
        while True:
            data = await self._socket.receive()
            received_at, now = clock(), monotonic()
            if data is None:
                self.watchdog.sign(now)
                messages = [LiveMessage(received_at, controls=self._with([Control("heartbeat", received_at)]))]
            else:
                messages = self._guarded(data, received_at, now)
            if self._late:
                messages = [*self._late, *messages]
                self._late = []
            self._is_handing_over = True
            for message in messages:
                await put(message)
            self._is_handing_over = False
            if self._ending:
                raise SourceUnavailable(self._ending)
            took = monotonic() - now
            if took > self._options.slow:
                self.watchdog.pause(took)
                self._controls.append(Control("slow", clock(), text=f"nothing was read for {took:.1f} s"))

    # Subscribing

    async def _send(self, message: Mapping[str, Any]) -> None:
        """Send a message no sooner than the exchange allows after the last."""
        interval = 1 / self._limits.messages_per_second
        now = self._options.monotonic()
        self._sent_at = max(self._sent_at + interval, now)
        if self._sent_at > now:
            await asyncio.sleep(self._sent_at - now)
        await self._socket.send(msgspec.json.encode(message).decode())

    def _answered(self, reply: Reply, received_at: int) -> list[Control]:
        """Return what a message about the connection means."""
        if reply.name == "alive":
            self.watchdog.sign(self._options.monotonic())
            if self._protocol.sends_heartbeats:
                self.watchdog.data(self._options.monotonic())
            return [Control("heartbeat", received_at)]
        controls = self._subscriptions.answered(reply, received_at)
        self._note_ready()
        return controls

    def _note_accepted(self, stream: Stream) -> None:
        """Fetch the whole book, if it does not come by itself."""
        book = self._books.by_native.get(stream.native)
        if book is not None and book.stream is stream and book.bridge is not None and not book.is_whole:
            self._begin(self._fetch(book))

    def _note_ready(self) -> None:
        waited = [
            book.stream.channel
            for book in self._books.by_native.values()
            if book.bridge is not None and book.stream.channel in self._subscriptions.channels
        ]
        if self._subscriptions.are_settled and self._fetched.issuperset(waited):
            self.ready.set()

    def _begin(self, work: Coroutine[Any, Any, object]) -> None:
        self._tasks.create_task(work)

    # Keeping alive

    async def _tend(self) -> None:
        """Look after deadlines and pings."""
        while True:
            await asyncio.sleep(self._options.tick)
            now = self._options.monotonic()
            self._judge_silence(now)
            self._judge_age(now)
            await self._ping(now)
            self._controls += await self._subscriptions.repeat_late(now, self._carrier.clock())
            self._note_ready()
            # They follow with the next message.
            self._late += self._final_bars.messages(self._memory, self._carrier.clock(), now)

    def _judge_silence(self, now: float) -> None:
        if self._is_handing_over:
            # Nobody reads: the silence is ours.
            return
        verdict = self.watchdog.verdict(now)
        if verdict == "dead":
            raise SourceUnavailable(f"no sign of life for {self._options.silence.dead:g} s")
        if verdict == "quiet":
            self.due.set()

    def _judge_age(self, now: float) -> None:
        lifetime = self._options.lifetime or self._limits.lifetime
        # In time for a few attempts: of 24 hours the last 43 minutes.
        if lifetime is not None and now - self._opened_at > 0.97 * lifetime:
            self.due.set()

    async def _ping(self, now: float) -> None:
        if now - self._pinged_at < (self._options.ping_every or self._protocol.ping_every):
            return
        self._pinged_at = now
        if self._protocol.ping:
            await self._socket.send(self._protocol.ping)
        else:
            await self._socket.ping()

    # Reading messages

    def _with(self, controls: Sequence[Control]) -> tuple[Control, ...]:
        """Return what happened since the last message, then *controls*."""
        if not self._controls:
            return tuple(controls)
        happened = (*self._controls, *controls)
        self._controls.clear()
        return happened

    def _guarded(self, data: bytes, received_at: int, now: float) -> list[LiveMessage]:
        """Return what a message brings. Whatever is in it, reading goes on."""
        try:
            return self._messages(data, received_at, now)
        except SourceError:
            # Ours: readers raise none.
            raise
        except Exception:
            return [LiveMessage(received_at, (), self._with(()), is_known=False, raw=data)]

    def _messages(self, data: bytes, received_at: int, now: float) -> list[LiveMessage]:
        raw = b""
        if self._options.capture:
            raw = data
        try:
            message = decode(data)
        except InvalidData:
            message = data.decode(errors="replace")
        reply = None
        if isinstance(message, dict) or message == "pong":
            reply = self._protocol.reply(message)
        controls = self._connection_gap(message, received_at)
        if self._ending:
            return [LiveMessage(received_at, controls=self._with(controls), raw=raw)]
        if reply is not None:
            controls += self._answered(reply, received_at)
            return [LiveMessage(received_at, controls=self._with(controls), raw=raw)]
        self.watchdog.data(now)
        reading = read_with(self._readers, message, received_at, None, self._memory)
        if reading is None:
            return [LiveMessage(received_at, (), self._with(controls), is_known=False, raw=data)]
        return self._proven(reading, controls, received_at, raw)

    def _proven(self, reading: Reading, controls: list[Control], received_at: int, raw: bytes) -> list[LiveMessage]:
        """Return the wanted rows of a message, with what its numbers show."""
        rows = wanted_rows(reading.rows, self._carrier.datasets)
        self._final_bars.note(rows)
        extra: list[LiveMessage] = []
        is_withheld = False
        marks: list[Mark] = []
        if reading.marks:
            marks = [mark for mark in reading.marks if mark.kind == "book"]
        if marks or (rows and rows[0].kind == "book"):
            count = len(rows)
            rows, happened, extra = self._books.take(rows, marks, received_at)
            is_withheld = len(rows) < count
            controls += happened
        elif rows and rows[0].kind == "trades":
            controls += self.trades.gaps(rows, self._carrier.datasets, received_at)
        elif rows and rows[0].kind == "ohlcv":
            complete = complete_bars(rows, self._carrier.datasets, received_at)
            extra = [LiveMessage(received_at, controls=complete)]
        message = LiveMessage(received_at, rows, self._with(controls), True, raw, is_withheld)
        if extra:
            return [message, *extra]
        return [message]

    def _connection_gap(self, message: Any, received_at: int) -> list[Control]:
        """Return the gap in the numbers of the connection; nothing that comes after it is delivered.

        What was lost may belong to any stream: all begin anew over another connection.
        """
        if not isinstance(message, dict):
            return []
        mark = self._protocol.connection_mark(message)
        before = self._connection_chain.last
        if mark is None or self._connection_chain.follow(mark) != "broken" or before is None:
            return []
        first, last = before + 1, (mark.first or 0) - 1
        self._ending = f"messages {first} to {last} of the connection are missing"
        return [Control("gap", received_at, None, self._ending, None, first, last)]

    # Books

    def _begin_anew(self, book: Book) -> None:
        """Get a whole book: it is fetched where the exchange does not send it."""
        if book.bridge is not None:
            self._begin(self._fetch(book))
        else:
            self._begin(self._resubscribe(book))

    async def _resubscribe(self, book: Book) -> None:
        """Subscribe again: the exchange sends the whole book then."""
        await asyncio.sleep(book.backoff.pause())
        await self._subscriptions.renew(book.stream)

    async def _fetch(self, book: Book) -> None:
        """Fetch the whole book until one comes."""
        bridge = book.bridge
        url = self._protocol.snapshot_url(book.stream)
        while book.bridge is bridge and bridge is not None:
            try:
                body = await self._carrier.fetch(url)
                bridge.book = self._whole_book(book.stream, body)
            except TicklakeError as error:
                if not error.retriable and not isinstance(error, Banned):
                    self._controls += self._subscriptions.drop(book.stream, str(error), self._carrier.clock())
                    self._note_ready()
                    return
                await asyncio.sleep(book.backoff.pause())
                continue
            # They are handed over with the next message of the connection, before any change that follows.
            self._late += self._books.join(book, self._carrier.clock())
            self._fetched.add(book.stream.channel)
            self._note_ready()
            return

    def _whole_book(self, stream: Stream, body: bytes) -> WholeBook:
        received_at = self._carrier.clock()
        try:
            message = decode(body)
            reading = read_with(self._readers, message, received_at)
            if reading is None:
                raise SourceUnavailable(f"{stream.channel}: the answer is no book: {body[:100]!r}")
            rows = [Row(row.kind, stream.native, row.values, row.timeframe, row.space) for row in reading.rows]
            return WholeBook(received_at, rows, message["lastUpdateId"])
        except (InvalidData, KeyError, TypeError, ValueError) as error:
            raise SourceUnavailable(f"{stream.channel}: the answer is no book: {error}") from error


def _cause(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group that is none of a connection, or else the first."""
    leaves: list[BaseException] = []
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            leaves.append(_cause(error))
        else:
            leaves.append(error)
    for leaf in leaves:
        if not isinstance(leaf, SourceUnavailable):
            return leaf
    return leaves[0]
