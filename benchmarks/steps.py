"""The workloads' steps: each generator sets up, then yields what is timed, once a repetition."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks import data
from benchmarks.contenders.base import Cannot, Contender
from benchmarks.workload import Kind, Market, Step, Steps


def append(kind: Kind, folder: Path, market: Market) -> Steps:
    later = data.bars(1_440, data.START + data.YEAR_BARS * data.MINUTE)
    with closing(market.year_in(kind, folder)) as contender:
        for batch in data.batches(later.head(1_400), 14):
            yield Step(partial(contender.append_bars, contender.bars(batch)))


def append_group(kind: Kind, folder: Path, market: Market) -> Steps:
    symbols = _symbols(market.scale.group)
    with closing(kind(folder)) as contender:
        for i, batch in enumerate(data.batches(market.bars.head(10_000), 100)):
            items = [(symbol, contender.bars(batch, symbol)) for symbol in symbols]
            if i == 0:
                contender.append_group(items)
            else:
                yield Step(partial(contender.append_group, items))


def in_batches(kind: Kind, folder: Path, market: Market) -> Steps:
    overlap = 0.01 if kind.dedupes else 0.0
    parts = data.batches(market.trades, market.scale.batches, overlap)
    for contender in _afresh(kind, folder):
        yield Step(partial(_append_and_compact, contender, [contender.trades(part) for part in parts]))
        found = len(contender.read_trades(data.START, data.START + market.length))
        if found != market.trades.height:
            raise AssertionError(f"{found:,} trades after deduping, not {market.trades.height:,}")


def bulk(kind: Kind, folder: Path, market: Market) -> Steps:
    for contender in _afresh(kind, folder):
        yield Step(partial(contender.load_trades, contender.trades(market.trades)))


def correct(kind: Kind, folder: Path, market: Market) -> Steps:
    rng = random.Random(1)
    with closing(market.year_in(kind, folder)) as contender:
        while True:
            old = market.bars[rng.randrange(market.bars.height)]
            yield Step(partial(contender.correct_bar, contender.bars(old.with_columns(pl.col("volume") + 1))))


def read_minute(kind: Kind, folder: Path, market: Market) -> Steps:
    rng = random.Random(2)
    times = market.trades["ts"].to_physical()
    with closing(_with_trades(kind, folder, [market.trades])) as contender:
        while True:
            start = data.START + data.MINUTE * rng.randrange(market.length // data.MINUTE)
            expected = int(times.is_between(start, start + data.MINUTE, closed="left").sum())
            yield Step(partial(contender.read_trades, start, start + data.MINUTE), expected)


def read_week(kind: Kind, folder: Path, market: Market) -> Steps:
    rng = random.Random(3)
    minutes = data.WEEK // data.MINUTE
    with closing(market.year_in(kind, folder)) as contender:
        while True:
            start = data.START + data.MINUTE * rng.randrange(data.YEAR_BARS - minutes)
            yield Step(partial(contender.read_bars, start, start + data.WEEK), minutes)


def read_year(kind: Kind, folder: Path, market: Market) -> Steps:
    with closing(market.year_in(kind, folder)) as contender:
        while True:
            yield Step(contender.read_bars, market.bars.height)


def last_timestamp(kind: Kind, folder: Path, market: Market) -> Steps:
    with closing(market.year_in(kind, folder)) as contender:
        while True:
            yield Step(contender.last_bar)


def inventory(kind: Kind, folder: Path, market: Market) -> Steps:
    _must_have(kind, "inventory")
    symbols = _symbols(market.scale.datasets)
    with closing(kind(folder)) as contender:
        contender.append_group([(symbol, contender.bars(market.bars.head(10), symbol)) for symbol in symbols])
        while True:
            yield Step(contender.inventory, len(symbols))


def trade_bytes(kind: Kind, folder: Path, market: Market) -> Steps:
    """At least half a day: what a store adds once would weigh too much in fewer rows."""
    count = max(market.scale.trades, data.TRADES_A_DAY // 2)
    contender = _with_trades(kind, folder, data.days_of_trades(count))
    yield Step(partial(_bytes_a_row, contender, count))


def bar_bytes(kind: Kind, folder: Path, market: Market) -> Steps:
    contender = market.year_in(kind, folder)
    yield Step(partial(_bytes_a_row, contender, market.bars.height))


def resample(kind: Kind, folder: Path, market: Market) -> Steps:
    _must_have(kind, "resample")
    count = market.scale.resample
    end = data.START + data.DAY * count // data.TRADES_A_DAY
    with closing(_with_trades(kind, folder, data.days_of_trades(count))) as contender:
        while True:
            yield Step(partial(contender.resample, data.START, end), (end - data.START) // data.MINUTE)


def importing(kind: Kind, folder: Path, market: Market) -> Steps:
    del folder, market
    while True:
        yield Step(partial(_fresh, "import ticklake" if kind.name == "ticklake" else _PARTS))


def opening(kind: Kind, folder: Path, market: Market) -> Steps:
    """Open an empty lake in a new process, with all that this imports."""
    del market
    ours = f"import ticklake\nticklake.open({str(folder)!r}).close()"
    while True:
        yield Step(partial(_fresh, ours if kind.name == "ticklake" else _PARTS))


def helping(kind: Kind, folder: Path, market: Market) -> Steps:
    del folder, market
    ours = (
        "sys.argv = ['ticklake', '--help']\nfrom ticklake.interfaces.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass"
    )
    while True:
        yield Step(partial(_fresh, ours if kind.name == "ticklake" else "import typer, rich"))


_PARTS = "import polars, sqlalchemy"


def _must_have(kind: Kind, method: str) -> None:
    """Say that the contender lacks something before anything is set up for it."""
    if getattr(kind, method) is getattr(Contender, method):
        raise Cannot(f"no {method} in its own software")


def _symbols(count: int) -> list[str]:
    return [f"C{i:05}/USDT" for i in range(count)]


def _with_trades(kind: Kind, folder: Path, days: Iterator[pl.DataFrame] | list[pl.DataFrame]) -> Contender:
    contender = kind(folder)
    for day in [pl.concat(days)] if kind.one_file else days:
        contender.load_trades(contender.trades(day))
    contender.compact()
    return contender


def _afresh(kind: Kind, folder: Path) -> Iterator[Contender]:
    for i in range(1_000):
        with closing(kind(folder / str(i))) as contender:
            yield contender


def _append_and_compact(contender: Contender, batches: list[Any]) -> None:
    for rows in batches:
        contender.append_trades(rows)
    contender.compact()


def _bytes_a_row(contender: Contender, rows: int) -> float:
    return contender.size() / rows


def _fresh(code: str) -> float:
    """Run code in a new interpreter; return its milliseconds, the interpreter's own start left out."""
    timed = (
        f"import sys, time\nstart = time.perf_counter()\n{code}\nprint(time.perf_counter() - start, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True)
    return float(done.stderr.split()[-1]) * 1000
