"""The memory of an iteration does not grow with the number of events."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from ticklake.app import open_lake
from ticklake.config import Settings
from ticklake.core.kinds import TIME
from ticklake.testing.rows import START, trades

pytestmark = pytest.mark.slow

ROWS = 2_000_000
MOST = 48
"""Megabytes by which the peak of a process that reads ten times the rows may be higher: its allocator keeps some."""
SCRIPT = """
import resource, sys
from ticklake.app import open_lake
from ticklake.config import Settings
folder, end, by, form = sys.argv[1:]
with open_lake(folder, settings=Settings()) as lake:
    count = 0
    for batch in lake.iterate("x:trades:*", end=int(end), by=by, as_=form, batch=10_000):
        count += len(batch)
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with two million trades of two symbols, a fifth of them in two bursts."""
    path = tmp_path_factory.mktemp("iterate") / "lake"
    with open_lake(path, settings=Settings()) as lake:
        for symbol in ("BTC", "ETH"):
            rows = trades(0, ROWS // 2, interval=10**6)
            ts = rows["ts"].to_physical() - START
            burst = (ts // 10**9) % 100 < 20
            ts = pl.select(pl.when(burst).then(ts // 10**11 * 10**11 + ts % 1000).otherwise(ts)).to_series()
            rows = rows.with_columns(ts=(ts + START).cast(TIME)).with_columns(
                received_at=pl.col("ts") + pl.duration(seconds=1)
            )
            lake.save(f"x:trades:{symbol}/USDT", rows.sort("ts", maintain_order=True))
        lake.compact()
    return path


def peak(folder: Path, end: int, by: str, form: str) -> tuple[int, int]:
    words = [sys.executable, "-c", SCRIPT, str(folder), str(end), by, form]
    count, megabytes = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return int(count), int(megabytes)


@pytest.mark.parametrize(("by", "form"), [("exchange", "arrow"), ("received", "frames")])
def test_ten_times_the_events_need_the_memory_of_one_time(folder, by, form):
    few, low = peak(folder, START + 100 * 10**9 + 10**10, by, form)
    many, high = peak(folder, START + 2000 * 10**9, by, form)
    assert many == ROWS
    assert few < many / 5
    assert high - low < MOST, f"{low} MB for {few} events, {high} MB for {many}"
