"""The workloads of bars that are made: those that end with a trade, and those that a rule keeps up to date."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count, repeat
from pathlib import Path

import polars as pl

import ticklake
from benchmarks import data
from benchmarks.figures import OURS, Target
from benchmarks.workload import Kind, Market, Scale, Step, Steps, Workload

__all__ = ["derive_workloads"]

TRADES = "x:trades:BTC/USDT"
DOLLARS = 1_000_000


def derive_workloads(scale: Scale) -> list[Workload]:
    """Return the workloads of a scale. Plain Polars reads a file of the same trades, and makes all bars each time."""
    rows, few = f"{scale.resample:,} trades", max(scale.few, 3)
    row = partial(Workload, repeats=few, only=(OURS, "limit"))
    return [
        row(
            "dollar-bars",
            f"bars of {DOLLARS:,} dollars of {rows} (limit: by a running sum)",
            dollars,
            (Target(4, "limit"),),
        ),
        row("derive-first", f"store 1m bars of {rows}", first, (Target(2, "limit"),), warm_up=False),
        row(
            "derive-late",
            f"bring stored 1m bars of {rows} up to date after a late trade",
            late,
            (Target(0.7, "limit"),),
        ),
    ]


def dollars(kind: Kind, folder: Path, market: Market) -> Steps:
    """Make dollar bars. A running sum, which is all that plain Polars has, splits the trade between two bars."""
    if kind.name == OURS:
        lake = _lake(folder, market)
        yield from repeat(Step(lambda: lake.resample(TRADES, f"{DOLLARS}dollars")))
    path = _file(folder, market)
    money = (pl.col("price") * pl.col("amount")).cum_sum() // DOLLARS
    yield from repeat(Step(lambda: _bars(pl.scan_parquet(path).with_columns(bar=money), "bar").collect()))


def first(kind: Kind, folder: Path, market: Market) -> Steps:
    """Make bars of all trades and store them."""
    if kind.name == OURS:
        lake = _lake(folder, market)
        for number in count():
            lake.derive(f"rule{number}", TRADES, "1m")
            yield Step(partial(lake.derived.refresh, f"rule{number}"))
    path = _file(folder, market)
    yield from repeat(Step(lambda: _minutes(path).collect().write_parquet(folder / "bars.parquet")))


def late(kind: Kind, folder: Path, market: Market) -> Steps:
    """Store a late trade, and then, timed, what it changes."""
    if kind.name == OURS:
        lake = _lake(folder, market)
        lake.derive("minutes", TRADES, "1m")
        lake.derived.refresh()
        for number in count():
            trade = data.trades(1).with_columns(
                id=pl.lit(f"late{number}"), ts=pl.col("ts") + pl.duration(minutes=number)
            )
            lake.save(TRADES, trade)
            yield Step(lake.derived.refresh)
    path = _file(folder, market)
    yield from repeat(Step(lambda: _minutes(path).collect().write_parquet(folder / "bars.parquet")))


def _lake(folder: Path, market: Market) -> ticklake.Lake:
    lake = ticklake.open(folder)
    for frame in _trades(market):
        lake.save(TRADES, frame)
    lake.compact()
    return lake


def _file(folder: Path, market: Market) -> Path:
    folder.mkdir(parents=True)
    path = folder / "trades.parquet"
    pl.concat(list(_trades(market))).write_parquet(path)
    return path


def _trades(market: Market) -> Iterator[pl.DataFrame]:
    return data.days_of_trades(market.scale.resample)


def _minutes(path: Path) -> pl.LazyFrame:
    return _bars(pl.scan_parquet(path).with_columns(pl.col("ts").dt.truncate("1m").set_sorted()), "ts")


def _bars(rows: pl.LazyFrame, key: str) -> pl.LazyFrame:
    price, amount = pl.col("price"), pl.col("amount")
    return rows.group_by(key, maintain_order=True).agg(
        open=price.first(),
        high=price.max(),
        low=price.min(),
        close=price.last(),
        volume=amount.sum(),
        quote_volume=(price * amount).sum(),
        trades=pl.len(),
    )
