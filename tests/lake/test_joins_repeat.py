"""The same question gives the same bytes, however often it is asked, on however many threads, and however the rows are stored."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from event_rows import fill, random_rows

from ticklake.app import open_lake
from ticklake.config import Settings

pytestmark = pytest.mark.slow

SCRIPT = """
import hashlib, sys
import polars as pl
from ticklake.app import open_lake
from ticklake.config import Settings
folder, repeats = sys.argv[1], int(sys.argv[2])
TRADES, QUOTES, BARS = "x:trades:BTC/USDT", "x:quotes:BTC/USDT", "x:ohlcv:1m:BTC/USDT"

def answers(lake):
    yield lake.asof(TRADES, QUOTES)
    yield lake.asof(lake.load(TRADES).with_columns(symbol=pl.lit("BTC/USDT")), "x:trades:*", max_age="1m")
    yield lake.asof(BARS, "x:funding:BTC/USDT:USDT")
    yield lake.markout(TRADES, QUOTES, price="bid_price")
    yield lake.markout(TRADES, BARS, unit="bps")
    yield lake.panel("x", "*", kind="trades", column=["price", "side"], wide=False)
    for by in ("exchange", "received"):
        yield pl.concat(lake.iterate("x:*", by=by, as_="frames", batch=777))

with open_lake(folder, settings=Settings()) as lake:
    digests = set()
    for _ in range(repeats):
        digest = hashlib.sha256()
        for frame in answers(lake):
            # Chunks are no part of an answer: a record batch each would be.
            digest.update(frame.rechunk().write_ipc(None, compression="uncompressed").getvalue())
        digests.add(digest.hexdigest())
print(*digests)
"""


def digests(folder: Path, threads: int, repeats: int) -> list[str]:
    words = [sys.executable, "-c", SCRIPT, str(folder), str(repeats)]
    environment = os.environ | {"POLARS_MAX_THREADS": str(threads)}
    return subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout.split()


def test_the_same_bytes_each_time(tmp_path):
    with open_lake(tmp_path / "lake", settings=Settings()) as lake:
        fill(lake, random_rows(5, 1500, 3 * 3600 * 10**9), parts=4)
        (one,) = digests(tmp_path / "lake", 1, 5)
        assert digests(tmp_path / "lake", 4, 5) == [one]
        lake.compact()
        assert digests(tmp_path / "lake", 2, 2) == [one]
