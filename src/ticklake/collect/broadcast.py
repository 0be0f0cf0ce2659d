"""Broadcast: live rows to any number of subscribers in this process. A slow one is told and dropped; it delays nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

import polars as pl

from ticklake.core.batch import from_rows
from ticklake.core.dataset import Dataset
from ticklake.errors import SlowSubscriber
from ticklake.query.hot_cache import HotCache
from ticklake.sources.live.base import Control

__all__ = ["Broadcast", "LiveBatch", "Subscriber"]

MOST_ROWS = 100_000
"""A subscriber that has so many rows to read is dropped."""


@dataclass(frozen=True, slots=True)
class LiveBatch:
    """Rows of one dataset that have come since the last batch, as they came, before their commit; or a control event and no rows.

    ``received_at`` is when the last of them was received, in nanoseconds UTC.
    """

    dataset: Dataset
    rows: Sequence[Sequence[Any]]
    received_at: int
    control: Control | None = None

    def frame(self) -> pl.DataFrame:
        """Return the rows as a frame of the kind's columns."""
        return from_rows(self.rows, self.dataset.spec)


@dataclass
class Subscriber:
    """Reads batches: ``for batch in subscriber`` waits in this thread, ``async for`` in an event loop.

    Raises
    ------
    SlowSubscriber
        On the next read, after too many rows waited for it.
    """

    wanted: Callable[[Dataset], bool]
    most_rows: int = MOST_ROWS
    _waiting: list[LiveBatch] = field(default_factory=list)
    _count: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _wake: Callable[[], object] | None = None
    _is_closed: bool = False
    _is_slow: bool = False

    def close(self) -> None:
        """End the iteration after what waits."""
        with self._changed:
            self._is_closed = True
            self._notify()

    def put(self, batch: LiveBatch) -> bool:
        """Take a batch; return whether the subscriber is still there."""
        with self._changed:
            if self._is_closed:
                return False
            # An event counts like a row: a stream may have nothing but heartbeats for days.
            self._count += len(batch.rows) or 1
            if self._count > self.most_rows:
                self._is_slow = self._is_closed = True
                self._waiting.clear()
            else:
                self._add(batch)
            self._notify()
            return not self._is_closed

    def __iter__(self) -> Iterator[LiveBatch]:
        while True:
            with self._changed:
                # With a limit: a wait without one cannot be interrupted by Ctrl-C.
                while not self._waiting and not self._is_closed:
                    self._changed.wait(0.2)
                batches = self._take()
            if not batches:
                return
            yield from batches

    async def __aiter__(self) -> AsyncIterator[LiveBatch]:
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            # The loop may have ended without an end of this iteration.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(changed.set)

        with self._changed:
            self._wake = wake
        while True:
            with self._changed:
                batches, is_closed = self._take(), self._is_closed
                changed.clear()
            for batch in batches:
                yield batch
            if not batches:
                if is_closed:
                    return
                await changed.wait()

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

    def _take(self) -> list[LiveBatch]:
        if self._is_slow:
            raise SlowSubscriber(
                f"more than {self.most_rows:,} rows waited to be read: read faster, subscribe to less, or read the lake from the last row on"
            )
        batches, self._waiting, self._count = self._waiting, [], 0
        return batches

    def _notify(self) -> None:
        self._changed.notify_all()
        if self._wake is not None:
            self._wake()


class Broadcast:
    """Tells the hot cache and subscribers of live rows: the listener of a lake's live service."""

    def __init__(self, cache: HotCache) -> None:
        self.cache = cache
        self._subscribers: tuple[Subscriber, ...] = ()
        self._lock = threading.Lock()

    def subscribe(self, wanted: Callable[[Dataset], bool], most_rows: int = MOST_ROWS) -> Subscriber:
        """Return a subscriber of the rows of all datasets that are *wanted*."""
        subscriber = Subscriber(wanted, most_rows)
        with self._lock:
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

    def close(self) -> None:
        """End all iterations."""
        for subscriber in self._subscribers:
            subscriber.close()

    def _put(self, batch: LiveBatch) -> None:
        gone = [
            subscriber
            for subscriber in self._subscribers
            if subscriber.wanted(batch.dataset) and not subscriber.put(batch)
        ]
        if gone:
            with self._lock:
                self._subscribers = tuple(each for each in self._subscribers if each not in gone)
