"""Broadcast: live rows to any number of subscribers in this process. A slow one is told and dropped; it delays nobody."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, cast, overload

import polars as pl

from ticklake.catalog.listeners import CommitListeners
from ticklake.collect.delivered import Delivered, physical_rows
from ticklake.core.batch import from_rows, present
from ticklake.core.dataset import Dataset
from ticklake.core.results import DatasetChange
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput, SlowSubscriber
from ticklake.query.committed import CommittedReader, CommittedRows
from ticklake.query.hot_cache import HotCache
from ticklake.sources.live.base import Control

__all__ = ["Broadcast", "LiveBatch", "Subscriber"]

MOST_ROWS = 100_000
"""A subscriber that has so many rows to read is dropped."""
POLL_SECONDS = 0.5
"""How often a subscriber looks for commits of other processes."""


@dataclass(frozen=True, slots=True)
class LiveBatch:
    """Rows of one dataset that have come since the last batch, or a control event and no rows.

    Rows of streams of this process come as they were received, before their commit; all others as they were committed. ``received_at``
    is when the last of them was received, or committed, in nanoseconds UTC. ``version`` is the newest version of the lake of which
    everything has come with this batch: a subscription ``since`` it goes on after this batch. ``added_in`` is the version that added the
    rows; ``None`` if they are not committed yet.
    """

    dataset: Dataset
    rows: Sequence[Sequence[Any]]
    received_at: int
    control: Control | None = None
    version: int = 0
    added_in: int | None = None

    def frame(self) -> pl.DataFrame:
        """Return the rows as a frame of the kind's columns."""
        if isinstance(self.rows, _FrameRows):
            return self.rows.frame
        return from_rows(self.rows, self.dataset.spec)


