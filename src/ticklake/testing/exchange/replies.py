"""The parts that the protocols share: replies, refusals, and the rows that an exchange serves at an instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from ticklake.core.kinds import TIME
from ticklake.core.time import SECOND
from ticklake.core.timeframe import Timeframe
from ticklake.testing.exchange.faults import Faults

__all__ = ["Refusal", "Reply", "bursting", "forming_and_late", "integer", "number", "window"]


@dataclass(frozen=True, slots=True)
class Reply:
    """A response: its JSON body, its status, and whether it is a page of rows, which faults may change."""

    body: Any
    status: int = 200
    rows: bool = False


class Refusal(Exception):
    """The exchange refuses a request, with its code and message."""

    def __init__(self, code: int | str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def number(value: float) -> str:
    """Write a number the way exchanges do: plain decimals that read back as the same float."""
    return format(Decimal(repr(float(value))), "f")


def window(rows: pl.DataFrame, start: int | None, end: int | None, now: int, limit: int) -> pl.DataFrame:
    """Return at most *limit* rows up to *now*, with ``ts`` as integers: from *start* on, or the newest."""
    ts = rows["ts"].to_physical()
    stop = now + 1
    if end is not None:
        stop = min(stop, end)
    last = int(ts.search_sorted(stop, side="left"))
    if start is None:
        served = rows.head(last).tail(limit)
    else:
        first = int(ts.search_sorted(start, side="left"))
        served = rows.slice(first, max(last - first, 0)).head(limit)
    return served.with_columns(pl.col("ts").to_physical())


def forming_and_late(rows: pl.DataFrame, timeframe: Timeframe, now: int, faults: Faults) -> pl.DataFrame:
    """Return bars as they look at *now*: the forming one has its open alone, recent ones have half of their volume."""
    closes = _close(timeframe)
    if not faults.forming:
        rows = rows.filter(closes <= now)
    is_forming = closes > now
    is_early = closes > now - int(faults.late_final * SECOND)

    def shown(column: str, condition: pl.Expr, instead: pl.Expr) -> pl.Expr:
        return pl.when(condition).then(instead).otherwise(pl.col(column)).alias(column)

    return rows.with_columns(
        shown("high", is_forming, pl.col("open")),
        shown("low", is_forming, pl.col("open")),
        shown("close", is_forming, pl.col("open")),
        shown("volume", is_early, pl.col("volume") / 2),
        shown("quote_volume", is_early, pl.col("quote_volume") / 2),
        shown("trades", is_early, pl.col("trades") // 2),
    )


def bursting(trades: pl.DataFrame, faults: Faults) -> pl.DataFrame:
    """Return trades of which ``faults.burst`` in the middle have the time of the first of them."""
    if not faults.burst or not trades.height:
        return trades
    first = trades.height // 2
    inside = pl.int_range(pl.len()).is_between(first, first + faults.burst - 1)
    instant = pl.col("ts").gather(first).first()
    return trades.with_columns(ts=pl.when(inside).then(instant).otherwise(pl.col("ts")))


def integer(query: Mapping[str, str], name: str, default: int) -> int:
    """Return a whole number of a query, or refuse it as Binance does."""
    text = query.get(name, str(default))
    if not text.isdecimal():
        raise Refusal(-1100, f"Illegal characters found in parameter '{name}'.")
    return int(text)


def _close(timeframe: Timeframe) -> pl.Expr:
    """Return when a bar whose ``ts`` is an integer is over."""
    if not timeframe.is_month:
        return pl.col("ts") + timeframe.length
    return pl.col("ts").cast(TIME).dt.offset_by(f"{timeframe.count}mo").to_physical()
