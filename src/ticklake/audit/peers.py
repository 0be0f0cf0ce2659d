"""A cache of what gap reports read about the other symbols of an exchange."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar, cast

import polars as pl

from ticklake.catalog.changes import DatasetRow
from ticklake.core.coverage import Found
from ticklake.core.dataset import Dataset
from ticklake.core.events import Missed, missed_events
from ticklake.core.span import ALL_TIME, Span
from ticklake.engine.read import load
from ticklake.engine.store import Store

__all__ = ["PeerReads"]

T = TypeVar("T")

_MOST = 4_000_000
"""About so many times and spans are cached: 32 MB of times."""


class PeerReads:
    """A cache of reads from one version of a lake.

    Reports on all datasets of an exchange read the same for each: which other datasets there are, where they are covered,
    which bars they have in a common silence. The least recently used values are dropped when the cache is full.
    """

    def __init__(self, store: Store, version: int) -> None:
        self.version = version
        self._store = store
        self._cache: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._weight = 0
        self._lock = threading.Lock()

    def alike(self, dataset: Dataset) -> Sequence[DatasetRow]:
        """Return the datasets of the same exchange, kind and timeframe that have rows, those with the most rows first."""

        def read() -> list[DatasetRow]:
            rows = [row for row in self._store.catalog.alike(dataset) if row.rows]
            return sorted(rows, key=lambda row: -row.rows)

        return self.once(("alike", dataset.exchange, dataset.kind_text, str(dataset.timeframe)), read, len)

    def looked_at(self, dataset: Dataset) -> Sequence[Span]:
        """Return the spans whose data a dataset has, sorted and disjoint."""

        def read() -> list[Span]:
            return self._store.catalog.coverage(dataset).spans(Found.DATA)

        return self.once(("coverage", dataset), read, len)

    def times(self, dataset: Dataset, span: Span) -> pl.Series:
        """Return the times of a dataset's rows inside *span*; they are not cached."""
        return load(self._store, dataset, span, columns=["ts"])["ts"].to_physical()

    def events(self, dataset: Dataset) -> tuple[pl.Series, Sequence[Missed]]:
        """Return the times of all events of a dataset, and those that are missing between them."""

        def read() -> tuple[pl.Series, Sequence[Missed]]:
            times = self.times(dataset, ALL_TIME)
            return times, list(missed_events(times.to_list()))

        return self.once(("events", dataset), read, lambda events: events[0].len() + len(events[1]))

    def once(self, key: Hashable, read: Callable[[], T], weigh: Callable[[T], int] = lambda _: 1) -> T:
        """Return the value cached under *key*; if there is none, call *read* and cache its result."""
        # The lock is not held while reading: two threads may read the same, which is harmless.
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return cast(T, self._cache[key][0])
        value = read()
        self._store_value(key, value, 1 + weigh(value))
        return value

    def _store_value(self, key: Hashable, value: object, weight: int) -> None:
        with self._lock:
            _, before = self._cache.pop(key, (None, 0))
            self._cache[key] = value, weight
            self._weight += weight - before
            # The newest value stays, however large it is: it is about to be used.
            while self._weight > _MOST and len(self._cache) > 1:
                _, (_, freed) = self._cache.popitem(last=False)
                self._weight -= freed
