"""Checks: which rows can be true, and for the others, why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.time import DAY, FIRST_PLAUSIBLE

__all__ = ["Checked", "check"]

_SIDES = {"trades": ("buy", "sell"), "liquidations": ("buy", "sell"), "book": ("bid", "ask")}


@dataclass(frozen=True, slots=True)
class Checked:
    """Rows that passed, and the rows that did not with a column ``reason``."""

    good: pl.DataFrame
    bad: pl.DataFrame


def check(frame: pl.DataFrame, dataset: Dataset, now: int, *, needs_id: bool = False) -> Checked:
    """Split a canonical frame into rows that can be true and rows that cannot.

    Parameters
    ----------
    frame
        Canonical rows of *dataset*.
    now
        The current time in nanoseconds; nothing may lie more than a day after it.
    needs_id
        Whether rows without an id are refused, because the dataset tells its rows apart by id.
    """
    rules = list(_rules(dataset, now, needs_id=needs_id))
    flags = frame.select(pl.any_horizontal(rule.fill_null(False) for _, rule in rules).alias("bad"))["bad"]
    if not flags.any():
        return Checked(frame, frame.clear().with_columns(reason=pl.lit("", pl.String)))
    reason = pl.coalesce(pl.when(rule.fill_null(False)).then(pl.lit(word)) for word, rule in rules)
    return Checked(frame.filter(~flags), frame.filter(flags).with_columns(reason=reason))


def _rules(dataset: Dataset, now: int, *, needs_id: bool) -> Iterator[tuple[str, pl.Expr]]:
    kind = dataset.spec
    for name in kind.required:
        yield f"no_{name}", pl.col(name).is_null()
    for column in kind.columns:
        if column.dtype == pl.Float64:
            yield f"infinite_{column.name}", pl.col(column.name).is_infinite()
    ts = pl.col("ts").to_physical()
    yield "time_in_1970", (ts >= 0) & (ts < FIRST_PLAUSIBLE)
    yield "time_in_future", ts > now + DAY
    if kind.bars:
        yield from _bar_rules(dataset)
    if dataset.kind in _SIDES:
        yield from _order_rules(dataset.kind)
    if needs_id:
        yield "no_id", pl.col("id").is_null()
    if dataset.kind == "quotes":
        yield "no_price", pl.col("bid_price").is_null() & pl.col("ask_price").is_null()


def _bar_rules(dataset: Dataset) -> Iterator[tuple[str, pl.Expr]]:
    high, low = pl.col("high"), pl.col("low")
    yield "high_below_low", high < low
    yield "high_below_open_or_close", (high < pl.col("open")) | (high < pl.col("close"))
    yield "low_above_open_or_close", (low > pl.col("open")) | (low > pl.col("close"))
    yield "negative_volume", (pl.col("volume") < 0) | (pl.col("quote_volume") < 0)
    frame = dataset.timeframe
    if frame is None:
        return
    ts = pl.col("ts").to_physical()
    if frame.is_month:
        months = pl.col("ts").dt.year() * 12 + pl.col("ts").dt.month() - 1 - 1970 * 12
        yield "off_grid", (pl.col("ts").dt.day() != 1) | (ts % DAY != 0) | (months % frame.count != 0)
    elif frame.unit == "d" and frame.count > 1 and dataset.anchor is None:
        yield "off_grid", ts % DAY != 0
    else:
        yield "off_grid", (ts - frame.offset(dataset.anchor)) % frame.length != 0


def _order_rules(kind: str) -> Iterator[tuple[str, pl.Expr]]:
    yield "unknown_side", ~pl.col("side").is_in(_SIDES[kind])
    yield "price_not_positive", pl.col("price") <= 0
    if kind == "book":
        yield "negative_amount", pl.col("amount") < 0
    else:
        yield "amount_not_positive", pl.col("amount") <= 0
