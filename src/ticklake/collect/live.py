"""The live service: takes what feeds deliver, commits it in batches with its coverage, and fills the holes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from typing import Any, Protocol

import polars as pl

from ticklake.catalog.database import busy_at_most
from ticklake.collect.capture import Capture
from ticklake.collect.checkpoints import LiveCheckpoints
from ticklake.collect.hole_filler import Fill, HoleFiller
from ticklake.collect.live_buffer import DatasetRows, frames_of
from ticklake.collect.live_state import Connection, LiveStream
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.live_coverage import Hole
from ticklake.core.provenance import Provenance, depth_note
from ticklake.core.results import Receipt
from ticklake.core.streams import LiveOptions, StreamStatus
from ticklake.core.time import SECOND
from ticklake.engine.engine import Engine
from ticklake.errors import DiskTooSmall, InvalidData, StorageError, TicklakeError
from ticklake.log import Log
from ticklake.sources.live.base import Control, Feed, LiveMessage, RowKey
from ticklake.sources.wire.rows import Row, row_key

__all__ = ["LiveService"]

_LOG = Log("streams")
_STOPPED = "nobody collected"
_LONGEST_REST = 0.3
"""Seconds without a commit after one, at most."""
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 10.0
"""Seconds between two tries of a commit."""
LONGEST_TRY = 2.0
"""Seconds for which one try waits for another process that writes to the lake: it is repeated, and may have to end soon."""


class Listener(Protocol):
    """Who is told of live rows at once, before they are committed. Its methods are called in the loop of the service and must return at once."""

    def rows(self, dataset: Dataset, rows: Sequence[Sequence[Any]], received_at: int) -> None:
        """Take the rows of one message: values in the order of the kind's columns."""

    def control(self, dataset: Dataset, control: Control) -> None:
        """Take note of what happened to a stream."""

    def flushing(self, datasets: Iterable[Dataset]) -> None:
        """Take note that the commit of all rows that these datasets had until now begins."""

    def committed(self, versions: Mapping[Dataset, int]) -> None:
        """Take note of the versions of the lake that have them."""


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
        self._options = options or LiveOptions()
        self._filler: HoleFiller | None = None
        if fill is not None:
            self._filler = HoleFiller(engine, fill, self._options.fill_delay, self._note_failure)
        self._clock = clock
        self._listeners = list(listeners)
        self._capture = capture
        self._checkpoints = LiveCheckpoints(engine, self._options.checkpoint_seconds)
        self._waiting = 0
        """Rows that wait for their commit."""
        self._streams: dict[Dataset, LiveStream] = {}
        self._connections: dict[int, Connection] = {}
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._full = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._error: TicklakeError | None = None
        self._ending = asyncio.Event()
        """Set as soon as the service is told to end."""
        self._refused: dict[tuple[Dataset, str], str] = {}
        """Why rows of a stream with ids of a numbering cannot be stored beside those that the lake has."""
        self._failures: list[TicklakeError] = []
        """The errors with which feeds have ended."""
        self._store_problem = ""
        """Why rows cannot be committed now."""
        self._has_new_stream = False
        """Whether rows wait of a stream of which the lake has none."""

    async def run(self, feeds: Sequence[Feed]) -> None:
        """Collect until the task is cancelled or all feeds have ended; what was received is committed before this returns.

        Raises
        ------
        TicklakeError
            If the lake cannot be written for longer than the options allow, or after all feeds have ended, one of them with an error: until
            then the others go on.
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
                if self._failures:
                    raise self._failures[0]
                if self._filler is not None:
                    await self._filler.finish()
                raise _Ended
        except BaseExceptionGroup as errors:
            error = _first(errors)
            if not isinstance(error, _Ended):
                raise error from None
        finally:
            if self._filler is not None:
                self._filler.stop()
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
            self._take_rows(connection, message)
        is_due = self._waiting >= self._options.flush_rows or self._has_new_stream
        if is_due and not self._wake.is_set():
            self._wake.set()
        while self._waiting >= self._options.most_rows:
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
                self._ending.set()
        commit.result()
        if cancelled is not None:
            raise cancelled

    # Feeds

    async def _attach(self, feed: Feed) -> None:
        datasets = list(dict.fromkeys(feed.datasets.values()))
        for dataset in datasets:
            self._streams.setdefault(dataset, LiveStream(dataset)).feed = feed
        streams = {key: self._streams[dataset] for key, dataset in feed.datasets.items()}
        self._connections[id(feed)] = Connection(streams)
        _, rows = await asyncio.to_thread(self._engine.catalog.heads, datasets)
        for dataset, row in rows.items():
            stream = self._streams[dataset]
            if row.max_ts is not None:
                stream.is_in_lake = True
                newest = await asyncio.to_thread(self._newest_before_now, dataset, row.max_ts)
                if dataset.timeframe is not None:
                    newest = dataset.row_end(newest)
                stream.coverage.resume(newest, _STOPPED)
            if self._filler is not None:
                for hole in await asyncio.to_thread(self._filler.holes_left, dataset, self._clock()):
                    self._filler.ask_for(dataset, hole)

    def _newest_before_now(self, dataset: Dataset, newest: int) -> int:
        """Return how far the lake's rows of a stream go, given its newest one. One that is ahead of the clock may be an exchange's mistake."""
        if newest > self._clock():
            covered = self._engine.catalog.coverage(dataset).spans(Found.DATA)
            newest = min(newest, max((span.end for span in covered), default=newest))
        return newest

    async def _run_feed(self, feed: Feed) -> None:
        state, text = "stopped", ""
        try:
            await feed.run(self)
        except TicklakeError as error:
            if self._error is not None:
                raise
            # Of this exchange, most likely: the streams of others go on.
            self._failures.append(error)
            state, text = "refused", str(error)
        finally:
            for dataset in set(feed.datasets.values()):
                stream = self._streams[dataset]
                stream.state, stream.text = state, text or stream.text

    def _note_failure(self, dataset: Dataset, text: str) -> None:
        self._streams[dataset].text = f"a hole could not be filled: {text}"

    async def _wait_for_room(self, feed: Feed) -> None:
        self._room.clear()
        self._full.set()
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

    def _take_rows(self, connection: Connection, message: LiveMessage) -> None:
        is_wanted = False
        for key, rows in _runs(message.rows):
            # A message may say more than is wanted, like the ticker that carries both quotes and prices of the day.
            stream = connection.streams.get(key)
            if stream is not None:
                is_wanted = True
                self._take_run(stream, rows, message.received_at)
        if not is_wanted:
            connection.control += 1

    def _take_run(self, stream: LiveStream, rows: Iterable[Row], received_at: int) -> None:
        """Take rows of one stream that came one after the other."""
        values = []
        space = ""
        for row in rows:
            values.append(row.values)
            space = row.space
        stream.take(values, space, received_at)
        self._waiting += len(values)
        # After a crash the newest row tells from where on rows are missing, so there should be one soon.
        self._has_new_stream |= not stream.is_in_lake
        for listener in self._listeners:
            listener.rows(stream.dataset, values, received_at)

    def _take_control(self, feed: Feed, control: Control) -> None:
        datasets: Iterable[Dataset] = set(feed.datasets.values())
        if control.dataset is not None:
            datasets = (control.dataset,)
        for dataset in datasets:
            stream = self._streams.get(dataset)
            if stream is None:
                continue
            stream.note_rows(self._clock())
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
            began = time.monotonic()
            await self.flush()
            await self._let_rows_come(time.monotonic() - began)

    async def _let_rows_come(self, took: float) -> None:
        """Wait for twice the time that a commit took: few large ones cost far less a row than many small ones do."""
        with suppress(TimeoutError):
            async with asyncio.timeout(min(2 * took, _LONGEST_REST)):
                await self._full.wait()

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
        batches = self._take_batches()
        refused = {dataset for dataset, _ in self._refused}
        for listener in self._listeners:
            listener.flushing(batches)
        for dataset, stream in self._streams.items():
            covered = list(map(Covered, stream.coverage.take_covered()))
            for hole in stream.coverage.take_holes():
                stream.gaps += 1
                covered.append(Covered(hole.span, Found.NOT_FETCHED, _words(hole)))
                holes.append((dataset, hole))
            if dataset in refused:
                covered = []
            if dataset not in batches and not covered:
                continue
            *others, last = batches.get(dataset, [DatasetRows(dataset)])
            # Ids of another numbering are committed apart; what all rows cover comes with the last of them.
            items += [(dataset, batch, self._provenance(stream, batch), ()) for batch in others]
            items.append((dataset, last, self._provenance(stream, last), covered))
        if items:
            receipts = await self._stored(items)
            self._count(items, receipts)
            versions = {item[0]: receipt.version for item, receipt in zip(items, receipts, strict=True)}
            for listener in self._listeners:
                listener.committed({dataset: versions[dataset] for dataset in batches})
            await self._write_checkpoints(batches)
        self._full.clear()
        self._room.set()
        for dataset, hole in holes:
            if self._filler is not None:
                self._filler.ask_for(dataset, hole.span)

    async def _write_checkpoints(self, datasets: Iterable[Dataset]) -> None:
        """Write the checkpoints of books that are due. A service that ends writes none: a compaction does."""
        if self._ending.is_set():
            return
        newest = {dataset: self._streams[dataset].last_event for dataset in datasets if dataset.kind == "book"}
        for dataset, at in self._checkpoints.due(newest):
            await asyncio.to_thread(self._checkpoints.write, dataset, at)

    def _take_batches(self) -> dict[Dataset, list[DatasetRows]]:
        """Return the rows that wait, by dataset; those that cannot be stored are counted as refused."""
        batches: dict[Dataset, list[DatasetRows]] = {}
        self._waiting, self._has_new_stream = 0, False
        for dataset, stream in self._streams.items():
            stream.note_rows(self._clock())
            for batch in stream.take_batches():
                if (dataset, batch.space) in self._refused:
                    stream.counts.quarantined += len(batch.rows)
                else:
                    batches.setdefault(dataset, []).append(batch)
        return batches

    async def _stored(self, items: Sequence[tuple[Dataset, Any, Provenance, Sequence[Covered]]]) -> list[Receipt]:
        """Commit rows; if the lake cannot be written now, try again within a bounded time."""
        # By the clock, not by the pauses: a try may itself wait for a busy catalog.
        until, pause = time.monotonic() + self._options.store_retry, _FIRST_WAIT
        is_ending = False
        while True:
            if self._ending.is_set() and not is_ending:
                is_ending = True
                until = min(until, time.monotonic() + self._options.end_retry)
            try:
                receipts = await asyncio.to_thread(self._append, items)
            except TicklakeError as error:
                if not _may_pass(error) or time.monotonic() >= until:
                    self._error = self._lost_with(error)
                    self._room.set()
                    raise self._error from error
                self._store_problem = f"rows wait until the lake can be written: {error}"
                _LOG.warning("live rows cannot be committed now", reason=error)
            else:
                self._store_problem = ""
                return receipts
            if is_ending:
                await asyncio.sleep(_FIRST_WAIT)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._ending.wait()
            pause = min(pause * 2, _LONGEST_WAIT)

    def _lost_with(self, error: TicklakeError) -> TicklakeError:
        """Return the error with what is lost by it."""
        for stream in self._streams.values():
            stream.note_rows(self._clock())
        waiting = [stream.counts.waiting for stream in self._streams.values() if stream.counts.waiting]
        if not waiting:
            return error
        return type(error)(
            f"{sum(waiting):,} rows of {len(waiting):,} streams were received and are lost, as the lake cannot be written; the next "
            f"start asks for them where the exchange serves them by calls: {error}"
        )

    def _append(self, items: Sequence[tuple[Dataset, Any, Provenance, Sequence[Covered]]]) -> list[Receipt]:
        frames = frames_of([batch for _, batch, _, _ in items])
        appended = []
        for (dataset, _, origin, covered), frame in zip(items, frames, strict=True):
            appended.append((dataset, frame, origin, covered))
        with busy_at_most(LONGEST_TRY):
            try:
                return self._engine.append_each(appended)
            except InvalidData:
                # Of one stream most likely, whose ids cannot be compared with those in the lake: it does not end the others.
                receipts = list(map(self._append_alone, appended))
                if {dataset for dataset, _ in self._refused}.issuperset(self._streams):
                    raise
                return receipts

    def _append_alone(self, item: tuple[Dataset, pl.DataFrame, Provenance, Sequence[Covered]]) -> Receipt:
        dataset, frame, origin, _ = item
        try:
            return self._engine.append_each([item])[0]
        except InvalidData as error:
            self._refused[dataset, origin.id_space] = str(error)
            return Receipt(frame.height, quarantined=frame.height)

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
        endpoint, note = "socket", ""
        if stream.feed is not None:
            endpoint = stream.feed.endpoint
            if stream.dataset in stream.feed.depths:
                note = depth_note(stream.feed.depths[stream.dataset])
        origin = f"{stream.dataset.exchange} {endpoint}"
        return Provenance("live", origin, self._engine.store.tool, id_space=batch.space, note=note)

    async def _end(self) -> None:
        """Commit what is left, and close what streams cover: also if the service was cancelled."""
        for stream in self._streams.values():
            stream.note_rows(self._clock())
            stream.coverage.stopped()
        # A repair fills the holes that are found now.
        self._filler = None
        self._ending.set()
        try:
            if self._error is None:
                await self.flush()
        finally:
            for dataset in self._streams:
                for listener in self._listeners:
                    listener.control(dataset, Control("stopped", self._clock(), dataset))

    # Status

    def _status(self, stream: LiveStream, now: int) -> StreamStatus:
        connection = Connection({})
        if stream.feed is not None:
            connection = self._connections[id(stream.feed)]
        stream.note_rows(now)
        counts = stream.counts
        refused = [text for (dataset, _), text in list(self._refused.items()) if dataset == stream.dataset]
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
            text="; ".join(filter(None, [stream.text, *refused, self._store_problem, self._capture_problem()])),
        )

    def _capture_problem(self) -> str:
        if self._capture is None:
            return ""
        return self._capture.problem


class _Ended(Exception):
    """All feeds have ended: the tasks beside them are cancelled."""


_run_key = itemgetter(0, 1, 3, 4)


def _runs(rows: Sequence[Row]) -> Iterable[tuple[RowKey, Iterable[Row]]]:
    """Return the rows of a message that belong together, also by the numbering of their ids, each with their key."""
    if len(rows) == 1:
        # Nearly all messages have one: to group it would take longer than all that is done with it.
        return ((row_key(rows[0]), rows),)
    return ((key[:3], run) for key, run in groupby(rows, _run_key))


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
