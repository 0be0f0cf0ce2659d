"""What the protocols share: replies, refusals, and which rows an exchange serves at an instant."""

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
    """An answer: its JSON body, its status, and whether it is a page of rows that faults may hit."""

    body: Any
    status: int = 200
    rows: bool = False


class Refusal(Exception):
    """The exchange says no, with its code and words."""

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
    first = 0 if start is None else int(ts.search_sorted(start, side="left"))
    stop = min(now + 1, end) if end is not None else now + 1
    last = int(ts.search_sorted(stop, side="left"))
    served = rows.slice(first, max(last - first, 0))
    served = served.tail(limit) if start is None else served.head(limit)
    return served.with_columns(pl.col("ts").to_physical())


def forming_and_late(rows: pl.DataFrame, timeframe: Timeframe, now: int, faults: Faults) -> pl.DataFrame:
    """Show bars as they look at *now*: the one under way by its open alone, those just over with too little volume."""
    closes = _close(timeframe)
    if not faults.forming:
        rows = rows.filter(closes <= now)
    forming, early = closes > now, closes > now - int(faults.late_final * SECOND)
    opening = {name: pl.when(forming).then(pl.col("open")).otherwise(pl.col(name)) for name in ("high", "low", "close")}
    halves = {
        "volume": pl.col("volume") / 2,
        "quote_volume": pl.col("quote_volume") / 2,
        "trades": pl.col("trades") // 2,
    }
    partly = {name: pl.when(early).then(half).otherwise(pl.col(name)) for name, half in halves.items()}
    return rows.with_columns(**opening, **partly)


def bursting(trades: pl.DataFrame, faults: Faults) -> pl.DataFrame:
    """Put ``faults.burst`` trades from the middle on at the instant of the first of them."""
    if not faults.burst or not trades.height:
        return trades
    first = trades.height // 2
    inside = pl.int_range(pl.len()).is_between(first, first + faults.burst - 1)
    instant = pl.col("ts").gather(first).first()
    return trades.with_columns(ts=pl.when(inside).then(instant).otherwise(pl.col("ts")))


def integer(query: Mapping[str, str], name: str, default: int) -> int:
    """Return a whole number of a query, or refuse it the way Binance does."""
    text = query.get(name, str(default))
    if not text.isdecimal():
        raise Refusal(-1100, f"Illegal characters found in parameter '{name}'.")
    return int(text)


def _close(timeframe: Timeframe) -> pl.Expr:
    """Return when a bar whose ``ts`` is an integer is over."""
    if not timeframe.is_month:
        return pl.col("ts") + timeframe.length
    return pl.col("ts").cast(TIME).dt.offset_by(f"{timeframe.count}mo").to_physical()
