"""Read plans: which segments answer which stretch of time, and which need merging."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ticklake.core.segment import Segment
from ticklake.core.span import Span

__all__ = ["Slice", "plan_read"]


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
    inside = [segment for segment in segments if segment.span.overlaps(span)]
    if not _any_overlap(inside):
        ordered = sorted(inside, key=lambda segment: segment.min_ts)
        return [_slice(segment.span, [segment], span) for segment in ordered]
    return _sweep(inside, span)


def _any_overlap(segments: Sequence[Segment]) -> bool:
    ordered = sorted(segments, key=lambda segment: segment.min_ts)
    return any(left.max_ts >= right.min_ts for left, right in itertools.pairwise(ordered))


def _slice(stretch: Span, segments: Sequence[Segment], span: Span) -> Slice:
    cut = stretch.intersect(span) or stretch
    return Slice(cut, tuple(sorted(segments, key=lambda segment: segment.seq)))


def _sweep(segments: Sequence[Segment], span: Span) -> list[Slice]:
    bounds = sorted({bound for segment in segments for bound in (segment.min_ts, segment.max_ts + 1)})
    starts = sorted(segments, key=lambda segment: segment.min_ts, reverse=True)
    active: list[Segment] = []
    slices: list[Slice] = []
    for start, end in itertools.pairwise(bounds):
        active = [segment for segment in active if segment.max_ts >= start]
        while starts and starts[-1].min_ts <= start:
            active.append(starts.pop())
        stretch = Span(start, end)
        if active and stretch.overlaps(span):
            slices.append(_slice(stretch, active, span))
    return slices
