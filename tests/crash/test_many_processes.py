"""Eight writers, four readers and a compactor on one lake: the union is exact, and no reader goes back in time."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from crash_model import loaded, open_, rows
from harness import environment, files, live
from many_worker import DATASETS, READERS, WRITERS

pytestmark = pytest.mark.slow
WORKER = Path(__file__).with_name("many_worker.py")


def run(folder, seconds):
    """Run all the processes and return what each told, by role."""
    process = subprocess.Popen(
        [sys.executable, str(WORKER), str(folder), str(seconds)], env=environment(), start_new_session=True
    )
    try:
        assert process.wait(seconds + 90) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    told = {"write": [], "read": [], "keep": []}
    for path in folder.glob("*.json"):
        told[path.stem.partition("-")[0]].append(json.loads(path.read_text()))
    return told


def union(writers, dataset):
    """Every row that was sent, once."""
    sent = {(first, last) for one in writers for name, first, last in one["sent"] if name == dataset}
    batches = [rows(dataset, first, last) for first, last in sorted(sent)]
    numbered = [batch.with_columns(n=pl.int_range(pl.len()).over("ts")) for batch in batches]
    return pl.concat(numbered).unique(["ts", "n"]).sort("ts", "n").drop("n")


def check(folder, seconds):
    told = run(folder, seconds)
    assert [len(told[role]) for role in ("write", "read", "keep")] == [WRITERS, READERS, 1]
    assert [what for role in told.values() for one in role for what in one["bad"]] == []
    assert sum(one["received"] for one in told["write"]) == 0
    assert min(one["reads"] for one in told["read"]) > 3
    assert told["keep"][0]["rounds"] > 1
    assert told["keep"][0]["vacuumed"] is not None
    expected = {dataset: union(told["write"], dataset) for dataset in DATASETS}
    assert sum(one["new"] for one in told["write"]) == sum(frame.height for frame in expected.values())
    with open_(folder / "lake") as lake:
        for dataset, frame in expected.items():
            assert loaded(lake, dataset).equals(frame), dataset
            assert lake.revisions(dataset) == []
        assert lake.verify(deep=True) == []
        lake.compact()
        lake.vacuum(keep=0)
        assert {dataset: loaded(lake, dataset).height for dataset in DATASETS} == {
            dataset: frame.height for dataset, frame in expected.items()
        }
    assert files(folder / "lake") == live(folder / "lake")


def test_many_processes_agree_on_the_union(tmp_path):
    check(tmp_path, seconds=10)


@pytest.mark.soak
def test_many_processes_agree_on_the_union_for_minutes(tmp_path):
    check(tmp_path, seconds=120)
