"""What is missing, and why: pure arithmetic on coverage, the calendar and the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from ticklake.core.coverage import COMPLETE, Coverage, Found
from ticklake.core.dataset import Dataset
from ticklake.core.span import Span, normalise, subtract

__all__ = ["Gap", "GapReason", "bar_holes", "gaps_of"]


class GapReason(StrEnum):
    """Why rows that one would expect are not there."""

    NOT_FETCHED = "not_fetched"
    NO_TRADES = "no_trades"
    OUTAGE = "outage"
    UNAVAILABLE = "unavailable"
    LOST = "lost"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, order=True)
class Gap:
    """A hole: its span, how many bars are missing in it (``None`` for kinds without a grid), and why."""

    span: Span
    missing: int | None
    reason: GapReason
    detail: str = ""


_SHUT = {"ts": pl.Int64, "until": pl.Int64}
_WORDS = {Found.UNAVAILABLE: GapReason.UNAVAILABLE, Found.LOST: GapReason.LOST}


def gaps_of(
    dataset: Dataset,
    want: Span,
    coverage: Coverage,
    present: pl.Series,
    invalid: Iterable[int],
    closed: Sequence[Span] = (),
) -> list[Gap]:
    """Return every hole of *dataset* inside *want*, in order.

    Parameters
    ----------
    present
        The ``ts`` of the rows inside *want*, as sorted ``Int64``; only looked at for bars.
    invalid
        The times of quarantined rows: holes of an instant each where there are no bars.
    closed
        When the market is closed, sorted and disjoint: nothing is missing then.
    """
    if dataset.timeframe is None:
        refusals = (Gap(Span(ts, ts + 1), None, GapReason.INVALID) for ts in set(invalid) if ts in want)
        holes = subtract(want, closed)
        return sorted([*(gap for hole in holes for gap in _by_coverage(dataset, hole, coverage)), *refusals])
    refused = {dataset.timeframe.floor(ts, dataset.anchor) for ts in invalid}
    holes = iter(bar_holes(dataset, want, present, coverage, closed))
    return sorted(gap for hole in holes for gap in _explain(dataset, hole, coverage, refused))


def bar_holes(
    dataset: Dataset, want: Span, present: pl.Series, coverage: Coverage, closed: Sequence[Span] = ()
) -> list[Span]:
    """Return the spans of consecutive bars that are not in *present*, of those that lie in *want* wholly.

    Bars from before the listing are not expected, nor those that were removed for their age, nor those that lie
    wholly in one *closed* stretch.
    """
    frame = dataset.timeframe
    last = frame.floor(want.end, dataset.anchor) if frame else want.start
    if frame is None or last <= want.start:
        return []
    want = Span(want.start, last)
    absent = frame.opens(want, dataset.anchor).to_frame().join(present.alias("ts").to_frame(), on="ts", how="anti")
    opens = _while_open(dataset, absent["ts"], closed).to_list()
    holes = normalise(Span(ts, frame.next(ts, dataset.anchor)) for ts in opens)
    complete = coverage.spans(*COMPLETE)
    return [rest for hole in holes for rest in subtract(hole, complete)]


def _while_open(dataset: Dataset, opens: pl.Series, closed: Sequence[Span]) -> pl.Series:
    """Return those of the sorted open times whose bar is not wholly inside a closed stretch."""
    frame = dataset.timeframe
    if frame is None or not closed:
        return opens
    shut = pl.DataFrame({"ts": [s.start for s in closed], "until": [s.end for s in closed]}, schema=_SHUT)
    bars = opens.to_frame().join_asof(shut, on="ts", strategy="backward", check_sortedness=False)
    if frame.is_month:
        ends = pl.Series([frame.next(ts, dataset.anchor) for ts in opens], dtype=pl.Int64)
    else:
        ends = opens + frame.length
    return opens.filter((ends > bars["until"]).fill_null(True))


def _by_coverage(dataset: Dataset, want: Span, coverage: Coverage) -> Iterator[Gap]:
    for span in coverage.missing(want):
        yield Gap(span, _bars(dataset, span), GapReason.NOT_FETCHED)
    for piece in coverage.within(want).pieces:
        if piece.found in _WORDS:
            yield Gap(piece.span, _bars(dataset, piece.span), _WORDS[piece.found], piece.reason)


def _explain(dataset: Dataset, hole: Span, coverage: Coverage, refused: set[int]) -> Iterator[Gap]:
    """Give each part of a hole in the bars its word."""
    yield from _by_coverage(dataset, hole, coverage)
    for piece in coverage.within(hole).pieces:
        if piece.found is Found.DATA:
            yield from _quiet(dataset, piece.span, refused)


def _quiet(dataset: Dataset, span: Span, refused: set[int]) -> Iterator[Gap]:
    frame = dataset.timeframe
    if frame is None:
        return
    inside = sorted(ts for ts in refused if ts in span)
    bad = normalise(Span(ts, min(frame.next(ts, dataset.anchor), span.end)) for ts in inside)
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
