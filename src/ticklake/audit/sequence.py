"""Sequence numbers: if the numbers of two rows follow each other, nothing is missing between them, covered or not."""

from __future__ import annotations

import polars as pl

from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.sequence import NUMBERS, follows, has_numbers
from ticklake.core.span import Span
from ticklake.core.time import MINUTE
from ticklake.engine.engine import Engine
from ticklake.engine.read import load
from ticklake.engine.store import Store

__all__ = ["cover_seams", "whole_numbers"]


def cover_seams(engine: Engine, dataset: Dataset, most: int = 10_000) -> None:
    """Cover the uncovered spans that lie between rows whose numbers follow each other.

    As coverage they count in gaps, quality and fetch plans alike, and are not fetched again. Only the *most* newest
    uncovered spans are checked.
    """
    seams = _proven_seams(engine.store, dataset, most)
    if seams:
        origin = Provenance("file", note="numbers that follow each other")
        engine.append(dataset, dataset.spec.empty(), origin, Covered.each_of(seams))


def _proven_seams(store: Store, dataset: Dataset, most: int) -> list[Span]:
    """Return the uncovered spans between rows whose numbers follow each other; each check takes a short read.

    Such a seam lies between two imported files, from the last row of one to the first row of the next, and between
    two pages of an exchange that serves only its newest trades. Integer ids of trades prove a seam on any exchange, the
    numbers of books only where they are known to follow each other.
    """
    row = store.catalog.dataset(dataset)
    if row is None or row.min_ts is None or row.max_ts is None or dataset.kind not in NUMBERS:
        return []
    # Ids of aggregated and of raw trades are two numberings: what is known of one exchange may hold for one of them only.
    is_known = has_numbers(dataset, row.id_space)
    if dataset.kind == "book" and not is_known:
        return []
    coverage = store.catalog.coverage(dataset)
    # Unavailable trades count, too: a source that serves its newest page alone leaves such a span before each page.
    missing = list(coverage.missing(Span(row.min_ts, row.max_ts + 1), retry=dataset.kind == "trades"))
    return [seam for seam in missing[-most:] if _is_proven(store, dataset, seam, coverage, is_known=is_known)]


def _is_proven(store: Store, dataset: Dataset, seam: Span, coverage: Coverage, *, is_known: bool) -> bool:
    """Whether the numbers of the rows in a seam and on its two sides follow each other.

    The rows beside it are those of the covered spans that touch the seam, at most a minute away. Where it is not known how
    an exchange numbers its trades, all rows of that minute have to follow each other: each side of the book might have
    numbers of its own.
    """
    start: int | None = None
    end: int | None = None
    for span in coverage.within(Span(seam.start - MINUTE, seam.end + MINUTE)).spans(Found.DATA):
        if span.end == seam.start:
            start = span.start
        if span.start == seam.end:
            end = span.end
    if start is None or end is None:
        return False
    column = NUMBERS[dataset.kind]
    rows = load(store, dataset, Span(start, end), columns=["ts", column])
    rows = rows.with_columns(whole_numbers(rows[column])).sort("ts", column, maintain_order=True)
    times = rows["ts"].to_physical()
    numbers = rows[column]
    earlier = times.filter(times < seam.start)
    later = times.filter(times >= seam.end)
    if not earlier.len() or not later.len():
        return False
    if is_known:
        numbers = numbers.filter((times >= earlier.max()) & (times <= later.min()))
    return follows(numbers, shared=dataset.kind == "book")


def whole_numbers(values: pl.Series) -> pl.Series:
    """Return ids as integers, null for an id that is not an integer."""
    # Trade ids are stored as text, as exchanges send them.
    if values.dtype != pl.String:
        return values
    return values.str.to_integer(strict=False, dtype=pl.Int64)
