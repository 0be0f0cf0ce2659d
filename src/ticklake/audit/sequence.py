"""Sequence numbers: rows whose numbers follow each other prove that nothing lies between them, whatever was looked at."""

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
    """Cover the stretches that were never looked at, where the numbers of the rows on both sides follow each other.

    They become coverage, so that gaps, quality and plans know of them alike, and nobody fetches them again. The *most*
    newest such stretches are looked at.
    """
    seams = _proven_seams(engine.store, dataset, most)
    if seams:
        origin = Provenance("file", note="numbers that follow each other")
        engine.append(dataset, dataset.spec.empty(), origin, [Covered(seam) for seam in seams])


def _proven_seams(store: Store, dataset: Dataset, most: int) -> list[Span]:
    """Return the stretches that lack trades by their coverage, but lie between rows with numbers that follow each other.

    Of all that were never looked at, or could not be had, the *most* newest are; each takes a short read.
    Files that were brought in one after the other end at a last row and begin at a first one; pages of an exchange that
    serves the newest trades alone, shortly after the one and at the other. Whole numbers of trades
    prove the stretch between, on any exchange; those of books only where they are known to follow each other.
    """
    row = store.catalog.dataset(dataset)
    if row is None or row.min_ts is None or row.max_ts is None or dataset.kind not in NUMBERS:
        return []
    is_known = has_numbers(dataset, row.id_space)
    if dataset.kind == "book" and not is_known:
        return []
    coverage = store.catalog.coverage(dataset)
    missing = list(coverage.missing(Span(row.min_ts, row.max_ts + 1), retry=dataset.kind == "trades"))
    return [seam for seam in missing[-most:] if _is_proven(store, dataset, seam, coverage, is_known=is_known)]


def _is_proven(store: Store, dataset: Dataset, seam: Span, coverage: Coverage, *, is_known: bool) -> bool:
    """Whether the numbers of the rows in a seam and on its two sides follow each other.

    The rows beside it are the nearest ones of what is whole right before and after it, at most a minute away. Where nobody
    knows how an exchange numbers its trades, all rows of that minute have to follow each other: each side of the book
    might have numbers of its own.
    """
    near = coverage.within(Span(seam.start - MINUTE, seam.end + MINUTE)).spans(Found.DATA)
    before = next((span for span in near if span.end == seam.start), None)
    after = next((span for span in near if span.start == seam.end), None)
    if before is None or after is None:
        return False
    column = NUMBERS[dataset.kind]
    rows = load(store, dataset, Span(before.start, after.end), columns=["ts", column])
    rows = rows.with_columns(whole_numbers(rows[column])).sort("ts", column, maintain_order=True)
    times, numbers = rows["ts"].to_physical(), rows[column]
    earlier, later = times.filter(times < seam.start), times.filter(times >= seam.end)
    if not earlier.len() or not later.len():
        return False
    if is_known:
        numbers = numbers.filter((times >= earlier.max()) & (times <= later.min()))
    return follows(numbers, shared=dataset.kind == "book")


def whole_numbers(values: pl.Series) -> pl.Series:
    """Return ids as integers, null where one is no whole number: trade ids are stored as text, as exchanges give them."""
    if values.dtype != pl.String:
        return values
    return values.str.to_integer(strict=False, dtype=pl.Int64)