class _FrameRows(Sequence[Sequence[Any]]):
    """The rows of a frame, which are made when they are looked at: most readers want the frame. Times are integers."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame

    def __len__(self) -> int:
        return self.frame.height

    @overload
    def __getitem__(self, place: int) -> Sequence[Any]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Sequence[Any]]: ...
    def __getitem__(self, place: int | slice) -> Sequence[Any]:
        return self._rows[place]

    @cached_property
    def _rows(self) -> list[tuple[Any, ...]]:
        return physical_rows(self.frame)


class Subscriber:
    """Reads batches: ``for batch in subscriber`` waits in this thread, ``async for`` in an event loop.

    Rows of streams of this process wait in memory until they are read. All others wait in the lake, in the order of their commits.

    Parameters
    ----------
    commits
        Reads what was committed; ``None`` to get the rows of streams of this process alone.
    poll_seconds
        How often commits of other processes are looked for.
    committed
        Whether no rows of streams of this process are put here: then those of commits need not be compared with them.

    Raises
    ------
    SlowSubscriber
        On the next read, after too many rows waited for it.
    CatalogError
        On the next read, if vacuum has removed what was to come.
    """

    def __init__(
        self,
        wanted: Callable[[Dataset], bool],
        most_rows: int = MOST_ROWS,
        commits: Callable[[Callable[[DatasetChange], bool]], CommittedReader] | None = None,
        poll_seconds: float = POLL_SECONDS,
        *,
        committed: bool = False,
    ) -> None:
        self.wanted = wanted
        self._has_commits_only = committed
        self.most_rows = most_rows
        self.delivered = Delivered(most_rows)
        self._commits = commits(self._is_new) if commits is not None else None
        self._poll_seconds = poll_seconds
        self._waiting: deque[LiveBatch] = deque()
        self._count = 0
        self._changed = threading.Condition()
        self._reading = threading.Lock()
        self._read: deque[LiveBatch] = deque()
        """Batches that were read from the lake; more than one only after an iteration was cancelled."""
        self._look_at = 0.0
        self._is_turn_of_commits = False
        self._wake: Callable[[], object] | None = None
        self._is_closed = False
        self._is_slow = False
        self._is_held = False
        self._stop_listening: Callable[[], object] = lambda: None
        self._leave: Callable[[], object] = lambda: None

    def listen_to(self, listeners: CommitListeners) -> None:
        """Look for commits of this process as soon as they are made."""
        self._stop_listening = partial(listeners.remove, listeners.add(self.look))

    def close(self) -> None:
        """End the iteration after what waits in memory."""
        with self._changed:
            self._is_closed = True
            self._notify()
        self._stop_listening()
        self._leave()

    def on_close(self, leave: Callable[[], object]) -> None:
        """Call *leave* when it is closed: who sends to it forgets it."""
        self._leave = leave

    def put(self, batch: LiveBatch) -> bool:
        """Take a batch of a stream of this process; return whether the subscriber is still there."""
        with self._changed:
            if self._is_closed:
                return False
            self._count += _weight(batch)
            if self._count > self.most_rows:
                self._is_slow = self._is_closed = True
                self._waiting.clear()
                self._stop_listening()
            else:
                if self._commits is not None and batch.rows:
                    self.delivered.bring(batch.dataset, batch.rows)
                self._add(batch)
            self._notify()
            return not self._is_closed

    def look(self) -> None:
        """Look for commits at once: there is one."""
        with self._changed:
            self._look_at = 0.0
            self._notify()

    def __iter__(self) -> Iterator[LiveBatch]:
        while True:
            if self._should_read() and not self._read:
                self._read_commits()
            batch = self._next()
            if batch is not None:
                yield batch
            elif self._has_ended():
                return
            else:
                with self._changed:
                    # With a limit: a wait without one cannot be interrupted by Ctrl-C.
                    self._changed.wait_for(self._is_ready, min(self._until_look(), 0.2))

    async def __aiter__(self) -> AsyncIterator[LiveBatch]:
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            # The loop may have ended without an end of this iteration.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(changed.set)

        with self._changed:
            self._wake = wake
        while True:
            changed.clear()
            if self._should_read() and not self._read:
                await asyncio.to_thread(self._read_commits)
            batch = self._next()
            if batch is not None:
                yield batch
            elif self._has_ended():
                return
            elif not self._is_ready():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._until_look()):
                        await changed.wait()

    # Rows of streams of this process

    def _add(self, batch: LiveBatch) -> None:
        """Join a batch to the one before it if it is of the same dataset."""
        if self._waiting and batch.control is None:
            last = self._waiting[-1]
            if last.control is None and last.dataset == batch.dataset:
                # The list of the last batch belongs to this subscriber until it is taken.
                rows = cast("list[Sequence[Any]]", last.rows)
                rows += batch.rows
                self._waiting[-1] = replace(last, received_at=batch.received_at)
                return
        self._waiting.append(replace(batch, rows=list(batch.rows)))

    def _next(self) -> LiveBatch | None:
        """Return the next batch; those of streams and those of commits come by turns."""
        with self._changed:
            if self._is_slow:
                raise SlowSubscriber(
                    f"more than {self.most_rows:,} rows waited to be read: read faster, subscribe to less, or read the lake from the last row on"
                )
        first, second = self._next_of_streams, self._next_of_commits
        if self._is_turn_of_commits:
            first, second = second, first
        self._is_turn_of_commits = not self._is_turn_of_commits
        with self._reading:
            return first() or second()

    def _next_of_streams(self) -> LiveBatch | None:
        while True:
            with self._changed:
                if not self._waiting:
                    return None
                batch = self._waiting.popleft()
                self._count -= _weight(batch)
            if self._commits is None:
                return batch
            rows = self.delivered.new_in_stream(batch.dataset, batch.rows)
            if rows or batch.control is not None:
                return replace(batch, rows=rows, version=self._commits.version)

    # Rows of commits

    def _is_new(self, change: DatasetChange) -> bool:
        return self.wanted(change.dataset) and not self.delivered.has_all_of(change.version, change.dataset)

    def _should_read(self) -> bool:
        return self._commits is not None and not self._is_closed and time.monotonic() >= self._look_at

    def _until_look(self) -> float:
        if self._commits is None:
            return 3600.0
        return max(self._look_at - time.monotonic(), 0.0)

    def _read_commits(self) -> None:
        """Read the next rows that were committed, if there are any."""
        with self._reading:
            commits = self._commits
            if commits is None or self._read:
                return
            with self._changed:
                # Set before the look: a commit that comes meanwhile asks for another one.
                self._look_at = time.monotonic() + self._poll_seconds
            # Which version a commit of this process has is known when it is done: without that, its rows would have to be read.
            self._is_held = self.delivered.is_flushing and not self._is_held
            if self._is_held:
                return
            while True:
                rows = commits.next()
                if rows is None:
                    self.delivered.passed(commits.version)
                    return
                frame = rows.frame
                if not self._has_commits_only:
                    frame = self.delivered.new_in_commit(rows.dataset, frame)
                if frame.height:
                    self._read.append(_batch_of(rows, frame))
                    with self._changed:
                        self._look_at = 0.0
                    return

    def _next_of_commits(self) -> LiveBatch | None:
        if self._read:
            return self._read.popleft()
        return None

    def _is_ready(self) -> bool:
        return bool(self._waiting or self._is_closed or self._should_read())

    def _has_ended(self) -> bool:
        with self._changed:
            return self._is_closed and not self._waiting

    def _notify(self) -> None:
        self._changed.notify_all()
        if self._wake is not None:
            self._wake()


class Broadcast:
    """Tells the hot cache and subscribers of live rows: the listener of a lake's live service."""

    def __init__(self, cache: HotCache, engine: Engine | None = None, poll_seconds: float = POLL_SECONDS) -> None:
        self.cache = cache
        self._engine = engine
        self._poll_seconds = poll_seconds
        self._subscribers: tuple[Subscriber, ...] = ()
        """Those that get the rows of streams of this process."""
        self._readers: tuple[Subscriber, ...] = ()
        """Those that read what was committed, and nothing else."""
        self._lock = threading.Lock()

    def subscribe(
        self,
        wanted: Callable[[Dataset], bool],
        most_rows: int = MOST_ROWS,
        since: int | None = None,
        *,
        committed: bool = False,
        poll_seconds: float | None = None,
    ) -> Subscriber:
        """Return a subscriber of the rows of all datasets that are *wanted*, and that come or are committed after version *since* (now).

        With *committed*, rows of streams of this process come after their commit, too. *poll_seconds* is how often commits of other
        processes are looked for.

        Raises
        ------
        BadInput
            If the lake has no such version yet.
        """
        if self._engine is None:
            subscriber = Subscriber(wanted, most_rows)
        else:
            reader = partial(CommittedReader, self._engine.store, version=_start(self._engine, since))
            subscriber = Subscriber(wanted, most_rows, reader, poll_seconds or self._poll_seconds, committed=committed)
            subscriber.listen_to(self._engine.catalog.listeners)
        subscriber.on_close(lambda: self._forget([subscriber]))
        with self._lock:
            if committed:
                self._readers = (*self._readers, subscriber)
            else:
                self._subscribers = (*self._subscribers, subscriber)
        return subscriber

    def rows(self, dataset: Dataset, rows: Sequence[Sequence[Any]], received_at: int) -> None:
        """Pass rows on."""
        self.cache.add(dataset, rows)
        if self._subscribers:
            self._put(LiveBatch(dataset, rows, received_at))

    def control(self, dataset: Dataset, control: Control) -> None:
        """Pass an event on; where rows are missing, the cache begins anew."""
        if control.name in {"gap", "disconnected", "refused", "stopped"}:
            since = 0
            if control.span is not None:
                since = control.span.end
            self.cache.forget(dataset, since)
        if self._subscribers:
            self._put(LiveBatch(dataset, (), control.at, control))
        if control.name == "stopped":
            for subscriber in self._subscribers:
                subscriber.delivered.end(dataset)

    def flushing(self, datasets: Iterable[Dataset]) -> None:
        """Note that the commit of all rows that wait begins."""
        for subscriber in self._subscribers:
            subscriber.delivered.flush(datasets)

    def committed(self, versions: Mapping[Dataset, int]) -> None:
        """Note which versions have the rows of the last flush."""
        for subscriber in self._subscribers:
            subscriber.delivered.commit(versions)
            subscriber.look()

    def close(self) -> None:
        """End all iterations."""
        for subscriber in (*self._subscribers, *self._readers):
            subscriber.close()

    def _put(self, batch: LiveBatch) -> None:
        gone = [
            subscriber
            for subscriber in self._subscribers
            if subscriber.wanted(batch.dataset) and not subscriber.put(batch)
        ]
        if gone:
            self._forget(gone)

    def _forget(self, gone: Sequence[Subscriber]) -> None:
        with self._lock:
            self._subscribers = tuple(each for each in self._subscribers if each not in gone)
            self._readers = tuple(each for each in self._readers if each not in gone)


def _batch_of(rows: CommittedRows, frame: pl.DataFrame) -> LiveBatch:
    """Return those rows of a commit that are new as a batch."""
    shown = _FrameRows(present(frame, rows.dataset.spec))
    return LiveBatch(rows.dataset, shown, rows.committed_at, version=rows.whole, added_in=rows.version)


def _weight(batch: LiveBatch) -> int:
    """Return how much a batch counts while it waits. An event counts like a row: a stream may have nothing but heartbeats for days."""
    return len(batch.rows) or 1


def _start(engine: Engine, since: int | None) -> int:
    newest = engine.catalog.version()
    if since is None:
        return newest
    if since > newest:
        raise BadInput(f"since={since} is no version of the lake: the newest is {newest}")
    return since
