"""Quality of a dataset: figures of a day or a span, and the score made of them. Pure arithmetic."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.display import Displayed, moment
from ticklake.core.gaps import Gap, GapReason
from ticklake.core.kinds import TIME
from ticklake.core.metrics import Metric, counted, format_score, format_share
from ticklake.core.span import Span
from ticklake.core.time import DAY, format_time

__all__ = [
    "COUNTED",
    "METRICS",
    "PENALTIES",
    "DayQuality",
    "Figures",
    "Holes",
    "Quality",
    "days_of",
    "holes_by_day",
    "incomplete",
    "shown_metrics",
    "total",
    "trend_of",
]

PENALTIES = {"quarantined": 1.0, "outliers": 10.0, "stale": 0.25, "crossed": 1.0}
"""What a share of the rows costs: one outlier in a thousand rows costs one point of a hundred."""

_FULL, _BELOW_FULL = 100.0, 99.99
_ALL_BUT_NOTHING = math.nextafter(1, 0)


@dataclass(frozen=True, slots=True)
class Holes:
    """Holes of one reason: how many begin here, and how many records and nanoseconds are missing in them here."""

    count: int = 0
    records: int = 0
    time: int = 0

    def __add__(self, other: Holes) -> Holes:
        return Holes(self.count + other.count, self.records + other.records, self.time + other.time)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured.

    Attributes
    ----------
    on_grid
        Whether a calendar says which records are expected: bars.
    open_time
        Nanoseconds in which the market was open; ``None`` where nobody said which spans were looked at.
    present_records
        Rows that are there.
    gaps
        Holes by their reason (:class:`~ticklake.core.gaps.GapReason`), in words.
    quarantined
        Refused rows by their reason.
    duplicates
        Identical prints: rows beyond the first with one ``ts``, price, amount and side. They can be real, so they
        cost nothing. Rows with the same key are never stored twice.
    outliers, stale_prices, zero_volumes, crossed_books
        See :mod:`ticklake.core.row_checks`; 0 where the kind has none.
    judged_books
        Snapshots of a book, or quotes, with both sides known: those that can be crossed.
    """

    on_grid: bool = False
    open_time: int | None = None
    gaps: Mapping[str, Holes] = field(default_factory=dict)
    quarantined: Mapping[str, int] = field(default_factory=dict)
    present_records: int = counted()
    duplicates: int = counted()
    outliers: int = counted("outliers")
    stale_prices: int = counted("stale")
    zero_volumes: int = counted("zero volume", on_page=False, of_bars=pl.col("volume") == 0)
    crossed_books: int = counted("crossed", of_quotes=pl.col("bid_price") > pl.col("ask_price"))
    judged_books: int = counted(of_quotes=pl.col("bid_price").is_not_null() & pl.col("ask_price").is_not_null())

    @property
    def missing(self) -> Holes:
        """The holes in which something is missing (:attr:`~ticklake.core.gaps.GapReason.is_missing`)."""
        missing = Holes()
        for reason, holes in self.gaps.items():
            if GapReason(reason).is_missing:
                missing += holes
        return missing

    @property
    def missing_records(self) -> int:
        """Records that are known to be missing; for kinds without a grid those of refused rows and jumping ids."""
        return self.missing.records

    @property
    def data_gaps(self) -> int:
        """Holes in which something is missing."""
        return self.missing.count

    @property
    def expected_records(self) -> int | None:
        """Bars that should be there; ``None`` for kinds without a grid."""
        if not self.on_grid:
            return None
        return self.present_records + self.missing_records

    @property
    def completeness_ratio(self) -> float | None:
        """Which share is there: of the expected bars, or else of the time; ``None`` if nobody can know.

        It is 1 only where nothing is missing, however little that may be.
        """
        share = self._share_there
        if share is None or self.is_complete:
            return share
        # A nanosecond in a year is less than a float can tell from nothing.
        return min(share, _ALL_BUT_NOTHING)

    @property
    def _share_there(self) -> float | None:
        if self.on_grid:
            if not self.expected_records:
                return None
            return self.present_records / self.expected_records
        if not self.open_time:
            return None
        return 1 - self.missing.time / self.open_time

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing."""
        return self.missing == Holes()

    @property
    def soundness(self) -> float:
        """1 less the :data:`PENALTIES` for rows that look wrong, 0 at worst.

        The shares are: refused rows of all that came (for bars 0, as they are missing already), outliers and stale
        prices of the rows, crossed books of those judged.
        """
        refused = 0
        if not self.on_grid:
            refused = _refused(self)
        rows, books = max(self.present_records, 1), max(self.judged_books, 1)
        penalty = PENALTIES["quarantined"] * (refused / max(self.present_records + refused, 1))
        penalty += PENALTIES["outliers"] * (self.outliers / rows)
        penalty += PENALTIES["stale"] * (self.stale_prices / rows)
        penalty += PENALTIES["crossed"] * (self.crossed_books / books)
        return max(0.0, 1 - penalty)

    @property
    def score(self) -> float | None:
        """``100 x completeness_ratio x soundness``, 100 only if both are 1; ``None`` where completeness cannot be known."""
        ratio = self.completeness_ratio
        if ratio is None:
            return None
        return _rounded(100 * ratio * self.soundness)


def _refused(figures: Figures) -> int:
    return sum(figures.quarantined.values())


def _counted_metrics() -> Iterator[Metric]:
    for figure in fields(Figures):
        if "heading" in figure.metadata:
            yield Metric(figure.name, is_stored=True, **figure.metadata)


COUNTED = tuple(_counted_metrics())
"""What is counted in rows: the fields of :class:`Figures` that say so."""
METRICS = (
    Metric("score", "score", pl.Float64, format_score, is_stored=True),
    Metric("completeness_ratio", "complete", pl.Float64, format_share, is_stored=True),
    Metric("expected_records"),
    Metric("missing_records", "missing", is_stored=True),
    Metric("data_gaps", "gaps"),
    Metric("quarantined", "refused", value=_refused),
    *COUNTED,
)
"""Every figure, in the order of tables. To add one, add it here, or as a field of :class:`Figures` that is counted.

