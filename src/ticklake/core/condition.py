"""The condition of a span in one word, and of each UTC day: whether everything is there that there was to be had."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice

import polars as pl

from ticklake.core.coverage import Coverage, Found
from ticklake.core.dataset import Dataset
from ticklake.core.gaps import Gap, missing_in
from ticklake.core.kinds import TIME
from ticklake.core.quality import days_of, holes_by_day
from ticklake.core.span import ALL_TIME, Span, normalise, subtract
from ticklake.core.time import DAY

__all__ = ["Condition", "NO_DAYS", "Expected", "combined", "condition_of", "conditions_by_day"]

_SCHEMA = {
    "day": pl.Int64(),
    "condition": pl.String(),
    "missing": pl.Int64(),
    "reasons": pl.String(),
    "changed_in": pl.Int64(),
    "changed_at": pl.Int64(),
}
_TIMES = ("day", "changed_at")
NO_DAYS = pl.DataFrame(schema=_SCHEMA).with_columns(pl.col(_TIMES).cast(TIME))
"""The conditions of no day."""


class Condition(StrEnum):
    """What one can rely on.

    ``complete``: nothing is missing. ``gaps``: a part is missing. ``pending``: what is missing may still come: the day is not over, or
    it was asked for and no source has answered yet. ``missing``: all of it is. ``unknown``: rows were saved and nobody looked
    whether there are others.
    """

    COMPLETE = "complete"
    GAPS = "gaps"
    PENDING = "pending"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Expected:
    """When rows of a dataset are expected: by its coverage, while its market is not *closed*, and as far as *now* tells.

    ``newest`` is the time of its newest row: what is missing before that does not come by waiting.
    """

    coverage: Coverage
    now: int
    closed: Sequence[Span] = ()
    newest: int | None = None
    _to_come: list[Span] = field(init=False)

    def __post_init__(self) -> None:
        looked_at = self.coverage.spans()
        # What follows the newest look, and the newest row, may come today.
        known = [self.now // DAY * DAY]
        if looked_at:
            known.append(looked_at[-1].end)
        if self.newest is not None:
            known.append(self.newest)
        begin = min(self.now, max(known))
        asked = self.coverage.spans(Found.NOT_FETCHED)
        object.__setattr__(self, "_to_come", normalise([*asked, Span(begin, ALL_TIME.end)]))

    def word(self, span: Span, holes: Sequence[Span]) -> Condition:
        """Return the condition of a span in which *holes*, sorted and disjoint, are missing."""
        inside = list(_within(holes, span))
        if not inside:
            return Condition.COMPLETE
        if not any(True for hole in inside for _ in subtract(hole, self._to_come)):
            return Condition.PENDING
        # Nothing is left beside what is missing and the time in which the market is closed.
        nothing_expected = normalise([*inside, *_within(self.closed, span)])
        if next(subtract(span, nothing_expected), None) is None:
            return Condition.MISSING
        return Condition.GAPS


def condition_of(span: Span, expected: Expected, gaps: Iterable[Gap], *, is_known: bool = True) -> Condition:
    """Return the condition of a span with these gaps.

    Parameters
    ----------
    is_known
        Whether a calendar or coverage defines when rows are expected.
    """
    if not is_known:
        return Condition.UNKNOWN
    return expected.word(span, normalise(gap.span for gap in missing_in(gaps)))


def combined(words: Iterable[Condition]) -> Condition:
    """Return the condition of several datasets together."""
    different = set(words)
    if len(different) == 1:
        return different.pop()
    if different & {Condition.GAPS, Condition.MISSING}:
        return Condition.GAPS
    if Condition.UNKNOWN in different:
        return Condition.UNKNOWN
    return Condition.PENDING


def conditions_by_day(
    dataset: Dataset,
    span: Span,
    expected: Expected,
    gaps: Sequence[Gap],
    changes: Iterable[tuple[Span, int, int]],
    *,
    is_known: bool = True,
) -> pl.DataFrame:
    """Return the condition of each UTC day of a span as a row.

    Parameters
    ----------
    changes
        When rows changed: spans, each with the version and the time of its commit.
    """
    missing = missing_in(gaps)
    holes = normalise(gap.span for gap in missing)
    by_day = holes_by_day(dataset, missing, span)
    newest = _newest_by_day(changes, span)
    rows: list[tuple[object, ...]] = []
    for part in days_of(span):
        day = part.start // DAY * DAY
        word = Condition.UNKNOWN
        if is_known:
            word = expected.word(part, holes)
        found = by_day.get(day, {})
        missing_rows = sum(each.records for each in found.values())
        rows.append((day, word.value, missing_rows, ", ".join(sorted(found)), *newest.get(day, (None, None))))
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row").with_columns(pl.col(_TIMES).cast(TIME))


def _within(spans: Sequence[Span], span: Span) -> Iterator[Span]:
    """Yield what sorted, disjoint *spans* share with *span*; the first is looked up, as there may be a hundred thousand."""
    first = bisect_right(spans, span.start, key=lambda each: each.end)
    for each in islice(spans, first, None):
        shared = each.intersect(span)
        if shared is None:
            return
        yield shared


def _newest_by_day(changes: Iterable[tuple[Span, int, int]], span: Span) -> Mapping[int, tuple[int, int]]:
    newest: dict[int, tuple[int, int]] = {}
    for changed, version, at in changes:
        inside = changed.intersect(span)
        if inside is None:
            continue
        for part in days_of(inside):
            day = part.start // DAY * DAY
            newest[day] = max(newest.get(day, (0, 0)), (version, at))
    return newest
