"""Events of several datasets in order, and the memory that takes: ``python -m benchmarks.iterate``.

Measured: events a second of processor time as batches of Arrow and as objects, and by how many megabytes the peak of a process is higher that reads
four times as many. All of a lake with two datasets of trades and one of bars.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import polars as pl

import ticklake
from benchmarks import data

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print events a second and megabytes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.iterate", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--read", nargs=3, metavar=("FOLDER", "FORM", "EVENTS"), help="read so many events of a lake")
    options = parser.parse_args(arguments)
    if options.read:
        folder, form, events = options.read
        print(json.dumps(read(Path(folder), form, int(events))))
        return 0
    with tempfile.TemporaryDirectory(prefix="iterate-") as folder:
        fill(Path(folder), options.events)
        print(json.dumps(figures(folder, options.events), indent=1))
    return 0


def fill(folder: Path, events: int) -> None:
    """Store as many trades as there are to be events, half of each symbol, and bars."""
    with ticklake.open(folder) as lake:
        for seed, symbol in enumerate(("BTC", "ETH")):
            rows = data.trades(events // 2, start=data.START + seed * data.MINUTE)
            received = pl.col("ts") + pl.duration(milliseconds=5 + seed)
            lake.save(f"x:trades:{symbol}/USDT", rows.with_columns(received_at=received))
        lake.save("x:ohlcv:1m:BTC/USDT", data.bars(1440))
        lake.compact()


def figures(folder: str, events: int) -> dict[str, float]:
    """Read in new processes: the peak of one is that of all it has ever done."""
    few = _in_process(folder, "arrow", events // 4)
    arrow = _in_process(folder, "arrow", events)
    objects = _in_process(folder, "objects", events)
    return {
        "arrow_per_second": arrow["per_second"],
        "objects_per_second": objects["per_second"],
        "peak_mb": arrow["peak_mb"],
        # Never 0: a ratio of two of these is looked at.
        "growth_mb": max(arrow["peak_mb"] - few["peak_mb"], 1.0),
    }


def _in_process(folder: str, form: str, events: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.iterate", "--read", folder, form, str(events)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def read(folder: Path, form: str, events: int) -> dict[str, float]:
    """Read events as batches of Arrow, or as objects."""
    with ticklake.open(folder) as lake:
        # The first events take what is imported on use.
        next(lake.iterate("x:*", as_=form), None)
        count = 0
        began = time.process_time()
        for item in lake.iterate("x:*", as_=form):
            count += 1 if form == "objects" else len(item)
            if count >= events:
                break
        took = time.process_time() - began
    return {"per_second": count / took, "peak_mb": _peak()}


def _peak() -> float:
    """Return the peak of this process in megabytes: not ru_maxrss, which begins with that of the process that forked."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    sys.exit(main())
