"""The workloads of order books. The limit is plain Polars on one ideal file: the last row of each level since the snapshot."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.data import DAY, START
from benchmarks.figures import Target
from benchmarks.workload import Kind, Market, Scale, Step, Steps, Workload
from ticklake.app import open_lake
from ticklake.core.time import HOUR, MINUTE, MS, SECOND
from ticklake.lake import Lake

__all__ = ["book_workloads", "day_of_changes"]

NAME = "binance:book:BTC/USDT"
LEVELS = 1_000
A_MESSAGE = 8
DEPTH = 10
BOOKS = 20
"""Books of which a sample is the mean."""


def book_workloads(scale: Scale) -> list[Workload]:
    """Return the workloads of a scale."""
    row = partial(Workload, repeats=max(scale.few, 3), only=("ticklake", "limit"), returns=True, warm_up=False)
    day = f"a day of {scale.resample:,} changes"
    alone = "limit: plain Polars on one file"
    return [
        row("book-at", f"book at an instant of {day}; {alone}", at_instants, (Target(20),), unit="ms"),
        row(
            "books",
            f"books every second of an hour of {day}; {alone}",
            in_series,
            (Target(20, "limit", at_least=True),),
            unit="books/s",
        ),
        row(
            "book-changes",
            f"changes of {day}, read for a book every minute",
            changes,
            (Target(1_000_000, at_least=True),),
            unit="changes/s of CPU",
            only=("ticklake",),
        ),
    ]


def day_of_changes(count: int) -> pl.DataFrame:
    """Return a book of a thousand levels a side that is sent once, and so many changes of it in a day."""
    chance = np.random.default_rng(1)
    messages = count // A_MESSAGE + 1
    ts = np.sort(chance.integers(0, DAY // MS, messages)) * MS + START + MS
    middle = 60_000 + np.cumsum(chance.normal(0, 0.02, messages))
    side = chance.integers(0, 2, messages * A_MESSAGE)
    away = chance.exponential(20, messages * A_MESSAGE) + 0.05
    price = np.repeat(middle, A_MESSAGE) + np.where(side == 0, -away, away)
    gone = chance.random(messages * A_MESSAGE) < 0.45
    changes = pl.DataFrame(
        {
            "ts": np.repeat(ts, A_MESSAGE),
            "seq": np.repeat(np.arange(messages) + 10_000_001, A_MESSAGE),
            "side": pl.Series(side).replace_strict({0: "bid", 1: "ask"}),
            "price": price.round(1),
            "amount": np.where(gone, 0.0, chance.exponential(1, messages * A_MESSAGE).round(3) + 0.001),
            "is_snapshot": False,
        }
    )
    steps = np.arange(1, LEVELS + 1) / 10
    whole = pl.DataFrame(
        {
            "ts": [START] * 2 * LEVELS,
            "seq": [10_000_000] * 2 * LEVELS,
            "side": ["bid"] * LEVELS + ["ask"] * LEVELS,
            "price": np.concatenate([60_000 - steps, 60_000 + steps]).round(1),
            "amount": 1.0,
            "is_snapshot": True,
        }
    )
    rows = pl.concat([whole, changes]).unique(["ts", "seq", "side", "price"], keep="last", maintain_order=True)
    return rows.with_columns(pl.col("ts").cast(pl.Datetime("ns", "UTC")))


@contextmanager
def _lake(folder: Path, market: Market) -> Iterator[Lake]:
    """Open the lake of a run, which is filled and compacted once."""
    place = folder.parents[1] / f"books-{market.scale.resample}"
    is_new = not place.exists()
    with open_lake(place) as lake:
        if is_new:
            lake.save(NAME, day_of_changes(market.scale.resample))
            lake.compact()
        yield lake


def _file(folder: Path, market: Market) -> pl.LazyFrame:
    place = folder.parents[1] / f"books-{market.scale.resample}.parquet"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        day_of_changes(market.scale.resample).write_parquet(place, statistics=True)
    return pl.scan_parquet(place)


def _plain_book(file: pl.LazyFrame, at: int) -> pl.DataFrame:
    rows = file.filter(pl.col("ts") <= pl.lit(at).cast(pl.Datetime("ns", "UTC")))
    last = rows.unique(["side", "price"], keep="last").filter(pl.col("amount") > 0).collect()
    bids = last.filter(side="bid").sort("price", descending=True)
    return pl.concat([bids.head(DEPTH), last.filter(side="ask").sort("price").head(DEPTH)])


def at_instants(kind: Kind, folder: Path, market: Market) -> Steps:
    """Read books at instants anywhere in the day, in milliseconds each."""
    chance = random.Random(1)
    if kind.name == "limit":
        file = _file(folder, market)
        while True:
            at = START + chance.randrange(DAY)
            yield Step(partial(_milliseconds, partial(_plain_book, file), [at]))
    with _lake(folder, market) as lake:
        read: Callable[[int], Any] = partial(lake.book, "binance", "BTC/USDT", depth=DEPTH)
        while True:
            instants = [START + MS + chance.randrange(DAY - MS) for _ in range(BOOKS)]
            yield Step(partial(_milliseconds, read, instants))


def _milliseconds(read: Callable[[int], Any], instants: list[int]) -> float:
    began = time.perf_counter()
    for at in instants:
        read(at)
    return (time.perf_counter() - began) / len(instants) * 1_000


def in_series(kind: Kind, folder: Path, market: Market) -> Steps:
    """Read the books of every second of an hour in the middle of the day; return how many a second."""
    start = START + DAY // 2
    if kind.name == "limit":
        file = _file(folder, market)
        while True:
            yield Step(partial(_a_second, partial(_plain_books, file, start), 3))
    with _lake(folder, market) as lake:
        while True:
            series = lake.books("binance", "BTC/USDT", start, start + HOUR, "1s", DEPTH)
            yield Step(partial(_a_second, series.collect, 3_600))


def _plain_books(file: pl.LazyFrame, start: int) -> None:
    for second in range(3):
        _plain_book(file, start + second * SECOND)


def _a_second(read: Callable[[], Any], count: int) -> float:
    began = time.perf_counter()
    read()
    return count / (time.perf_counter() - began)


def changes(kind: Kind, folder: Path, market: Market) -> Steps:
    """Read all changes of the day for a book a minute; return how many a second of CPU."""
    del kind
    with _lake(folder, market) as lake:
        count = lake.inventory(NAME)["rows"][0]
        while True:
            series = lake.books("binance", "BTC/USDT", START, START + DAY, f"{MINUTE // SECOND}s", DEPTH)
            yield Step(partial(_a_cpu_second, series.collect, count))


def _a_cpu_second(read: Callable[[], Any], count: int) -> float:
    began = time.process_time()
    read()
    return count / (time.process_time() - began)
