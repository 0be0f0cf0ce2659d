"""Resampling: bars from trades, and longer bars from shorter ones.

Rows come in frames of any size, and the bars are the same whatever that size is. Sums of floats depend on how they are grouped: so a bar is
added up from parts that the rows alone decide (minutes, or so many rows since it opened), and the rows of an unfinished part are kept. Frames
are collected by the engine in memory, because sums of the streaming one depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import polars as pl

from ticklake.core.bar_edges import BarEdges
from ticklake.core.bars import Bars, Fill
from ticklake.core.kinds import KINDS, TIME
from ticklake.core.sessions import SessionDay
from ticklake.core.span import Span
from ticklake.core.timeframe import Timeframe
from ticklake.errors import Unsupported

__all__ = ["BAR_COLUMNS", "MADE_BARS", "bars_from_bars", "bars_from_trades", "fill_bars", "make_bars"]

_BARS = KINDS["ohlcv"].schema
_COLUMNS = KINDS["bars"].schema
BAR_COLUMNS = KINDS["bars"].names_without("known_at")
"""What is known of every bar that is made, in order."""
MADE_BARS = replace(KINDS["bars"], columns=KINDS["bars"].columns[: len(BAR_COLUMNS)])
"""The kind of bars that are made and not stored: when a stored one was known is no part of it."""
_PRICES = ("open", "high", "low", "close")
_SUMS = ("volume", "quote_volume", "trades", "buy_volume", "sell_volume")
_NOTHING = [pl.lit(0).cast(_COLUMNS[name]).alias(name) for name in (*_SUMS, "number")]
"""What an empty bar sums up to."""
_PART_ROWS = 1 << 16
"""A bar that ends with a trade is added up from parts of so many rows since it opened."""
_NEARLY = 1 - 1e-9
"""A bar is full with so much of its size: sums of decimal amounts are a little off."""
_BAR, _PART, _IS_LAST = "bar", "part", "is_last"


def bars_from_trades(trades: pl.LazyFrame, timeframe: Timeframe, anchor: int | None = None) -> pl.LazyFrame:
    """Return the ohlcv bars of sorted trades; stretches without trades have no bar."""
    return _grouped(trades, timeframe, anchor).agg(*_of_trades(sides=False))


def bars_from_bars(bars: pl.LazyFrame, timeframe: Timeframe, anchor: int | None = None) -> pl.LazyFrame:
    """Return longer bars from sorted shorter ones; unknown volumes stay unknown."""
    return _grouped(bars, timeframe, anchor).agg(*_of_bars(("volume", "quote_volume", "trades")))


def make_bars(
    chunks: Iterable[pl.DataFrame],
    bars: Bars,
    edges: BarEdges | None = None,
    day: SessionDay | None = None,
    *,
    sides: bool = True,
) -> Iterator[pl.DataFrame]:
    """Yield the bars of sorted rows with the columns :data:`BAR_COLUMNS`, and ``is_whole``.

    Parameters
    ----------
    chunks
        Trades, or bars with a ``close_time``. Of trades only ``ts``, ``price`` and ``amount`` are needed, and ``side`` with *sides*; with
        ``id``, those of one instant are taken in the order of their ids, where these are whole numbers.
    edges
        Where time bars open and close.
    day
        With which days bars that end with a trade begin anew.
    sides
        Whether volume is told apart by the side of its trades.
    """
    ordered = map(_in_order, chunks)
    if edges is not None:
        made = _time_bars(ordered, bars, edges, sides=sides)
    else:
        made = _counted_bars(ordered, bars, day, sides=sides)
    for frame in made:
        # Null where nothing was traded: there was no price.
        vwap = pl.when(pl.col("volume") > 0).then(pl.col("quote_volume") / pl.col("volume"))
        whole = frame.with_columns(vwap.alias("vwap"))
        yield whole.select(*(pl.col(name).cast(_COLUMNS[name]) for name in BAR_COLUMNS), "is_whole")


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Return sorted rows with trades of one instant in the order of their ids, where these are whole numbers.

    Rows of one instant lie in the order in which they came: another order makes another open and close.
    """
    if not _is_of_trades(rows) or "id" not in rows.columns:
        return rows
    ts, ids = rows["ts"].to_physical(), rows["id"]
    ties = (ts.slice(1) == ts.head(max(rows.height - 1, 0))).arg_true()
    # Only ids of ties are read as numbers: most trades have an instant of their own.
    first, second = _numbers(ids.gather(ties)), _numbers(ids.gather(ties + 1))
    if not (second < first).any():
        return rows
    order = rows.select("ts", _numbers(ids).alias("id")).select(pl.arg_sort_by("ts", "id", maintain_order=True))
    return rows[order.to_series()]


