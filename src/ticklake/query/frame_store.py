"""Reads the rows of frames, and keeps them for the next ones.

A frame of the newest hour, made again every second, reads what is new. What is kept of a dataset holds for the version that last changed it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import polars as pl

from ticklake.catalog.changes import DatasetRow
from ticklake.catalog.own_commits import OwnCommits
from ticklake.core.dataset import Dataset
from ticklake.core.knowledge import KNOWLEDGE
from ticklake.core.segment import Segment
from ticklake.core.selection import picked
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.time import HOUR
from ticklake.core.timeline import nanoseconds
from ticklake.engine.engine import Engine
from ticklake.engine.read import read_rows
from ticklake.engine.store import retried
from ticklake.query.frame_rows import NO_TIMES, WITH_LIVE, FrameRows, LiveRows, Need, with_live

__all__ = ["MOST_ROWS", "KeptRows", "RowReader", "expected_rows"]

MOST_ROWS = 100_000
"""A read is extended to whole hours if so many rows are not exceeded: the next frames are often near."""
_MOST_KEPT = 2_000_000
"""So many rows of a dataset are kept in one piece: rows that are asked for next to them are added."""
_BARS_AROUND = 1_000


class KeptRows:
    """Rows that were read, kept for the next frames. All methods may be called from any thread.

    Parameters
    ----------
    budget
        Bytes of all rows that are kept.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._kept: OrderedDict[Dataset, FrameRows] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, need: Need, version: int, own: OwnCommits) -> FrameRows | None:
        """Return the rows that were kept of a dataset, if they are those of a version and all that are needed."""
        with self._lock:
            rows = self._kept.get(need.dataset)
            if rows is None or not own.left_alone([need.dataset], rows.version, version) or not rows.has(need):
                return None
            rows.version = version
            self._kept.move_to_end(need.dataset)
            return rows

    def is_full_of(self, rows: FrameRows) -> bool:
        """Whether some rows take most of what may be kept: with more of them, nothing else could be."""
        return rows.size > self.budget * 3 // 4

    def outdated(self, dataset: Dataset) -> FrameRows | None:
        """Return the rows that were kept of a dataset, of whatever version."""
        with self._lock:
            return self._kept.get(dataset)

    def keep(self, read: Iterable[FrameRows]) -> None:
        """Keep rows for the next frames; those that were used longest ago are dropped if it is too much."""
        with self._lock:
            for rows in read:
                self._kept[rows.dataset] = rows
                self._kept.move_to_end(rows.dataset)
            size = sum(map(attrgetter("size"), self._kept.values()))
            while size > self.budget and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                size -= dropped.size


