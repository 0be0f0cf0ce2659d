"""The workloads of joins by time: as of, panels, markouts, events in order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import ticklake
from benchmarks import data
from benchmarks.figures import OURS, Target
from benchmarks.live_workloads import printed
from benchmarks.workload import Kind, Market, Scale, Step, Steps, Workload

__all__ = ["join_workloads"]

GROUPS = 50
OFFSETS = ("0s", "1s", "5s", "1m", "5m")
SYMBOLS = 40
BARS = 10_080
"""A week of one-minute bars of each symbol."""
QUOTES = "x:quotes:BTC/USDT"
_SIDES = ("symbol", "ts")


def join_workloads(scale: Scale) -> list[Workload]:
    """Return the workloads of a scale. Peers take part in what they can do with the same rows."""
    few, rows = max(scale.few, 3), f"{scale.trades:,}"
    peers = tuple(_ASOF)
    joins = partial(Workload, repeats=few)
    asof = f"join {rows} rows as of {rows} others in memory"
    held = f"{rows} trades against as many stored quotes"
    events = partial(Workload, repeats=scale.few, only=(OURS,), returns=True, warm_up=False)
    run = ("iterate", "--events", scale.events)
    return [
        joins("asof", asof, partial(in_memory, groups=1), (Target(2.5, "limit"),), only=peers),
        joins(
            "asof-groups",
            f"{asof}, {GROUPS} symbols",
            partial(in_memory, groups=GROUPS),
            (Target(2.5, "limit"),),
            only=peers,
        ),
        joins("asof-stored", f"{held}: as they were known", stored_quotes(_join), (), only=(OURS, "limit")),
        joins(
            "markout", f"{held}: markouts at {len(OFFSETS)} offsets", stored_quotes(_markout), (), only=(OURS, "limit")
        ),
        joins("panel", f"panel of {SYMBOLS} symbols, {BARS:,} bars each", panel, (), only=(OURS, "limit")),
        events(
            "iterate",
            "events of three datasets in order, as Arrow",
            printed("arrow_per_second", *run),
            (Target(1_000_000, at_least=True),),
            unit="events/s",
        ),
        events("iterate-objects", "the same as objects", printed("objects_per_second", *run), (), unit="events/s"),
        events(
            "iterate-memory",
            "peak of memory with four times the events",
            printed("growth_mb", *run),
            (Target(64),),
            unit="MB more",
        ),
    ]


def sides(rows: int, groups: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return two frames of rows over one day, sorted by time: half of the times of the second come twice."""
    rng = np.random.default_rng([3, rows, groups])
    frames: list[pl.DataFrame] = []
    for name, step in (("size", 10**6), ("bid", 10**7)):
        times = np.sort(rng.integers(0, data.DAY // step, rows)) * step + data.START
        symbols = pl.Series(rng.integers(0, groups, rows)).cast(pl.String)
        frame = {"ts": pl.Series(times, dtype=pl.Int64).cast(data.TIME), "symbol": symbols, name: rng.random(rows)}
        frames.append(pl.DataFrame(frame))
    return frames[0], frames[1]


def in_memory(kind: Kind, folder: Path, market: Market, groups: int) -> Steps:
    """Join frames in the form that the software takes."""
    del folder
    left, right = sides(market.scale.trades, groups)
    run = _ASOF[kind.name](left, right, ["symbol"] if groups > 1 else [])
    yield from repeat(Step(run, left.height))


def _ours(left: pl.DataFrame, right: pl.DataFrame, by: list[str]) -> Callable[[], Any]:
    from ticklake.core.asof import asof

    return partial(asof, left, right, by=by)


def _polars(left: pl.DataFrame, right: pl.DataFrame, by: list[str]) -> Callable[[], Any]:
    return lambda: left.join_asof(right, on="ts", by=by or None, coalesce=False, check_sortedness=not by)


def _duckdb(left: pl.DataFrame, right: pl.DataFrame, by: list[str]) -> Callable[[], Any]:
    import duckdb

    database = duckdb.connect()
    for name, frame in (("l", left), ("r", right)):
        # Without a zone: a TIMESTAMPTZ of DuckDB would lose the nanoseconds.
        database.register(name, frame.with_columns(pl.col("ts").dt.replace_time_zone(None)).to_arrow())
    where = "".join(f"l.{name} = r.{name} AND " for name in by)
    query = f"SELECT l.*, r.ts AS ts_right, r.bid FROM l ASOF LEFT JOIN r ON {where} l.ts >= r.ts"
    return lambda: database.sql(query).to_arrow_table()


def _pandas(left: pl.DataFrame, right: pl.DataFrame, by: list[str]) -> Callable[[], Any]:
    import pandas as pd

    frames = [frame.to_pandas() for frame in (left, right)]
    return partial(pd.merge_asof, *frames, on="ts", by=by or None)


# ArcticDB answers with frames of pandas, whose join is the one that its users have.
_ASOF = {"ticklake": _ours, "limit": _polars, "duckdb": _duckdb, "arcticdb": _pandas}


def stored_quotes(
    work: Callable[[Kind, Path, pl.DataFrame], Callable[[], Any]],
) -> Callable[[Kind, Path, Market], Steps]:
    """Return the steps of *work* on trades in memory and stored quotes."""

    def prepare(kind: Kind, folder: Path, market: Market) -> Steps:
        folder.mkdir(parents=True)
        trades = market.trades
        _, quotes = sides(market.scale.trades, 1)
        # As much time as the trades take.
        step = data.DAY // market.length
        quotes = quotes.select(
            ts=((pl.col("ts").to_physical() - data.START) // step + data.START).cast(data.TIME),
            bid_price="bid",
            bid_amount=pl.lit(1.0),
            ask_price=pl.col("bid") + 1,
            ask_amount=pl.lit(1.0),
        )
        if kind.name == OURS:
            with ticklake.open(folder) as lake:
                lake.save(QUOTES, quotes)
                lake.compact()
        else:
            quotes.write_parquet(folder / "quotes.parquet")
        yield from repeat(Step(work(kind, folder, trades), trades.height))

    return prepare


def _join(kind: Kind, folder: Path, trades: pl.DataFrame) -> Callable[[], Any]:
    if kind.name == OURS:
        lake = ticklake.open(folder)
        return lambda: lake.asof(trades, QUOTES)
    return lambda: trades.join_asof(pl.read_parquet(folder / "quotes.parquet"), on="ts", coalesce=False)


def _markout(kind: Kind, folder: Path, trades: pl.DataFrame) -> Callable[[], Any]:
    if kind.name == OURS:
        lake = ticklake.open(folder)
        return lambda: lake.markout(trades, QUOTES, offsets=OFFSETS)
    return lambda: _markouts_of_polars(trades, folder / "quotes.parquet")


def _markouts_of_polars(trades: pl.DataFrame, path: Path) -> pl.DataFrame:
    quotes = pl.read_parquet(path, columns=["ts", "bid_price", "ask_price"])
    mids = quotes.select("ts", mid=(pl.col("bid_price") + pl.col("ask_price")) / 2)
    sign = pl.when(side="buy").then(1.0).otherwise(-1.0)
    for offset in OFFSETS:
        moved = trades.select(pl.col("ts").dt.offset_by(offset)).join_asof(mids, on="ts")
        trades = trades.with_columns((sign * (moved["mid"] - pl.col("price"))).alias(f"markout_{offset}"))
    return trades


def panel(kind: Kind, folder: Path, market: Market) -> Steps:
    """Read the closes of many symbols, each of which lacks some bars."""
    del market
    folder.mkdir(parents=True)
    bars = data.bars(BARS)
    rng = np.random.default_rng(5)
    frames = {f"S{number}/USDT": bars.filter(rng.random(BARS) < 0.99) for number in range(SYMBOLS)}
    if kind.name == OURS:
        lake = ticklake.open(folder)
        lake.save_all([(f"x:ohlcv:1m:{symbol}", frame) for symbol, frame in frames.items()])
        lake.compact()
        yield from repeat(Step(lambda: lake.panel("x", "*", "1m"), BARS))
    for symbol, frame in frames.items():
        frame.write_parquet(folder / f"{symbol.partition('/')[0]}.parquet")
    yield from repeat(Step(partial(_panel_of_polars, sorted(folder.glob("*.parquet"))), BARS))


def _panel_of_polars(paths: list[Path]) -> pl.DataFrame:
    frames = [pl.read_parquet(path, columns=["ts", "close"]).rename({"close": path.stem}) for path in paths]
    return pl.concat(frames, how="align")
