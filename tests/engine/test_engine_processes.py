"""Several processes on one lake, and processes that are killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from engine_lakes import BARS, MANY, TRADES, full, lake_in, tree
from lake_worker import BLOCKS, FILED, LENGTH, STEP

import ticklake
from ticklake.testing.rows import bars, trades

SOURCES = Path(ticklake.__file__).parents[1]
WORKER = Path(__file__).with_name("lake_worker.py")


def start(verb, folder, number=0):
    return subprocess.Popen(
        [sys.executable, str(WORKER), verb, str(folder), str(number)],
        env={**os.environ, "PYTHONPATH": str(SOURCES), "POLARS_MAX_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process):
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    return json.loads(out)


def test_four_writers_a_compactor_and_a_reader_agree_on_the_union(tmp_path):
    lake_in(tmp_path / "lake").close()
    others = [start("compact", tmp_path), start("read", tmp_path)]
    writers = [start("append", tmp_path, number) for number in range(4)]
    try:
        told = [result(writer) for writer in writers]
    finally:
        (tmp_path / "stop").touch()
        for process in writers:
            process.kill()
    compacted, read = (result(other) for other in others)
    minutes = (BLOCKS - 1) * STEP + LENGTH
    filed = bars(FILED[0], FILED[1] + 300)
    with lake_in(tmp_path / "lake") as lake:
        assert read["bad"] is None
        assert read["reads"] > 2
        assert compacted["rounds"] > 1
        assert lake.load(BARS).equals(full(pl.concat([bars(0, minutes), filed])))
        assert lake.load(TRADES).equals(full(trades(0, minutes), TRADES))
        assert sum(one["new"] for one in told) == minutes + filed.height == lake.engine.inventory()[0].rows
        assert sum(one["trades"] for one in told) == minutes
        assert lake.revisions(BARS) == []
        assert lake.verify(deep=True) == []
        lake.compact()
        live = {one.path for dataset in (BARS, TRADES) for one in lake.engine.catalog.snapshot(dataset)[2]}
        assert {name for name in tree(tmp_path / "lake") if not name.startswith("retired/")} == live


@pytest.mark.parametrize("batches", [3, 8])
def test_what_was_acknowledged_survives_a_kill(tmp_path, batches):
    process = start("acknowledge", tmp_path)
    try:
        acknowledged = [json.loads(process.stdout.readline()) for _ in range(batches)]
        time.sleep(0.013 * batches)
    finally:
        process.send_signal(signal.SIGKILL)
        # By itself, communicate() does not return what was read ahead with the lines before.
        rest = process.stdout.read()
        process.communicate(timeout=30)
    acknowledged += [json.loads(line) for line in rest.splitlines()]
    with lake_in(tmp_path / "lake") as lake:
        rows = lake.load(BARS)
        expected = full(pl.concat([bars(first, last) for first, last in acknowledged]))
        assert rows.head(expected.height).equals(expected)
        assert rows.height - expected.height in {0, 30, MANY}
        assert lake.verify(deep=True) == []
        lake.compact()
        assert lake.load(BARS).equals(rows)
        live = {segment.path for segment in lake.engine.catalog.snapshot(BARS)[2]}
        leftovers = {name for name in tree(tmp_path / "lake") if not name.startswith("retired/")} - live
        for name in leftovers:
            os.utime(tmp_path / "lake" / name, (0, 0))
        assert lake.vacuum().garbage == len(leftovers)
        assert lake.verify() == []
        assert lake.load(BARS).equals(rows)


def test_a_file_that_was_written_and_never_committed_is_ignored_and_swept(lake, root):
    lake.save(BARS, bars(0, MANY))
    (name,) = tree(root)
    orphan = (root / name).with_name("2024-0123456789abcdef.parquet")
    orphan.write_bytes((root / name).read_bytes())
    (root / name).with_name("2024-half.parquet").write_bytes(b"PAR1half")
    lake.save(BARS, bars(MANY, MANY + 5))
    assert lake.load(BARS).equals(full(bars(0, MANY + 5)))
    assert lake.verify(deep=True) == []
    lake.compact()
    for path in orphan.parent.iterdir():
        os.utime(path, (0, 0))
    assert lake.vacuum().garbage == 2
    assert not orphan.exists()
    assert lake.load(BARS).equals(full(bars(0, MANY + 5)))
