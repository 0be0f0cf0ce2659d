"""The workloads of the feature store. The limit of a join is that of Polars alone, on rows that are in memory and sorted."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl

import ticklake
from benchmarks.figures import OURS, Target
from benchmarks.workload import Kind, Market, Scale, Step, Steps, Workload

__all__ = ["feature_workloads"]

SYMBOLS = 10
CALLS = 200
"""Calls of which a sample is the mean: one is as short as a look at the clock is noisy."""


def feature_workloads(scale: Scale) -> list[Workload]:
    """Return the workloads of a scale."""
    rows, joined = scale.events // 2, scale.events // 10
    values = f"{rows:,} values of {SYMBOLS} symbols"
    row = partial(Workload, repeats=max(scale.few, 3))
    newest = row(
        "features-latest",
        f"the newest known value of one symbol, of {values}",
        partial(latest, rows),
        (Target(200),),
        only=(OURS,),
        unit="us",
        returns=True,
    )
    title = f"join {joined:,} rows to {values}; limit: Polars alone"
    return [newest, row("features-join", title, partial(join, rows, joined), (), only=(OURS, "limit"))]


def latest(rows: int, kind: Kind, folder: Path, market: Market) -> Steps:
    """Ask for the values that are known now, as a live program does."""
    del kind
    with ticklake.open(folder / "lake") as lake:
        _written(lake, _values(market, rows))
        run = partial(lake.features.latest, "bench", 1, "S0", exchange="binance")
        run()
        while True:
            yield Step(partial(_microseconds, run))


def join(rows: int, joined: int, kind: Kind, folder: Path, market: Market) -> Steps:
    """Join rows of all symbols, in no order of symbols, to the values that were known then."""
    values = _values(market, rows)
    left = values.select("symbol", pl.col("ts").dt.offset_by("7s")).sample(joined, seed=1, with_replacement=True)
    left = left.sort("ts")
    if kind.name == "limit":
        sorted_values = values.sort("ts")
        run: Callable[[], pl.DataFrame] = partial(
            left.join_asof, sorted_values, on="ts", by="symbol", check_sortedness=False
        )
        while True:
            yield Step(run, rows=joined)
    with ticklake.open(folder / "lake") as lake:
        _written(lake, values)
        run = partial(lake.features.join, left, ["bench@v1"], exchange="binance")
        while True:
            yield Step(run, rows=joined)


def _values(market: Market, rows: int) -> pl.DataFrame:
    bars = market.bars.head(rows)
    number = pl.int_range(pl.len()) % SYMBOLS
    return bars.select(pl.format("S{}", number).alias("symbol"), "ts", pl.col("close").alias("x"), "volume")


def _written(lake: ticklake.Lake, values: pl.DataFrame) -> None:
    lake.features.register("bench", 1, {"x": "float64", "volume": "float64"})
    lake.features.write("bench", 1, values, exchange="binance")
    lake.compact()


def _microseconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        run()
    return (time.perf_counter() - began) / CALLS * 1e6