class RowReader:
    """Reads rows from one version.

    Parameters
    ----------
    kept
        Rows of this version and older ones; ``None`` if there is another one of which rows are kept.
    """

    def __init__(self, engine: Engine, version: int, live: LiveRows, kept: KeptRows | None) -> None:
        self.engine = engine
        self.version = version
        self.live = live
        self._kept = kept
        self.read: dict[Dataset, FrameRows] = {}
        """What was read so far."""

    def rows(self, need: Need, head: DatasetRow | None) -> FrameRows | None:
        """Return the rows that are needed of a dataset; ``None`` if the lake has none of it, and it is not collected."""
        live = self.live.of(need.dataset)
        if head is None and live is None:
            return None
        rows = self._stored(need, head)
        if live is None:
            return rows
        return with_live(rows, live)

    def _stored(self, need: Need, head: DatasetRow | None) -> FrameRows:
        if head is None:
            return FrameRows.none(need, self.version)
        if self._kept is None:
            # A version that was pinned because there were so many: what is kept is of another one.
            return self._loaded(need, head)
        rows = self._kept.find(need, self.version, self.engine.catalog.own_commits)
        if rows is not None:
            return rows
        outdated = self.read.get(need.dataset) or self._kept.outdated(need.dataset)
        if outdated is not None and outdated.head is not None and outdated.head.id == head.id:
            if outdated.version != self.version:
                outdated = self._renewed(outdated, head)
            rows = self._extended(outdated, need, head)
        if rows is None:
            rows = self._loaded(need, head)
        self.read[need.dataset] = rows
        return rows

    def _extended(self, rows: FrameRows, need: Need, head: DatasetRow) -> FrameRows | None:
        """Return kept rows with those around them that are needed, too; ``None`` if they are too far away."""
        if rows.has(need):
            return rows
        hull = rows.span.hull(_widened(need, head))
        if expected_rows(head, hull.length) > _MOST_KEPT or (self._kept is not None and self._kept.is_full_of(rows)):
            return None
        segments, frames = list(rows.segments), [rows.frame]
        if hull.start < rows.span.start:
            found, before = self._read(need.dataset, Span(hull.start, rows.span.start))
            segments += found
            frames.insert(0, before)
        if hull.end > rows.span.end:
            found, after = self._read(need.dataset, Span(rows.span.end, hull.end))
            segments += found
            frames.append(after)
        extended = self._with_history(need.dataset, hull, head, _distinct(segments), pl.concat(frames, rechunk=True))
        if not extended.has(need):
            return None
        return extended

    def _read(self, dataset: Dataset, span: Span) -> tuple[tuple[Segment, ...], pl.DataFrame]:
        store = self.engine.store

        def attempt() -> tuple[tuple[Segment, ...], pl.DataFrame]:
            view = store.view(dataset, span)
            return view.segments, read_rows(store, view, dataset.spec.names)

        return retried(attempt)

    def _loaded(self, need: Need, head: DatasetRow) -> FrameRows:
        """Read the rows that are needed."""
        wide = _with_future(need.span, head)
        if need.before:
            # Mostly one read brings the rows before the window, too.
            wide = _widened(need, head)
        return self._contiguous(Need(need.dataset, wide, 0), need, head)

    def _contiguous(self, wide: Need, need: Need, head: DatasetRow) -> FrameRows:
        dataset, span = need.dataset, wide.span
        segments, frame = self._read(dataset, span)
        before = int(nanoseconds(frame["ts"]).searchsorted(need.span.start))
        if before < need.before and head.min_ts is not None and head.min_ts < span.start:
            more = self.engine.load(dataset, Span(ALL_TIME.start, span.start), last=need.before)
            start = ALL_TIME.start
            if more.height == need.before:
                start = int(more["ts"].to_physical()[0])
            frame = pl.concat([more, frame], rechunk=True)
            span = Span(start, span.end)
        return self._with_history(dataset, span, head, segments, frame)

    def _with_history(
        self, dataset: Dataset, span: Span, head: DatasetRow, segments: tuple[Segment, ...], frame: pl.DataFrame
    ) -> FrameRows:
        catalog = self.engine.catalog
        revisions: Sequence[dict[str, Any]] = ()
        has_revisions, has_refused = catalog.has_history(dataset)
        if has_revisions:
            revisions = catalog.revisions(dataset, span)
        refused = NO_TIMES
        if has_refused:
            refused = self._refused(dataset, span)
        coverage = catalog.coverage(dataset)
        return FrameRows(dataset, span, self.version, head, segments, frame, coverage, revisions, refused)

    def _refused(self, dataset: Dataset, span: Span) -> pl.Series:
        """Return the times of refused rows."""
        found: list[int | None] = []
        for rows in self.engine.catalog.refused(dataset, span, ["ts"]):
            found += next(zip(*rows, strict=True), ())
        return pl.Series("ts", found, dtype=pl.Int64).drop_nulls()

    def _renewed(self, rows: FrameRows, head: DatasetRow) -> FrameRows:
        """Return rows as of a newer version: what changed is read, and the rest is kept."""
        if rows.head is not None and head.changed_in == rows.head.changed_in:
            return self._unchanged(rows, head)
        now = self.engine.store.view(rows.dataset, rows.span, data=False).segments
        frame = rows.frame
        changed = _changed_span(rows, now)
        if changed is not None:
            _, fresh = self._read(rows.dataset, changed)
            ts = frame["ts"].to_physical()
            first, last = int(ts.search_sorted(changed.start)), int(ts.search_sorted(changed.end))
            frame = pl.concat([frame.head(first), fresh, frame.slice(last)])
        return self._with_history(rows.dataset, rows.span, head, now, frame)

    def _unchanged(self, rows: FrameRows, head: DatasetRow) -> FrameRows:
        """Return rows of which only coverage or what was noted of them changed, with the timelines that still hold."""
        renewed = self._with_history(rows.dataset, rows.span, head, rows.segments, rows.frame)
        if renewed.revisions != rows.revisions:
            return renewed
        if renewed.coverage == rows.coverage:
            renewed.timelines = dict(rows.timelines)
            # It has the coverage of older rows behind it.
            renewed.timelines.pop(WITH_LIVE, None)
            return renewed
        # Bars that are made of rows depend on coverage, too.
        renewed.timelines = picked(rows.timelines, KNOWLEDGE)
        return renewed


def _changed_span(rows: FrameRows, now: Sequence[Segment]) -> Span | None:
    """Return the part of the span of rows in which segments came or went; ``None`` if there is none."""
    before = {segment.id: segment for segment in rows.segments}
    after = {segment.id: segment for segment in now}
    changed: Span | None = None
    for number in before.keys() ^ after.keys():
        segment = before.get(number) or after[number]
        part = segment.span.intersect(rows.span)
        if part is not None and changed is not None:
            part = part.hull(changed)
        changed = part or changed
    return changed


def _distinct(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Return segments without repeats, in order."""
    by_id = {segment.id: segment for segment in segments}
    return tuple(by_id.values())


def expected_rows(head: DatasetRow, length: int) -> float:
    """Return about how many rows a dataset has in so much time."""
    if head.min_ts is None or head.max_ts is None:
        return 0
    return head.rows * min(1.0, length / max(head.max_ts - head.min_ts, 1))


def _widened(need: Need, head: DatasetRow) -> Span:
    """Return the span that is read: the next frames are often near."""
    dataset, span = need.dataset, need.span
    if dataset.spec.bars and dataset.timeframe is not None:
        around = _BARS_AROUND * dataset.timeframe.length
        return span.widen(max(around, 2 * need.before * dataset.timeframe.length), around)
    hours = Span(span.start // HOUR * HOUR, -(-span.end // HOUR) * HOUR).intersect(ALL_TIME) or span
    if expected_rows(head, hours.length) > MOST_ROWS:
        return _with_future(span, head)
    return hours


def _with_future(span: Span, head: DatasetRow) -> Span:
    """Return a span that goes on for an hour if no rows are after it: nothing more is read, and the next frames of now need no other read."""
    if head.max_ts is None or head.max_ts >= span.end:
        return span
    return Span(span.start, min(span.end + HOUR, ALL_TIME.end))
