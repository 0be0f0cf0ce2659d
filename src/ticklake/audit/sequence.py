"""Sequence numbers: rows whose numbers follow each other prove that nothing lies between them, whatever was looked at."""

from __future__ import annotations

import polars as pl

from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.sequence import NUMBERS, follows, has_numbers
from ticklake.core.span import Span
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
    """Return the stretches that were never looked at, but lie between two rows with numbers that follow each other.

    Of all that were never looked at, the *most* newest are; each takes two short reads.
    Files that were brought in one after the other end at a last row and begin at a first one. Whole numbers of trades
    prove the stretch between, on any exchange; those of books only where they are known to follow each other.
    """
    row = store.catalog.dataset(dataset)
    if row is None or row.min_ts is None or row.max_ts is None or dataset.kind not in NUMBERS:
        return []
    if dataset.kind == "book" and not has_numbers(dataset, row.id_space):
        return []
    missing = list(store.catalog.coverage(dataset).missing(Span(row.min_ts, row.max_ts + 1)))
    return [seam for seam in missing[-most:] if _is_proven(store, dataset, seam)]


def _is_proven(store: Store, dataset: Dataset, seam: Span) -> bool:
    """Whether the seam holds no row, and the numbers of the rows on its two sides follow each other."""
    before = _numbers(store, dataset, Span(seam.start - 1, seam.start))
    after = _numbers(store, dataset, Span(seam.end, seam.end + 1))
    if before is None or after is None or not follows(before, after):
        return False
    return not load(store, dataset, seam, columns=["ts"]).height


def whole_numbers(values: pl.Series) -> pl.Series:
    """Return ids as integers, null where one is no whole number: trade ids are stored as text, as exchanges give them."""
    if values.dtype != pl.String:
        return values
    return values.str.to_integer(strict=False, dtype=pl.Int64)


def _numbers(store: Store, dataset: Dataset, instant: Span) -> pl.Series | None:
    """Return the numbers of the rows at an instant; ``None`` without rows, or where one has no whole number."""
    column = NUMBERS[dataset.kind]
    values = load(store, dataset, instant, columns=["ts", column])[column]
    numbers = whole_numbers(values)
    if not numbers.len() or numbers.null_count():
        return None
    return numbers
