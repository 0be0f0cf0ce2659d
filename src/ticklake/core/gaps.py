"""What is missing, and why: pure arithmetic on coverage, the calendar and the rows."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Any

import polars as pl

from ticklake.core.coverage import COMPLETE, Coverage, Found
from ticklake.core.dataset import Dataset
from ticklake.core.display import Displayed, counts_text
from ticklake.core.events import Missed, missed_within
from ticklake.core.outage import LONGEST, covers, inside
from ticklake.core.sequence import Jump
from ticklake.core.span import Span, normalise, outside, subtract
from ticklake.core.time import format_time
from ticklake.core.timeframe import Timeframe

__all__ = [
    "Gap",
    "GapReason",
    "GapReport",
    "apart_from_outer_instants",
    "bar_holes",
    "during_outages",
    "gaps_by_coverage",
    "gaps_of",
    "gaps_within",
    "missing_in",
    "missing_words",
    "never_fetched",
    "silence_reason",
    "with_events",
    "with_jumps",
    "with_rows_missing",
]


class GapReason(StrEnum):
    """Why rows that one would expect are not there."""

    NOT_FETCHED = "not_fetched"
    NO_TRADES = "no_trades"
    OUTAGE = "outage"
    UNAVAILABLE = "unavailable"
    LOST = "lost"
    INVALID = "invalid"

    @property
    def is_missing(self) -> bool:
        """Whether rows are missing for this reason; else there was nothing to be had.

        This is the only definition: gaps, quality, the outcome of runs, repairs and alerts all ask it.
        """
        return self not in (GapReason.NO_TRADES, GapReason.OUTAGE)


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Gap(Displayed):
    """A hole: its span, how many rows are missing in it (``None`` where nobody can count them), and why.

    Bars are counted by the calendar, trades and book updates by their numbers, funding by its schedule.
    """

    span: Span
    missing: int | None
    reason: GapReason
    detail: str = ""

    def _summary(self) -> dict[str, Any]:
        start, end = map(format_time, self.span)
        missing = "?"
        if self.missing is not None:
            missing = f"{self.missing:,}"
        return {
            "span": f"{start} .. {end}",
            "missing": missing,
            "reason": self.reason.value,
            "detail": self.detail,
        }

    @property
    def known_missing(self) -> int | None:
        """How many rows are missing, as far as is known: a refused row is one; ``None`` where nobody can count."""
        if self.missing is None and self.reason is GapReason.INVALID:
            return 1
        return self.missing


@dataclass(frozen=True, slots=True, repr=False)
class GapReport(Displayed):
    """Every hole of one dataset, and notes on what is none: where its numbers begin anew."""

    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()

    def _summary(self) -> dict[str, Any]:
        counts = Counter(str(gap.reason) for gap in self.gaps)
        return {"gaps": counts_text(dict(sorted(counts.items()))), "notes": self.notes}


_FEW_TIMES = 1 << 18
"""So many times are collected before repetitions among them are dropped."""
_REASON_OF = {Found.UNAVAILABLE: GapReason.UNAVAILABLE, Found.LOST: GapReason.LOST}


def gaps_of(
    dataset: Dataset,
    want: Span,
    coverage: Coverage,
    present: Iterable[pl.Series],
    invalid: Iterable[pl.Series],
    closed: Sequence[Span] = (),
    *,
    only_snapshots: bool = False,
) -> list[Gap]:
    """Return every hole of *dataset* inside *want*, in order.

    Both kinds of times come in pieces, each of which is forgotten before the next: memory depends on the holes alone.

    Parameters
    ----------
    present
        The ``ts`` of the rows inside *want*, as sorted ``Int64``, piece after piece; only looked at for bars.
    invalid
        The times of quarantined rows, in any order: holes of an instant each where there are no bars.
    closed
        When the market is closed, sorted and disjoint: nothing is missing then.
    only_snapshots
        Whether the rows tell of an instant each, and nobody asked for what lies between them.
    """
    if dataset.timeframe is None:
        gaps = gaps_by_coverage(dataset, want, coverage, closed, only_snapshots=only_snapshots)
        gaps += _refused_rows(want, invalid)
        return sorted(gaps, key=_start)
    holes = bar_holes(dataset, want, present, coverage, closed)
    refused = _refused_bars(dataset, holes, invalid)
    return list(_bar_gaps(dataset, holes, coverage, refused))


def gaps_by_coverage(
    dataset: Dataset, want: Span, coverage: Coverage, closed: Sequence[Span] = (), *, only_snapshots: bool = False
) -> list[Gap]:
    """Return the holes that coverage and calendar know of, whatever the rows are."""
    gaps: list[Gap] = []
    for open_span in subtract(want, closed):
        gaps += _by_coverage(dataset, open_span, coverage, only_snapshots=only_snapshots)
    return gaps


def _refused_rows(want: Span, invalid: Iterable[pl.Series]) -> Iterator[Gap]:
    """Yield a gap of an instant for each time inside *want* at which rows were refused."""
    for ts in _distinct_inside(invalid, [want]):
        yield Gap(Span(ts, ts + 1), None, GapReason.INVALID)


def apart_from_outer_instants(
    gaps: Iterable[Gap], coverage: Coverage, oldest: int | None, newest: int | None
) -> tuple[list[Gap], list[Gap]]:
    """Return gaps without the instants of the oldest and of the newest row, if coverage begins and ends with them, and these instants.

    A live stream covers the time between its first and its newest row. Whether others share these instants is not known.
    """
    reach = coverage.reach
    if reach is None or oldest is None or newest is None:
        return list(gaps), []
    outer: list[Span] = []
    if reach.start == oldest + 1:
        outer.append(Span(oldest, reach.start))
    if reach.end == newest:
        outer.append(Span(newest, newest + 1))
    inner: list[Gap] = []
    instants: list[Gap] = []
    for gap in gaps:
        if gap.reason is GapReason.NOT_FETCHED and gap.span in outer:
            instants.append(gap)
        else:
            inner.append(gap)
    return inner, instants


def with_rows_missing(instants: Iterable[Gap], jumps: Collection[Jump], what: str) -> Iterator[Gap]:
    """Yield the outer instants in which numbers jump: then others do share them, and were not fetched."""
    for gap in instants:
        own = [jump for jump in jumps if jump.before == gap.span.start]
        if own:
            numbers = ", ".join(f"{jump.first} to {jump.last}" for jump in own)
            count = sum(jump.count for jump in own)
            yield replace(gap, missing=count, detail=f"{what} {numbers} are missing")


def never_fetched(want: Span, coverage: Coverage, *, only_snapshots: bool = False) -> Iterator[Span]:
    """Yield the parts of *want* that nobody looked at.

    A snapshot tells of its instant alone: beside what was looked at, nothing is expected of *only_snapshots*.
    """
    expected: Span | None = want
    if only_snapshots:
        reach = coverage.reach
        # Snapshots are expected only from the first to the last piece of coverage (docs/adr/0031).
        expected = reach and reach.intersect(want)
    if expected is not None:
        yield from coverage.missing(expected)


def missing_in(gaps: Iterable[Gap]) -> list[Gap]:
    """Return the gaps in which rows are missing: a dataset is complete if there are none."""
    return [gap for gap in gaps if gap.reason.is_missing]


def missing_words(gaps: Iterable[Gap]) -> str:
    """Say how many rows are missing and why, and what is absent without being missing.

    Spans in which nobody can count the rows are counted themselves.

    Examples
    --------
    >>> missing_words([Gap(Span(0, 9), 3, GapReason.LOST), Gap(Span(9, 15), 2, GapReason.NO_TRADES)])
    'missing: 3 lost (and 2 no_trades)'
    """
    rows, spans = Counter[GapReason](), Counter[GapReason]()
    for gap in gaps:
        if gap.known_missing is None:
            spans[gap.reason] += 1
        else:
            rows[gap.reason] += gap.known_missing
    missing: list[str] = []
    not_missing: list[str] = []
    for reason in sorted({*rows, *spans}):
        counts = _counted_words(rows[reason], spans[reason], reason)
        if reason.is_missing:
            missing += counts
        else:
            not_missing += counts
    text = "nothing is missing"
    if missing:
        text = f"missing: {', '.join(missing)}"
    if not_missing:
        text += f" (and {', '.join(not_missing)})"
    return text


def _counted_words(rows: int, spans: int, reason: GapReason) -> Iterator[str]:
    """Yield how many rows are absent for a reason, and how many spans without a count of rows, if there are any."""
    if rows:
        yield f"{rows:,} {reason}"
    if spans == 1:
        yield f"1 span {reason}"
    elif spans:
        yield f"{spans:,} spans {reason}"


def bar_holes(
    dataset: Dataset, want: Span, present: Iterable[pl.Series], coverage: Coverage, closed: Sequence[Span] = ()
) -> list[Span]:
    """Return the spans of consecutive bars that are not in *present*, of those that lie in *want* wholly.

    Bars from before the listing are not expected, nor those that were removed for their age, nor those that lie
    wholly in one *closed* stretch.
    """
    frame, anchor = dataset.timeframe, dataset.anchor
    if frame is None:
        return []
    start, end = frame.ceil(want.start, anchor), frame.floor(want.end, anchor)
    if end <= start:
        return []
    bars = Span(start, end)
    absent = _absent_bars(frame, anchor, bars, present)
    # A bar that lies only partly in a closed stretch is expected: the market traded in the rest of it.
    absent = outside(absent, frame.whole_bars(closed, anchor))
    return list(outside(absent, coverage.spans(*COMPLETE)))


def with_jumps(gaps: Sequence[Gap], jumps: Iterable[Jump], coverage: Coverage, what: str) -> list[Gap]:
    """Add to sorted *gaps* what the numbers of rows tell, in order: a jump inside a looked-at span is ``lost``, with its count.

    A jump where something was ``lost`` anyway counts what is missing there; one that reaches into a stretch that was
    never looked at, or is unavailable, proves nothing.
    """
    lost: list[Gap] = []
    others: list[Gap] = []
    for gap in gaps:
        if gap.reason is GapReason.LOST:
            lost.append(gap)
        else:
            others.append(gap)
    from_jumps: list[Gap] = []
    data = coverage.spans(Found.DATA)
    data_or_lost = coverage.spans(Found.DATA, Found.LOST)
    for jump in jumps:
        span = jump.before_next
        if not covers(data_or_lost, span):
            continue
        place = bisect_right(lost, span.start, key=_end)
        if place < len(lost) and lost[place].span.overlaps(span):
            lost[place] = _with_more(lost[place], jump.count)
        elif from_jumps and from_jumps[-1].span.end >= jump.span.end:
            # A jump that is split by a refused row comes as two jumps with the same span.
            from_jumps[-1] = _with_more(from_jumps[-1], jump.count)
        elif covers(data, span):
            detail = f"{what} {jump.first} to {jump.last} are missing"
            from_jumps.append(Gap(_apart(jump, from_jumps, data), jump.count, GapReason.LOST, detail))
    return sorted([*lost, *others, *from_jumps], key=_start)


def _apart(jump: Jump, before: Sequence[Gap], data: Sequence[Span]) -> Span:
    """Return the span of a jump that does not overlap the gap before it, nor what was not looked at after it."""
    span = jump.span
    if not covers(data, span):
        span = jump.before_next
    if before and before[-1].span.end > span.start:
        # They share the instant of a row between them: it belongs to the first.
        span = Span(before[-1].span.end, span.end)
    return span


def _with_more(gap: Gap, count: int) -> Gap:
    return replace(gap, missing=(gap.missing or 0) + count)


def gaps_within(gaps: Iterable[Gap], want: Span) -> list[Gap]:
    """Return the parts of gaps that lie in *want*.

    Where in a gap its rows are missing nobody knows, so they are counted where it begins, as quality counts them.
    """
    inside_want: list[Gap] = []
    for gap in gaps:
        part = gap.span.intersect(want)
        if part is None:
            continue
        missing = gap.missing
        # Counted in the part that holds the beginning, so that the sum over all parts is right.
        if part.start != gap.span.start:
            missing = None
        inside_want.append(replace(gap, span=part, missing=missing))
    return inside_want


def with_events(gaps: Sequence[Gap], missed: Sequence[Missed]) -> list[Gap]:
    """Count in sorted *gaps* the events that the schedule says are missing there; where none is, nobody can count."""
    counted: list[Gap] = []
    for gap in gaps:
        count = sum(part.count for part in missed_within(missed, gap.span))
        counted.append(replace(gap, missing=count or gap.missing))
    return counted


def during_outages(dataset: Dataset, gaps: Sequence[Gap], outages: Iterable[tuple[Span, str]]) -> list[Gap]:
    """Give the parts of ``no_trades`` gaps that lie in an outage the reason ``outage``, with its detail.

    Where all were silent for longer than an exchange is ever out, the source does not serve that time.
    """
    ordered = sorted(outages)
    explained: list[Gap] = []
    for gap in gaps:
        if gap.reason is GapReason.NO_TRADES:
            explained += _split_by_outages(dataset, gap, ordered)
        else:
            explained.append(gap)
    return sorted(explained, key=_start)


def _split_by_outages(dataset: Dataset, gap: Gap, outages: Sequence[tuple[Span, str]]) -> Iterator[Gap]:
    """Yield the parts of a gap inside and between sorted outages; the gap as it is if none meets it."""
    first = bisect_right(outages, gap.span.start, key=lambda outage: outage[0].end)
    overlapping: list[Span] = []
    for span, detail in islice(outages, first, None):
        if span.start >= gap.span.end:
            break
        overlapping.append(span)
        part = gap.span.intersect(span)
        if part is not None:
            yield Gap(part, _bars(dataset, part), silence_reason(part), detail)
    if not overlapping:
        yield gap
        return
    for rest in subtract(gap.span, overlapping):
        yield replace(gap, span=rest, missing=_bars(dataset, rest))


def silence_reason(span: Span) -> GapReason:
    """Return what a silence of all symbols of an exchange is: an outage, unless it is longer than any was."""
    if span.length <= LONGEST:
        return GapReason.OUTAGE
    return GapReason.UNAVAILABLE


def _start(gap: Gap) -> Span:
    return gap.span


def _end(gap: Gap) -> int:
    return gap.span.end


def _absent_bars(frame: Timeframe, anchor: int | None, bars: Span, present: Iterable[pl.Series]) -> Iterator[Span]:
    """Yield the stretches of *bars* between those whose open times come by, in order; rows off the grid are no bars."""
    if frame.is_month:
        yield from _absent_months(frame, bars, present)
        return
    length, offset = frame.length, frame.offset(anchor)
    due = bars.start
    for times in present:
        is_on_grid = (times - offset) % length == 0
        opens = times.filter(inside(times, [bars]) & is_on_grid)
        if not opens.len():
            continue
        # Each bar is compared with the end of the one before it in one go: years of minutes have millions of bars.
        expected = pl.concat([pl.Series([due], dtype=pl.Int64), opens[:-1].rename("") + length])
        is_late = opens > expected
        yield from map(Span, expected.filter(is_late).to_list(), opens.filter(is_late).to_list())
        due = int(opens[-1]) + length
    if due < bars.end:
        yield Span(due, bars.end)


def _absent_months(frame: Timeframe, bars: Span, present: Iterable[pl.Series]) -> Iterator[Span]:
    opens = frame.opens(bars)
    for times in present:
        opens = opens.filter(~opens.is_in(times.implode()))
    yield from normalise(Span(ts, frame.next(ts)) for ts in opens.to_list())


def _distinct_inside(pieces: Iterable[pl.Series], spans: Sequence[Span]) -> list[int]:
    """Return the times of all pieces that lie in sorted, disjoint *spans*, once each, sorted."""
    distinct = pl.Series([], dtype=pl.Int64)
    fresh: list[pl.Series] = []
    fresh_count = 0
    for times in pieces:
        fresh.append(times.filter(inside(times, spans)).rename("").unique())
        fresh_count += fresh[-1].len()
        # Merging only once the fresh times outnumber the others keeps the whole linear, and memory bounded by what is distinct.
        if fresh_count > max(distinct.len(), _FEW_TIMES):
            distinct = pl.concat([distinct, *fresh]).unique()
            fresh = []
            fresh_count = 0
    return pl.concat([distinct, *fresh]).unique().sort().to_list()


def _refused_bars(dataset: Dataset, holes: Sequence[Span], invalid: Iterable[pl.Series]) -> list[int]:
    """Return the open times of the bars in *holes* of which rows were refused, sorted; elsewhere a good row came as well."""
    frame = dataset.timeframe
    if frame is None or not holes:
        return []
    refused = (_opens_of(frame, dataset.anchor, times) for times in invalid)
    return _distinct_inside(refused, holes)


def _opens_of(frame: Timeframe, anchor: int | None, times: pl.Series) -> pl.Series:
    """Return the open times of the bars in which ``Int64`` *times* lie."""
    if frame.is_month:
        months = [frame.floor(ts, anchor) for ts in times.to_list()]
        return pl.Series(months, dtype=pl.Int64)
    length, offset = frame.length, frame.offset(anchor)
    return (times - offset) // length * length + offset


def _bar_gaps(dataset: Dataset, holes: Iterable[Span], coverage: Coverage, refused: Sequence[int]) -> Iterator[Gap]:
    """Yield the gaps of the *holes* in the bars, each with its reason, in order."""
    data = coverage.spans(Found.DATA)
    for hole in holes:
        if _is_quiet(hole, data, refused):
            yield _gap(dataset, hole, GapReason.NO_TRADES)
        else:
            yield from sorted(_explain(dataset, hole, coverage, refused), key=_start)


def _by_coverage(dataset: Dataset, want: Span, coverage: Coverage, *, only_snapshots: bool = False) -> Iterator[Gap]:
    for span in never_fetched(want, coverage, only_snapshots=only_snapshots):
        yield Gap(span, _bars(dataset, span), GapReason.NOT_FETCHED)
    for piece in coverage.within(want).pieces:
        if piece.found in _REASON_OF:
            yield Gap(piece.span, _bars(dataset, piece.span), _REASON_OF[piece.found], piece.reason)


def _explain(dataset: Dataset, hole: Span, coverage: Coverage, refused: Sequence[int]) -> Iterator[Gap]:
    """Yield the parts of a hole in the bars, each with its reason."""
    yield from _by_coverage(dataset, hole, coverage)
    for piece in coverage.within(hole).pieces:
        if piece.found is Found.DATA:
            yield from _quiet(dataset, piece.span, refused)


def _is_quiet(hole: Span, data: Sequence[Span], refused: Sequence[int]) -> bool:
    """Whether a hole was looked at wholly, and no row in it refused."""
    place = bisect_right(data, hole.start, key=lambda span: span.start) - 1
    if place < 0 or data[place].end < hole.end:
        return False
    return bisect_left(refused, hole.start) == bisect_left(refused, hole.end)


def _quiet(dataset: Dataset, span: Span, refused: Sequence[int]) -> Iterator[Gap]:
    frame = dataset.timeframe
    if frame is None:
        return
    opens = refused[bisect_left(refused, span.start) : bisect_left(refused, span.end)]
    invalid = normalise(Span(ts, min(frame.next(ts, dataset.anchor), span.end)) for ts in opens)
    for part in subtract(span, invalid):
        yield _gap(dataset, part, GapReason.NO_TRADES)
    for part in invalid:
        yield _gap(dataset, part, GapReason.INVALID)


def _gap(dataset: Dataset, span: Span, reason: GapReason) -> Gap:
    return Gap(span, _bars(dataset, span), reason)


def _bars(dataset: Dataset, span: Span) -> int | None:
    if dataset.timeframe is None:
        return None
    return dataset.timeframe.count_in(span, dataset.anchor)
