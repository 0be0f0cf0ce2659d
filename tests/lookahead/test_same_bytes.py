"""The same question gives the same bytes: again and again, with any number of threads, for one instant and for many."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ticklake.app import open_lake
from ticklake.config import Settings
from ticklake.testing.clocks import ManualClock

from .lookahead_lakes import LATER, START, fill, instants_before
from .test_frames_never_look_ahead import MANY

PROGRAM = """
import sys
from ticklake.app import open_lake
from ticklake.config import Settings
with open_lake(sys.argv[1], settings=Settings()) as lake:
    instants = list(map(int, sys.argv[2].split(",")))
    frames = lake.frames("x", "BTC/USDT", instants, timeframes=["1m", "5m", "1h", "4h", "1d"],
                         indicators=["sma_20", "rsi_14", "atr_14", "obv_30"])
    print(" ".join(frame.digest().hex() for frame in frames))
"""
CUT = START + 33 * 3600 * 10**9


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    clock = ManualClock(LATER)
    path = tmp_path_factory.mktemp("same") / "lake"
    with open_lake(path, settings=Settings(), clock=clock) as lake:
        fill(lake, clock)
    return path


def test_a_hundred_times(folder):
    with open_lake(folder, settings=Settings()) as lake:
        digests = {lake.frame("x", "BTC/USDT", CUT, **MANY).digest() for _ in range(50)}
        fresh = [open_lake(folder, settings=Settings()) for _ in range(2)]
        for other in fresh:
            digests |= {other.frame("x", "BTC/USDT", CUT, **MANY).digest() for _ in range(25)}
            other.close()
    assert len(digests) == 1


@pytest.mark.slow
def test_with_any_number_of_threads_and_however_many_at_once(folder):
    instants = instants_before(CUT, 12, 1)[-12:].tolist()
    printed = set()
    for threads in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(folder), ",".join(map(str, instants))],
            env=os.environ | {"POLARS_MAX_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        )
        printed.add(done.stdout)
    with open_lake(folder, settings=Settings()) as lake:
        singles = [lake.frame("x", "BTC/USDT", at, **MANY).digest().hex() for at in instants]
        backwards = [frame.digest().hex() for frame in lake.frames("x", "BTC/USDT", instants[::-1], **MANY)]
    assert printed == {" ".join(singles) + "\n"}
    assert backwards == singles[::-1]


def test_compacted_and_before(folder):
    with open_lake(folder, settings=Settings()) as lake:
        before = lake.frame("x", "BTC/USDT", CUT, **MANY).digest()
        lake.compact()
        assert lake.frame("x", "BTC/USDT", CUT, **MANY).digest() == before
