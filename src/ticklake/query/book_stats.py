"""Figures of order books: spreads, prices, amounts and imbalances at instants that follow one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from ticklake.core.book_state import Floats
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.knowledge import NO_LAG, Knowledge, Lags
from ticklake.core.span import Span
from ticklake.core.time import SECOND
from ticklake.engine.engine import Engine
from ticklake.query.book_checkpoints import checkpoint_before
from ticklake.query.book_rows import BookRows
from ticklake.query.book_series import Books, Schema, books_at, instants_in, lazy

__all__ = ["DEPTHS", "WINDOWS", "imbalances_at", "scan_imbalances", "scan_stats"]

DEPTHS = (1, 5, 10)
WINDOWS = (SECOND, 5 * SECOND, 15 * SECOND, 60 * SECOND)
"""Over so many nanoseconds imbalances are averaged."""
SAMPLE = SECOND
"""The books of a window are those of every second."""
_BEST = ("bid_price", "bid_amount", "ask_price", "ask_amount")
_PRICES = ("spread", "mid", "microprice")


def scan_stats(
    engine: Engine,
    dataset: Dataset,
    span: Span,
    every: int,
    depths: Sequence[int] = DEPTHS,
    knowledge: Knowledge = "default",
    lags: Lags = NO_LAG,
) -> pl.LazyFrame:
    """Return figures of the books in *span* as a lazy frame: a row *every* so many nanoseconds, null where there is no book."""
    rows = BookRows(engine, dataset, knowledge, lags, checkpoint_before)

    def frames() -> Iterator[pl.DataFrame]:
        before: Floats | None = None
        # One book more, before the first: order flow is what happened since the book before.
        for instants in instants_in(Span(span.start - every, span.end), every):
            for books in books_at(rows, instants, max(depths)):
                frame, best = _stats(books, depths, before)
                if before is None:
                    frame = frame.slice(1)
                before = best[-1:]
                yield frame

    return lazy(frames, _stats_schema(depths))


def _stats_schema(depths: Sequence[int]) -> Schema:
    schema: Schema = {"ts": TIME}
    schema |= dict.fromkeys((*_BEST, *_PRICES), pl.Float64())
    for depth in depths:
        names = (f"bid_amount_{depth}", f"ask_amount_{depth}", f"imbalance_{depth}")
        schema |= dict.fromkeys(names, pl.Float64())
    schema["order_flow"] = pl.Float64()
    return schema


def _stats(books: Books, depths: Sequence[int], before: Floats | None) -> tuple[pl.DataFrame, Floats]:
    """Return the figures of books, and the best levels of each."""
    deepest = max(depths)
    bids, asks = books.matrix("bid", "amount", deepest), books.matrix("ask", "amount", deepest)
    bid_price, ask_price = books.matrix("bid", "price", 1)[:, 0], books.matrix("ask", "price", 1)[:, 0]
    best = np.column_stack([bid_price, bids[:, 0], ask_price, asks[:, 0]])
    columns: dict[str, Floats] = dict(zip(_BEST, best.T, strict=True))
    columns["spread"] = ask_price - bid_price
    columns["mid"] = (bid_price + ask_price) / 2
    columns["microprice"] = (bid_price * asks[:, 0] + ask_price * bids[:, 0]) / (bids[:, 0] + asks[:, 0])
    for depth in depths:
        bid, ask = _amount(bids, depth), _amount(asks, depth)
        columns[f"bid_amount_{depth}"], columns[f"ask_amount_{depth}"] = bid, ask
        columns[f"imbalance_{depth}"] = _imbalance(bid, ask)
    if before is None:
        before = np.full((1, 4), np.nan)
    columns["order_flow"] = _order_flow(np.concatenate([before, best]))
    frame = pl.DataFrame(
        {name: pl.Series(np.ascontiguousarray(part), nan_to_null=True) for name, part in columns.items()}
    )
    times = pl.Series("ts", books.ts, dtype=pl.Int64).cast(TIME)
    return frame.insert_column(0, times), best


def _amount(amounts: Floats, depth: int) -> Floats:
    """Return the amount in the best *depth* levels, added from the best on; NaN where a side has no level."""
    sums: Floats = np.nancumsum(amounts[:, :depth], axis=1)[:, -1]
    sums[np.isnan(amounts[:, 0])] = np.nan
    return sums


def _imbalance(bid: Floats, ask: Floats) -> Floats:
    """Return the amount bid less the amount asked, as a share of both; a side without levels has none."""
    shares = np.full(len(bid), np.nan)
    known = ~(np.isnan(bid) & np.isnan(ask))
    bid, ask = np.nan_to_num(bid), np.nan_to_num(ask)
    shares[known] = (bid[known] - ask[known]) / (bid[known] + ask[known])
    return shares


def _order_flow(best: Floats) -> Floats:
    """Return what came to the best bid less what came to the best ask, from each book to the next.

    It is that of Cont, Kukanov and Stoikov, "The Price Impact of Order Book Events" (2014): what a side gained where its price is
    as good or better, less what it had where its price is as bad or worse.
    """
    bid, bid_amount, ask, ask_amount = best.T
    with np.errstate(invalid="ignore"):
        came = (bid[1:] >= bid[:-1]) * bid_amount[1:] - (bid[1:] <= bid[:-1]) * bid_amount[:-1]
        left = (ask[1:] <= ask[:-1]) * ask_amount[1:] - (ask[1:] >= ask[:-1]) * ask_amount[:-1]
    flow: Floats = came - left
    return flow


def scan_imbalances(
    engine: Engine,
    dataset: Dataset,
    span: Span,
    every: int,
    windows: Sequence[int] = WINDOWS,
    depth: int = 10,
    knowledge: Knowledge = "default",
    lags: Lags = NO_LAG,
) -> pl.LazyFrame:
    """Return the mean imbalances of books over windows that end at each instant, as a lazy frame."""

    def frames() -> Iterator[pl.DataFrame]:
        for instants in instants_in(span, every):
            yield imbalances_at(engine, dataset, instants.tolist(), windows, depth, knowledge, lags)

    return lazy(frames, _imbalance_schema(windows))


def _imbalance_schema(windows: Sequence[int]) -> Schema:
    schema: Schema = {"ts": TIME}
    for window in windows:
        schema[_name_of(window)] = pl.Float64()
    return schema


def imbalances_at(
    engine: Engine,
    dataset: Dataset,
    at: int | Sequence[int],
    windows: Sequence[int] = WINDOWS,
    depth: int = 10,
    knowledge: Knowledge = "default",
    lags: Lags = NO_LAG,
) -> pl.DataFrame:
    """Return the mean imbalances of the books over windows that end at each of some instants, a row each, in their order.

    A window has the books of every second, back from its instant: that of one second has the book at the instant alone. It is null if
    there is no book at one of them. One instant and many give the same bits: the books of a window are added in the same order.
    """
    wanted = np.atleast_1d(np.array(at, np.int64))
    ticks = max(windows) // SAMPLE
    # A column for each second of the longest window, the oldest first.
    samples = wanted[:, None] - SAMPLE * np.arange(ticks - 1, -1, -1)
    instants = np.unique(samples)
    shares = np.full(len(instants), np.nan)
    place = 0
    rows = BookRows(engine, dataset, knowledge, lags, checkpoint_before)
    if len(instants):
        for books in books_at(rows, instants, depth):
            bid = _amount(books.matrix("bid", "amount", depth), depth)
            ask = _amount(books.matrix("ask", "amount", depth), depth)
            shares[place : place + len(books)] = _imbalance(bid, ask)
            place += len(books)
    values = shares[np.searchsorted(instants, samples)].reshape(samples.shape)
    columns = {"ts": pl.Series(wanted).cast(TIME)}
    for window in windows:
        columns[_name_of(window)] = _means(values, window // SAMPLE)
    return pl.DataFrame(columns)


def _means(values: Floats, count: int) -> pl.Series:
    """Return the mean of the last *count* columns, added one by one."""
    total = np.zeros(len(values))
    for column in range(values.shape[1] - count, values.shape[1]):
        total += values[:, column]
    return pl.Series(total / count, nan_to_null=True)


def _name_of(window: int) -> str:
    return f"imbalance_{window // SECOND}s"
