"""Rows of other lakes."""

from __future__ import annotations

import polars as pl

from ticklake.core.kinds import KINDS, TIME

START = 1_703_980_800 * 10**9
"""2023-12-31: a year and a month end a day later."""
HOUR = 3600 * 10**9
DAY = 24 * HOUR


def bars(count=48, step=HOUR):
    """Bars in our columns, across a year's end; every seventh does not know its quote volume."""
    n = pl.int_range(count, dtype=pl.Int64, eager=True)
    price = 40_000 + (n * 7919 % 997) / 7
    return pl.DataFrame(
        {
            "ts": (START + n * step).cast(TIME),
            "open": price,
            "high": price + 12.5,
            "low": price - 0.1,
            "close": price + 0.3,
            "volume": (n % 13) / 3,
            "quote_volume": pl.select(pl.when(n % 7 != 0).then(n * 1.1)).to_series(),
            "trades": n * 3,
        }
    )


def trades(count=3000, ids=True):
    """Trades in our columns across a midnight, many in the same instant and, without ids, identical prints."""
    n = pl.int_range(count, dtype=pl.Int64, eager=True)
    times = START + DAY - 10**9 + (n // 3) * 2_000_001
    return pl.DataFrame(
        {
            "ts": times.cast(TIME),
            "id": n.cast(pl.String) if ids else pl.Series([None] * count, dtype=pl.String),
            "price": 40_000 + (n // 3 % 50) / 10,
            "amount": (n // 3 % 7 + 1) / 8,
            "side": ["buy" if k // 3 % 2 else "sell" for k in n],
        }
    )


def book(moments=4, levels=3):
    """A snapshot, then changes, in our columns; one level goes away (amount 0)."""
    rows = [
        {
            "ts": START + DAY + (moment - 2) * 10**9,
            "seq": moment,
            "side": side,
            "price": 40_000.0 + sign * (level + 1) * 0.5,
            "amount": float((moment + level) % 3),
            "count": level if moment % 2 else None,
            "is_snapshot": moment % 2 == 0,
        }
        for moment in range(moments)
        for side, sign in (("bid", -1), ("ask", 1))
        for level in range(levels)
    ]
    schema = {name: dtype for name, dtype in KINDS["book"].schema.items() if name != "received_at"}
    return pl.DataFrame(rows, schema_overrides={"count": pl.Int64}).with_columns(pl.col("ts").cast(TIME)).cast(schema)


def funding(count=6):
    n = pl.int_range(count, dtype=pl.Int64, eager=True)
    times = START + n * 8 * HOUR + (n % 2) * 3_000_000
    return pl.DataFrame({"ts": times.cast(TIME), "rate": (n - 2) / 10_000, "mark_price": 40_000 + n * 1.5})