def _numbers(ids: pl.Series) -> pl.Series:
    return ids.cast(pl.Int64, strict=False)


def fill_bars(bars: pl.DataFrame, edges: BarEdges, span: Span, how: Fill) -> pl.DataFrame:
    """Return sorted bars and, where there is none inside *span*, empty ones; see :class:`~ticklake.core.bars.Bars`.

    Before the first bar there is nothing that could be carried forward: none is added there then.
    """
    opens = edges.opens(span)
    if how == "forward":
        first = bars["ts"].to_physical().min()
        # A comparison with null drops all of them: there is no first bar.
        opens = opens.filter(opens >= pl.Series([first], dtype=pl.Int64))
    closes = edges.close_times(opens)
    grid = pl.DataFrame({"ts": opens.cast(TIME), "close_time": closes.cast(TIME)})
    missing = grid.join(bars, on="ts", how="anti").with_columns(_NOTHING, is_whole=pl.lit(value=True))
    both = pl.concat([bars, missing], how="diagonal").sort("ts", maintain_order=True)
    if how == "forward":
        # Four prices that are the close before: nothing moved.
        close = pl.col("close").forward_fill()
        both = both.with_columns(close).with_columns(pl.col(_PRICES).fill_null(pl.col("close")))
    return both.select(bars.columns)


def _of_trades(*, sides: bool) -> list[pl.Expr]:
    price, amount = pl.col("price"), pl.col("amount")
    made = [
        price.first().alias("open"),
        price.max().alias("high"),
        price.min().alias("low"),
        price.last().alias("close"),
        amount.sum().alias("volume"),
        (price * amount).sum().alias("quote_volume"),
        pl.len().cast(pl.Int64).alias("trades"),
    ]
    if sides:
        made += [_volume_of("buy"), _volume_of("sell")]
    return made


def _volume_of(side: str) -> pl.Expr:
    amount = pl.when(pl.col("side") == side).then(pl.col("amount")).otherwise(0.0)
    return amount.sum().alias(f"{side}_volume")


def _of_bars(sums: Iterable[str]) -> list[pl.Expr]:
    return [
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        *map(_total, sums),
    ]


def _total(name: str) -> pl.Expr:
    # A sum of which a part is not known is not known.
    total = pl.when(pl.col(name).null_count() == 0).then(pl.col(name).sum())
    return total.cast(_COLUMNS[name]).alias(name)


def _grouped(rows: pl.LazyFrame, timeframe: Timeframe, anchor: int | None) -> pl.lazyframe.group_by.LazyGroupBy:
    # Equal neighbours in sorted rows are slices, which takes a third of the time of hashing each of them. In their order:
    # open and close are the first and the last value of a group.
    opened = rows.with_columns(ts=_open_time(timeframe, anchor).set_sorted())
    return opened.group_by("ts", maintain_order=True)


def _open_time(timeframe: Timeframe, anchor: int | None) -> pl.Expr:
    if timeframe.is_month:
        return pl.col("ts").dt.truncate(f"{timeframe.count}mo").cast(TIME)
    offset = timeframe.offset(anchor)
    ts = pl.col("ts").to_physical() - offset
    return (ts - ts % timeframe.length + offset).cast(TIME)


