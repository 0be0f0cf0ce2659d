"""Resampling: bars from trades or shorter bars, computed chunk by chunk, so that memory does not grow with the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

from ticklake.catalog.gap_notes import GapNotes
from ticklake.core.coverage import Found
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import KINDS
from ticklake.core.resample import bars_from_bars, bars_from_trades
from ticklake.core.span import Span
from ticklake.core.time import DAY
from ticklake.core.timeframe import Timeframe
from ticklake.engine.read import read_chunks
from ticklake.engine.store import Store
from ticklake.errors import Unsupported

__all__ = ["can_become", "resample", "whole_bars_in"]

_NEEDED = {"trades": ["ts", "price", "amount"]}


def resample(store: Store, dataset: Dataset, span: Span | None, timeframe: Timeframe) -> pl.DataFrame:
    """Return the bars of the rows inside *span*; stretches without rows, and no span at all, have no bar.

    Raises
    ------
    Unsupported
        If the rows are neither trades nor bars that *timeframe* is a multiple of.
    """
    _refuse_unfit(dataset, timeframe)
    bars = [pl.DataFrame(schema=KINDS["ohlcv"].schema)]
    if span is not None:
        bars += _bars(_rows(store, dataset, span), dataset, timeframe)
    return pl.concat(bars)


def whole_bars_in(store: Store, dataset: Dataset, span: Span, timeframe: Timeframe) -> Span | None:
    """Return the span of the bars that open inside *span* and of which the lake has the rows from end to end.

    A bound inside a bar does not cut it: the bar belongs to the time at which it opens, as stored bars do. Bars at the edges
    of what is known are left out, as more of their rows may be known later. Holes between the edges are not looked for.
    """
    known = _known(store, dataset, timeframe)
    if known is None:
        return None
    anchor = dataset.anchor_of(timeframe)
    touched = Span(timeframe.floor(known.start, anchor), timeframe.ceil(known.end, anchor))
    wanted = span.intersect(touched)
    if wanted is None:
        return None
    opening = timeframe.inner(wanted, anchor)
    whole = timeframe.whole_bars([known], anchor)
    if opening is None or not whole:
        return None
    return opening.intersect(whole[0])


def _known(store: Store, dataset: Dataset, timeframe: Timeframe) -> Span | None:
    """Return from when until when the rows of a dataset are known; ``None`` if it has none."""
    row = store.catalog.dataset(dataset)
    if row is None or row.min_ts is None or row.max_ts is None:
        return None
    rows = Span(row.min_ts, dataset.row_end(row.max_ts))
    if dataset.timeframe is None and str(dataset) not in GapNotes(store.catalog.database, store.now).collected():
        return _known_of_saved_trades(rows, dataset, timeframe, store.now())
    known = rows
    for covered in store.catalog.coverage(dataset).spans(Found.DATA):
        known = known.hull(covered)
    return known


def _known_of_saved_trades(rows: Span, dataset: Dataset, timeframe: Timeframe, now: int) -> Span | None:
    """Return the time of all bars that trades touch which no source will add to, without one that is not over by the clock."""
    anchor = dataset.anchor_of(timeframe)
    start = timeframe.floor(rows.start, anchor)
    end = min(timeframe.ceil(rows.end, anchor), timeframe.floor(now, anchor))
    if end <= start:
        return None
    return Span(start, end)


def can_become(dataset: Dataset, timeframe: Timeframe) -> bool:
    """Whether the rows of *dataset* make bars of *timeframe*: trades do, and bars of which it is a multiple."""
    own = dataset.timeframe
    if own is None or own.is_month:
        return dataset.kind == "trades"
    if timeframe.is_month:
        return DAY % own.length == 0
    # Bars of three days that count from Thursday do not make weeks that count from Monday.
    shift = timeframe.offset(dataset.anchor_of(timeframe)) - own.offset(dataset.anchor)
    return timeframe.length % own.length == 0 and shift % own.length == 0


def _refuse_unfit(dataset: Dataset, timeframe: Timeframe) -> None:
    if can_become(dataset, timeframe):
        return
    if dataset.timeframe is None:
        raise Unsupported(f"{dataset} cannot become bars: name a dataset of trades or of bars")
    own = dataset.timeframe
    raise Unsupported(f"{own} bars cannot become {timeframe} bars: name a timeframe made of whole {own} bars")


def _rows(store: Store, dataset: Dataset, span: Span) -> Iterator[pl.DataFrame]:
    columns = _NEEDED.get(dataset.kind, list(KINDS["ohlcv"].schema))
    return read_chunks(store, store.view(dataset, span), columns)


def _bars(chunks: Iterator[pl.DataFrame], dataset: Dataset, timeframe: Timeframe) -> Iterator[pl.DataFrame]:
    """Yield whole bars chunk by chunk; the last bar of a chunk waits for what follows."""
    make: Callable[[pl.LazyFrame, Timeframe, int | None], pl.LazyFrame] = bars_from_bars
    if dataset.kind == "trades":
        make = bars_from_trades
    anchor = dataset.anchor_of(timeframe)
    held: pl.DataFrame | None = None
    for chunk in chunks:
        bars = make(chunk.lazy(), timeframe, anchor).collect()
        if held is not None and held["ts"][0] == bars["ts"][0]:
            joined = bars_from_bars(pl.concat([held, bars.head(1)]).lazy(), timeframe, anchor).collect()
            bars = pl.concat([joined, bars.slice(1)])
        elif held is not None:
            yield held
        yield bars.head(bars.height - 1)
        held = bars.tail(1)
    if held is not None:
        yield held