What is stored also needs a column of the catalog's table ``quality_days``.
"""


def shown_metrics() -> list[Metric]:
    """Return the metrics that tables show, in order."""
    return [metric for metric in METRICS if metric.heading]


@dataclass(frozen=True, kw_only=True)
class DayQuality(Figures):
    """The figures of one UTC day, which begins at ``day`` (nanoseconds)."""

    day: int


@dataclass(frozen=True, kw_only=True, repr=False)
class Quality(Displayed, Figures):
    """The figures of a dataset inside a span, and of each of its days.

    Attributes
    ----------
    span
        What was looked at; ``None`` if the lake holds nothing and never looked.
    days
        The figures of each UTC day that meets the span.
    last
        The ``ts`` of the dataset's newest row, whatever the span, in nanoseconds.
    freshness
        Nanoseconds from the end of the newest row (for a bar its close) to now; ``None`` without rows. It is told
        and not scored: a finished history is not worse for being old.
    offered_again
        Rows that came again and said nothing new, in batches that meet the span.
    bars_behind
        How many bars have closed since then; ``None`` for kinds without a grid.
    """

    dataset: Dataset
    span: Span | None = None
    days: tuple[DayQuality, ...] = ()
    last: int | None = None
    freshness: int | None = None
    bars_behind: int | None = None
    offered_again: int = 0
    find_gaps: Callable[[], Sequence[Gap]] = field(default=tuple, repr=False, compare=False)

    def _summary(self) -> dict[str, Any]:
        span = None
        if self.span is not None:
            start, end = map(format_time, self.span)
            span = f"{start} .. {end}"
        return {
            "dataset": str(self.dataset),
            "span": span,
            "score": format_score(self.score),
            "complete": format_share(self.completeness_ratio),
            "present": self.present_records,
            "missing": self.missing_records,
            "quarantined": _refused(self),
            "days": len(self.days),
            "last": moment(self.last),
        }

    @property
    def gap_list(self) -> tuple[Gap, ...]:
        """Every hole inside the span, as ``lake.gaps`` returns it; looked for on access, while the lake is open."""
        return tuple(self.find_gaps())


def days_of(span: Span) -> Iterable[Span]:
    """Yield the parts of *span* that lie in one UTC day each."""
    start = span.start
    while start < span.end:
        end = min(start // DAY * DAY + DAY, span.end)
        yield Span(start, end)
        start = end


def holes_by_day(dataset: Dataset, gaps: Iterable[Gap], inside: Span) -> dict[int, dict[str, Holes]]:
    """Share out gaps among the days of *inside*. A gap that began before it is counted on none of them."""
    by_day: dict[int, dict[str, Holes]] = {}
    for gap in gaps:
        span = gap.span.intersect(inside)
        if span is None:
            continue
        reason = str(gap.reason)
        for part in days_of(span):
            # A hole counts once, on the day where it begins, so that the sum of days is the number of holes.
            begins = part.start == gap.span.start
            holes = Holes(int(begins), _records(dataset, gap, part, begins=begins), part.length)
            day = by_day.setdefault(part.start // DAY * DAY, {})
            day[reason] = day.get(reason, Holes()) + holes
    return by_day


def incomplete(qualities: Iterable[Quality]) -> list[Quality]:
    """Return those of datasets in which something is missing."""
    return [quality for quality in qualities if not quality.is_complete]


def total(figures: Iterable[Figures]) -> Figures:
    """Return the sums of *figures*."""
    on_grid = False
    open_time: int | None = None
    gaps: dict[str, Holes] = {}
    quarantined: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for part in figures:
        on_grid = on_grid or part.on_grid
        if part.open_time is not None:
            open_time = (open_time or 0) + part.open_time
        for reason, holes in part.gaps.items():
            gaps[reason] = gaps.get(reason, Holes()) + holes
        quarantined.update(part.quarantined)
        for metric in COUNTED:
            counts[metric.name] += metric.of(part)
    return Figures(on_grid=on_grid, open_time=open_time, gaps=gaps, quarantined=dict(quarantined), **counts)


def trend_of(days: Iterable[DayQuality]) -> pl.DataFrame:
    """Return a row a day: ``day`` and every one of the :data:`METRICS`."""
    schema: dict[str, type[pl.DataType]] = {"day": pl.Int64}
    schema |= {metric.name: metric.dtype for metric in METRICS}
    rows: list[list[Any]] = []
    for day in days:
        values = [metric.of(day) for metric in METRICS]
        rows.append([day.day, *values])
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("day").cast(TIME))


def _records(dataset: Dataset, gap: Gap, part: Span, *, begins: bool) -> int:
    """Return how many records are missing in one day's part of a gap."""
    if dataset.timeframe is None:
        if not begins:
            return 0
        return gap.known_missing or 0
    if part == gap.span and gap.missing is not None:
        return gap.missing
    return dataset.timeframe.count_in(part, dataset.anchor)


def _rounded(score: float) -> float:
    if score >= _FULL:
        return _FULL
    # Rounding must not turn an incomplete dataset into a full score.
    return min(round(score, 2), _BELOW_FULL)
