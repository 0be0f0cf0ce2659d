"""What the protocols share: replies, refusals, and which rows an exchange serves at an instant."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from ticklake.core.time import SECOND
from ticklake.core.timeframe import Timeframe
from ticklake.sources.simulated.faults import Faults

__all__ = ["Refusal", "Reply", "forming_and_late", "number", "window"]


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
    """Show bars as they look at *now*: the one under way and the ones just over with too little volume."""
    if not rows.height or timeframe.is_month:
        return rows
    closes = pl.col("ts") + timeframe.length
    early = closes > now - int(faults.late_final * SECOND)
    if not faults.forming:
        rows = rows.filter(closes <= now)
    halves = {
        "volume": pl.col("volume") / 2,
        "quote_volume": pl.col("quote_volume") / 2,
        "trades": pl.col("trades") // 2,
    }
    seen = {"close": pl.col("open"), **halves}
    return rows.with_columns(
        pl.when(early).then(part).otherwise(pl.col(name)).alias(name) for name, part in seen.items()
    )
