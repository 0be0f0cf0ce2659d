"""A market made of arithmetic: the same on every machine, with trades, bars, funding and open interest."""

from __future__ import annotations

import math
from functools import partial

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.resample import bars_from_trades
from ticklake.core.time import DAY, HOUR, MINUTE, MS, parse_time
from ticklake.core.timeframe import MONDAY, Timeframe
from ticklake.testing.exchange.bars import contract_size
from ticklake.testing.exchange.market import Market

__all__ = ["END", "START", "generated_market", "live_market"]

START = parse_time("2024-01-01")
END = parse_time("2024-02-01")

_PRIME = 2_147_483_647

_SYMBOLS: tuple[tuple[str, str, float, float], ...] = (
    ("binance", "BTC/USDT", 42_000.0, 4.0),
    ("binance", "ETH/USDT", 2_300.0, 3.0),
    ("binance", "BTC/USDT:USDT", 42_010.0, 4.0),
    ("binance", "ETH/USDT:USDT", 2_301.0, 3.0),
    ("kraken", "BTC/USD", 42_005.0, 2.0),
    ("kraken", "ETH/EUR", 2_100.0, 0.8),
)
"""Exchange, symbol, first price, and trades per minute on average."""
_COIN_MARGINED: tuple[tuple[str, str, float, float], ...] = (
    ("binance", "BTC/USD:BTC", 42_020.0, 4.0),
    ("binance", "ETH/USD:ETH", 2_302.0, 3.0),
)
"""Perpetual contracts of a fixed number of dollars."""


_IDS_OF_A_WEEK = 10_000_000
_MOST_DAYS = 60


def generated_market(
    start: int = START,
    end: int = END,
    *,
    more: int = 0,
    pace: float = 60.0,
    first_id: int = 1,
    coin_margined: bool = False,
) -> Market:
    """Return a market of a few symbols on Binance and Kraken between *start* and *end*.

    Parameters
    ----------
    more, pace
        So many further symbols of Binance, ``SIM000/USDT`` and so on, with so many trades per minute on average: for
        trials with many streams.
    first_id
        The id of the first trade of each symbol.
    coin_margined
        Add perpetual contracts of Binance's COIN-M futures.
    """
    market = Market()
    further = [("binance", f"SIM{number:03}/USDT", 1_000.0 + number, pace) for number in range(more)]
    contracts = _COIN_MARGINED if coin_margined else ()
    for seed, (exchange, symbol, price, trades_per_minute) in enumerate([*_SYMBOLS, *further, *contracts]):
        dataset = Dataset.of(exchange, symbol, "trades")
        size = contract_size(dataset.symbol)
        market.add(dataset, partial(_trades, start, end, seed, price, trades_per_minute, first_id, size is not None))
        # Bars are made of the rows that the market keeps, not of trades that are generated anew for each kind.
        trades = partial(market.rows, exchange, dataset.symbol, "trades")
        market.add(Dataset.of(exchange, symbol, "ohlcv", "1m"), partial(_bars, trades, size))
        if dataset.symbol.market_type == "swap":
            perpetual = partial(Dataset.of, exchange, symbol)
            market.add(perpetual("funding"), partial(_funding, start, end, seed, price))
            market.add(perpetual("open_interest"), partial(_open_interest, start, end, seed, price))
            for kind in ("mark_ohlcv", "index_ohlcv"):
                market.add(perpetual(kind, "1m"), partial(_price_bars, trades))
    return market


def live_market(now: int, speed: float = 1.0) -> Market:
    """Return a generated market around *now*: from Monday of the week before, for two hours of real time and two days.

    In all of a week it is the same market with the same ids, so that a lake that was filled yesterday fits today.
    """
    week = Timeframe.parse("1w")
    start = week.floor(now, MONDAY) - week.length
    # A longer market takes longer to make.
    days = min(math.ceil(speed / 12), _MOST_DAYS) + 2
    first_id = max((start - START) // week.length, 0) * _IDS_OF_A_WEEK + 1
    return generated_market(start, now // DAY * DAY + days * DAY, first_id=first_id, coin_margined=True)


def _uniform(seed: int) -> pl.Expr:
    """Numbers in [0, 1) that depend on the time and the seed alone."""
    value = (pl.col("ts").cast(pl.Int64) // MS + seed * 1_000_003) % _PRIME
    for addend in (12_345, 67_891, 424_243):
        value = (value * value + addend * (value + 1)) % _PRIME
    return value / _PRIME


def _price(base: float, seed: int) -> pl.Expr:
    day = pl.col("ts").cast(pl.Int64) / DAY
    waves = [(0.031, 9.7), (0.017, 3.1), (0.006, 0.83), (0.0021, 0.119), (0.0006, 0.0231)]
    drift = pl.sum_horizontal((day * (2 * math.pi / period) + seed * period).sin() * size for size, period in waves)
    noise = (_uniform(seed + 11) - 0.5) * 0.0004
    return (base * (1 + drift + noise)).round(2)


def _trades(
    start: int, end: int, seed: int, base: float, pace: float, first_id: int = 1, is_contract: bool = False
) -> pl.DataFrame:
    """Return trades; amounts of a contract are whole numbers of contracts."""
    slots = int(2 * pace * 4)
    step = MINUTE // slots // MS * MS
    grid = pl.select(ts=pl.int_range(start, end, step, dtype=pl.Int64))
    kept = grid.filter(_uniform(seed) < pace / (MINUTE / step))
    jitter = (_uniform(seed + 5) * (step / MS - 1)).cast(pl.Int64) * MS
    moved = kept.with_columns(ts=pl.col("ts") + jitter)
    amount = (0.0001 + _uniform(seed + 7) ** 4 * 2).round(5)
    if is_contract:
        amount = (amount * 100).ceil()
    return moved.select(
        ts=pl.col("ts").cast(TIME),
        id=(pl.int_range(pl.len(), dtype=pl.Int64) + first_id).cast(pl.String),
        price=_price(base, seed),
        amount=amount,
        side=pl.when(_uniform(seed + 9) < 0.5).then(pl.lit("buy")).otherwise(pl.lit("sell")),
    )


def _bars(trades: partial[pl.DataFrame], contract: float | None = None) -> pl.DataFrame:
    rows = trades()
    if contract is not None:
        # Volumes are amounts of the base currency, as everywhere.
        rows = rows.with_columns(amount=pl.col("amount") * contract / pl.col("price"))
    bars = bars_from_trades(rows.lazy(), Timeframe.parse("1m")).collect()
    return bars.with_columns(pl.col("volume").round(5), pl.col("quote_volume").round(7))


def _price_bars(trades: partial[pl.DataFrame]) -> pl.DataFrame:
    return _bars(trades).select("ts", "open", "high", "low", "close")


def _funding(start: int, end: int, seed: int, base: float) -> pl.DataFrame:
    grid = pl.select(ts=pl.int_range(start, end, 8 * HOUR, dtype=pl.Int64))
    return grid.select(
        ts=pl.col("ts").cast(TIME),
        rate=((_uniform(seed) - 0.4) * 0.0005).round(8),
        mark_price=_price(base, seed),
    )


def _open_interest(start: int, end: int, seed: int, base: float) -> pl.DataFrame:
    grid = pl.select(ts=pl.int_range(start, end, 5 * MINUTE, dtype=pl.Int64))
    amount = (80_000 + _uniform(seed) * 500).round(3)
    return grid.select(
        ts=pl.col("ts").cast(TIME),
        open_interest=amount,
        open_interest_value=(amount * _price(base, seed)).round(2),
    )