def _is_of_trades(frame: pl.DataFrame) -> bool:
    return "price" in frame.columns


def _made_of(frame: pl.DataFrame, *, sides: bool) -> list[pl.Expr]:
    """Return how the bars of the rows of a frame are made."""
    if _is_of_trades(frame):
        return _of_trades(sides=sides)
    return _of_bars(name for name in _SUMS if name in frame.columns)


def _complete(frame: pl.DataFrame) -> pl.DataFrame:
    """Add the sums that are not known."""
    unknown = [pl.lit(None, _COLUMNS[name]).alias(name) for name in _SUMS if name not in frame.columns]
    return frame.with_columns(unknown)


def _by_group(frames: Iterable[pl.DataFrame], key: str, *more: pl.Expr, sides: bool) -> Iterator[pl.DataFrame]:
    """Yield a row for each value of a sorted *key*; the rows of the last value of a frame wait for those that follow."""
    held: list[pl.DataFrame] = []
    for frame in frames:
        if frame.is_empty():
            continue
        keys = frame[key]
        start = 0
        made: list[pl.DataFrame] = []
        if held:
            start = keys.search_sorted(held[0][key][0], side="right")
            held.append(frame.head(start))
            if start == frame.height:
                continue
            made.append(_aggregated(pl.concat(held, rechunk=True), key, more, sides=sides))
        end = keys.search_sorted(keys[-1], side="left")
        if end > start:
            made.append(_aggregated(frame.slice(start, end - start), key, more, sides=sides))
        held = [frame.slice(end)]
        if made:
            yield pl.concat(made)
    if held:
        yield _aggregated(pl.concat(held, rechunk=True), key, more, sides=sides)


def _aggregated(frame: pl.DataFrame, key: str, more: Sequence[pl.Expr], *, sides: bool) -> pl.DataFrame:
    rows = frame.lazy().with_columns(pl.col(key).set_sorted())
    return rows.group_by(key, maintain_order=True).agg(*_made_of(frame, sides=sides), *more).collect(engine="in-memory")


def _time_bars(chunks: Iterable[pl.DataFrame], bars: Bars, edges: BarEdges, *, sides: bool) -> Iterator[pl.DataFrame]:
    minutes = edges.sub_bars()
    made = _by_group(_in_parts(chunks, bars, edges, minutes), _PART, sides=sides)
    if minutes is None:
        # The parts are the bars: there is nothing to add up.
        made = (frame.rename({_PART: _BAR}) for frame in made)
    else:
        in_bars = (frame.with_columns(edges.open_times(frame[_PART]).alias(_BAR)) for frame in made)
        made = _by_group(in_bars, _BAR, sides=sides)
    for frame in made:
        opens = frame[_BAR]
        times = {"ts": opens.cast(TIME), "close_time": edges.close_times(opens).cast(TIME)}
        yield _complete(frame).with_columns(**times, number=pl.lit(0), is_whole=pl.lit(value=True))


def _in_parts(
    chunks: Iterable[pl.DataFrame], bars: Bars, edges: BarEdges, minutes: BarEdges | None
) -> Iterator[pl.DataFrame]:
    """Yield rows with the time at which their part opens: their minute, if they are trades of longer bars, or their bar."""
    for chunk in chunks:
        ts = chunk["ts"].to_physical()
        if bars.closed == "right":
            # What happens at an edge belongs to the bar that ends there.
            ts = ts - 1
        parts = edges
        if minutes is not None and _is_of_trades(chunk):
            parts = minutes
        yield chunk.with_columns(parts.open_times(ts).alias(_PART))


