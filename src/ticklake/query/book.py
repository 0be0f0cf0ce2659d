"""Books: the snapshot of an order book at an instant."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ticklake.core.book import Book
from ticklake.core.dataset import Dataset
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.time import format_time
from ticklake.engine.engine import Engine

__all__ = ["book_at"]


def book_at(engine: Engine, dataset: Dataset, at: int | None, depth: int | None, columns: Sequence[str] | None) -> Book:
    """Return the newest snapshot at or before *at*, or an empty book with the reason why there is none."""
    names = list(dataset.spec.names)
    if columns is not None:
        names = list(columns)
    end = ALL_TIME.end
    if at is not None:
        end = min(at + 1, end)
    rows = engine.scan(dataset, Span(ALL_TIME.start, end))
    snapshots = rows.filter("is_snapshot")
    newest = snapshots.select("ts", "seq").tail(1).collect()
    if not newest.height:
        return _empty(dataset, names, _why(dataset, rows, at))
    # All rows of a snapshot have one time and one sequence number, so it is read at that time alone.
    last = newest.with_columns(pl.col("ts").to_physical()).row(0, named=True)
    moment = engine.scan(dataset, Span(last["ts"], last["ts"] + 1)).filter("is_snapshot", seq=last["seq"]).collect()
    bids = moment.filter(side="bid").sort("price", descending=True)
    asks = moment.filter(side="ask").sort("price")
    if depth is not None:
        bids = bids.head(depth)
        asks = asks.head(depth)
    return Book(pl.concat([bids, asks]).select(names))


def _why(dataset: Dataset, rows: pl.LazyFrame, at: int | None) -> str:
    until = ""
    if at is not None:
        until = f" at or before {format_time(at)}"
    changes = int(rows.select(pl.len()).collect().item())
    if changes:
        return f"{dataset} has {changes:,} changes{until}, and no snapshot that they change"
    return f"{dataset} has no rows{until}"


def _empty(dataset: Dataset, names: Sequence[str], reason: str) -> Book:
    book = Book(dataset.spec.empty().select(names))
    book.reason = reason
    return book
