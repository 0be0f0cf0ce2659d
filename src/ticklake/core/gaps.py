"""What is missing, and why: pure arithmetic on coverage, the calendar and the rows."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Any

import polars as pl

from ticklake.core.coverage import COMPLETE, Coverage, Found
from ticklake.core.dataset import Dataset
from ticklake.core.display import Displayed
from ticklake.core.events import Missed, missed_within
from ticklake.core.outage import LONGEST, inside
from ticklake.core.sequence import Jump
from ticklake.core.span import Span, normalise, outside, subtract
from ticklake.core.time import format_time
from ticklake.core.timeframe import Timeframe

__all__ = [
    "Gap",
    "GapReason",
    "GapReport",
    "bar_holes",
    "during_outages",
    "gaps_of",
    "gaps_within",
    "missing_in",
    "missing_words",
    "never_fetched",
    "silence_reason",
    "with_events",
    "with_jumps",
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
        return {
            "span": f"{start} .. {end}",
            "missing": "?" if self.missing is None else f"{self.missing:,}",
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
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items()))
        return {"gaps": reasons, "notes": self.notes}


_FEW_TIMES = 1 << 18
_WORDS = {Found.UNAVAILABLE: GapReason.UNAVAILABLE, Found.LOST: GapReason.LOST}


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
        refused = _distinct(times.filter(inside(times, [want])) for times in invalid)
        refusals = (Gap(Span(ts, ts + 1), None, GapReason.INVALID) for ts in refused)
        open_spans = subtract(want, closed)
        return sorted(
            [
                *(
                    gap
                    for span in open_spans
                    for gap in _by_coverage(dataset, span, coverage, only_snapshots=only_snapshots)
                ),
                *refusals,
            ],
            key=_start,
        )
    holes = bar_holes(dataset, want, present, coverage, closed)
    return list(_bar_gaps(dataset, holes, coverage, _refused_bars(dataset, holes, invalid)))


def never_fetched(want: Span, coverage: Coverage, *, only_snapshots: bool = False) -> Iterator[Span]:
    """Yield the parts of *want* that nobody looked at.

    A snapshot tells of its instant alone: beside what was looked at, nothing is expected of *only_snapshots*.
    """
    expected: Span | None = want
    if only_snapshots:
        expected = want.intersect(coverage.reach) if coverage.reach else None
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
    quiet: list[str] = []
    for reason in sorted({*rows, *spans}):
        counts = [f"{rows[reason]:,} {reason}"] if rows[reason] else []
        counts += [f"{spans[reason]:,} {'span' if spans[reason] == 1 else 'spans'} {reason}"] if spans[reason] else []
        (missing if reason.is_missing else quiet).extend(counts)
    text = f"missing: {', '.join(missing)}" if missing else "nothing is missing"
    return f"{text} (and {', '.join(quiet)})" if quiet else text


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
    absent = _absent_months(frame, bars, present) if frame.is_month else _absent_bars(frame, anchor, bars, present)
    shut = [(frame.ceil(span.start, anchor), frame.floor(span.end, anchor)) for span in closed]
    absent = outside(absent, [Span(first, last) for first, last in shut if first < last])
    return list(outside(absent, coverage.spans(*COMPLETE)))


def with_jumps(gaps: Sequence[Gap], jumps: Iterable[Jump], coverage: Coverage, what: str) -> list[Gap]:
    """Add to sorted *gaps* what the numbers of rows tell, in order: a jump inside a looked-at span is ``lost``, with its count.

    A jump where something was ``lost`` anyway counts what is missing there; one that reaches into a stretch that was
    never looked at, or is unavailable, proves nothing.
    """
    told, known, last = list(gaps), [at for at, gap in enumerate(gaps) if gap.reason is GapReason.LOST], len(gaps)
    data, looked = coverage.spans(Found.DATA), coverage.spans(Found.DATA, Found.LOST)
    for jump in jumps:
        if any(subtract(jump.span, looked)):
            continue
        near = bisect_right(known, jump.span.start, key=lambda at: told[at].span.end)
        places = [*known[near : near + 1], *range(last, len(told))]
        place = next((at for at in places if told[at].span.overlaps(jump.span)), None)
        if place is not None:
            told[place] = replace(told[place], missing=(told[place].missing or 0) + jump.count)
        elif not any(subtract(jump.span, data)):
            last = len(told)
            told.append(Gap(jump.span, jump.count, GapReason.LOST, f"{what} {jump.first} to {jump.last} are missing"))
    return sorted(told, key=_start)


def gaps_within(gaps: Iterable[Gap], want: Span) -> list[Gap]:
    """Return the parts of gaps that lie in *want*.

    Where in a gap its rows are missing nobody knows, so they are counted where it begins, as quality counts them.
    """
    clipped = ((gap, gap.span.intersect(want)) for gap in gaps)
    return [
        gap
        if part == gap.span
        else replace(gap, span=part, missing=gap.missing if part.start == gap.span.start else None)
        for gap, part in clipped
        if part
    ]


def with_events(gaps: Sequence[Gap], missed: Sequence[Missed]) -> list[Gap]:
    """Count in sorted *gaps* the events that the schedule says are missing there; where none is, nobody can count."""
    counts = (sum(part.count for part in missed_within(missed, gap.span)) for gap in gaps)
    return [replace(gap, missing=count or gap.missing) for gap, count in zip(gaps, counts, strict=True)]


def during_outages(dataset: Dataset, gaps: Sequence[Gap], outages: Iterable[tuple[Span, str]]) -> list[Gap]:
    """Give the parts of ``no_trades`` gaps that lie in an outage that word, with its detail.

    Where all were silent for longer than an exchange is ever out, the source does not serve that time.
    """
    spans, told = sorted(outages), list[Gap]()
    for gap in gaps:
        first = bisect_right(spans, gap.span.start, key=lambda one: one[0].end)
        meeting = [one for one in islice(spans, first, None) if one[0].start < gap.span.end]
        if gap.reason is not GapReason.NO_TRADES or not meeting:
            told.append(gap)
            continue
        rests = subtract(gap.span, [span for span, _ in meeting])
        told += [replace(gap, span=rest, missing=_bars(dataset, rest)) for rest in rests]
        cuts = ((gap.span.intersect(span), detail) for span, detail in meeting)
        told += [Gap(cut, _bars(dataset, cut), silence_reason(cut), detail) for cut, detail in cuts if cut]
    return sorted(told, key=_start)


def silence_reason(span: Span) -> GapReason:
    """Return what a silence of all symbols of an exchange is: an outage, unless it is longer than any was."""
    return GapReason.OUTAGE if span.length <= LONGEST else GapReason.UNAVAILABLE


def _start(gap: Gap) -> Span:
    return gap.span


def _absent_bars(frame: Timeframe, anchor: int | None, bars: Span, present: Iterable[pl.Series]) -> Iterator[Span]:
    """Yield the stretches of *bars* between those whose open times come by, in order; rows off the grid are no bars."""
    length, offset, due = frame.length, frame.offset(anchor), bars.start
    for times in present:
        opens = times.filter(inside(times, [bars]) & ((times - offset) % length == 0))
        if not opens.len():
            continue
        expected = pl.concat([pl.Series([due], dtype=pl.Int64), opens[:-1].rename("") + length])
        late = opens > expected
        yield from map(Span, expected.filter(late).to_list(), opens.filter(late).to_list())
        due = int(opens[-1]) + length
    if due < bars.end:
        yield Span(due, bars.end)


def _absent_months(frame: Timeframe, bars: Span, present: Iterable[pl.Series]) -> Iterator[Span]:
    opens = frame.opens(bars)
    for times in present:
        opens = opens.filter(~opens.is_in(times.implode()))
    yield from normalise(Span(ts, frame.next(ts)) for ts in opens.to_list())


def _distinct(pieces: Iterable[pl.Series]) -> list[int]:
    """Return the times of all pieces once each, sorted."""
    held, fresh, count = pl.Series([], dtype=pl.Int64), list[pl.Series](), 0
    for times in pieces:
        fresh.append(times.rename("").unique())
        count += fresh[-1].len()
        if count > max(held.len(), _FEW_TIMES):
            held, fresh, count = pl.concat([held, *fresh]).unique(), [], 0
    return pl.concat([held, *fresh]).unique().sort().to_list()


def _refused_bars(dataset: Dataset, holes: Sequence[Span], invalid: Iterable[pl.Series]) -> list[int]:
    """Return the open times of the bars in *holes* of which rows were refused, sorted; elsewhere one came in all the same."""
    frame, anchor = dataset.timeframe, dataset.anchor
    if frame is None or not holes:
        return []
    if frame.is_month:
        opens = ((frame.floor(ts, anchor) for ts in times.to_list()) for times in invalid)
        refused = (pl.Series(list(months), dtype=pl.Int64) for months in opens)
    else:
        length, offset = frame.length, frame.offset(anchor)
        refused = ((times - offset) // length * length + offset for times in invalid)
    return _distinct(times.filter(inside(times, holes)) for times in refused)


def _bar_gaps(dataset: Dataset, holes: Iterable[Span], coverage: Coverage, refused: Sequence[int]) -> Iterator[Gap]:
    """Give the *holes* in the bars their words, in order."""
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
        if piece.found in _WORDS:
            yield Gap(piece.span, _bars(dataset, piece.span), _WORDS[piece.found], piece.reason)


def _explain(dataset: Dataset, hole: Span, coverage: Coverage, refused: Sequence[int]) -> Iterator[Gap]:
    """Give each part of a hole in the bars its word."""
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
    bad = normalise(Span(ts, min(frame.next(ts, dataset.anchor), span.end)) for ts in opens)
    cursor = span.start
    for piece in bad:
        if piece.start > cursor:
            yield _gap(dataset, Span(cursor, piece.start), GapReason.NO_TRADES)
        yield _gap(dataset, piece, GapReason.INVALID)
        cursor = piece.end
    if cursor < span.end:
        yield _gap(dataset, Span(cursor, span.end), GapReason.NO_TRADES)


def _gap(dataset: Dataset, span: Span, reason: GapReason) -> Gap:
    return Gap(span, _bars(dataset, span), reason)


def _bars(dataset: Dataset, span: Span) -> int | None:
    return dataset.timeframe.count_in(span, dataset.anchor) if dataset.timeframe else None
