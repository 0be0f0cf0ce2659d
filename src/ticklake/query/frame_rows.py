"""Rows of a dataset around the windows of frames, stored ones and those that are not committed yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ticklake.catalog.changes import DatasetRow
from ticklake.core.coverage import Coverage, Covered
from ticklake.core.dataset import Dataset
from ticklake.core.knowledge import KNOWLEDGE
from ticklake.core.merge import Keying, is_in, key_of
from ticklake.core.segment import Segment
from ticklake.core.selection import picked
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.timeline import nanoseconds

if TYPE_CHECKING:
    from ticklake.core.timeline import Times

__all__ = ["NO_TIMES", "WITH_LIVE", "FrameRows", "Live", "LiveRows", "Need", "not_stored", "with_live"]

Live = Callable[[Dataset], pl.DataFrame | None]
"""Returns the newest rows of a dataset that this process collects, without a hole; ``None`` if it does not."""

NO_TIMES = pl.Series("ts", [], dtype=pl.Int64)
WITH_LIVE = "live"
"""The key of rows with live ones behind them, among timelines."""
_NEVER = 2**62


@dataclass(frozen=True, slots=True)
class Need:
    """What is needed of a dataset: the rows in a span, and so many *before* it."""

    dataset: Dataset
    span: Span
    before: int = 0


@dataclass(eq=False)
class FrameRows:
    """The rows of a dataset in one span, and what the catalog knows of them.

    ``version`` is the newest version for which this is known to hold, ``changed_in`` the one that last changed the dataset.
    """

    dataset: Dataset
    span: Span
    version: int
    head: DatasetRow | None
    segments: tuple[Segment, ...]
    frame: pl.DataFrame
    coverage: Coverage
    revisions: Sequence[dict[str, Any]] = ()
    refused_times: pl.Series = field(default_factory=lambda: NO_TIMES)
    live_since: int | None = None
    """From when on rows are in the cache of live rows."""
    stored: FrameRows | None = None
    fresh: pl.DataFrame | None = None
    """The rows that are stored, and those that are not and come after all of them, if these are both."""
    timelines: dict[Any, Any] = field(default_factory=dict)

    @classmethod
    def none(cls, need: Need, version: int) -> FrameRows:
        """Return no rows: those of a dataset that has only live ones."""
        return cls(need.dataset, need.span, version, None, (), need.dataset.spec.no_rows, Coverage())

    @property
    def is_live(self) -> bool:
        """Whether this process collects the dataset."""
        return self.live_since is not None

    @property
    def keying(self) -> Keying:
        """How the dataset tells its rows apart."""
        return self.head.keying if self.head is not None else "natural"

    @property
    def first_ts(self) -> int | None:
        """The time of the first row of the dataset."""
        if self.head is not None and self.head.min_ts is not None:
            return self.head.min_ts
        return self.live_since

    def refused(self) -> pl.Series:
        """Return the times of refused rows."""
        return self.refused_times

    @cached_property
    def ts(self) -> Times:
        """The times of the rows."""
        return nanoseconds(self.frame["ts"])

    @cached_property
    def size(self) -> int:
        """Bytes in memory."""
        # Timelines share the rows, and have three times of each.
        return int(self.frame.estimated_size()) + 24 * self.frame.height

    @cached_property
    def begins(self) -> bool:
        """Whether the dataset has no rows before the span."""
        return self.head is None or self.head.min_ts is None or self.span.start <= self.head.min_ts

    def has(self, need: Need) -> bool:
        """Whether these are all rows that are needed."""
        if not (self.span.start <= need.span.start and need.span.end <= self.span.end):
            return False
        if self.begins or not need.before:
            return True
        return int(self.ts.searchsorted(need.span.start)) >= need.before

    def source(self, start: int, end: int) -> str:
        """Return where the rows from *start* to *end* were."""
        if self.live_since is not None and self.live_since <= start:
            return "cache"
        stored = self._stored_in(start, end)
        if self.live_since is not None and self.live_since <= end:
            return f"cache, {stored}"
        return stored

    def _stored_in(self, start: int, end: int) -> str:
        for segment in self.segments:
            if segment.path is not None and segment.min_ts <= end and segment.max_ts >= start:
                return "files"
        return "inline"


class LiveRows:
    """The newest rows that this process collects."""

    def __init__(self, live: Live | None) -> None:
        self._live = live

    def of(self, dataset: Dataset) -> pl.DataFrame | None:
        """Return the newest rows of a dataset; ``None`` if there are none."""
        if self._live is None:
            return None
        rows = self._live(dataset)
        if rows is None or not rows.height:
            return None
        return rows

    def first_close(self, dataset: Dataset, head: DatasetRow | None) -> int:
        """Return when the first bar of a dataset closed, or its first row happened; never, if it has none."""
        if head is not None and head.min_ts is not None:
            return min(dataset.row_end(head.min_ts), _NEVER)
        live = self.of(dataset)
        if live is None:
            return _NEVER
        return min(dataset.row_end(int(live["ts"].to_physical()[0])), _NEVER)


def with_live(rows: FrameRows, live: pl.DataFrame) -> FrameRows:
    """Return stored rows with those that are not committed yet."""
    times = nanoseconds(live["ts"])
    # Not their times alone: many rows share one, and the oldest rows are dropped as new ones come.
    key = (len(times), live.row(0), live.row(-1))
    known = rows.timelines.get(WITH_LIVE)
    if known is None or known[0] != key:
        known = rows.timelines[WITH_LIVE] = (key, _joined(rows, live, times))
    with_live: FrameRows = known[1]
    return with_live


def _joined(rows: FrameRows, live: pl.DataFrame, times: Times) -> FrameRows:
    stored = rows.frame
    fresh = _fresh_rows(rows, live, times)
    since = int(times[0])
    coverage = rows.coverage
    if not rows.dataset.spec.bars:
        # The stream goes on without a hole: nothing is missing since its oldest row that is kept. Whether others share the instant of that
        # one is not known. Of bars each is looked for.
        coverage = coverage.add(Covered(Span(since + 1, ALL_TIME.end)))
    joined = replace(rows, live_since=since, coverage=coverage, timelines={})
    if not fresh.height:
        joined.timelines = picked(rows.timelines, KNOWLEDGE)
        return joined
    fresh = fresh.select(stored.columns)
    joined.frame = pl.concat([stored, fresh])
    if not stored.height or fresh["ts"][0] > stored["ts"][-1]:
        joined.stored, joined.fresh = rows, fresh
    else:
        joined.frame = joined.frame.sort("ts", maintain_order=True)
    return joined


def _fresh_rows(rows: FrameRows, live: pl.DataFrame, times: Times) -> pl.DataFrame:
    """Return those live rows that are not stored."""
    place = int(rows.ts.searchsorted(times[0]))
    if place == rows.frame.height:
        return live
    stored = rows.frame.slice(place)
    shared = int(times.searchsorted(rows.ts[-1], side="right"))
    # Mostly the stored rows are those of the cache: to compare all of their keys would take longer than all the rest.
    if np.array_equal(times[:shared], rows.ts[place:]) and _are_same_at_ends(live.head(shared), stored, rows):
        return live.slice(shared)
    return not_stored(live, stored, rows.dataset, rows.keying)


def _are_same_at_ends(live: pl.DataFrame, stored: pl.DataFrame, rows: FrameRows) -> bool:
    """Whether rows of the same times are the same at the first and the last of them: others may share these."""
    key = [name for name in key_of(rows.dataset.spec, rows.keying) if name in live.columns]
    times = nanoseconds(live["ts"])
    first, last = int(times.searchsorted(times[0], side="right")), int(times.searchsorted(times[-1]))
    one, other = live.select(key), stored.select(key)
    return one.head(first).equals(other.head(first)) and one.slice(last).equals(other.slice(last))


def not_stored(live: pl.DataFrame, stored: pl.DataFrame, dataset: Dataset, keying: Keying) -> pl.DataFrame:
    """Return those live rows that are not stored; of a row that is both, the stored one holds."""
    kind = dataset.spec
    key = [name for name in key_of(kind, keying) if name in live.columns]
    return live.filter(~is_in(live, stored.select(key)))
