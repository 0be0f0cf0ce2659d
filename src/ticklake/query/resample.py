"""Resampling: bars from trades or shorter bars, computed chunk by chunk, so that memory does not grow with the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from ticklake.catalog.gap_notes import GapNotes
from ticklake.core.bar_edges import BarEdges, GridEdges, SessionEdges
from ticklake.core.bars import Bars
from ticklake.core.coverage import Found
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import KINDS, TIME
from ticklake.core.lookup import absent
from ticklake.core.resample import BAR_COLUMNS, fill_bars, make_bars
from ticklake.core.sessions import SessionDay, Sessions
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.time import DAY
from ticklake.core.timeframe import Timeframe
from ticklake.engine.read import read_chunks
from ticklake.engine.store import Store
from ticklake.errors import Unsupported

__all__ = ["Resampling", "can_become", "resample", "whole_bars_in"]

_OHLCV = list(KINDS["ohlcv"].schema)
_SIDED = frozenset({"buy_volume", "sell_volume"})
_EMPTY = {name: KINDS["bars"].schema[name] for name in BAR_COLUMNS}


@dataclass(frozen=True, slots=True)
class Resampling:
    """By which rule the rows of a dataset become bars, and where these open.

    Parameters
    ----------
    edges
        Where time bars open; ``None`` for others.
    day
        With which days bars that end with a trade begin anew.
    sides
        Whether volume is told apart by the side of its trades.
    """

    dataset: Dataset
    bars: Bars
    edges: BarEdges | None
    day: SessionDay | None
    sides: bool = True

    @classmethod
    def of(cls, dataset: Dataset, bars: Bars, sessions: Sessions | None = None, *, sides: bool = True) -> Resampling:
        """Return how a dataset is resampled.

        Raises
        ------
        Unsupported
            If its rows are neither trades nor bars that the rule's bars are made of.
        """
        day = bars.day((sessions or Sessions()).day(dataset.exchange))
        _refuse_unfit(dataset, bars, day)
        edges: BarEdges | None = None
        if bars.timeframe is not None:
            anchor = dataset.anchor_of(bars.timeframe)
            edges = GridEdges(bars.timeframe, anchor, bars.origin)
            if day is not None:
                edges = SessionEdges(bars.timeframe, day, anchor)
        return cls(dataset, bars, edges, day, sides)

    def whole(self, store: Store, span: Span) -> pl.DataFrame:
        """Return the whole bars that open inside *span*."""
        if self.edges is None:
            return self._labelled(self._counted(store, span, partial=False))
        found = whole_bars_in(store, self.dataset, span, self.edges, self.shift)
        if found is None:
            return _none()
        return self._labelled(self._timed(store, self.edges, found, found))

    def partial(self, store: Store, span: Span) -> pl.DataFrame:
        """Return the bars of exactly the rows inside *span*: the first and the last one may be cut."""
        if self.edges is None:
            return self._labelled(self._counted(store, span, partial=True))
        return self._labelled(self._timed(store, self.edges, span, None))

    def chunks(self, store: Store, span: Span) -> Iterator[pl.DataFrame]:
        """Yield the whole bars of the rows inside *span*, which cuts through no bar and no day of a session."""
        rows = _earlier(span, -self.shift)
        for made in make_bars(self.rows(store, rows), self.bars, self.edges, self.day, sides=self.sides):
            yield made.filter("is_whole")

    @property
    def shift(self) -> int:
        """How much earlier rows are taken to find their bar: one on the edge belongs to the bar that ends there, if *closed* is right."""
        return int(self.bars.closed == "right")

    def whole_inside(self, span: Span) -> Span | None:
        """Return the span of the time bars all of whose rows lie inside *span*; bars that end with a trade are not looked at."""
        if self.edges is None:
            return span
        return self.edges.inside(_earlier(span, self.shift))

    def touched(self, span: Span) -> Span:
        """Return the span of all bars that rows inside *span* are part of, or that are counted after them on their day."""
        if self.edges is not None:
            return self.edges.around(_earlier(span, self.shift))
        if self.day is None:
            return Span(self.count_from(span.start), ALL_TIME.end)
        return Span(self.day.start(self.day.day(span.start)), self.day.start(self.day.day(span.end - 1) + 1))

    def _timed(self, store: Store, edges: BarEdges, span: Span, filled: Span | None) -> pl.DataFrame:
        rows = _earlier(span, -self.shift)
        made = pl.concat([_none(), *make_bars(self.rows(store, rows), self.bars, edges, sides=self.sides)])
        if self.bars.fill is None:
            return made
        if filled is None:
            if made.is_empty():
                return made
            filled = Span(made["ts"].to_physical()[0], made["close_time"].to_physical()[-1])
        return fill_bars(made, edges, filled, self.bars.fill)

    def _counted(self, store: Store, span: Span, *, partial: bool) -> pl.DataFrame:
        """Return the bars that open inside *span* of those that are counted from where counting begins."""
        made = [_none()]
        end = ALL_TIME.end
        if partial:
            end = span.end
        if self.count_from(span.start) >= end:
            return _none()
        for bars in make_bars(
            self.rows(store, Span(self.count_from(span.start), end)), self.bars, day=self.day, sides=self.sides
        ):
            opens = bars["ts"].to_physical()
            made.append(bars.filter(opens >= span.start, opens < span.end))
            # Bars come in order: all that follow open later.
            if opens[-1] >= span.end:
                break
        counted = pl.concat(made)
        if partial:
            return counted
        return counted.filter("is_whole")

    def count_from(self, start: int) -> int:
        """Return from when on rows are counted for bars that open at *start* or later."""
        if self.bars.origin is not None:
            return self.bars.origin
        if self.day is not None and start > ALL_TIME.start:
            return self.day.start(self.day.day(start))
        return start

    def rows(self, store: Store, span: Span) -> Iterator[pl.DataFrame]:
        """Yield the rows inside *span* with the columns that bars are made of."""
        for rows in read_chunks(store, store.view(self.dataset, span), self._columns()):
            if self.edges is None and "close_time" not in rows.columns:
                rows = rows.with_columns(self._ends(rows["ts"]).alias("close_time"))
            yield rows

    def _columns(self) -> list[str]:
        if self.dataset.spec.bars:
            return _OHLCV
        if self.dataset.kind != "trades":
            return absent(BAR_COLUMNS, ("number", "vwap"))
        columns = ["ts", "id", "price", "amount"]
        if self.sides:
            columns.append("side")
        return columns

    def _ends(self, ts: pl.Series) -> pl.Series:
        """Return when rows end: trades at once, bars when they close."""
        if self.dataset.timeframe is None:
            return ts
        return GridEdges(self.dataset.timeframe, self.dataset.anchor).close_times(ts.to_physical()).cast(TIME)

    def _labelled(self, made: pl.DataFrame) -> pl.DataFrame:
        if self.bars.label == "close":
            return made.with_columns(ts=pl.col("close_time"))
        return made


def resample(store: Store, dataset: Dataset, span: Span | None, timeframe: Timeframe) -> pl.DataFrame:
    """Return the ohlcv bars of the rows inside *span*; stretches without rows, and no span at all, have no bar.

    Raises
    ------
    Unsupported
        If the rows are neither trades nor bars that *timeframe* is a multiple of.
    """
    resampling = Resampling.of(dataset, Bars("time", timeframe), sides=False)
    if span is None:
        return _none().select(_OHLCV)
    return resampling.partial(store, span).select(_OHLCV)


def whole_bars_in(store: Store, dataset: Dataset, span: Span, edges: BarEdges, shift: int = 0) -> Span | None:
    """Return the span of the bars that open inside *span* and of which the lake has the rows, taken *shift* earlier, from end to end.

    A bound inside a bar does not cut it: the bar belongs to the time at which it opens, as stored bars do. Bars at the edges
    of what is known are left out, as more of their rows may be known later. Holes between the edges are not looked for.
    """
    known = _known(store, dataset, edges, shift)
    if known is None:
        return None
    wanted = span.intersect(edges.around(known))
    if wanted is None:
        return None
    opening, whole = edges.opening_in(wanted), edges.inside(known)
    if opening is None or whole is None:
        return None
    return opening.intersect(whole)


def _known(store: Store, dataset: Dataset, edges: BarEdges, shift: int) -> Span | None:
    """Return from when until when the rows of a dataset are known, taken *shift* earlier; ``None`` if it has none."""
    row = store.catalog.dataset(dataset)
    if row is None or row.min_ts is None or row.max_ts is None:
        return None
    rows = Span(row.min_ts, _end_of_rows(store, dataset, row.max_ts))
    if dataset.timeframe is None and str(dataset) not in GapNotes(store.catalog.database, store.now).collected():
        return _known_of_saved_trades(_earlier(rows, shift), edges, store.now())
    # A covered stretch without rows is known, too: nothing happened in it.
    known = rows
    for covered in store.catalog.coverage(dataset).spans(Found.DATA):
        known = known.hull(covered)
    return _earlier(known, shift)


def _earlier(span: Span, shift: int) -> Span:
    return Span(span.start - shift, span.end - shift)


def _end_of_rows(store: Store, dataset: Dataset, last: int) -> int:
    """Return when the newest row of a dataset, which begins at *last*, ends."""
    if dataset.kind != "bars":
        return dataset.row_end(last)
    # Its name does not say how long a bar of a session lasts, or one that ends with a trade.
    closes = [
        rows["close_time"] for rows in read_chunks(store, store.view(dataset, Span(last, last + 1)), ["close_time"])
    ]
    return max((int(close.to_physical()[-1]) for close in closes), default=last + 1)


def _known_of_saved_trades(rows: Span, edges: BarEdges, now: int) -> Span | None:
    """Return the time of all bars that trades touch which no source will add to, without one that is not over by the clock."""
    touched = edges.around(rows)
    end = min(touched.end, edges.floor(now))
    if end <= touched.start:
        return None
    return Span(touched.start, end)


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


def _refuse_unfit(dataset: Dataset, bars: Bars, day: SessionDay | None) -> None:
    own, timeframe = dataset.timeframe, bars.timeframe
    if dataset.kind == "trades":
        return
    if own is None or not (dataset.spec.bars or dataset.kind == "bars"):
        raise Unsupported(f"{dataset} cannot become bars: name a dataset of trades or of bars")
    if bars.closed != "left":
        raise Unsupported(f"{own} bars cannot become bars that are closed on the right: make those of trades")
    if timeframe is None:
        return
    if bars.origin is not None or day is not None:
        _refuse_cut(own, bars, day)
    elif not can_become(dataset, timeframe):
        raise Unsupported(f"{own} bars cannot become {timeframe} bars: name a timeframe made of whole {own} bars")


def _refuse_cut(own: Timeframe, bars: Bars, day: SessionDay | None) -> None:
    """Refuse edges that would cut through the bars that are there."""
    timeframe, origin = bars.timeframe, bars.origin or 0
    if day is not None:
        # Days begin at whole quarters of an hour after midnight UTC, or at the minute that is asked for.
        origin = day.start(0)
    is_whole = timeframe is not None and not own.is_month and timeframe.length % own.length == 0
    fits_days = day is None or (DAY % own.length == 0 and own.length <= DAY // 24)
    if not is_whole or origin % own.length or not fits_days:
        raise Unsupported(
            f"{own} bars cannot become {timeframe} bars with these edges: they would be cut; make them of trades"
        )


def _none() -> pl.DataFrame:
    return pl.DataFrame(schema={**_EMPTY, "is_whole": pl.Boolean})
