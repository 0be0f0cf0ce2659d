"""SQL over the lake and over one plain Parquet file of the same rows, in one run: ``python -m benchmarks.sql``.

Measured: a million trades of a day, least of several, taken in turns; ``ratio`` is the lake's time over that of DuckDB on the file. And how long a small
query takes in the sandbox: in a process that waits for it, and in one that is started for it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

import ticklake
from benchmarks import data
from ticklake.query.sql_sandbox import Sandbox

__all__ = ["main"]

QUERIES = {
    "count": "select count(*) from {t}",
    "aggregate": "select side, count(*) as n, sum(price * amount) as value from {t} group by side",
    "bars": "select time_bucket(interval 1 minute, ts) as open_time, first(price order by ts), max(price), sum(amount) from {t} group by 1",
    "minute": "select * from {t} where symbol = 'BTC/USDT' and ts >= '{start}' and ts < '{end}'",
    "all rows": "select * from {t}",
}
SMALL = "select max(price) from trades where symbol = 'BTC/USDT' and ts < '{end}'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print milliseconds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sql", description=__doc__)
    parser.add_argument("--trades", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--times", type=int, default=9, help="default: %(default)s")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sql-") as folder, ticklake.open(Path(folder) / "lake") as lake:
        lake.save("x:trades:BTC/USDT", data.trades(options.trades))
        lake.compact()
        file = Path(folder) / "plain.parquet"
        names = {"exchange": pl.lit("x"), "symbol": pl.lit("BTC/USDT")}
        lake.load("x:trades:BTC/USDT").with_columns(**names).write_parquet(file)
        figures = {
            "in process, ms": in_process(lake, file, options.times),
            "sandbox, ms": sandboxed(lake, options.times),
        }
    print(json.dumps(figures, indent=1))
    return 0


def in_process(lake: ticklake.Lake, file: Path, times: int) -> dict[str, dict[str, float]]:
    """Ask both for the same."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    start = lake.load("x:trades:BTC/USDT", last=1)["ts"][0].replace(hour=12, minute=0, second=0, microsecond=0)
    bounds = {
        "start": start.strftime("%Y-%m-%d %H:%M:00"),
        "end": start.replace(minute=1).strftime("%Y-%m-%d %H:%M:00"),
    }
    figures: dict[str, dict[str, float]] = {}
    for name, query in QUERIES.items():
        of_file = query.format(t=f"read_parquet('{file}')", **bounds)
        of_lake = query.format(t="trades", **bounds)
        plain, ours = turns(lambda q=of_file: connection.sql(q).pl(), lambda q=of_lake: lake.sql(q).pl(), times)
        figures[name] = {"plain file": plain, "lake": ours, "ratio": round(ours / plain, 2)}
    return figures


def sandboxed(lake: ticklake.Lake, times: int) -> dict[str, float]:
    """Ask in a process that waits, and in one that is started."""
    query = SMALL.format(end=lake.load("x:trades:BTC/USDT", last=1)["ts"][0].strftime("%Y-%m-%d 00:01:00"))
    waiting: list[float] = []
    with Sandbox(spare=1) as sandbox:
        for _ in range(times):
            time.sleep(0.6)
            waiting.append(milliseconds(lambda: sandbox.query(lake.engine, query).run()))
    with Sandbox() as sandbox:
        started = [milliseconds(lambda: sandbox.query(lake.engine, query).run()) for _ in range(times)]
    return {"in a process that waits": round(min(waiting), 1), "in one that is started": round(min(started), 1)}


def turns(one: Callable[[], Any], other: Callable[[], Any], times: int) -> tuple[float, float]:
    """Return the least time of each, called by turns."""
    pairs = [(milliseconds(one), milliseconds(other)) for _ in range(times)]
    return round(min(pair[0] for pair in pairs), 2), round(min(pair[1] for pair in pairs), 2)


def milliseconds(call: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    begun = time.perf_counter()
    call()
    return (time.perf_counter() - begun) * 1000


if __name__ == "__main__":
    raise SystemExit(main())
