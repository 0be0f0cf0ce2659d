"""A lake in a place that cannot be written: it answers, and refuses writes in one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

READER = """
import os, sys
import ticklake
from ticklake.errors import ReadOnlyLake

def bars(count):
    return [ticklake.OHLCVBar(1704067200_000000000 + i * 60_000_000_000, 1.0, 2.0, 0.5, 1.5, 1.0) for i in range(count)]

with ticklake.open(sys.argv[1]) as lake:
    lake.save("x:ohlcv:1m:A/B", bars(9000))
    lake.compact()
    lake.save("x:ohlcv:1m:A/B", bars(9010))
    assert lake.load("x:ohlcv:1m:A/B").height == 9010
    lake.gaps("x:ohlcv:1m:A/B")
for folder, _, names in os.walk(sys.argv[1]):
    os.chmod(folder, 0o555)
    for name in names:
        os.chmod(os.path.join(folder, name), 0o444)
before = sorted(os.listdir(sys.argv[1]))
if os.getuid() == 0:
    os.setuid(65534)
with ticklake.open(sys.argv[1]) as lake:
    print(lake.load("x:ohlcv:1m:A/B").height, len(lake.gaps("x:ohlcv:1m:A/B")))
    try:
        lake.save("x:ohlcv:1m:A/B", bars(9020))
    except ReadOnlyLake as error:
        print(error)
assert sorted(os.listdir(sys.argv[1])) == before
"""


@pytest.fixture
def folder():
    """A folder that anybody may enter, unlike pytest's own."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    for path, _, _ in os.walk(made):
        Path(path).chmod(0o755)
    shutil.rmtree(made)


def test_a_lake_that_cannot_be_written_is_read_and_refuses_writes(folder):
    command = [sys.executable, "-c", READER, str(folder / "lake")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer, refusal = done.stdout.splitlines()
    assert answer == "9010 0"
    assert "cannot be written" in refusal
