"""A lake with all that makes look-ahead easy: late trades, corrected bars, holes, funding, several timeframes."""

from __future__ import annotations

import numpy as np
import polars as pl

from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND
from ticklake.lake import Lake
from ticklake.testing.clocks import ManualClock
from ticklake.testing.rows import START, bars

BARS = "x:ohlcv:1m:BTC/USDT"
HOURS = "x:ohlcv:1h:BTC/USDT"
TRADES = "x:trades:BTC/USDT"
FUNDING = "x:funding:BTC/USDT"
OPEN_INTEREST = "x:open_interest:BTC/USDT"
QUOTES = "x:quotes:BTC/USDT"
LENGTH = 2 * DAY
LATER = START + 100 * DAY


def times(values: np.ndarray) -> pl.Series:
    return pl.Series(values, dtype=pl.Int64).cast(TIME)


def late_trades(seed: int, count: int = 20_000) -> pl.DataFrame:
    """Trades of two days, of which some are received minutes late, some never, and some at the very second."""
    random = np.random.default_rng(seed)
    happened = np.sort(random.integers(START, START + LENGTH, count))
    happened[::50] = happened[::50] // MINUTE * MINUTE
    happened = np.sort(happened)
    delay = (random.exponential(0.2, count) * SECOND).astype(np.int64)
    delay[random.random(count) < 0.02] += 3 * MINUTE
    came = pl.Series(happened + delay, dtype=pl.Int64).to_frame("came")
    came = came.select(pl.when(pl.lit(pl.Series(random.random(count) > 0.01))).then("came"))["came"]
    return pl.DataFrame(
        {
            "ts": times(happened),
            "received_at": came.cast(TIME),
            "id": [str(number) for number in range(count)],
            "price": 100 + np.cumsum(random.standard_normal(count)) / 50,
            "amount": random.exponential(1, count),
            "side": np.where(random.random(count) < 0.5, "buy", "sell"),
        }
    )


def fill(lake: Lake, clock: ManualClock, seed: int = 1) -> None:
    """Fill a lake with two days of everything; some bars are corrected while the market goes on."""
    random = np.random.default_rng(seed)
    clock.now = START + 6 * HOUR
    minutes = bars(0, LENGTH // MINUTE).filter(pl.lit(pl.Series(random.random(LENGTH // MINUTE) > 0.03)))
    today = minutes.filter(pl.col("ts") < pl.lit(clock.now).cast(TIME))
    lake.save(BARS, today)
    for hour in (7, 9, 20):
        clock.now = START + hour * HOUR
        part = today.filter(pl.int_range(pl.len()) % 11 == hour % 11)
        lake.save(BARS, part.with_columns(close=pl.col("close") + 0.1 * hour, high=pl.col("high") + hour))
    clock.now = LATER
    lake.engine.append(Dataset.parse(BARS), minutes, Provenance("x"), [Covered(Span(START, START + DAY))])
    lake.save(HOURS, bars(0, 40, interval=HOUR))
    lake.save(TRADES, late_trades(seed))
    stamps = START + np.arange(0, 48, 8) * HOUR + random.integers(0, 20, 6) * 1_000_000
    lake.save(FUNDING, pl.DataFrame({"ts": times(stamps), "rate": random.normal(0, 1e-4, 6), "predicted_rate": 1e-4}))
    stamps = START + np.arange(0, 576) * 5 * MINUTE
    lake.save(OPEN_INTEREST, pl.DataFrame({"ts": times(stamps), "open_interest": random.exponential(1e4, 576)}))
    stamps = np.sort(random.integers(START, START + LENGTH, 5_000))
    quotes = {"ts": times(stamps), "received_at": times(stamps + random.integers(0, SECOND, 5_000))}
    lake.save(QUOTES, pl.DataFrame({**quotes, "seq": range(5_000), "bid_price": 99.0, "ask_price": 101.0}))


def instants_before(cut: int, count: int, seed: int) -> np.ndarray:
    """Return instants up to *cut*, most of them close to it, many of them to the nanosecond where bars close."""
    random = np.random.default_rng(seed)
    back = [random.integers(0, length, count // 4) for length in (SECOND, 2 * MINUTE, 2 * HOUR)]
    near = cut - np.concatenate([[0, 1, 2], *back])
    aligned = near[: count - len(near)] // MINUTE * MINUTE
    found = np.unique(np.concatenate([near, aligned]))
    more = cut - random.integers(0, 6 * HOUR, count)
    return np.unique(np.concatenate([found, more]))[-count:]
