"""Cross-checks: bars against what they can be rebuilt from, and stored rows against the exchange's answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from ticklake.audit.gaps import gap_report
from ticklake.catalog.changes import keying_of
from ticklake.core.batch import canonical, number_prints, sort
from ticklake.core.coverage import Found
from ticklake.core.crosscheck import DIFFERENCES, CrossCheck, compare, rows_in, without_untraded
from ticklake.core.dataset import Dataset
from ticklake.core.gaps import GapReason
from ticklake.core.span import Span, common, normalise, subtract
from ticklake.core.timeframe import Timeframe
from ticklake.engine.engine import Engine
from ticklake.query.resample import can_become, resample
from ticklake.sources.base import Page, Source

__all__ = ["against_source", "complete_spans", "rebuilt", "witnesses"]

BARS_AT_ONCE = 1 << 18
"""About so many bars are compared at a time."""


def witnesses(engine: Engine, dataset: Dataset) -> list[Dataset]:
    """Return the datasets of the lake that bars of *dataset* can be rebuilt from: trades first, then shorter bars."""
    frame = dataset.timeframe
    if frame is None:
        return []
    fit = [row.dataset for row in engine.inventory() if _is_witness(row.dataset, dataset, frame)]
    return sorted(fit, key=_bar_length)


def _is_witness(other: Dataset, dataset: Dataset, frame: Timeframe) -> bool:
    """Whether the bars of *dataset*, each as long as *frame*, can be rebuilt from another dataset."""
    if other == dataset or (other.exchange, other.symbol) != (dataset.exchange, dataset.symbol):
        return False
    if other.kind != dataset.kind and (other.kind, dataset.kind) != ("trades", "ohlcv"):
        return False
    return can_become(other, frame) and _bar_length(other) < frame.length


def _bar_length(dataset: Dataset) -> int:
    return 0 if dataset.timeframe is None else dataset.timeframe.length


def rebuilt(engine: Engine, dataset: Dataset, want: Span, tolerance: float) -> Iterator[CrossCheck]:
    """Yield the comparison of the stored bars of *dataset* with those that each witness makes.

    Only bars are compared that lie wholly where both sides have everything.
    """
    theirs = complete_spans(engine, dataset, want)
    for witness in witnesses(engine, dataset):
        shared = common(theirs, complete_spans(engine, witness, want))
        yield _rebuilt_from(engine, dataset, witness, shared, tolerance)


def complete_spans(engine: Engine, dataset: Dataset, want: Span) -> list[Span]:
    """Return the parts of *want* in which the lake has every row that exists.

    Trades without any coverage are taken to be complete between the first and the last.
    """
    known = engine.known(dataset)
    span = None if known is None else known.intersect(want)
    if span is None:
        return []
    taken = {reason for reason in GapReason if not reason.is_missing}
    if dataset.timeframe is None and not engine.catalog.coverage(dataset).pieces:
        taken.add(GapReason.NOT_FETCHED)
    holes = (gap.span for gap in gap_report(engine, dataset, span).gaps if gap.reason not in taken)
    return list(subtract(span, normalise(holes)))


def _rebuilt_from(
    engine: Engine, dataset: Dataset, witness: Dataset, spans: Sequence[Span], tolerance: float
) -> CrossCheck:
    frame = dataset.timeframe
    if frame is None:
        raise AssertionError("only bars can be rebuilt")
    without: list[str] = []
    if _is_aggregated(engine, witness):
        # Aggregated trades are fewer than those that the exchange counts in its bars.
        without.append("trades")
    compared, found = 0, [pl.DataFrame(schema=DIFFERENCES)]
    for window, parts in _windows(frame.whole_bars(spans, dataset.anchor), frame, dataset.anchor):
        ours = rows_in(resample(engine.store, witness, window, frame), parts)
        theirs = rows_in(engine.load(dataset, window), parts)
        count, apart = compare(
            without_untraded(ours, theirs),
            without_untraded(theirs, ours),
            dataset.spec,
            tolerance=tolerance,
            without=without,
        )
        compared += count
        found.append(apart)
    return CrossCheck(dataset, str(witness), compared, pl.concat(found))


def _is_aggregated(engine: Engine, witness: Dataset) -> bool:
    """Whether rows are aggregated trades."""
    row = engine.catalog.dataset(witness)
    return row is not None and row.id_space == "agg"


def _windows(spans: Sequence[Span], frame: Timeframe, anchor: int | None) -> Iterator[tuple[Span, list[Span]]]:
    """Yield windows of a bounded number of bars, each with the parts of *spans* in it."""
    left = list(reversed(spans))
    while left:
        end = frame.advance(left[-1].start, BARS_AT_ONCE, anchor)
        window, parts = Span(left[-1].start, end), list[Span]()
        while left and left[-1].start < end:
            span = left.pop()
            parts.append(Span(span.start, min(span.end, end)))
            if span.end > end:
                left.append(Span(end, span.end))
        yield Span(window.start, parts[-1].end), parts


async def against_source(
    engine: Engine, source: Source, dataset: Dataset, spans: Iterable[Span], tolerance: float
) -> CrossCheck:
    """Compare stored rows with what *source* says of them now; nothing is stored."""
    compared, found = 0, [pl.DataFrame(schema=DIFFERENCES)]
    for span in spans:
        async for page in source.history(dataset, span):
            count, apart = await asyncio.to_thread(_against_page, engine, dataset, span, page, tolerance)
            compared += count
            found.append(apart)
    origin = source.provenance(dataset)
    return CrossCheck(dataset, f"{origin.source} {origin.endpoint}".strip(), compared, pl.concat(found))


def _against_page(
    engine: Engine, dataset: Dataset, span: Span, page: Page, tolerance: float
) -> tuple[int, pl.DataFrame]:
    """Compare where the page is the truth: its rows, or that there are none."""
    data = normalise(piece.span for piece in page.covered if piece.found is Found.DATA)
    parts = common(data, [span])
    row, kind = engine.catalog.dataset(dataset), dataset.spec
    keying = keying_of(row)
    theirs = rows_in(sort(canonical(page.frame, kind), kind), parts)
    stored = pl.concat([kind.empty().select(kind.names), *(engine.load(dataset, part) for part in parts)])
    ours = canonical(stored, kind)
    if keying == "print":
        ours, theirs = number_prints(ours), number_prints(theirs)
    return compare(ours, theirs, kind, keying, tolerance=tolerance)
