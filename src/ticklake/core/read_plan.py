"""Read plans: which segments answer which stretch of time, and which need merging."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ticklake.core.segment import Segment, span_of
from ticklake.core.span import Span

__all__ = ["CACHE_SIZE", "CHUNK_ROWS", "Slice", "cut", "plan_read"]

CACHE_SIZE = 256 * 1024**2
"""Bytes of parts of files that are kept in memory because they are read again and again."""
CHUNK_ROWS = 1 << 19
"""How many rows are held at a time where rows are streamed."""
MOST_SLICES = 8
"""Segments that meet and would make more slices than this are merged as one: each slice opens its files anew."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch answered by *segments*, oldest content first; more than one must be merged by key."""

    span: Span
    segments: tuple[Segment, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every row of its only segment belongs to it."""
        return len(self.segments) == 1 and self.segments[0].lies_in(self.span)


def plan_read(segments: Iterable[Segment], span: Span) -> list[Slice]:
    """Sweep the segments' ranges into disjoint slices inside *span*, in time order."""
    inside = sorted(_meeting(segments, span.start, span.end), key=_start)
    slices: list[Slice] = []
    for group in _touching(inside):
        slices += _slices(group, span)
    return slices


def cut(piece: Slice, rows: int = CHUNK_ROWS) -> Iterator[Slice]:
    """Cut a slice into slices of about *rows* rows, between blocks and between instants where that is possible."""
    start = piece.span.start
    gathered = 0
    reach = piece.span.start
    for low, high, count in sorted(_stretches(piece)):
        # Where blocks keep overlapping, memory counts for more than reading some of them twice.
        is_between_blocks = low > reach or gathered > 2 * rows
        if gathered >= rows and is_between_blocks and start < low < piece.span.end:
            yield Slice(Span(start, low), _meeting(piece.segments, start, low))
            start, gathered = low, 0
        gathered += count
        reach = max(reach, high)
    yield Slice(Span(start, piece.span.end), _meeting(piece.segments, start, piece.span.end))


def _start(segment: Segment) -> int:
    return segment.min_ts


def _touching(ordered: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Group segments, sorted by start, whose ranges hang together."""
    group: list[Segment] = []
    reach = 0
    for segment in ordered:
        if not group:
            reach = segment.max_ts
        elif segment.min_ts > reach:
            yield group
            group, reach = [], segment.max_ts
        reach = max(reach, segment.max_ts)
        group.append(segment)
    if group:
        yield group


def _slices(group: list[Segment], span: Span) -> list[Slice]:
    whole = span_of(group)
    if len(group) == 1:
        return [_slice(whole, group, span)]
    # The sweep ends as soon as there are too many: thousands of segments that meet would make thousands of slices in vain.
    slices = list(itertools.islice(_sweep(group, span), MOST_SLICES + 1))
    if len(slices) > MOST_SLICES:
        return [_slice(whole, group, span)]
    return slices


def _slice(stretch: Span, segments: Sequence[Segment], span: Span) -> Slice:
    cut_off = stretch.intersect(span) or stretch
    # Merging keeps the last row of a key: that of the newest content.
    return Slice(cut_off, tuple(sorted(segments, key=lambda segment: segment.seq)))


def _sweep(segments: Sequence[Segment], span: Span) -> Iterator[Slice]:
    bounds: set[int] = set()
    for segment in segments:
        bounds.update((segment.min_ts, segment.max_ts + 1))
    waiting = sorted(segments, key=_start, reverse=True)
    active: list[Segment] = []
    for start, end in itertools.pairwise(sorted(bounds)):
        active = [segment for segment in active if segment.max_ts >= start]
        while waiting and waiting[-1].min_ts <= start:
            active.append(waiting.pop())
        stretch = Span(start, end)
        if active and stretch.overlaps(span):
            yield _slice(stretch, active, span)


def _stretches(piece: Slice) -> Iterator[tuple[int, int, int]]:
    """Yield first and last time and number of rows of everything that is read as a whole."""
    for segment in piece.segments:
        has_blocks = False
        for block in segment.blocks:
            if block.rows and block.meets(piece.span):
                has_blocks = True
                yield block.min_ts, block.max_ts, block.rows
        if not has_blocks:
            yield segment.min_ts, segment.max_ts, segment.rows


def _meeting(segments: Iterable[Segment], start: int, end: int) -> tuple[Segment, ...]:
    return tuple(segment for segment in segments if segment.min_ts < end and segment.max_ts >= start)
