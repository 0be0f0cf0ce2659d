"""What the other symbols of an exchange hold, read once for the gap reports of all datasets."""

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
"""About so many times and spans are kept: 32 MB of times."""


class PeerReads:
    """What one version of a lake says of its datasets.

    A report on all datasets of an exchange asks the same of each: which others there are, where they were looked at, which
    bars they have in a common silence. What was used least lately is forgotten when it is too much.
    """

    def __init__(self, store: Store, version: int) -> None:
        self.version = version
        self._store = store
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._weight = 0
        self._turn = threading.Lock()

    def alike(self, dataset: Dataset) -> Sequence[DatasetRow]:
        """Return the datasets with rows of the same exchange, kind and timeframe, those with most rows first."""

        def read() -> list[DatasetRow]:
            rows = (row for row in self._store.catalog.alike(dataset) if row.rows)
            return sorted(rows, key=lambda row: -row.rows)

        return self.once(("alike", dataset.exchange, dataset.kind, str(dataset.timeframe)), read, len)

    def looked_at(self, dataset: Dataset) -> Sequence[Span]:
        """Return where a dataset was looked at, sorted and disjoint."""
        return self.once(("coverage", dataset), lambda: self._store.catalog.coverage(dataset).spans(Found.DATA), len)

    def times(self, dataset: Dataset, span: Span) -> pl.Series:
        """Return the times of a dataset's rows inside *span*; they are not kept."""
        return load(self._store, dataset, span, columns=["ts"])["ts"].to_physical()

    def events(self, dataset: Dataset) -> tuple[pl.Series, Sequence[Missed]]:
        """Return the times of all events of a dataset, and those that are missing between them."""

        def read() -> tuple[pl.Series, Sequence[Missed]]:
            times = self.times(dataset, ALL_TIME)
            return times, list(missed_events(times.to_list()))

        return self.once(("events", dataset), read, lambda found: found[0].len() + len(found[1]))

    def once(self, key: Hashable, read: Callable[[], T], weigh: Callable[[T], int] = lambda _: 1) -> T:
        """Return what was read under *key*; it is read if it was not, or is forgotten."""
        with self._turn:
            if key in self._kept:
                self._kept.move_to_end(key)
                return cast(T, self._kept[key][0])
        value = read()
        self._keep(key, value, 1 + weigh(value))
        return value

    def _keep(self, key: Hashable, value: object, weight: int) -> None:
        with self._turn:
            _, before = self._kept.pop(key, (None, 0))
            self._kept[key] = value, weight
            self._weight += weight - before
            while self._weight > _MOST and len(self._kept) > 1:
                _, (_, freed) = self._kept.popitem(last=False)
                self._weight -= freed
