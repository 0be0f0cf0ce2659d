"""``ticklake quality``: the score of every dataset, worst first."""

from __future__ import annotations

import json

from .test_cli import BARS, DAY, ingested, shell

__all__ = ["shell"]


def told(shell, *options: str) -> tuple[int, list[dict]]:
    result = shell("quality", *options, "--json")
    return result.exit_code, json.loads(result.stdout)


def test_a_whole_dataset_is_exit_code_0(shell):
    ingested(shell)
    code, (bars,) = told(shell)
    assert (code, bars["dataset"], bars["score"]) == (0, "binance:ohlcv:1m:BTC/USDT", 100.0)
    quiet = bars["gaps"]["no_trades"]["records"]
    assert (bars["expected_records"], bars["missing_records"], bars["data_gaps"]) == (1440 - quiet, 0, 0)
    assert bars["bars_behind"] > 0


def test_the_worst_stands_first_and_what_is_missing_is_exit_code_3(shell):
    """Field note: Kraken serves 720 bars and no more."""
    ingested(shell)
    ingested(shell, "kraken", "BTC/USD", "--timeframe", "1m", "--start", "2024-01-02", "--end", "2024-01-06")
    code, found = told(shell)
    assert code == 3
    assert [one["dataset"].split(":")[0] for one in found] == ["kraken", "binance"]
    assert found[0]["completeness_ratio"] < 0.2
    assert found[0]["gaps"]["unavailable"]["records"] == found[0]["missing_records"]


def test_a_dataset_and_a_span_can_be_named(shell):
    ingested(shell)
    assert told(shell, *BARS, "--end", "2024-01-04")[0] == 3
    code, (bars,) = told(shell, *BARS, "--start", "2024-01-02T06:00", "--end", "2024-01-02T12:00")
    assert (code, bars["completeness_ratio"]) == (0, 1.0)
    assert 340 <= bars["expected_records"] <= 360


def test_daily_rows_can_be_trended(shell):
    ingested(shell, *BARS, "--start", "2024-01-02", "--end", "2024-01-04")
    _, days = told(shell, "--daily")
    assert [(day["day"], day["score"]) for day in days] == [("2024-01-02", 100.0), ("2024-01-03", 100.0)]
    shown = shell("quality", "--daily")
    assert "2024-01-03  100.0     100 %" in shown.stdout


def test_the_table_says_what_is_missing(shell):
    ingested(shell, *BARS, *DAY)
    shell("ingest", *BARS, "--start", "2024-01-05", "--end", "2024-01-06")
    table = shell("quality", *BARS)
    assert table.exit_code == 3
    assert "100 %" not in table.stdout
    assert "2,880" in table.stdout
    assert "bars behind" in table.stdout


def test_an_unknown_dataset_is_bad_use_and_an_empty_lake_says_so(shell):
    shell("init")
    assert shell("quality", *BARS).exit_code == 2
    assert shell("quality", "nobody").exit_code == 2
    empty = shell("quality")
    assert (empty.exit_code, empty.stdout.strip()) == (0, "the lake holds no such dataset")
