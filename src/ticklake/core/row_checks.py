"""Measures: which rows of a day look wrong although each alone can be true.

Outliers follow rule Q4 of Barndorff-Nielsen, Hansen, Lunde and Shephard, "Realized kernels in practice: trades and
quotes" (Econometrics Journal 12, 2009), on the logarithm of prices: a price that deviates from the median of the 25
rows before and the 25 after it by more than ten mean absolute deviations from such medians, its own left out. As many
rows have no deviation at all in a quiet market, it must also deviate by :data:`FLOOR`. Of a bar, the close sets the
medians, and the one of high, low and close that is farthest away counts.
"""

from __future__ import annotations

import polars as pl
from polars import selectors

from ticklake.core.batch import ties
from ticklake.core.kinds import Kind
from ticklake.core.lookup import absent
from ticklake.core.quality import COUNTED
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.time import DAY, HOUR

__all__ = ["FLOOR", "REACH", "STALE_ROWS", "columns_of", "measure"]

REACH = 25
"""How many rows before and after a row are looked at to judge it."""
DEVIATIONS = 10.0
FLOOR = 0.005
"""The least relative deviation of an outlier."""
STALE_ROWS = 20
"""So many bars in a row that all stand at one price, or rows of a whole hour with one price, are stale."""
_WINDOW = 2 * REACH + 1
_FEWEST = 11
_TICKS = ("trades", "liquidations")
_COLUMNS = {
    "trades": ["ts", "price", "amount", "side"],
    "liquidations": ["ts", "price", "amount", "side"],
    "quotes": ["ts", "bid_price", "ask_price"],
    "book": ["ts", "seq", "side", "price", "is_snapshot"],
}
_COUNTS = tuple(metric.name for metric in COUNTED if metric.name != "present_records")
_BAR_CONDITIONS = {metric.name: metric.of_bars for metric in COUNTED if metric.of_bars is not None}
_QUOTE_CONDITIONS = {metric.name: metric.of_quotes for metric in COUNTED if metric.of_quotes is not None}


def columns_of(kind: Kind) -> list[str]:
    """Return the columns that :func:`measure` needs."""
    if not kind.bars:
        return _COLUMNS.get(kind.name, ["ts"])
    judged = {"ts", "high", "low", "close"}
    for condition in _BAR_CONDITIONS.values():
        judged.update(condition.meta.root_names())
    return [name for name in kind.names if name in judged]


