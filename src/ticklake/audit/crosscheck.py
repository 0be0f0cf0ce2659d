"""Cross-checks: bars against bars rebuilt from other datasets, and stored rows against the exchange's answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from ticklake.audit.gaps import gap_report
from ticklake.catalog.changes import keying_of
from ticklake.core.batch import canonical, number_prints, sort
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
    datasets = [row.dataset for row in engine.inventory() if _is_witness(row.dataset, dataset, frame)]
    return sorted(datasets, key=_bar_length)


def _is_witness(other: Dataset, dataset: Dataset, frame: Timeframe) -> bool:
    """Whether the bars of *dataset*, each as long as *frame*, can be rebuilt from another dataset."""
    # What is made of other rows is no record of its own.
    if (
        other.variant is not None
        or other == dataset
        or (other.exchange, other.symbol) != (dataset.exchange, dataset.symbol)
    ):
        return False
    if other.kind != dataset.kind and (other.kind, dataset.kind) != ("trades", "ohlcv"):
        return False
    return can_become(other, frame) and _bar_length(other) < frame.length


def _bar_length(dataset: Dataset) -> int:
    if dataset.timeframe is None:
        return 0
    return dataset.timeframe.length


def rebuilt(engine: Engine, dataset: Dataset, want: Span, tolerance: float) -> Iterator[CrossCheck]:
    """Yield the comparison of the stored bars of *dataset* with those that each witness makes.

    Only bars that lie wholly where both sides are complete are compared.
    """
    complete = complete_spans(engine, dataset, want)
    for witness in witnesses(engine, dataset):
        shared = common(complete, complete_spans(engine, witness, want))
        yield _rebuilt_from(engine, dataset, witness, shared, tolerance)


def complete_spans(engine: Engine, dataset: Dataset, want: Span) -> list[Span]:
    """Return the parts of *want* in which the lake has every row that exists.

    Trades without any coverage are taken to be complete between the first and the last.
    """
    known = engine.known(dataset)
    if known is None:
        return []
    span = known.intersect(want)
    if span is None:
        return []
    # Imported trades have no coverage: all between them counts as not fetched.
    is_imported = dataset.timeframe is None and not engine.catalog.coverage(dataset).pieces
    holes: list[Span] = []
    for gap in gap_report(engine, dataset, span).gaps:
        if is_imported and gap.reason is GapReason.NOT_FETCHED:
            continue
        if gap.reason.is_missing:
            holes.append(gap.span)
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
    compared = 0
    differences = [pl.DataFrame(schema=DIFFERENCES)]
    for window, parts in _windows(frame.whole_bars(spans, dataset.anchor), frame, dataset.anchor):
        rebuilt_bars = rows_in(resample(engine.store, witness, window, frame), parts)
        stored = rows_in(engine.load(dataset, window), parts)
        count, different = compare(
            without_untraded(rebuilt_bars, stored),
            without_untraded(stored, rebuilt_bars),
            dataset.spec,
            tolerance=tolerance,
            without=without,
        )
        compared += count
        differences.append(different)
    return CrossCheck(dataset, str(witness), compared, pl.concat(differences))


def _is_aggregated(engine: Engine, witness: Dataset) -> bool:
    """Whether rows are aggregated trades."""
    row = engine.catalog.dataset(witness)
    return row is not None and row.id_space == "agg"


def _windows(spans: Sequence[Span], frame: Timeframe, anchor: int | None) -> Iterator[tuple[Span, list[Span]]]:
    """Yield windows of a bounded number of bars, each with the parts of *spans* in it."""
    rest = list(reversed(spans))
    while rest:
        start = rest[-1].start
        end = frame.advance(start, BARS_AT_ONCE, anchor)
        parts: list[Span] = []
        while rest and rest[-1].start < end:
            span = rest.pop()
            parts.append(Span(span.start, min(span.end, end)))
            if span.end > end:
                rest.append(Span(end, span.end))
        yield Span(start, parts[-1].end), parts


async def against_source(
    engine: Engine, source: Source, dataset: Dataset, spans: Iterable[Span], tolerance: float
) -> CrossCheck:
    """Compare stored rows with those that *source* returns now; nothing is stored."""
    compared = 0
    differences = [pl.DataFrame(schema=DIFFERENCES)]
    for span in spans:
        async for page in source.history(dataset, span):
            count, different = await asyncio.to_thread(_against_page, engine, dataset, span, page, tolerance)
            compared += count
            differences.append(different)
    origin = source.provenance(dataset)
    return CrossCheck(dataset, f"{origin.source} {origin.endpoint}".strip(), compared, pl.concat(differences))


def _against_page(
    engine: Engine, dataset: Dataset, span: Span, page: Page, tolerance: float
) -> tuple[int, pl.DataFrame]:
    """Compare the spans that the page covers with data, where it is the truth even if it has no rows."""
    parts = common(normalise(page.data_spans), [span])
    kind = dataset.spec
    keying = keying_of(engine.catalog.dataset(dataset))
    theirs = rows_in(sort(canonical(page.frame, kind), kind), parts)
    stored = pl.concat([kind.no_rows, *(engine.load(dataset, part) for part in parts)])
    ours = canonical(stored, kind)
    if keying == "print":
        ours, theirs = number_prints(ours), number_prints(theirs)
    return compare(ours, theirs, kind, keying, tolerance=tolerance)
