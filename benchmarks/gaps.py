"""Time and peak memory of a gap report: ``python -m benchmarks.gaps``. Every stage is a process of its own.

Memory depends on the holes, not on the rows. On two cores, with one hole in so many bars of a second, never asked for:

===========  =======  =====  ==================
rows         holes    time   peak (97 MB idle)
===========  =======  =====  ==================
3,600,000    199,474  1.9 s  186 MB
36,000,000   190,474  3.2 s  200 MB
===========  =======  =====  ==================

Two million refused rows over 475,000 bars with 25,000 holes: 9.1 s and 187 MB.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from subprocess import run

import numpy as np
import polars as pl

import ticklake
from benchmarks.data import START, TIME
from benchmarks.memory import high_water
from ticklake.errors import TicklakeWarning

HOLES = 190_000
SECOND = 10**9
BATCH = 1_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Build lakes of more and more rows with as many holes, and print what a report of each takes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gaps", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[3_600_000, 36_000_000])
    parser.add_argument("--refused", type=int, default=2_000_000, help="so many refused rows in a lake of their own")
    parser.add_argument("--folder", type=Path, help="where to store (default: the system's temp)")
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.report:
        print(json.dumps(report(options.report)))
        return 0
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        for rows in options.rows:
            lake = Path(folder) / str(rows)
            build(lake, bars_with_holes(rows, HOLES))
            print(f"{rows:>12,} rows: {_measured(lake)}", flush=True)
        lake = Path(folder) / "refused"
        build(lake, refused_bars(options.refused))
        print(f"{options.refused:>12,} refused rows: {_measured(lake)}")
    return 0


def bars_with_holes(rows: int, holes: int) -> Iterator[pl.DataFrame]:
    """Yield bars of one second, one of which is missing in every so many."""
    every = rows // holes
    for first in range(0, rows + holes, BATCH):
        places = np.arange(first, min(first + BATCH, rows + holes))
        yield _bars(places[places % (every + 1) != every // 2], 100.0)


def refused_bars(count: int) -> Iterator[pl.DataFrame]:
    """Yield half a million bars with holes, then bars of the same times that are refused."""
    places = np.arange(BATCH // 2)
    yield _bars(places[places % 20 != 7], 100.0)
    for first in range(0, count, BATCH // 2):
        bad = _bars(places[: count - first], 100.0 + first)
        yield bad.with_columns(high=pl.col("close") - 5)


def build(folder: Path, batches: Iterator[pl.DataFrame]) -> None:
    """Save batches into a new lake."""
    with ticklake.open(folder) as lake, warnings.catch_warnings():
        warnings.simplefilter("ignore", TicklakeWarning)
        for batch in batches:
            lake.save("binance:ohlcv:1s:BTC/USDT", batch)
        lake.compact()


def report(folder: Path) -> dict[str, float]:
    """Ask for the gaps of the only dataset of a lake, in this process."""
    with ticklake.open(folder) as lake:
        dataset, base = lake.datasets()[0], high_water()
        start = time.perf_counter()
        gaps = lake.gaps(dataset)
        return {"seconds": time.perf_counter() - start, "holes": len(gaps), "peak": high_water(), "base": base}


def _bars(places: np.ndarray[tuple[int], np.dtype[np.int64]], price: float) -> pl.DataFrame:
    times = pl.Series("ts", START + places * SECOND, dtype=pl.Int64).cast(TIME)
    names = ("open", "high", "low", "close", "volume")
    return times.to_frame().with_columns(pl.lit(price).alias(name) for name in names)


def _measured(folder: Path) -> str:
    command = [sys.executable, "-m", "benchmarks.gaps", "--report", str(folder)]
    took = json.loads(run(command, capture_output=True, text=True, check=True).stdout)
    mb = (took["peak"] // 10**6, took["base"] // 10**6)
    return f"{took['holes']:,} holes in {took['seconds']:.1f} s, VmHWM {mb[0]:,} MB (idle {mb[1]:,} MB)"


if __name__ == "__main__":
    sys.exit(main())