def _counted_bars(
    chunks: Iterable[pl.DataFrame], bars: Bars, day: SessionDay | None, *, sides: bool
) -> Iterator[pl.DataFrame]:
    facts = [
        pl.col("ts").first(),
        pl.col("close_time").last(),
        pl.col("number").first(),
        pl.col(_IS_LAST).last(),
    ]
    parts = _by_group(_Counter(bars, day).count(chunks), _PART, *facts, pl.col(_BAR).first(), sides=sides)
    for frame in _by_group(parts, _BAR, *facts, sides=sides):
        yield _complete(frame).rename({_IS_LAST: "is_whole"})


class _Counter:
    """Tells which bar each row belongs to: one that closes when its trades, volume or money reach its size."""

    def __init__(self, bars: Bars, day: SessionDay | None) -> None:
        self._bars = bars
        self._full = (bars.size or 0.0) * _NEARLY
        self._day = day
        self._ends_at: int | None = None
        """When the day of the last row ends."""
        self._bar = 0
        self._number = 0
        self._rows = 0
        self._sum = 0.0

    def count(self, chunks: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Yield rows with the number of their bar and of their part of it."""
        for chunk in chunks:
            for rows in self._by_day(chunk):
                yield self._counted(rows)

    def _by_day(self, chunk: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Split rows where a day of sessions begins, and begin anew there."""
        if self._day is None:
            yield chunk
            return
        # A frame may hold many days, and a day come in many frames.
        ts = chunk["ts"].to_physical()
        start = 0
        while start < chunk.height:
            if self._ends_at is None or ts[start] >= self._ends_at:
                if self._ends_at is not None:
                    self._begin_anew()
                self._ends_at = self._day.start(self._day.day(ts[start]) + 1)
            end = ts.search_sorted(self._ends_at, side="left")
            yield chunk.slice(start, end - start)
            start = end

    def _begin_anew(self) -> None:
        if self._rows:
            self._bar += 1
        self._number, self._rows, self._sum = 0, 0, 0.0

    def _counted(self, rows: pl.DataFrame) -> pl.DataFrame:
        places = self._closing_places(rows)
        closing = pl.Series("closing", places, dtype=pl.Int64)
        row = pl.int_range(rows.height, eager=True)
        # As many bars are closed before a row as there are closing rows before it.
        closed = closing.search_sorted(row, side="left").cast(pl.Int64)
        begins = pl.concat([pl.Series([-self._rows], dtype=pl.Int64), closing + 1])
        part = (row - begins.gather(closed)) // _PART_ROWS
        bar = closed + self._bar
        counted = rows.with_columns(
            bar.alias(_BAR),
            (bar * (1 << 31) + part).alias(_PART),
            (closed + self._number).alias("number"),
            row.is_in(closing.implode()).alias(_IS_LAST),
        )
        self._bar += len(places)
        self._number += len(places)
        # How many rows the bar that is still open has by now.
        self._rows += rows.height
        if places:
            self._rows = rows.height - 1 - places[-1]
        return counted

    def _closing_places(self, rows: pl.DataFrame) -> list[int]:
        """Return the places of the rows with which bars are full; what is too much does not count for the next bar."""
        places: list[int] = []
        total, full = self._sum, self._full
        # A loop, because a sum that begins anew depends on all rows before: a cumulative sum would round differently in each chunk.
        for place, weight in enumerate(self._weights(rows)):
            total += weight
            if total >= full:
                places.append(place)
                total = 0.0
        self._sum = total
        return places

    def _weights(self, rows: pl.DataFrame) -> list[float]:
        """Return how much each row adds to its bar.

        Raises
        ------
        Unsupported
            If a bar does not say it.
        """
        unit = self._bars.unit
        if _is_of_trades(rows):
            if unit == "ticks":
                return [1.0] * rows.height
            if unit == "volume":
                return rows["amount"].to_list()
            return (rows["price"] * rows["amount"]).to_list()
        name = {"ticks": "trades", "volume": "volume", "dollars": "quote_volume"}[unit]
        if rows[name].null_count():
            raise Unsupported(f"bars without {name} cannot become {self._bars} bars: make them of trades")
        return rows[name].cast(pl.Float64).to_list()
