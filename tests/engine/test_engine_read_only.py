"""A lake in a place that cannot be written: it answers, and refuses writes in one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import ticklake

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


FOLLOWER = """
import os, sys, tempfile
import ticklake

with tempfile.TemporaryDirectory() as scratch, ticklake.open(scratch + "/lake") as lake:
    lake.save("x:ohlcv:1m:A/B", [ticklake.OHLCVBar(1704067200_000000000, 1.0, 2.0, 0.5, 1.5, 1.0)])
    lake.load("x:ohlcv:1m:A/B")  # imports everything while it may
os.setuid(65534)
with ticklake.open(sys.argv[1]) as lake:
    print(lake.load("x:ohlcv:1m:A/B").height, flush=True)
    for _ in sys.stdin:
        print(lake.load("x:ohlcv:1m:A/B").height, lake.last_timestamp("x:ohlcv:1m:A/B"), flush=True)
"""


def bars(first, last):
    return [
        ticklake.OHLCVBar(1704067200_000000000 + i * 60_000_000_000, 1.0, 2.0, 0.5, 1.5, 1.0)
        for i in range(first, last)
    ]


def readable(folder):
    for path, _, names in os.walk(folder):
        Path(path).chmod(0o755)
        for name in names:
            Path(path, name).chmod(0o644)


@pytest.mark.parametrize("is_open", [False, True], ids=["closed when opened", "in use when opened"])
def test_a_reader_without_write_permission_sees_what_a_writer_commits_meanwhile(folder, is_open):
    if os.getuid():
        pytest.skip("NOT TESTED: only root can become somebody else")
    root = folder / "lake"
    writer = ticklake.open(root)
    writer.save("x:ohlcv:1m:A/B", bars(0, 10))
    if not is_open:
        writer.close()
    readable(root)
    command = [sys.executable, "-c", FOLLOWER, str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:

        def seen():
            reader.stdin.write("\n")
            reader.stdin.flush()
            return int(reader.stdout.readline().split()[0])

        try:
            assert reader.stdout.readline().split() == ["10"]
            for last in (20, 30):
                if not is_open:
                    writer = ticklake.open(root)
                writer.save("x:ohlcv:1m:A/B", bars(0, last))
                assert seen() == last
                if not is_open:
                    writer.close()
                    assert seen() == last
            if is_open:
                writer.close()
            assert seen() == 30
        finally:
            reader.stdin.close()
            reader.kill()
