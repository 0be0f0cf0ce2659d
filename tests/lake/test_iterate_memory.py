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

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs the peak that Linux tells"),
]

ROWS = 2_000_000
MOST = 64
"""Megabytes by which the peak may be higher: the allocator keeps some, and kept rows alone would take twice as much."""
SCRIPT = """
import sys
from pathlib import Path
from ticklake.app import open_lake
from ticklake.config import Settings
folder, end, by, form = sys.argv[1:]
# Windows read a part of a file several times, so that it is kept in memory, up to this size.
with open_lake(folder, settings=Settings(cache_size="16 MiB")) as lake:
    count = 0
    for batch in lake.iterate("x:trades:*", end=int(end), by=by, as_=form, batch=10_000):
        count += len(batch)
# Not ru_maxrss, which begins with that of the process that forked.
(line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(count, int(line.split()[1]) // 1024)
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
def test_four_times_the_events_need_no_more_memory(folder, by, form):
    few, low = peak(folder, START + 250 * 10**9, by, form)
    many, high = peak(folder, START + 2000 * 10**9, by, form)
    assert many == ROWS
    assert few < many / 3
    assert high - low < MOST, f"{low} MB for {few} events, {high} MB for {many}"
