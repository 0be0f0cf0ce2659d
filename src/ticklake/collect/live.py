"""The live service: takes what feeds deliver, commits it in batches with its coverage, and fills the holes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from ticklake.collect.capture import Capture
from ticklake.collect.live_buffer import DatasetRows, LiveBuffer, frames_of
from ticklake.collect.live_state import Connection, LiveStream
from ticklake.core.checks import is_plausible_time
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.live_coverage import Hole
from ticklake.core.provenance import Provenance
from ticklake.core.results import Receipt
from ticklake.core.span import Span, subtract
from ticklake.core.streams import LiveOptions, StreamStatus
from ticklake.core.time import DAY, SECOND
from ticklake.engine.delete import DELETED
from ticklake.engine.engine import Engine
from ticklake.errors import DiskTooSmall, StorageError, TicklakeError
from ticklake.sources.live.base import Control, Feed, LiveMessage, RowKey

__all__ = ["LiveService"]

SHARED_TIMES = frozenset({"trades", "liquidations"})
"""Kinds of which rows of several messages have one time."""
FILLABLE = frozenset({"trades", "ohlcv", "mark_ohlcv", "index_ohlcv", "funding", "open_interest"})
"""Kinds of which exchanges serve the past by calls; of the others a hole stays a hole."""
LONGEST_FILLED = DAY
"""A hole is filled if it is not longer; a longer one is left to a backfill."""
FILL_TRIES = 3
_STOPPED = "nobody collected"
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 10.0
"""Seconds between two tries of a commit."""

Fill = Callable[[Dataset, Span], Awaitable[None]]
"""Asks the exchange by calls for the rows of a span, and commits them with their coverage."""


class Listener(Protocol):
    """Who is told of live rows at once, before they are committed. Its methods are called in the loop of the service and must return at once."""

    def rows(self, dataset: Dataset, rows: Sequence[Sequence[Any]], received_at: int) -> None:
        """Take the rows of one message: values in the order of the kind's columns."""

    def control(self, dataset: Dataset, control: Control) -> None:
        """Take note of what happened to a stream."""


