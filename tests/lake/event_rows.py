"""Rows of several datasets with late, early and equal times."""

from __future__ import annotations

import random

import polars as pl

from ticklake.core.kinds import TIME
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND
from ticklake.lake import Lake
from ticklake.testing.rows import START, bars

TRADES = "x:trades:BTC/USDT"
OTHER = "x:trades:ETH/USDT"
QUOTES = "x:quotes:BTC/USDT"
BARS = "x:ohlcv:1m:BTC/USDT"
FUNDING = "x:funding:BTC/USDT:USDT"
ALL = [QUOTES, BARS, TRADES, FUNDING, OTHER]


def times(values: list[int | None]) -> pl.Series:
    return pl.Series([None if value is None else START + value for value in values], dtype=pl.Int64).cast(TIME)


def random_rows(seed: int, count: int, spread: int) -> dict[str, pl.DataFrame]:
    rng = random.Random(seed)

    def instants() -> tuple[list[int], list[int | None]]:
        ts = [
            rng.randrange(spread) // MINUTE * MINUTE if rng.random() < 0.2 else rng.randrange(spread)
            for _ in range(count)
        ]
        delays = [rng.choice([None, 0, 5, SECOND, 3 * MINUTE, -7, 3 * DAY]) for _ in range(count)]
        return ts, [None if delay is None else at + delay for at, delay in zip(ts, delays, strict=True)]

    frames: dict[str, pl.DataFrame] = {}
    for name in (TRADES, OTHER):
        ts, received = instants()
        ids = [str(number) for number in range(count)]
        frames[name] = pl.DataFrame(
            {"ts": times(ts), "received_at": times(received), "id": ids, "price": 1.0, "amount": 2.0, "side": "buy"}
        )
    ts, received = instants()
    quoted = {"seq": list(range(count)), "bid_price": [float(number) for number in range(count)]}
    frames[QUOTES] = pl.DataFrame({"ts": times(ts), "received_at": times(received), **quoted})
    frames[BARS] = bars(0, spread // MINUTE)
    hours = list(range(0, spread, HOUR))
    frames[FUNDING] = pl.DataFrame({"ts": times(hours), "rate": [float(hour) for hour in hours]})
    return frames


def fill(lake: Lake, frames: dict[str, pl.DataFrame], parts: int = 3) -> None:
    for name, frame in frames.items():
        size = -(-frame.height // parts)
        for start in range(0, frame.height, size):
            lake.save(name, frame.slice(start, size))
