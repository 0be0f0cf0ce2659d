"""Trials of live collection: a world of streams, connections that break, collectors that are killed; all drawn from one seed.

A trial runs in one event loop without threads, wall clock or sockets, so the same seed brings the same rows, coverage and counters.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from ticklake.collect.hole_filler import FILLABLE
from ticklake.collect.live import LiveService
from ticklake.core.batch import from_rows
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.gaps import Gap, GapReason
from ticklake.core.provenance import Provenance
from ticklake.core.sequence import has_numbers
from ticklake.core.span import Span
from ticklake.core.streams import LiveOptions, StreamStatus
from ticklake.core.time import DAY, HOUR, MINUTE, MS
from ticklake.errors import CatalogBusy, SourceError, SourceUnavailable
from ticklake.lake import Lake
from ticklake.sources.live.base import Control, Feed, LiveMessage, Sink, Subscription
from ticklake.sources.live.continuity import TradeIds, gap_of
from ticklake.sources.wire.rows import Row
from ticklake.testing.rows import START

NOW = START + 2 * HOUR
FEEDS = 5
"""Connections of a collector."""
SILENCE = 40
"""So many messages are lost while a connection is open and silent."""
NEAR_END = 0.85
"""From here on nothing goes wrong: of the last messages nobody could know that they are missing."""
ROWS = 16
"""Rows of a stream, on average."""
AGGREGATED = "agg"
_REPAIRED = {GapReason.NOT_FETCHED, GapReason.LOST, GapReason.INVALID}


class Killed(BaseException):
    """The process was killed: nothing of it goes on."""


@dataclass(frozen=True)
class Stream:
    """What an exchange has of one dataset: rows in the order of their numbers."""

    dataset: Dataset
    space: str
    rows: tuple[Row, ...]

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.dataset.kind, self.dataset.symbol, str(self.dataset.timeframe or ""))

    @property
    def proves_its_numbers(self) -> bool:
        """Whether a message that was left out is noticed."""
        return self.dataset.kind == "book" or has_numbers(self.dataset, self.space)


def number_of(row: Row) -> int:
    """What tells a row from the others of its stream."""
    if row.kind == "trades":
        return int(row.values[2])
    if row.kind == "book":
        return int(row.values[2])
    return int(row.values[0])


class World:
    """Streams of four exchanges, and the messages in which their sockets send them, in the order of time."""

    def __init__(self, seed: int, streams: int) -> None:
        rng = Random(f"world {seed}")
        self.streams = [_stream(rng, place) for place in range(streams)]
        self.by_dataset = {stream.dataset: stream for stream in self.streams}
        self.messages = self._messages(rng)

    def rows(self, dataset: Dataset, span: Span) -> list[Row]:
        """Return the rows that calls bring of a span."""
        return [row for row in self.by_dataset[dataset].rows if row.values[0] in span]

    def _messages(self, rng: Random) -> list[tuple[Stream, list[Row]]]:
        timed: list[tuple[int, int, Stream, list[Row]]] = []
        for stream in self.streams:
            place = 0
            while place < len(stream.rows):
                count = rng.choice((1, 1, 2, 3)) if stream.dataset.kind == "trades" else 1
                rows = list(stream.rows[place : place + count])
                # In the order of time, and within a stream in that of its numbers.
                timed.append((rows[-1].values[0], len(timed), stream, rows))
                place += count
        return [(stream, rows) for _, _, stream, rows in sorted(timed, key=lambda entry: entry[:2])]


def _stream(rng: Random, place: int) -> Stream:
    kind, exchange, quote, space = "trades", "kraken", "USD", ""
    match place % 25:
        case 20 | 21:
            exchange, quote, space = "binance", "USDT", AGGREGATED
        case 22:
            exchange, quote = "okx", "USDT"
        case 23:
            kind, exchange, quote, space = "book", "bybit", "USDT", ""
        case 24:
            kind, exchange, quote = "ohlcv", "binance", "USDT"
        case _:
            pass
    symbol = f"S{place}/{quote}"
    dataset = Dataset.of(exchange, symbol, kind, "1m" if kind == "ohlcv" else None)
    count = rng.randrange(ROWS // 2, ROWS * 3 // 2)
    first, ts = rng.randrange(1, 10**6), START + rng.randrange(10) * MS
    rows: list[Row] = []
    for number in range(first, first + count):
        if kind == "ohlcv":
            values: tuple[Any, ...] = (START + len(rows) * MINUTE, "1", "2", "0.5", "1.5", "10", None, 7)
        elif kind == "book":
            ts += rng.randrange(1, 60_000) * MS
            values = (ts, ts, number, "bid", f"{number}.5", "1", None, not rows)
        else:
            # A taker fills several orders at once: a third of the trades share their time with the one before.
            ts += rng.choice((0, rng.randrange(1, 60_000), rng.randrange(1, 60_000))) * MS
            values = (ts, ts + MS, str(number), f"{number}.5", "2", "buy")
        rows.append(Row(kind, dataset.symbol, values, str(dataset.timeframe or ""), space))
    return Stream(dataset, space, tuple(rows))


@dataclass(frozen=True)
class Mishaps:
    """How often what goes wrong, of 1."""

    drop: float = 0.03
    duplicate: float = 0.03
    reorder: float = 0.03
    invalid: float = 0.01
    wrong_time: float = 0.005
    disconnect: float = 0.0015
    refuse: float = 0.03
    late: float = 0.1


class ScriptedFeed(Feed):
    """Sends the messages of a world from one place on, over as many connections as its mishaps make."""

    def __init__(self, world: World, streams: Sequence[Stream], begin: int, rng: Random, mishaps: Mishaps) -> None:
        self.exchange = "all"
        self.datasets = {stream.key: stream.dataset for stream in streams}
        self.subscriptions = tuple(Subscription(stream.dataset) for stream in streams)
        self._streams = list(streams)
        self._rng = rng
        self._mishaps = mishaps
        own = set(self.datasets.values())
        self._messages = world.messages
        self._own = [stream.dataset in own for stream, _ in world.messages]
        self._trades = TradeIds()
        self._books: dict[Dataset, Row] = {}
        self._near_end = NEAR_END * len(world.messages)
        self._breaks_end = self._near_end - SILENCE
        self.place = begin
        self.sent: dict[Dataset, list[int]] = {}
        """The numbers of the rows that were sent, or left out, over an acknowledged subscription."""

    async def run(self, sink: Sink) -> None:
        for message in self._script():
            for _ in range(self._rng.randrange(3)):
                await asyncio.sleep(0)
            await sink.put(self, message)

    def _script(self) -> Iterator[LiveMessage]:
        while self.place < len(self._messages):
            yield self._control("connected")
            yield from self._connection()
            yield self._control("disconnected", text="reset")
            # What is sent until the next connection is open is lost.
            for _ in range(self._rng.randrange(120)):
                if not self._is_near_end:
                    self.place += 1

    @property
    def _is_near_end(self) -> bool:
        """The last messages come, or nobody could know that there were any."""
        return self.place > self._near_end

    def _connection(self) -> Iterator[LiveMessage]:
        silent_from = None
        acknowledged, refused = set(), set()
        late: dict[Dataset, int] = {}
        for stream in self._streams:
            chance = self._rng.random()
            if chance < self._mishaps.refuse:
                refused.add(stream.dataset)
                yield self._control("refused", stream.dataset, "not allowed now")
            elif chance > 1 - self._mishaps.late:
                late[stream.dataset] = self.place + self._rng.randrange(100)
            else:
                acknowledged.add(stream.dataset)
                yield self._control("subscribed", stream.dataset)
        held: tuple[Stream, list[Row]] | None = None
        while self.place < len(self._messages):
            if silent_from is None and self.place < self._breaks_end and self._rng.random() < self._mishaps.disconnect:
                # Half of the lost connections are silent before.
                silent_from = self.place
                if self._rng.random() < 0.5:
                    break
            if silent_from is not None and self.place > silent_from + SILENCE:
                break
            is_own, (stream, rows) = self._own[self.place], self._messages[self.place]
            self.place += 1
            if self._is_near_end:
                late.update(dict.fromkeys(refused, 0))
                refused.clear()
            for dataset in [dataset for dataset, at in late.items() if at <= self.place or self._is_near_end]:
                del late[dataset]
                acknowledged.add(dataset)
                yield self._control("subscribed", dataset)
            if not is_own or stream.dataset in refused:
                continue
            if stream.dataset in acknowledged:
                self.sent.setdefault(stream.dataset, []).extend(number_of(row) for row in rows)
            elif self._rng.random() < 0.5:
                # Not subscribed yet, as far as the exchange is concerned.
                continue
            if silent_from is not None:
                continue
            fate = self._fate(stream)
            if fate == "drop":
                continue
            if held is not None and held[0] is stream:
                yield self._message(stream, rows)
                yield self._message(*held)
                held = None
                continue
            if fate == "reorder" and held is None:
                held = stream, rows
                continue
            if fate == "wrong_time":
                yield self._odd(rows[0], (rows[0].values[0] + 400 * DAY, *rows[0].values[1:]))
            if fate == "invalid" and stream.dataset.kind == "trades":
                yield self._message(stream, [_at_no_price(row) for row in rows])
                continue
            yield self._message(stream, rows)
            if fate == "duplicate":
                yield self._message(stream, rows)
        if held is not None:
            yield self._message(*held)

    def _fate(self, stream: Stream) -> str:
        if self._is_near_end:
            return ""
        chance = self._rng.random()
        for name in ("drop", "reorder", "duplicate", "invalid", "wrong_time"):
            chance -= getattr(self._mishaps, name)
            if chance < 0:
                # Nothing tells of a message of a stream without numbers that was left out, or came late.
                if name in ("drop", "reorder") and not stream.proves_its_numbers:
                    return ""
                return name
        return ""

    def _message(self, stream: Stream, rows: list[Row]) -> LiveMessage:
        controls: list[Control] = []
        if stream.dataset.kind == "trades" and stream.proves_its_numbers:
            trades = [(number_of(row), row.values[0]) for row in rows]
            controls = [gap_of(jump, stream.dataset, NOW) for jump in self._trades.follow(stream.key, trades)]
        elif stream.dataset.kind == "book":
            controls = self._book_gap(stream.dataset, rows[0])
            self._books[stream.dataset] = rows[-1]
        # Clocks of machines are wrong: what is covered must not depend on them.
        received_at = rows[-1].values[0] + self._rng.randrange(-30, 30) * MINUTE
        return LiveMessage(received_at, rows, controls)

    def _book_gap(self, dataset: Dataset, row: Row) -> list[Control]:
        before = self._books.get(dataset)
        if before is None or number_of(row) <= number_of(before) + 1:
            return []
        span = Span(before.values[0], row.values[0])
        first, last = number_of(before) + 1, number_of(row) - 1
        return [Control("gap", NOW, dataset, "changes are missing", span, first, last)]

    def _odd(self, row: Row, values: tuple[Any, ...]) -> LiveMessage:
        return LiveMessage(NOW, [Row(row.kind, row.native, values, row.timeframe, row.space)])

    def _control(self, name: Any, dataset: Dataset | None = None, text: str = "") -> LiveMessage:
        return LiveMessage(NOW, controls=[Control(name, NOW, dataset, text)])


def _at_no_price(row: Row) -> Row:
    values = (*row.values[:3], "-1", *row.values[4:])
    return Row(row.kind, row.native, values, row.timeframe, row.space)


class MortalEngine:
    """An engine whose process may be killed before or after any commit."""

    def __init__(self, engine: Any, rng: Random, commits: int | None) -> None:
        self._engine = engine
        self._rng = rng
        self._left = commits
        self.killed = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        if self.killed.is_set():
            raise Killed
        return getattr(self._engine, name)

    def append(self, *arguments: Any) -> Any:
        return self._commit(self._engine.append, *arguments)

    def append_each(self, items: Any) -> Any:
        if not self.killed.is_set() and self._rng.random() < 0.05:
            raise CatalogBusy("busy")
        return self._commit(self._engine.append_each, items)

    def _commit(self, commit: Any, *arguments: Any) -> Any:
        is_last = False
        if self._left is not None:
            self._left -= 1
            is_last = self._left <= 0
        if self.killed.is_set() or (is_last and self._rng.random() < 0.5):
            self.killed.set()
            raise Killed
        result = commit(*arguments)
        if is_last:
            self.killed.set()
            raise Killed
        return result


@dataclass
class Trial:
    """Two collectors that take turns, are ended and begin again; then a repair."""

    lake: Lake
    seed: int
    streams: int = 50
    ends: Counter[str] = field(default_factory=Counter)
    ended_in_order: list[Sequence[StreamStatus]] = field(default_factory=list)
    sent: dict[Dataset, list[int]] = field(default_factory=dict)
    origin: Provenance = field(default_factory=lambda: Provenance("rest", "calls", "test"))

    def run(self) -> None:
        self.world = World(self.seed, self.streams)
        asyncio.run(self._run())
        self._repair()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as collectors:
            for name in "ab":
                collectors.create_task(self._collector(Random(f"{name} {self.seed}")))

    async def _collector(self, rng: Random) -> None:
        """Collect to the end of the world, in up to three lives."""
        begin = rng.randrange(len(self.world.messages) // 4)
        for _ in range(rng.randrange(3)):
            begin = await self._life(rng, begin, rng.choice(("sigterm", "kill", "kill at commit")))
            begin = min(begin + rng.randrange(100), int(NEAR_END * len(self.world.messages)))
        await self._life(rng, begin, "natural")

    async def _life(self, rng: Random, begin: int, end: str) -> int:
        """Run one service until it ends, and return how far the exchange is by then."""
        commits = rng.randrange(1, 8) if end == "kill at commit" else None
        engine = MortalEngine(self.lake.engine, rng, commits)
        fill = self._filler(engine, rng)
        flush_rows = rng.choice((150, 400, 800))
        options = LiveOptions(flush_rows=flush_rows, flush_seconds=1e6, most_rows=2 * flush_rows, fill_delay=0.0)
        service = LiveService(engine, fill, options, clock=lambda: NOW)  # type: ignore[arg-type]
        mishaps = Mishaps()
        feeds = [
            ScriptedFeed(self.world, self.world.streams[part::FEEDS], begin, Random(rng.random()), mishaps)
            for part in range(FEEDS)
        ]
        task = asyncio.create_task(service.run(feeds))
        last = rng.randrange(begin, len(self.world.messages)) if end in ("sigterm", "kill") else None
        while not task.done() and not engine.killed.is_set():
            if last is not None and min(feed.place for feed in feeds) >= last:
                if end == "kill":
                    engine.killed.set()
                break
            await asyncio.sleep(0)
        was_natural = task.done()
        task.cancel()
        with suppress(asyncio.CancelledError, Killed):
            await task
        for feed in feeds:
            for dataset, numbers in feed.sent.items():
                self.sent.setdefault(dataset, []).extend(numbers)
        if engine.killed.is_set():
            self.ends["killed"] += 1
        else:
            self.ends["natural" if was_natural else "sigterm"] += 1
            self.ended_in_order.append(service.status())
        return max(feed.place for feed in feeds)

    def _filler(self, engine: Any, rng: Random) -> Any:
        async def fill(dataset: Dataset, span: Span) -> None:
            await asyncio.sleep(0)
            chance = rng.random()
            if chance < 0.4:
                raise SourceUnavailable("the exchange is away")
            if chance < 0.45:
                raise SourceError("the exchange refuses")
            engine.append(*self._served(dataset, span))

        return fill

    def _served(self, dataset: Dataset, span: Span) -> tuple[Dataset, Any, Provenance, list[Covered]]:
        """Return what calls bring of a span, to be appended."""
        rows = [row.values for row in self.world.rows(dataset, span)]
        space = self.world.by_dataset[dataset].space
        origin = replace(self.origin, id_space=space)
        return dataset, from_rows(rows, dataset.spec), origin, [Covered(span)]

    def _repair(self) -> None:
        """Fill the gaps that are named, except some that the exchange no longer serves, then what is newer than all rows."""
        rng = Random(f"repair {self.seed}")
        items: list[Any] = []
        for dataset in self._collected():
            if dataset.kind not in FILLABLE:
                continue
            gaps = [gap for gap in self.lake.gap_report(dataset, quick=True).gaps if gap.reason in _REPAIRED]
            items += [self._served(dataset, gap.span) for gap in gaps if rng.random() < 0.7]
            row = self.lake.engine.catalog.dataset(dataset)
            if row is not None and row.max_ts is not None:
                items.append(self._served(dataset, Span(row.max_ts, NOW)))
        if items:
            self.lake.engine.append_each(items)

    def _collected(self) -> list[Dataset]:
        known = {row.dataset for row in self.lake.engine.catalog.datasets()}
        return [
            stream.dataset for stream in self.world.streams if stream.dataset in known and stream.dataset in self.sent
        ]

    # What must be so in the end

    def problems(self) -> list[str]:
        """Return what is wrong with the lake or with counters."""
        wrong: list[str] = []
        for dataset in self._collected():
            wrong += self._problems_of(dataset)
        for statuses in self.ended_in_order:
            wrong += [f"{each.dataset}: {each.waiting} rows wait" for each in statuses if each.waiting]
            wrong += [f"{each.dataset}: counters" for each in statuses if not _balances(each)]
        return wrong

    def _problems_of(self, dataset: Dataset) -> Iterator[str]:
        stored = self.numbers(dataset)
        if len(set(stored)) != len(stored):
            yield f"{dataset}: rows are doubled"
        if not stored:
            return
        # Nothing tells of what came before the first commit.
        first, last = max(min(self.sent[dataset]), min(stored)), max(self.sent[dataset])
        if dataset.kind not in FILLABLE:
            # Nor of what came after the last one, where calls do not bring it.
            last = max(stored)
        there = set(stored)
        missing = [row for row in self.world.by_dataset[dataset].rows if first <= number_of(row) <= last]
        missing = [row for row in missing if number_of(row) not in there]
        if not missing:
            return
        # What only jumps of numbers would tell is not named well: a repair asks for what is not covered. But whether others share
        # the instants of the first and the last row is told by nothing else.
        gaps = self.lake.gap_report(dataset, quick=True).gaps
        outer = self._bounds(dataset)
        by_numbers = [gap for gap in self.lake.gap_report(dataset).gaps if gap.span.start in outer]
        for row in missing:
            number = number_of(row)
            if not _is_named(row.values[0], [*gaps, *by_numbers]):
                yield f"{dataset}: {number} at {row.values[0] - START} is missing, and no gap names it"

    def _bounds(self, dataset: Dataset) -> set[int]:
        """Return the times of the first and the last row that are stored."""
        ts = self.lake.load(dataset, columns=["ts"])["ts"].to_physical()
        return {int(ts[0]), int(ts[-1])}

    def numbers(self, dataset: Dataset) -> list[int]:
        """Return what tells the stored rows of a dataset apart."""
        column = {"trades": "id", "book": "seq"}.get(dataset.kind, "ts")
        rows = self.lake.load(dataset, columns=[column])[column].to_physical()
        return [int(number) for number in rows]

    def fingerprint(self) -> str:
        """Return a digest of all rows, coverage and counters."""
        digest = hashlib.sha256()
        for dataset in self._collected():
            digest.update(self.lake.load(dataset).write_csv().encode())
            digest.update(repr(self.lake.coverage(dataset).pieces).encode())
        digest.update(repr(self.ended_in_order).encode())
        return digest.hexdigest()


def _is_named(ts: int, gaps: Sequence[Gap]) -> bool:
    return any(ts in gap.span for gap in gaps)


def _balances(status: StreamStatus) -> bool:
    return status.received == status.stored + status.duplicate + status.quarantined


async def directly(function: Any, /, *arguments: Any, **more: Any) -> Any:
    """Stand in for :func:`asyncio.to_thread`: others have a turn before and after, but at places that repeat."""
    await asyncio.sleep(0)
    result = function(*arguments, **more)
    await asyncio.sleep(0)
    return result