class LiveService:
    """Collects from any number of feeds into one lake.

    It is the :class:`~ticklake.sources.live.base.Sink` of its feeds. All methods are called in one event loop; commits are made in a
    thread beside it.

    Parameters
    ----------
    fill
        Asks the exchange by calls for rows of a hole; ``None`` if holes are only noted.
    clock
        This machine's time in nanoseconds UTC.
    listeners
        Who is told of rows at once, before they are committed.
    capture
        Where messages are written as they were received.
    """

    def __init__(
        self,
        engine: Engine,
        fill: Fill | None,
        options: LiveOptions | None = None,
        clock: Callable[[], int] = time.time_ns,
        listeners: Iterable[Listener] = (),
        capture: Capture | None = None,
    ) -> None:
        self._engine = engine
        self._fill = fill
        self._options = options or LiveOptions()
        self._clock = clock
        self._listeners = list(listeners)
        self._capture = capture
        self._buffer = LiveBuffer()
        self._streams: dict[Dataset, LiveStream] = {}
        self._connections: dict[int, Connection] = {}
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._flushing = asyncio.Lock()
        self._fills: dict[str, asyncio.Queue[tuple[Dataset, Span, int]]] = {}
        self._fillers: list[asyncio.Task[None]] = []
        self._error: TicklakeError | None = None
        self._store_problem = ""
        """Why rows cannot be committed now."""
        self._has_new_stream = False
        """Whether rows wait of a stream of which the lake has none."""

    async def run(self, feeds: Sequence[Feed]) -> None:
        """Collect until the task is cancelled or all feeds have ended; what was received is committed before this returns.

        Raises
        ------
        TicklakeError
            If the lake cannot be written for longer than the options allow, or a feed ends with an error.
        """
        for feed in feeds:
            await self._attach(feed)
        try:
            async with asyncio.TaskGroup() as tasks:
                flushes = tasks.create_task(self._flush_often())
                async with asyncio.TaskGroup() as running:
                    for feed in feeds:
                        running.create_task(self._run_feed(feed))
                flushes.cancel()
                await self.flush()
                for queue in self._fills.values():
                    await queue.join()
                raise _Ended
        except BaseExceptionGroup as errors:
            error = _first(errors)
            if not isinstance(error, _Ended):
                raise error from None
        finally:
            for task in self._fillers:
                task.cancel()
            await self._end()

    async def put(self, feed: Feed, message: LiveMessage) -> None:
        """Take a message; wait if too many rows wait for their commit."""
        connection = self._connections[id(feed)]
        connection.messages += 1
        if self._capture is not None:
            self._capture.add(feed, message)
        for control in message.controls:
            self._take_control(feed, control)
        if not message.is_known:
            connection.unparsed += 1
        elif not message.rows:
            connection.control += 1
        else:
            self._take_rows(feed, message)
        if self._buffer.count >= self._options.flush_rows or self._has_new_stream:
            self._wake.set()
        while self._buffer.count >= self._options.most_rows:
            await self._wait_for_room(feed)

    def status(self) -> list[StreamStatus]:
        """Return how each stream goes, by the name of its dataset."""
        now = self._clock()
        return [self._status(stream, now) for stream in sorted(self._streams.values(), key=lambda s: str(s.dataset))]

    async def flush(self) -> None:
        """Commit all rows that wait, with the coverage that they prove. A commit that has begun is finished, whoever is cancelled."""
        commit = asyncio.ensure_future(self._flush())
        cancelled: asyncio.CancelledError | None = None
        while not commit.done():
            try:
                await asyncio.shield(commit)
            except asyncio.CancelledError as error:
                cancelled = error
        commit.result()
        if cancelled is not None:
            raise cancelled

    # Feeds

    async def _attach(self, feed: Feed) -> None:
        self._connections[id(feed)] = Connection()
        datasets = list(dict.fromkeys(feed.datasets.values()))
        for dataset in datasets:
            self._streams.setdefault(dataset, LiveStream(dataset)).feed = feed
        _, rows = await asyncio.to_thread(self._engine.catalog.heads, datasets)
        for dataset, row in rows.items():
            stream = self._streams[dataset]
            if row.max_ts is not None:
                stream.is_in_lake = True
                newest = await asyncio.to_thread(self._newest_before_now, dataset, row.max_ts)
                if dataset.timeframe is not None:
                    newest = dataset.row_end(newest)
                stream.coverage.resume(newest, _STOPPED)
            if self._fill is not None:
                for hole in await asyncio.to_thread(self._holes_left, dataset):
                    self._ask_for(dataset, hole)

    def _newest_before_now(self, dataset: Dataset, newest: int) -> int:
        """Return how far the lake's rows of a stream go, given its newest one. One that is ahead of the clock may be an exchange's mistake."""
        if newest > self._clock():
            covered = self._engine.catalog.coverage(dataset).spans(Found.DATA)
            newest = min(newest, max((span.end for span in covered), default=newest))
        return newest

    def _holes_left(self, dataset: Dataset) -> list[Span]:
        """Return the recent holes that nobody has asked for: whoever noted them was stopped before the answer."""
        since = self._clock() - LONGEST_FILLED
        return [
            piece.span
            for piece in self._engine.catalog.coverage(dataset).pieces
            if piece.found is Found.NOT_FETCHED and piece.reason != DELETED and piece.span.start >= since
        ]

    async def _run_feed(self, feed: Feed) -> None:
        try:
            await feed.run(self)
        finally:
            for dataset in set(feed.datasets.values()):
                self._streams[dataset].state = "stopped"

    async def _wait_for_room(self, feed: Feed) -> None:
        self._room.clear()
        self._wake.set()
        for dataset in set(feed.datasets.values()):
            self._streams[
                dataset
            ].text = "rows come in faster than they can be stored: reading has stopped until they are"
        await self._room.wait()
        for dataset in set(feed.datasets.values()):
            self._streams[dataset].text = ""
        if self._error is not None:
            raise self._error

    def _take_rows(self, feed: Feed, message: LiveMessage) -> None:
        datasets = feed.datasets
        by_dataset: dict[Dataset, tuple[str, list[Sequence[Any]]]] = {}
        key: RowKey | None = None
        values: list[Sequence[Any]] | None = None
        for row in message.rows:
            # Rows of one message are nearly always of one stream: the levels of a book are many.
            if key != (row.kind, row.native, row.timeframe):
                key = (row.kind, row.native, row.timeframe)
                dataset = datasets.get(key)
                # A message may say more than is wanted, like the ticker that carries both quotes and prices of the day.
                values = None
                if dataset is not None:
                    values = by_dataset.setdefault(dataset, (row.space, []))[1]
            if values is not None:
                values.append(row.values)
        for dataset, (space, rows) in by_dataset.items():
            stream = self._streams[dataset]
            self._buffer.add(dataset, rows, space)
            stream.count(len(rows), message.received_at)
            self._note_rows(stream, rows, message.received_at)
            for listener in self._listeners:
                listener.rows(dataset, rows, message.received_at)
        if not by_dataset:
            self._connections[id(feed)].control += 1

    def _note_rows(self, stream: LiveStream, rows: Sequence[Sequence[Any]], received_at: int) -> None:
        stream.counts.received += len(rows)
        # After a crash the newest row tells from where on rows are missing, so there should be one soon.
        self._has_new_stream |= not stream.is_in_lake
        stream.last_received = received_at
        noted: int | None = None
        now = self._clock()
        # A replay receives messages of the past: what is not later than now was never in the future.
        at = max(received_at, now)
        for values in rows:
            ts = values[0]
            # One more row of the same time proves nothing more.
            if ts == noted:
                continue
            # A row without a time, or with one that cannot be true, is refused at the commit; it proves nothing.
            if not isinstance(ts, int) or not is_plausible_time(ts, now):
                continue
            noted = ts
            if stream.dataset.timeframe is not None:
                end = stream.dataset.row_end(ts)
                follows = stream.coverage.row(ts, end, end, None, at)
            else:
                # Others at this instant may follow the newest row, and may have come before the first of a connection.
                start = ts + (stream.dataset.kind in SHARED_TIMES)
                follows = stream.coverage.row(ts, ts, ts, start, at)
            if follows and (stream.last_event is None or ts > stream.last_event):
                stream.last_event = ts

    def _take_control(self, feed: Feed, control: Control) -> None:
        datasets: Iterable[Dataset] = set(feed.datasets.values())
        if control.dataset is not None:
            datasets = (control.dataset,)
        for dataset in datasets:
            stream = self._streams.get(dataset)
            if stream is None:
                continue
            stream.apply(control)
            for listener in self._listeners:
                listener.control(dataset, control)

    # Commits

    async def _flush_often(self) -> None:
        while True:
            # Not asyncio.wait_for: in Python 3.11 it forgets to be cancelled if the wake comes at that moment.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._options.flush_seconds):
                    await self._wake.wait()
            self._wake.clear()
            await self.flush()

    async def _flush(self) -> None:
        async with self._flushing:
            if self._error is not None:
                raise self._error
            await self._commit_waiting()
            if self._capture is not None:
                await asyncio.to_thread(self._capture.flush)

    async def _commit_waiting(self) -> None:
        items: list[tuple[Dataset, Any, Provenance, Sequence[Covered]]] = []
        holes: list[tuple[Dataset, Hole]] = []
        batches = {batch.dataset: batch for batch in self._buffer.take()}
        self._has_new_stream = False
        for dataset, stream in self._streams.items():
            covered = [Covered(span) for span in stream.coverage.take_covered()]
            for hole in stream.coverage.take_holes():
                stream.gaps += 1
                covered.append(Covered(hole.span, Found.NOT_FETCHED, _words(hole)))
                holes.append((dataset, hole))
            batch = batches.get(dataset)
            if batch is None and not covered:
                continue
            batch = batch or DatasetRows(dataset)
            items.append((dataset, batch, self._provenance(stream, batch), covered))
        if items:
            receipts = await self._stored(items)
            self._count(items, receipts)
        self._room.set()
        for dataset, hole in holes:
            if self._fill is not None and hole.span.length <= LONGEST_FILLED:
                self._ask_for(dataset, hole.span)

    async def _stored(self, items: Sequence[tuple[Dataset, Any, Provenance, Sequence[Covered]]]) -> list[Receipt]:
        """Commit rows; if the lake cannot be written now, try again within a bounded time."""
        # By the clock, not by the pauses: a try may itself wait a minute for a busy catalog.
        until, pause = time.monotonic() + self._options.store_retry, _FIRST_WAIT
        while True:
            try:
                receipts = await asyncio.to_thread(self._append, items)
            except TicklakeError as error:
                if not _may_pass(error) or time.monotonic() >= until:
                    self._error = error
                    self._room.set()
                    raise
                self._store_problem = f"rows wait until the lake can be written: {error}"
            else:
                self._store_problem = ""
                return receipts
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_WAIT)

    def _append(self, items: Sequence[tuple[Dataset, Any, Provenance, Sequence[Covered]]]) -> list[Receipt]:
        frames = frames_of([batch for _, batch, _, _ in items])
        appended = []
        for (dataset, _, origin, covered), frame in zip(items, frames, strict=True):
            appended.append((dataset, frame, origin, covered))
        return self._engine.append_each(appended)

    def _count(
        self, items: Sequence[tuple[Dataset, Any, Provenance, Sequence[Covered]]], receipts: Sequence[Receipt]
    ) -> None:
        now = self._clock()
        for (dataset, batch, _, _), receipt in zip(items, receipts, strict=True):
            stream = self._streams[dataset]
            stream.is_in_lake |= receipt.received > receipt.quarantined
            stream.counts.stored += receipt.new + receipt.changed
            stream.counts.duplicate += receipt.duplicate
            stream.counts.quarantined += receipt.quarantined
            if batch.rows and stream.last_event is not None:
                # A bar is sent when it ends, not at the time that it has.
                newest = stream.last_event
                if dataset.timeframe is not None:
                    newest = dataset.row_end(newest)
                stream.lag = (now - newest) / SECOND

    def _provenance(self, stream: LiveStream, batch: DatasetRows) -> Provenance:
        return Provenance("live", f"{stream.dataset.exchange} socket", self._engine.store.tool, id_space=batch.space)

    async def _end(self) -> None:
        """Commit what is left, and close what streams cover: also if the service was cancelled."""
        for stream in self._streams.values():
            stream.coverage.stopped()
        # A repair fills the holes that are found now.
        self._fill = None
        try:
            if self._error is None:
                await self.flush()
        finally:
            for dataset in self._streams:
                for listener in self._listeners:
                    listener.control(dataset, Control("stopped", self._clock(), dataset))

    # Holes

    def _ask_for(self, dataset: Dataset, span: Span, tried: int = 0) -> None:
        """Ask for the rows of a hole, one hole of an exchange after the other."""
        queue = self._fills.get(dataset.exchange)
        if queue is None:
            queue = self._fills[dataset.exchange] = asyncio.Queue()
            self._fillers.append(asyncio.create_task(self._fill_holes(queue)))
        queue.put_nowait((dataset, span, tried))

    async def _fill_holes(self, queue: asyncio.Queue[tuple[Dataset, Span, int]]) -> None:
        while True:
            dataset, span, tried = await queue.get()
            await asyncio.sleep(self._options.fill_delay)
            try:
                await self._fill_hole(dataset, span)
            except Exception as error:
                # Whatever goes wrong with one hole, the others are still to be filled.
                self._streams[dataset].text = f"a hole could not be filled: {error}"
                if getattr(error, "retriable", False) and tried + 1 < FILL_TRIES:
                    queue.put_nowait((dataset, span, tried + 1))
                else:
                    await self._note_failure(dataset, span, error)
            finally:
                queue.task_done()

    async def _note_failure(self, dataset: Dataset, span: Span, error: Exception) -> None:
        # A hole that cannot be noted as lost now is not fetched: a repair asks for it.
        with suppress(TicklakeError):
            await self._give_up(dataset, span, str(error))

    async def _fill_hole(self, dataset: Dataset, span: Span) -> None:
        if dataset.kind in FILLABLE and self._fill is not None:
            await self._fill(dataset, span)
        else:
            await self._give_up(dataset, span, f"exchanges serve no {dataset.kind} of the past")

    async def _give_up(self, dataset: Dataset, span: Span, reason: str) -> None:
        """Note what of a hole is lost: another collector may have had its rows."""

        def note() -> None:
            have = self._engine.catalog.coverage(dataset).spans(Found.DATA)
            lost = [Covered(part, Found.LOST, reason) for part in subtract(span, have)]
            if lost:
                origin = Provenance("live", f"{dataset.exchange} socket", self._engine.store.tool)
                self._engine.append(dataset, dataset.spec.empty(), origin, lost)

        await asyncio.to_thread(note)

    # Status

    def _status(self, stream: LiveStream, now: int) -> StreamStatus:
        connection = Connection()
        if stream.feed is not None:
            connection = self._connections[id(stream.feed)]
        counts = stream.counts
        return StreamStatus(
            dataset=str(stream.dataset),
            state=stream.state,
            rate=stream.rate(now),
            last_event=stream.last_event,
            last_received=stream.last_received,
            lag=stream.lag,
            received=counts.received,
            stored=counts.stored,
            duplicate=counts.duplicate,
            quarantined=counts.quarantined,
            waiting=counts.waiting,
            gaps=stream.gaps,
            reconnects=max(stream.connections - 1, 0),
            messages=connection.messages,
            control=connection.control,
            unparsed=connection.unparsed,
            proof=stream.proof,
            text="; ".join(filter(None, [stream.text, self._store_problem, self._capture_problem()])),
        )

    def _capture_problem(self) -> str:
        if self._capture is None:
            return ""
        return self._capture.problem


class _Ended(Exception):
    """All feeds have ended: the tasks beside them are cancelled."""


def _may_pass(error: TicklakeError) -> bool:
    """Whether the lake may be writable again after a while."""
    return error.retriable or (isinstance(error, StorageError) and not isinstance(error, DiskTooSmall))


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error in nested groups."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _words(hole: Hole) -> str:
    """Say in words why rows of a hole are missing."""
    if hole.first is None or hole.last is None:
        return hole.reason
    return f"{hole.reason}: numbers {hole.first} to {hole.last}"
