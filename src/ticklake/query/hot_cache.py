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
from ticklake.core.merge import difference, key_of_batch
from ticklake.core.time import SECOND

__all__ = ["CacheStats", "HotCache"]

_MOST_CHUNKS = 16
"""Frames of a dataset before they become one: a read concatenates so many at most."""
_WAITING_BYTES = 400
"""What a row takes that is not yet in a frame, roughly: a tuple, and an object for each value."""
_LATE = 16
"""Rows are dropped when they are this part of the time too old."""
_MOST_WAITING = 10_000
"""Rows of a dataset that wait at most to become a frame."""


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

    ``waiting`` are rows as they came; a reader turns them into a frame. ``frames`` follow one another in time. ``since`` is from when on no
    row is missing.
    """

    dataset: Dataset
    waiting: list[Sequence[Any]] = field(default_factory=list)
    frames: list[pl.DataFrame] = field(default_factory=list)
    used_at: int = 0
    since: int = 0

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
        self._unmeasured = 0
        """Rows that came since the budget was looked at."""

    def add(self, dataset: Dataset, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows as a reader of messages made them: values in the order of the kind's columns."""
        with self._lock:
            entry = self._entries.get(dataset)
            if entry is None:
                entry = self._entries[dataset] = _Entry(dataset)
            entry.waiting += rows
            self._unmeasured += len(rows)
            # Datasets that nobody reads: what is too old must go all the same, and thousands of them have one budget.
            if len(entry.waiting) >= _MOST_WAITING:
                self._settle(entry)
                self._keep_budget()
            elif self._unmeasured * _WAITING_BYTES > self._budget // 8:
                self._keep_budget()

    def forget(self, dataset: Dataset, since: int = 0) -> None:
        """Drop the rows of a dataset: rows after them are missing, so that those before are no longer the newest without a hole.

        Rows before *since* are not taken: of those of a hole some may come late, and others not at all.
        """
        with self._lock:
            before = self._entries.pop(dataset, None)
            if before is not None:
                since = max(since, before.since)
            if since:
                self._entries[dataset] = _Entry(dataset, since=since)

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
            if not _follow(entry.frames):
                entry.frames = [_unique(pl.concat(entry.frames), entry.dataset.spec).rechunk()]
            elif len(entry.frames) > _MOST_CHUNKS:
                entry.frames = [pl.concat(entry.frames, rechunk=True)]
        frames = [frame for frame in entry.frames if frame.height]
        if not frames:
            return
        # Counted from the newest row: a market without trades for long keeps its last ones. One row that is ahead of the clock by
        # mistake must not drop the others.
        oldest = max(min(_newest(frames[-1]), self._clock()) - self._kept, entry.since)
        # Dropped many at once: a filter of all rows for each new one would take most of a read.
        if _oldest(frames[0]) >= max(oldest - self._kept // _LATE, entry.since):
            entry.frames = frames
            return
        kept = [frame for frame in frames if _newest(frame) >= oldest]
        if kept:
            kept[0] = kept[0].filter(pl.col("ts") >= pl.lit(oldest).cast(TIME))
        self._evicted += sum(frame.height for frame in frames) - sum(frame.height for frame in kept)
        entry.frames = kept

    def _keep_budget(self) -> None:
        """Drop older halves until all datasets fit into the budget."""
        self._unmeasured = 0
        entries = sorted(self._entries.values(), key=lambda entry: entry.used_at)
        size = sum(entry.bytes for entry in entries)
        for entry in entries:
            if size <= self._budget:
                return
            before, rows = entry.bytes, entry.rows
            _halve(entry)
            self._evicted += rows - entry.rows
            size -= before - entry.bytes


def _halve(entry: _Entry) -> None:
    """Drop the older half of the rows that are in frames, or if none are, of those that wait."""
    if entry.frames:
        whole = _joined(entry)
        # Copied by a filter: a slice would keep all of the memory.
        entry.frames = [whole.filter(pl.int_range(pl.len()) >= whole.height // 2)]
        return
    half = len(entry.waiting) // 2
    dropped, entry.waiting = entry.waiting[:half], entry.waiting[half:]
    # They came in no certain order: what is as old as any of them is no longer complete.
    newest = max((row[0] for row in dropped if isinstance(row[0], int)), default=0)
    entry.since = max(entry.since, newest + 1)


def _checked(dataset: Dataset, rows: Sequence[Sequence[Any]], now: int) -> pl.DataFrame:
    """Return rows as the lake would have them: refused ones are not among them."""
    kind = dataset.spec
    good = check(canonical(from_rows(rows, kind), kind), dataset, now).good
    return _unique(present(good, kind), kind)


def _unique(frame: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """Return rows sorted; of those that share a key the one that the lake keeps: the last that says something new."""
    frame, keying = sort(frame, kind), key_of_batch(frame, kind)
    if keying == "print":
        # Identical prints without ids are real: they cannot be told from a second delivery.
        return frame
    return difference(frame, frame.clear(), kind, keying).add


def _oldest(frame: pl.DataFrame) -> int:
    return int(frame["ts"].cast(pl.Int64)[0])


def _newest(frame: pl.DataFrame) -> int:
    return int(frame["ts"].cast(pl.Int64)[-1])


def _follow(frames: Sequence[pl.DataFrame]) -> bool:
    """Whether the newest frame begins after the one before it ends."""
    if len(frames) < 2 or not frames[-1].height or not frames[-2].height:
        return True
    return bool(frames[-1]["ts"][0] > frames[-2]["ts"][-1])


def _joined(entry: _Entry) -> pl.DataFrame:
    if not entry.frames:
        return entry.dataset.spec.no_rows
    # Not copied into one piece: a read mostly adds a row or two to many.
    return pl.concat(entry.frames)
