"""Long answers are summed up first; all of them are a word away, and in JSON."""

from __future__ import annotations

import json

import polars as pl
import pytest

from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import HOUR, parse_time

from ..conftest import open_lake
from .test_cli import shell  # noqa: F401

T = parse_time("2024-01-02")


def bars(first, last):
    ts = pl.Series([T + hour * HOUR for hour in range(first, last)], dtype=pl.Int64).cast(TIME)
    return pl.DataFrame({"ts": ts, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 1.0})


@pytest.fixture
def imported(shell):  # noqa: F811
    """A lake with 25 datasets of two batches each; every fifth has three hours missing in between."""
    with open_lake("data") as lake:
        for number in range(25):
            dataset = Dataset.parse(f"binance:ohlcv:1h:A{number:02}/USDT")
            for first, last in ((0, 3), (6 if number % 5 == 0 else 3, 9)):
                covered = [Covered(Span(T + first * HOUR, T + last * HOUR))]
                lake.engine.append(dataset, bars(first, last), Provenance("binance vision"), covered)
    return shell


def test_of_many_datasets_quality_lists_the_worst_and_counts_the_others(imported):
    span = ("--start", "2024-01-02", "--end", "2024-01-02T09:00")
    done = imported("quality", *span)
    assert done.exit_code == 3
    assert done.stdout.count("binance:ohlcv:1h:") == 5
    assert "25 datasets: 5 miss something" in done.stdout
    assert "20 not shown: --all lists each" in done.stdout
    assert imported("quality", *span, "--all").stdout.count("binance:ohlcv:1h:") == 25
    assert len(json.loads(imported("quality", *span, "--json").stdout)) == 25


def test_of_many_batches_continuity_is_a_line_for_each_dataset(imported):
    shown = imported("continuity").stdout
    assert shown.count("binance:ohlcv:1h:") == 25
    assert "50 batches: --all lists each" in shown
    (line,) = [line for line in shown.splitlines() if "A05/USDT" in line]
    assert line.split()[1:4] == ["2", "1", "3"]
    assert imported("continuity", "--all").stdout.count("binance:ohlcv:1h:") == 50
    assert imported("continuity", "--jumps").stdout.count("binance:ohlcv:1h:") == 5


def test_repair_says_that_nobody_is_asked_for_what_was_imported_and_sums_up(imported):
    done = imported("repair")
    assert done.exit_code == 3
    assert imported.exchange.requests == []
    assert done.stdout.count("it was only imported or saved, so no source is asked") == 5
    assert "5 holes in 5 datasets stay: --all lists each" in done.stdout
    assert len(json.loads(imported("repair", "--json").stdout)) == 5
