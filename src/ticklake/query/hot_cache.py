"""The hot cache: the newest minutes of live datasets in memory, before and after their commit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from ticklake.core.batch import canonical, from_rows, present, sort
from ticklake.core.checks import check
from ticklake.core.dataset import Dataset
from ticklake.core.display import Displayed
from ticklake.core.kinds import TIME, Kind
from ticklake.core.merge import key_of_batch
from ticklake.core.time import SECOND

__all__ = ["CacheStats", "HotCache"]

_MOST_CHUNKS = 16
"""Frames of a dataset before they become one: a read concatenates so many at most."""
_WAITING_BYTES = 200
"""What a row takes that is not yet in a frame, roughly."""


@dataclass(frozen=True, slots=True, repr=False)
class CacheStats(Displayed):
    """What the cache holds, and how it was used: a *hit* had all rows that were wanted."""

    datasets: int
    rows: int
    bytes: int
    hits: int
    misses: int
    evicted: int


@dataclass
class _Entry:
    """The newest rows of one dataset.

    ``waiting`` are rows as they came; a reader turns them into a frame. ``frames`` are sorted among each other, unless rows came late:
    then ``is_ordered`` is false until a reader has sorted them.
    """

    dataset: Dataset
    waiting: list[Sequence[Any]] = field(default_factory=list)
    frames: list[pl.DataFrame] = field(default_factory=list)
    used_at: int = 0

    @property
    def rows(self) -> int:
        return len(self.waiting) + sum(frame.height for frame in self.frames)

    @property
    def bytes(self) -> int:
        return len(self.waiting) * _WAITING_BYTES + sum(int(frame.estimated_size()) for frame in self.frames)


class HotCache:
    """Keeps the rows of the last minutes of each live dataset.

    All methods may be called from any thread. A frame that was given out never changes.

    Parameters
    ----------
    seconds
        How long rows are kept.
    budget
        Bytes for all datasets together. Above it, the datasets that were read longest ago lose their older half first.
    clock
        The time in nanoseconds UTC.
    """

    def __init__(self, clock: Callable[[], int], seconds: float = 300.0, budget: int = 256 * 1024**2) -> None:
        self._clock = clock
        self._kept = int(seconds * SECOND)
        self._budget = budget
        self._entries: dict[Dataset, _Entry] = {}
        self._lock = threading.Lock()
        self._hits = self._misses = self._evicted = 0

    def add(self, dataset: Dataset, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows as a reader of messages made them: values in the order of the kind's columns."""
        with self._lock:
            entry = self._entries.get(dataset)
            if entry is None:
                entry = self._entries[dataset] = _Entry(dataset)
            entry.waiting += rows
            full = len(entry.waiting) >= 10_000
        if full:
            # Nobody reads this dataset: what is too old must go all the same.
            with self._lock:
                self._settle(entry)
                self._keep_budget()

    def forget(self, dataset: Dataset) -> None:
        """Drop the rows of a dataset: rows after them are missing, so that those before are no longer the newest without a hole."""
        with self._lock:
            self._entries.pop(dataset, None)

    def newest(self, dataset: Dataset, count: int) -> pl.DataFrame | None:
        """Return the newest *count* rows, or ``None`` if the cache does not have so many without a hole."""
        with self._lock:
            entry = self._entries.get(dataset)
            if entry is not None:
                self._settle(entry)
                entry.used_at = self._clock()
                if entry.rows >= count:
                    self._hits += 1
                    return _joined(entry).tail(count)
            self._misses += 1
            return None

    def rows(self, dataset: Dataset) -> pl.DataFrame | None:
        """Return all rows that are kept of a dataset, or ``None`` if it is not live."""
        with self._lock:
            entry = self._entries.get(dataset)
            if entry is None:
                return None
            self._settle(entry)
            return _joined(entry)

    def stats(self) -> CacheStats:
        """Return what the cache holds."""
        with self._lock:
            entries = list(self._entries.values())
            rows, size = sum(entry.rows for entry in entries), sum(entry.bytes for entry in entries)
            return CacheStats(len(entries), rows, size, self._hits, self._misses, self._evicted)

    def _settle(self, entry: _Entry) -> None:
        """Turn rows that wait into a frame, and drop those that are too old."""
        if entry.waiting:
            rows, entry.waiting = entry.waiting, []
            entry.frames.append(_checked(entry.dataset, rows, self._clock()))
            if not _follow(entry.frames) or len(entry.frames) > _MOST_CHUNKS:
                entry.frames = [_unique(pl.concat(entry.frames), entry.dataset.spec).rechunk()]
        frames = [frame for frame in entry.frames if frame.height]
        if not frames:
            return
        # Counted from the newest row: a market without trades for long keeps its last ones.
        oldest = _newest(frames[-1]) - self._kept
        kept = [frame for frame in frames if _newest(frame) >= oldest]
        kept[0] = kept[0].filter(pl.col("ts") >= pl.lit(oldest).cast(TIME))
        self._evicted += sum(frame.height for frame in frames) - sum(frame.height for frame in kept)
        entry.frames = kept

    def _keep_budget(self) -> None:
        """Drop older halves until all datasets fit into the budget."""
        entries = sorted(self._entries.values(), key=lambda entry: entry.used_at)
        size = sum(entry.bytes for entry in entries)
        for entry in entries:
            if size <= self._budget:
                return
            before = entry.bytes
            whole = _joined(entry)
            # Copied by a filter: a slice would keep all of the memory.
            half = whole.filter(pl.int_range(pl.len()) >= whole.height // 2)
            self._evicted += whole.height - half.height
            entry.frames = [half]
            size -= before - entry.bytes


def _checked(dataset: Dataset, rows: Sequence[Sequence[Any]], now: int) -> pl.DataFrame:
    """Return rows as the lake would have them: refused ones are not among them."""
    kind = dataset.spec
    good = check(canonical(from_rows(rows, kind), kind), dataset, now).good
    return _unique(present(good, kind), kind)


def _unique(frame: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """Return rows sorted; of those that came twice, by two connections, the later one."""
    if key_of_batch(frame, kind) != "print":
        # Identical prints without ids are real: they cannot be told from a second delivery.
        frame = frame.unique(kind.key, keep="last", maintain_order=True)
    return sort(frame, kind)


def _newest(frame: pl.DataFrame) -> int:
    return int(frame["ts"].cast(pl.Int64)[-1])


def _follow(frames: Sequence[pl.DataFrame]) -> bool:
    """Whether the newest frame begins after the one before it ends."""
    if len(frames) < 2 or not frames[-1].height or not frames[-2].height:
        return True
    return bool(frames[-1]["ts"][0] > frames[-2]["ts"][-1])


def _joined(entry: _Entry) -> pl.DataFrame:
    if not entry.frames:
        return entry.dataset.spec.empty().select(entry.dataset.spec.names)
    if len(entry.frames) > 1:
        entry.frames = [pl.concat(entry.frames, rechunk=True)]
    return entry.frames[0]
