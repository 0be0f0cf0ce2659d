"""Quality: a day is measured when it is asked for; the result is stored until something it depends on changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from ticklake.audit.gaps import closed_spans, gap_report
from ticklake.catalog.append_log import Batches
from ticklake.catalog.quality import QualityDays, StoredDay
from ticklake.core.coverage import Coverage
from ticklake.core.dataset import Dataset
from ticklake.core.quality import DayQuality, Holes, Quality, days_of, holes_by_day, total
from ticklake.core.row_checks import REACH, columns_of, measure
from ticklake.core.span import Span, common, subtract
from ticklake.core.time import DAY, HOUR
from ticklake.engine.engine import Engine
from ticklake.errors import CatalogOutdated, ReadOnlyLake

__all__ = ["Assessor"]

FORMULA = 3
"""Increased when a measure changes, so that days stored before are measured again."""
BARS_AT_ONCE = 1 << 20
"""About so many bars are measured at a time."""
DAYS_AT_ONCE = 31
"""So many days are measured at a time of kinds without a grid."""


@dataclass(frozen=True, slots=True)
class _Day:
    """The requested part of a UTC day; ``basis`` is a digest of everything but rows that its figures depend on."""

    span: Span
    basis: str

    @property
    def begin(self) -> int:
        return self.span.start // DAY * DAY


@dataclass(frozen=True, slots=True)
class _Scope:
    """A dataset, the span to measure, the span it holds or covers, and the state of the catalog that was read."""

    dataset: Dataset
    want: Span
    known: Span
    coverage: Coverage
    closed: Sequence[Span]
    version: int
    changed_in: int

    def days(self) -> list[_Day]:
        """Return the days to measure."""
        facts: dict[int, list[tuple[object, ...]]] = {}
        for piece in self.coverage.within(self.want).pieces:
            for part in days_of(piece.span):
                facts.setdefault(part.start // DAY, []).append((part, str(piece.found), piece.reason))
        for span in common(self.closed, [self.want]):
            for part in days_of(span):
                facts.setdefault(part.start // DAY, []).append((part,))
        return [_Day(part, _digest(part, self.says_when, facts.get(part.start // DAY))) for part in days_of(self.want)]

    @property
    def everything(self) -> Span:
        """The span of everything known or to be measured."""
        return self.want.hull(self.known)

    @property
    def says_when(self) -> bool:
        """Whether a calendar or coverage defines when rows are expected."""
        return bool(self.coverage.pieces) or self.dataset.timeframe is not None

    def is_whole(self, day: _Day) -> bool:
        """Whether the requested part of a day is everything known of that day."""
        return day.span == Span(day.begin, day.begin + DAY).intersect(self.known)

    def open_time(self, day: _Day) -> int | None:
        """Return how long the market was open on a day; ``None`` if nothing defines when rows are expected."""
        if not self.says_when:
            return None
        open_time = day.span.length
        for span in self.closed:
            closed = span.intersect(day.span)
            if closed is not None:
                open_time -= closed.length
        return open_time


class Assessor:
    """Measures the quality of datasets.

    Whole days are read from the catalog if nothing has changed since they were measured; others are measured and stored
    there.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._days = QualityDays(engine.catalog.database, engine.catalog.pinned)
        self._batches = Batches(engine.catalog.database, engine.catalog.pinned)

    def assess(self, dataset: Dataset, want: Span | None, known: Span | None) -> Quality:
        """Return the quality of *dataset* inside *want*; *known* is the span that the lake holds or covers."""
        version, heads = self._engine.catalog.heads([dataset])
        head = heads.get(dataset)
        if want is None or known is None or head is None:
            return Quality(dataset=dataset, on_grid=dataset.timeframe is not None)
        coverage = self._engine.catalog.coverage(dataset)
        closed = closed_spans(self._engine, dataset, want)
        scope = _Scope(dataset, want, known, coverage, closed, version, head.changed_in)
        days = self._up_to_date(scope)
        sums = dict(vars(total(days)))
        # Refused rows without a time, or with a wild one, are of no day: only a report on everything counts them.
        if want == known:
            elsewhere = self._days.quarantined_elsewhere(dataset, known)
            sums["quarantined"] = _sum_counts(sums["quarantined"], elsewhere)
        # Batches may extend over many days, so they are counted for the whole span.
        sums["offered_again"] = self._batches.offered_again(dataset, want)
        return Quality(dataset=dataset, span=want, days=tuple(days), **sums, **self._freshness(dataset, head.max_ts))

    def _up_to_date(self, scope: _Scope) -> list[DayQuality]:
        """Return the figures of every day; only days that are not stored or have changed are measured."""
        days = scope.days()
        is_newest = self._engine.catalog.pinned is None
        stored: dict[int, StoredDay] = {}
        if is_newest:
            stored = self._unchanged(scope, days)
        fresh: dict[int, DayQuality] = {}
        for window in _windows(scope.dataset, [day for day in days if day.begin not in stored]):
            for figures in self._measured(scope, window):
                fresh[figures.day] = figures
        # Whether funding was lost also depends on other symbols, so it is checked each time (docs/adr/0016).
        if scope.dataset.timeframe is None and (fresh or scope.dataset.kind == "funding"):
            stored, fresh = self._with_gaps_of_all(scope, stored, fresh)
        if is_newest:
            self._keep(scope, days, stored, fresh)
        return [fresh[day.begin] if day.begin in fresh else stored[day.begin].figures for day in days]

    def _keep(
        self, scope: _Scope, days: Sequence[_Day], stored: Mapping[int, StoredDay], fresh: Mapping[int, DayQuality]
    ) -> None:
        """Store what was measured, unless the lake cannot be written; only figures of the newest version are stored."""
        whole = [day for day in days if day.begin in fresh and scope.is_whole(day)]
        measured = [StoredDay(fresh[day.begin], scope.version, day.basis) for day in whole]
        # Once confirmed, they need not be measured again when vacuum has removed what shows that nothing changed.
        unchanged = [begin for begin, day in stored.items() if day.version < scope.changed_in]
        # Stored days only save time: a lake that cannot be written can be measured all the same.
        with suppress(ReadOnlyLake, CatalogOutdated):
            self._days.store(scope.dataset, measured)
            self._days.confirm(scope.dataset, unchanged, scope.version)

    def _with_gaps_of_all(
        self, scope: _Scope, stored: dict[int, StoredDay], fresh: dict[int, DayQuality]
    ) -> tuple[dict[int, StoredDay], dict[int, DayQuality]]:
        """Give every day the holes that :func:`~ticklake.audit.gaps.gap_report` finds in the whole dataset.

        A day cannot be judged by the rows near it: sequence numbers jump, and events are missing, between rows that may be
        any number of days apart. And whether funding was lost depends on other symbols, whose changes are not checked here.
        """
        gaps = gap_report(self._engine, scope.dataset, scope.everything).gaps
        holes = holes_by_day(scope.dataset, gaps, scope.want)
        unchanged: dict[int, StoredDay] = {}
        for begin, day in stored.items():
            if day.figures.gaps == holes.get(begin, {}):
                unchanged[begin] = day
            else:
                fresh[begin] = day.figures
        for begin, figures in fresh.items():
            fresh[begin] = replace(figures, gaps=holes.get(begin, {}))
        return unchanged, fresh

    def _unchanged(self, scope: _Scope, days: Sequence[_Day]) -> dict[int, StoredDay]:
        """Return the stored days whose figures would be the same if they were measured now."""
        stored = self._days.stored(scope.dataset, Span(days[0].begin, scope.want.end))
        if not stored:
            return {}
        changed_in = self._changes_by_day(scope, min(day.version for day in stored.values()))
        oldest = self._engine.catalog.oldest_version()
        unchanged: dict[int, StoredDay] = {}
        for day in days:
            kept = stored.get(day.begin)
            if kept is None or kept.basis != day.basis or not scope.is_whole(day):
                continue
            # Vacuum removed the record of what changed between older versions: such a day is measured again.
            is_vacuumed = kept.version < oldest and kept.version < scope.changed_in
            if not is_vacuumed and changed_in.get(day.begin, 0) <= kept.version:
                unchanged[day.begin] = kept
        return unchanged

    def _changes_by_day(self, scope: _Scope, since: int) -> dict[int, int]:
        """Return the version that last changed each day after *since*; rows near a day's bounds belong to it, too."""
        want = _judged_with(scope.dataset, scope.want)
        newest: dict[int, int] = {}
        for span, version in self._days.changes(scope.dataset, want, since):
            near = _judged_with(scope.dataset, span).intersect(want)
            if near is None:
                continue
            for part in days_of(near):
                begin = part.start // DAY * DAY
                newest[begin] = max(newest.get(begin, 0), version)
        return newest

    def _measured(self, scope: _Scope, days: Sequence[_Day]) -> Iterator[DayQuality]:
        """Measure consecutive days."""
        dataset = scope.dataset
        span = Span(days[0].span.start, days[-1].span.end)
        holes: dict[int, dict[str, Holes]] = {}
        if dataset.timeframe is not None:
            gaps = gap_report(self._engine, dataset, _for_gaps(scope, span)).gaps
            holes = holes_by_day(dataset, gaps, span)
        refused = self._days.quarantined(dataset, span)
        counts = self._counted(dataset, span).rows_by_key("day", named=True, include_key=True, unique=True)
        for day in days:
            yield DayQuality(
                on_grid=dataset.timeframe is not None,
                open_time=scope.open_time(day),
                gaps=holes.get(day.begin, {}),
                quarantined=refused.get(day.begin, {}),
                **counts.get(day.begin, {"day": day.begin}),
            )

    def _counted(self, dataset: Dataset, span: Span) -> pl.DataFrame:
        columns = columns_of(dataset.spec)
        if dataset.timeframe is not None:
            rows = self._engine.load(dataset, _judged_with(dataset, span), columns=columns)
            return measure(rows, dataset.spec, span)
        frames = _hours(self._engine.chunks(dataset, span, columns=columns))
        parts = [measure(frame, dataset.spec, span) for frame in frames]
        if not parts:
            return measure(dataset.spec.empty().select(columns), dataset.spec, span)
        return pl.concat(parts).group_by("day", maintain_order=True).sum()

    def _freshness(self, dataset: Dataset, last: int | None) -> dict[str, Any]:
        """Return the newest row's time, how long ago it ended, and how many bars have closed since."""
        if last is None:
            return {}
        frame = dataset.timeframe
        now = self._engine.now()
        if frame is None:
            return {"last": last, "freshness": now - last}
        ended = frame.next(last, dataset.anchor)
        latest = frame.floor(now, dataset.anchor)
        behind = 0
        if latest > ended:
            since = Span(ended, latest)
            for trading in subtract(since, closed_spans(self._engine, dataset, since)):
                behind += frame.count_in(trading, dataset.anchor)
        return {"last": last, "freshness": now - ended, "bars_behind": behind}


