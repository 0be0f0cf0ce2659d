"""Quality: days are measured when somebody asks, and kept until something of them changes."""

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
from ticklake.core.span import Span, subtract
from ticklake.core.time import DAY, HOUR
from ticklake.engine.engine import Engine
from ticklake.errors import CatalogOutdated, ReadOnlyLake

__all__ = ["Assessor"]

FORMULA = 3
"""Raised when a measure changes, so that what was stored before is measured anew."""
BARS_AT_ONCE = 1 << 20
"""About so many bars are measured at a time."""
DAYS_AT_ONCE = 31
"""So many days of a kind without a grid."""


@dataclass(frozen=True, slots=True)
class _Day:
    """The part of a UTC day that is asked for; ``basis`` is a digest of what its figures depend on besides rows."""

    span: Span
    basis: str

    @property
    def begin(self) -> int:
        return self.span.start // DAY * DAY


@dataclass(frozen=True, slots=True)
class _Scope:
    """A dataset, which part of it is wanted, all that is known of it, and the state that was looked at."""

    dataset: Dataset
    want: Span
    known: Span
    coverage: Coverage
    closed: Sequence[Span]
    version: int
    changed_in: int

    def days(self) -> list[_Day]:
        """Return the days that are wanted."""
        facts: dict[int, list[tuple[object, ...]]] = {}
        for piece in self.coverage.within(self.want).pieces:
            for part in days_of(piece.span):
                facts.setdefault(part.start // DAY, []).append((part, str(piece.found), piece.reason))
        for span in self.closed:
            inside = span.intersect(self.want)
            if inside is None:
                continue
            for part in days_of(inside):
                facts.setdefault(part.start // DAY, []).append((part,))
        return [_Day(part, _digest(part, self.says_when, facts.get(part.start // DAY))) for part in days_of(self.want)]

    @property
    def everything(self) -> Span:
        """The span of all that is known or wanted."""
        return self.want.hull(self.known)

    @property
    def says_when(self) -> bool:
        """Whether a calendar or coverage defines when rows are expected."""
        return bool(self.coverage.pieces) or self.dataset.timeframe is not None

    def is_whole(self, day: _Day) -> bool:
        """Whether the part of a day that is asked for is all that is known of it."""
        return day.span == Span(day.begin, day.begin + DAY).intersect(self.known)


class Assessor:
    """Measures the quality of datasets.

    Whole days are taken from the catalog where nothing of them has changed since they were measured, and stored there
    otherwise.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._days = QualityDays(engine.catalog.database, engine.catalog.pinned)
        self._batches = Batches(engine.catalog.database, engine.catalog.pinned)

    def assess(self, dataset: Dataset, want: Span | None, known: Span | None) -> Quality:
        """Return the quality of *dataset* inside *want*; *known* is all that the lake holds or has looked at."""
        version, heads = self._engine.catalog.heads([dataset])
        head = heads.get(dataset)
        if want is None or known is None or head is None:
            return Quality(dataset=dataset, on_grid=dataset.timeframe is not None)
        coverage, closed = self._engine.catalog.coverage(dataset), closed_spans(self._engine, dataset, want)
        scope = _Scope(dataset, want, known, coverage, closed, version, head.changed_in)
        days = self._up_to_date(scope)
        sums = dict(vars(total(days)))
        if want == known:
            sums["quarantined"] = _added(sums["quarantined"], self._days.quarantined_elsewhere(dataset, known))
        sums["offered_again"] = self._batches.offered_again(dataset, want)
        return Quality(dataset=dataset, span=want, days=tuple(days), **sums, **self._freshness(dataset, head.max_ts))

    def _up_to_date(self, scope: _Scope) -> list[DayQuality]:
        """Return the figures of every day, measured only where that is needed."""
        days = scope.days()
        is_newest = self._engine.catalog.pinned is None
        stored = self._unchanged(scope, days) if is_newest else {}
        fresh: dict[int, DayQuality] = {}
        for window in _windows(scope.dataset, [day for day in days if day.begin not in stored]):
            fresh |= {figures.day: figures for figures in self._measured(scope, window)}
        if scope.dataset.timeframe is None and (fresh or scope.dataset.kind == "funding"):
            stored, fresh = self._with_gaps_of_all(scope, stored, fresh)
        if is_newest:
            self._keep(scope, days, stored, fresh)
        figures = fresh | {begin: day.figures for begin, day in stored.items()}
        return [figures[day.begin] for day in days]

    def _keep(
        self, scope: _Scope, days: Sequence[_Day], stored: Mapping[int, StoredDay], fresh: Mapping[int, DayQuality]
    ) -> None:
        """Store what was measured, where the lake can be written; only figures of the newest version are kept."""
        with suppress(ReadOnlyLake, CatalogOutdated):
            whole = [day for day in days if day.begin in fresh and scope.is_whole(day)]
            self._days.store(scope.dataset, [StoredDay(fresh[d.begin], scope.version, d.basis) for d in whole])
            old = [begin for begin, day in stored.items() if day.version < scope.changed_in]
            self._days.confirm(scope.dataset, old, scope.version)

    def _with_gaps_of_all(
        self, scope: _Scope, stored: dict[int, StoredDay], fresh: dict[int, DayQuality]
    ) -> tuple[dict[int, StoredDay], dict[int, DayQuality]]:
        """Give every day its holes as :func:`~ticklake.audit.gaps.gap_report` tells them of the whole dataset.

        Numbers jump, and events are due, between rows that may be any number of days apart, so no day can be judged by
        what is near it; and other symbols, whose changes are not looked at here, say whether funding was lost.
        """
        gaps = gap_report(self._engine, scope.dataset, scope.everything).gaps
        holes = holes_by_day(scope.dataset, gaps, scope.want)
        outdated = {day for day, kept in stored.items() if kept.figures.gaps != holes.get(day, {})}
        changed = {day: stored[day].figures for day in outdated}
        kept = {day: value for day, value in stored.items() if day not in outdated}
        judged = {day: replace(figures, gaps=holes.get(day, {})) for day, figures in (fresh | changed).items()}
        return kept, judged

    def _unchanged(self, scope: _Scope, days: Sequence[_Day]) -> dict[int, StoredDay]:
        """Return the days that are stored as they would be measured now."""
        stored = self._days.stored(scope.dataset, Span(days[0].begin, scope.want.end))
        if not stored:
            return {}
        moved = self._moved(scope, min(day.version for day in stored.values()))
        oldest = self._engine.catalog.oldest_version()
        unchanged: dict[int, StoredDay] = {}
        for day in days:
            kept = stored.get(day.begin)
            if kept is None or kept.basis != day.basis or not scope.is_whole(day):
                continue
            # What changed between two vacuumed versions cannot be told any more: such a day is measured again.
            vacuumed = kept.version < oldest and kept.version < scope.changed_in
            if not vacuumed and moved.get(day.begin, 0) <= kept.version:
                unchanged[day.begin] = kept
        return unchanged

    def _moved(self, scope: _Scope, since: int) -> dict[int, int]:
        """Return in which version each day last changed after *since*; rows near a day's bounds are judged with it."""
        want, moved = _judged_with(scope.dataset, scope.want), dict[int, int]()
        for span, version in self._days.changes(scope.dataset, want, since):
            near = _judged_with(scope.dataset, span).intersect(want)
            if near is None:
                continue
            for part in days_of(near):
                begin = part.start // DAY * DAY
                moved[begin] = max(moved.get(begin, 0), version)
        return moved

    def _measured(self, scope: _Scope, days: Sequence[_Day]) -> Iterator[DayQuality]:
        """Measure days that follow one another."""
        dataset, span = scope.dataset, Span(days[0].span.start, days[-1].span.end)
        holes: dict[int, dict[str, Holes]] = {}
        if dataset.timeframe is not None:
            holes = holes_by_day(dataset, gap_report(self._engine, dataset, _for_gaps(scope, span)).gaps, span)
        refused = self._days.quarantined(dataset, span)
        counts = {row["day"]: row for row in self._counted(dataset, span).to_dicts()}
        for day in days:
            parts = (span.intersect(day.span) for span in scope.closed)
            shut = sum(part.length for part in parts if part is not None)
            yield DayQuality(
                on_grid=dataset.timeframe is not None,
                open_time=day.span.length - shut if scope.says_when else None,
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
        frame, now = dataset.timeframe, self._engine.now()
        if frame is None:
            return {"last": last, "freshness": now - last}
        ended, latest = frame.next(last, dataset.anchor), frame.floor(now, dataset.anchor)
        behind = 0
        if latest > ended:
            since = Span(ended, latest)
            trading = subtract(since, closed_spans(self._engine, dataset, since))
            behind = sum(frame.count_in(part, dataset.anchor) for part in trading)
        return {"last": last, "freshness": now - ended, "bars_behind": behind}


def _digest(part: Span, looked: bool, facts: object) -> str:
    return hashlib.blake2b(repr((FORMULA, part, looked, facts)).encode(), digest_size=8).hexdigest()


def _added(counts: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    return {reason: counts.get(reason, 0) + more.get(reason, 0) for reason in sorted({*counts, *more})}


def _windows(dataset: Dataset, days: Sequence[_Day]) -> Iterator[Sequence[_Day]]:
    """Yield days that follow one another, as many as are measured at a time."""
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
    """Return the span whose rows decide on those of *span*."""
    frame, anchor = dataset.timeframe, dataset.anchor
    if frame is None:
        return span.widen(DAY, DAY)
    return Span(frame.advance(span.start, -REACH, anchor), frame.advance(span.end - 1, REACH + 1, anchor))


def _for_gaps(scope: _Scope, span: Span) -> Span:
    """Return *span* with what is around it, so that a hole over its bounds is seen as one, with its size.

    A bar that lasts longer than a day belongs to the day on which it opens.
    """
    around = _judged_with(scope.dataset, span)
    return around.intersect(scope.everything) or span


def _hours(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Cut sorted frames anew, between hours: an hour is judged as a whole."""
    rest: pl.DataFrame | None = None
    for frame in frames:
        rows = frame if rest is None else pl.concat([rest, frame])
        ts = rows["ts"].to_physical()
        cut = ts.search_sorted(int(ts[-1]) // HOUR * HOUR)
        rest = rows.slice(cut)
        if cut:
            yield rows.head(cut)
    if rest is not None and rest.height:
        yield rest
