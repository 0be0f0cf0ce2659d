"""Compaction plans: which small segments become which large ones."""

from __future__ import annotations

import bisect
import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from ticklake.core.segment import Segment, span_of
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.time import DAY

__all__ = ["TARGET_ROWS", "Period", "Rewrite", "period_of", "periods", "plan_compaction"]

TARGET_ROWS = 2_000_000
"""A period's segment should stay under this many rows."""

Grain = Literal["year", "month", "day"]
_FINER: dict[Grain, Grain] = {"year": "month", "month": "day"}


@dataclass(frozen=True, slots=True)
class Period:
    """A calendar day, month or year."""

    label: str
    span: Span


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Replace *segments* by at most one new segment for each of *periods*, all in one commit."""

    segments: tuple[Segment, ...]
    periods: tuple[Period, ...]

    @property
    def seq(self) -> int:
        """The content sequence of what comes out: that of the newest input."""
        return max(segment.seq for segment in self.segments)

    def by_period(self) -> list[tuple[Period, list[Segment]]]:
        """Return each period with the segments that reach into it."""
        inside: list[list[Segment]] = [[] for _ in self.periods]
        for segment in self.segments:
            place = bisect.bisect_right(self.periods, segment.min_ts, key=_end)
            while place < len(self.periods) and self.periods[place].span.overlaps(segment.span):
                inside[place].append(segment)
                place += 1
        return list(zip(self.periods, inside, strict=True))

    @property
    def observed_at(self) -> int | None:
        """When the newest input was observed, as far as that is known."""
        observed = [segment.observed_at for segment in self.segments if segment.observed_at is not None]
        return max(observed, default=None)


def period_of(ts: int, grain: Grain) -> Period:
    """Return the calendar period that contains *ts*.

    >>> period_of(1704067200_000000000, "month").label
    '2024-01'
    """
    day = dt.date(1970, 1, 1) + dt.timedelta(days=ts // DAY)
    if grain == "year":
        return Period(f"{day.year:04d}", _days(dt.date(day.year, 1, 1), dt.date(day.year + 1, 1, 1)))
    if grain == "month":
        after = dt.date(day.year + day.month // 12, day.month % 12 + 1, 1)
        return Period(f"{day.year:04d}-{day.month:02d}", _days(day.replace(day=1), after))
    return Period(day.isoformat(), _days(day, day + dt.timedelta(days=1)))


def periods(segments: Sequence[Segment], target_rows: int = TARGET_ROWS) -> list[Period]:
    """Cut time into the coarsest calendar periods that hold rows, each of at most *target_rows* (or a day)."""
    if not segments:
        return []
    return list(_cut(span_of(segments), "year", segments, target_rows))


def plan_compaction(segments: Iterable[Segment], target_rows: int = TARGET_ROWS) -> list[Rewrite]:
    """Return the rewrites that leave one segment per period, each independent of the others.

    Segments that lie in one period, or are linked by one that crosses a bound, belong to one rewrite; a
    period that already is one file is left alone.
    """
    ordered = sorted(segments, key=lambda segment: (segment.min_ts, segment.max_ts))
    cuts = periods(ordered, target_rows)
    rewrites: list[Rewrite] = []
    for group in _groups(ordered, cuts):
        if _is_done(group):
            continue
        span = span_of(group)
        inside = tuple(period for period in cuts if period.span.overlaps(span))
        # Of two rows with one key the later content wins, so segments are read in the order of their contents.
        by_content = sorted(group, key=lambda segment: segment.seq)
        rewrites.append(Rewrite(tuple(by_content), inside))
    return rewrites


def _is_done(group: Sequence[Segment]) -> bool:
    """Whether the group is files already, one to a period, none of which meet."""
    labels: set[str] = set()
    for segment in group:
        if segment.path is None or segment.period in labels:
            return False
        labels.add(segment.period)
    return all(left.max_ts < right.min_ts for left, right in pairwise(group))


def _cut(span: Span, grain: Grain, segments: Sequence[Segment], target_rows: int) -> Iterator[Period]:
    cursor = span.start
    while cursor < span.end:
        period = period_of(cursor, grain)
        # Only these are handed to the finer periods: with all, thousands of small segments took seconds.
        inside = [segment for segment in segments if segment.span.overlaps(period.span)]
        cursor = period.span.end
        if not inside:
            continue
        if grain == "day" or _rows_in(period.span, inside) <= target_rows:
            yield period
        else:
            rest = period.span.intersect(span) or period.span
            yield from _cut(rest, _FINER[grain], inside, target_rows)


def _rows_in(span: Span, segments: Iterable[Segment]) -> float:
    """Estimate the rows inside *span*, as if those of each segment were spread evenly over its time."""
    rows = 0.0
    for segment in segments:
        overlap = segment.span.intersect(span)
        if overlap is not None:
            rows += segment.rows * overlap.length / segment.span.length
    return rows


def _start(period: Period) -> int:
    return period.span.start


def _end(period: Period) -> int:
    return period.span.end


def _groups(ordered: Sequence[Segment], cuts: Sequence[Period]) -> list[list[Segment]]:
    groups: list[list[Segment]] = []
    reach = 0
    for segment in ordered:
        last = cuts[bisect.bisect_right(cuts, segment.max_ts, key=_start) - 1].span.end
        if groups and segment.min_ts < reach:
            groups[-1].append(segment)
            reach = max(reach, last)
        else:
            groups.append([segment])
            reach = last
    return groups


def _days(start: dt.date, end: dt.date) -> Span:
    epoch = dt.date(1970, 1, 1)
    return Span(max((start - epoch).days * DAY, ALL_TIME.start), min((end - epoch).days * DAY, ALL_TIME.end))