def _digest(part: Span, says_when: bool, facts: object) -> str:
    return hashlib.blake2b(repr((FORMULA, part, says_when, facts)).encode(), digest_size=8).hexdigest()


def _sum_counts(counts: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    return {reason: counts.get(reason, 0) + others.get(reason, 0) for reason in sorted({*counts, *others})}


def _windows(dataset: Dataset, days: Sequence[_Day]) -> Iterator[Sequence[_Day]]:
    """Yield runs of consecutive days, at most as many as are measured at a time."""
    frame = dataset.timeframe
    most = DAYS_AT_ONCE
    if frame is not None:
        most = max(BARS_AT_ONCE * frame.length // DAY, 1)
    window: list[_Day] = []
    for day in days:
        if window and (len(window) == most or window[-1].span.end != day.span.start):
            yield window
            window = []
        window.append(day)
    if window:
        yield window


def _judged_with(dataset: Dataset, span: Span) -> Span:
    """Return *span* with the neighbouring rows that its own rows are compared with."""
    frame, anchor = dataset.timeframe, dataset.anchor
    if frame is None:
        return span.widen(DAY, DAY)
    return Span(frame.advance(span.start, -REACH, anchor), frame.advance(span.end - 1, REACH + 1, anchor))


def _for_gaps(scope: _Scope, span: Span) -> Span:
    """Return *span* with what is around it, so that a hole across its bounds is found whole, with its size.

    A bar that lasts longer than a day belongs to the day on which it opens.
    """
    around = _judged_with(scope.dataset, span)
    return around.intersect(scope.everything) or span


def _hours(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Cut sorted frames again, between hours: the measures of an hour need all its rows."""
    rest: pl.DataFrame | None = None
    for frame in frames:
        rows = frame
        if rest is not None:
            rows = pl.concat([rest, frame])
        ts = rows["ts"].to_physical()
        cut = ts.search_sorted(int(ts[-1]) // HOUR * HOUR)
        rest = rows.slice(cut)
        if cut:
            yield rows.head(cut)
    if rest is not None and rest.height:
        yield rest