def measure(rows: pl.DataFrame, kind: Kind, inside: Span = ALL_TIME) -> pl.DataFrame:
    """Count what looks wrong.

    Parameters
    ----------
    rows
        Sorted rows with :func:`columns_of` the kind: of bars, with :data:`REACH` more at both ends where there are
        some; of other kinds, whole hours, each of which is judged by itself.
    inside
        Only rows in this span are counted.

    Returns
    -------
    polars.DataFrame
        A row for each UTC day: ``day`` (nanoseconds), ``present_records``, ``duplicates``, ``outliers``,
        ``stale_prices``, ``zero_volumes``, ``crossed_books``, ``judged_books``.
    """
    ts = pl.col("ts").to_physical()
    timed = rows.with_columns(_day=ts - ts % DAY, _hour=ts // HOUR)
    if kind.bars:
        flagged = _bars(timed)
    elif kind.name in _TICKS:
        flagged = _ticks(timed)
    elif kind.name == "quotes":
        flagged = _quotes(timed)
    else:
        flagged = timed
    counted = flagged.filter((ts >= inside.start) & (ts < inside.end))
    counts = counted.group_by("_day", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("present_records"),
        selectors.by_name(*_COUNTS, require_all=False).sum().cast(pl.Int64),
    )
    if kind.name == "book":
        counts = counts.join(_books(timed), on="_day", how="left", maintain_order="left")
    not_measured = absent(_COUNTS, counts.columns)
    counts = counts.with_columns(**dict.fromkeys(not_measured, pl.lit(0, pl.Int64)))
    return counts.select(pl.col("_day").alias("day"), "present_records", *_COUNTS).fill_null(0)


def _bars(rows: pl.DataFrame) -> pl.DataFrame:
    # The price of a bar that never moved, null for others: a change of it ends a run of stale bars.
    still = pl.when(pl.col("high") == pl.col("low")).then("close")
    marked = rows.with_columns(
        still.rle_id().alias("_run"),
        _outliers(rows.select("close", "high", "low")).alias("outliers"),
        **_BAR_CONDITIONS,
    )
    runs = marked.filter(still.is_not_null()).group_by("_run").len().filter(pl.col("len") >= STALE_ROWS)
    return marked.with_columns(stale_prices=pl.col("_run").is_in(runs["_run"].implode()))


def _ticks(rows: pl.DataFrame) -> pl.DataFrame:
    judged = _hourly(rows, pl.col("price"))
    tied = ties(rows)
    if tied is None:
        return judged
    # Prints can only be identical within one instant, and few instants hold several: the others are not compared.
    prints = rows.filter(tied)
    repeats = prints.filter(~pl.struct("ts", "price", "amount", "side").is_first_distinct())
    if not repeats.height:
        return judged
    # All repeats of a day are counted on its first row, as the counts of a day are added up.
    by_day = repeats.group_by("_day").agg(pl.len().alias("_n"))
    days = judged.join(by_day, on="_day", how="left", maintain_order="left")
    is_first_of_day = pl.col("_day").is_first_distinct()
    return days.with_columns(duplicates=pl.when(is_first_of_day).then("_n").fill_null(0)).drop("_n")


def _quotes(rows: pl.DataFrame) -> pl.DataFrame:
    marked = rows.with_columns(**_QUOTE_CONDITIONS).with_columns(pl.col(list(_QUOTE_CONDITIONS)).fill_null(False))
    return _hourly(marked, (pl.col("bid_price") + pl.col("ask_price")) / 2)


def _books(rows: pl.DataFrame) -> pl.DataFrame:
    """Judge the snapshots: a book whose best bid is not below its best ask is crossed."""
    price, side = pl.col("price"), pl.col("side")
    best = rows.filter("is_snapshot").group_by("_day", "ts", "seq")
    sides = best.agg(bid=price.filter(side == "bid").max(), ask=price.filter(side == "ask").min()).drop_nulls()
    crossed = (pl.col("bid") >= pl.col("ask")).sum().cast(pl.Int64)
    return sides.group_by("_day").agg(crossed_books=crossed, judged_books=pl.len().cast(pl.Int64))


def _hourly(rows: pl.DataFrame, price: pl.Expr) -> pl.DataFrame:
    """Mark outliers and stale prices hour by hour."""
    priced = rows.with_columns(_price=price)
    hours = priced.group_by("_hour", maintain_order=True).agg(
        pl.len(), still=(pl.len() >= STALE_ROWS) & (pl.col("_price").min() == pl.col("_price").max())
    )
    # Each hour is judged by itself, so that figures do not depend on how many are handed in together.
    outliers = [pl.Series([], dtype=pl.Boolean)]
    start = 0
    for height in hours["len"]:
        outliers.append(_outliers(priced.slice(start, height).select("_price")))
        start += height
    stale = hours.filter("still")["_hour"]
    return priced.with_columns(
        pl.concat(outliers).alias("outliers"),
        pl.col("_hour").is_in(stale.implode()).alias("stale_prices"),
    )


def _outliers(prices: pl.DataFrame) -> pl.Series:
    """Mark rows of which one price is far from the medians of those in the first column around it."""
    # A logarithm needs a positive price; others are judged by the checks of single rows.
    logs = prices.select(pl.when(pl.all() > 0).then(pl.all()).log())
    base = logs.get_columns()[0]
    if _is_calm(logs):
        return pl.Series([False]).new_from_index(0, base.len())
    middle = base.rolling_median(_WINDOW, center=True, min_samples=_FEWEST)
    own = (base - middle).abs()
    count = own.is_not_null().cast(pl.Float64).rolling_sum(_WINDOW, center=True, min_samples=1)
    around = own.rolling_sum(_WINDOW, center=True, min_samples=_FEWEST) - own
    # Rolling sums of floats can leave a rest a little below 0.
    scale = around.clip(lower_bound=0) / (count - 1)
    far = logs.select(pl.max_horizontal((pl.all() - middle).abs())).to_series()
    return ((far > DEVIATIONS * scale) & (far > FLOOR)).fill_null(False)


def _is_calm(logs: pl.DataFrame) -> bool:
    """Whether prices differ so little that none can be an outlier; most hours of trades are."""
    low, high = logs.min_horizontal().min(), logs.max_horizontal().max()
    return low is None or high is None or bool(high - low <= FLOOR)  # type: ignore[operator]
