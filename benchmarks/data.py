"""Deterministic market data: a year of one-minute bars, and days of a million trades."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

__all__ = ["DAY", "MINUTE", "START", "WEEK", "YEAR_BARS", "bars", "batches", "days_of_trades", "trades"]

MINUTE = 60 * 10**9
DAY = 1440 * MINUTE
WEEK = 7 * DAY
START = 1_704_067_200 * 10**9
"""2024-01-01: in a leap year, 1,440 more bars fit behind the 525,600 and still lie in the same year."""
YEAR_BARS = 525_600
TRADES_A_DAY = 1_000_000
FIRST_ID = 4_829_173_456
TIME = pl.Datetime("ns", "UTC")


def bars(count: int = YEAR_BARS, start: int = START, seed: int = 1) -> pl.DataFrame:
    """Return one-minute bars: prices of two decimals that walk, lognormal volumes of five."""
    rng = np.random.default_rng([seed, start // MINUTE])
    close = _walk(rng, count, 42_000.0, 12.0)
    opened = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(opened, close) + np.round(rng.exponential(6.0, count), 2)
    low = np.minimum(opened, close) - np.round(rng.exponential(6.0, count), 2)
    volume = np.maximum(np.round(rng.lognormal(2.2, 1.0, count), 5), 0.00001)
    return pl.DataFrame(
        {
            "ts": pl.Series(start + np.arange(count) * MINUTE, dtype=pl.Int64).cast(TIME),
            "open": opened,
            "high": high.round(2),
            "low": low.round(2),
            "close": close,
            "volume": volume,
            "quote_volume": np.round(volume * (high + low) / 2, 8),
            "trades": rng.poisson(800, count).astype(np.int64),
        }
    )


def trades(count: int = TRADES_A_DAY, start: int = START, length: int = DAY, first: int = 0) -> pl.DataFrame:
    """Return trades spread over ``[start, start + length)``, numbered on from *first*; times in milliseconds."""
    rng = np.random.default_rng([2, start // MINUTE])
    offsets = np.sort(rng.integers(0, length // 10**6, count)) * 10**6
    return pl.DataFrame(
        {
            "ts": pl.Series(start + offsets, dtype=pl.Int64).cast(TIME),
            "id": pl.Series(np.arange(count) + FIRST_ID + first, dtype=pl.Int64).cast(pl.String),
            "price": _walk(rng, count, 42_000.0, 0.35),
            "amount": np.maximum(np.round(rng.lognormal(-4.5, 1.6, count), 5), 0.00001),
            "side": pl.Series(np.where(rng.random(count) < 0.5, "buy", "sell"), dtype=pl.String),
        }
    )


def days_of_trades(count: int, start: int = START, length: int = DAY) -> Iterator[pl.DataFrame]:
    """Yield *count* trades, a million a day, all inside the first *length* nanoseconds of their day."""
    for first in range(0, count, TRADES_A_DAY):
        rows = min(TRADES_A_DAY, count - first)
        yield trades(rows, start + DAY * (first // TRADES_A_DAY), length * rows // TRADES_A_DAY, first)


def batches(frame: pl.DataFrame, count: int, overlap: float = 0.0) -> list[pl.DataFrame]:
    """Cut a frame into *count* batches; each repeats that share of the one before it."""
    rows = frame.height // count
    again = int(rows * overlap)
    return [frame.slice(max(0, i * rows - again), rows + min(again, i * rows)) for i in range(count)]


def _walk(
    rng: np.random.Generator, count: int, base: float, step: float
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    walk = base + np.cumsum(rng.normal(0.0, step, count))
    return np.round(np.abs(walk - 1_000.0) + 1_000.0, 2)
