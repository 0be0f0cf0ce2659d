"""Every row of the benchmarks runs, on very little data; how fast is not looked at."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import pytest

from benchmarks import live_workloads, run
from benchmarks.contenders import contender_class
from benchmarks.contenders.base import Cannot, Contender
from benchmarks.measuring import measure
from benchmarks.table import BEGIN, END
from benchmarks.workload import Market, Scale, Workload
from benchmarks.workloads import workloads

TINY = Scale(
    repeats=1,
    few=1,
    trades=10_000,
    batches=2,
    group=2,
    datasets=5,
    resample=100_000,
    events=1_000,
    seconds=2,
    flushes=1,
    messages=500,
    frames=100,
)

ROWS = {workload.name: workload for workload in workloads(TINY)}
LIVE_ROWS = (
    ("live-rate", "live-cpu"),
    ("live-flush-1000", "live-flush-10000", "live-flush-100000"),
    ("live-cache-p50", "live-cache-p99", "live-commit-p50", "live-commit-p99"),
    ("live-read",),
    ("live-native",),
    ("live-ccxt",),
    ("iterate", "iterate-objects", "iterate-memory"),
    ("frame-hot", "frame-cold", "frame-many", "frame-of-many"),
    ("frame-live",),
    ("frame-live-trades",),
    ("frame-collecting",),
    ("http-rate", "http-p50", "http-p99", "http-cpu", "http-growth"),
    ("remote", "remote-share", "remote-arrow", "remote-memory"),
)
"""Rows that share the run of one benchmark."""


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    return Market(TINY, tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def rows_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all rows: live rows of one benchmark share its run."""
    return tmp_path_factory.mktemp("rows")


@pytest.fixture(autouse=True)
def _at_any_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine fall behind."""
    monkeypatch.setattr(live_workloads, "SLOWEST", 0.0)


def check(workload: Workload, market: Market, rows_folder: Path) -> None:
    result = measure(workload, {"ticklake": contender_class("ticklake")}, rows_folder / workload.name, market)
    figure = result.figures["ticklake"]
    assert figure.reason == ""
    assert figure.median is not None
    assert figure.median > 0


@pytest.mark.parametrize("name", [name for name in ROWS if name not in chain(*LIVE_ROWS)])
def test_a_row_is_measured(name: str, market: Market, rows_folder: Path):
    check(ROWS[name], market, rows_folder)


@pytest.mark.slow
@pytest.mark.parametrize("names", LIVE_ROWS, ids="+".join)
def test_rows_of_one_live_benchmark_are_measured(names: tuple[str, ...], market: Market, rows_folder: Path):
    for name in names:
        check(ROWS[name], market, rows_folder)


def test_what_comes_too_slowly_for_its_pace_does_not_count(rows_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live_workloads, "SLOWEST", 0.9)
    monkeypatch.setattr(live_workloads, "_run", lambda *_run: {"came_per_second": 899.0, "cache_p50_ms": 1.0})
    step = next(live_workloads.paced("cache_p50_ms", 1_000, TINY)(Contender, rows_folder / "row" / "kind", None))
    with pytest.raises(Cannot, match="only 899 events a second came, not 1,000"):
        step.run()


def test_the_tables_are_printed_and_written_into_a_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def figures(_turn: int, _folder: Path, module: str, *_arguments: str) -> dict[str, float]:
        assert module == "live"
        return {"events_per_second": 120_000.0, "cpu_us_per_event": 7.0}

    # Other tests look at what is logged.
    monkeypatch.setattr(run.logging, "disable", lambda _level: None)
    monkeypatch.setattr(run, "QUICK", TINY)
    monkeypatch.setattr(live_workloads, "_run", figures)
    readme, document = tmp_path / "README.md", tmp_path / "bench.json"
    readme.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    only = ["--contenders", "ticklake,limit", "--only", "trade-bytes", "live-rate", "live-cpu"]
    assert run.main(["--quick", *only, "--readme", str(readme), "--json", str(document)]) == 0
    shown = capsys.readouterr().out
    assert ">= 100,000 events/s: pass" in shown
    lines = readme.read_text().split("\n")
    assert "|  | ticklake | limit |" in lines
    assert "|  | ticklake | target |" in lines
    assert "| socket to durable commit, 500 datasets, events/s | 120,000 | >= 100,000 events/s: pass |" in lines
    assert [row["name"] for row in json.loads(document.read_text())["workloads"]] == only[3:]
