"""``ticklake cross-check``: bars against trades and shorter bars, rows against the exchange's answer."""

from __future__ import annotations

import json

from ticklake.app import open_lake

from .test_cli import DAY, ingested, shell

__all__ = ["shell"]

HOURS = ("binance", "BTC/USDT", "--timeframe", "1h")


def test_bars_that_agree_are_exit_code_0(shell):
    ingested(shell)
    ingested(shell, *HOURS, *DAY)
    result = shell("cross-check")
    assert result.exit_code == 0
    assert "binance:ohlcv:1h:BTC/USDT against binance:ohlcv:1m:BTC/USDT: 24 rows compared, all equal" in result.stdout


def test_differences_are_listed_with_both_values_and_exit_code_3(shell):
    ingested(shell)
    ingested(shell, *HOURS, *DAY)
    with open_lake("data") as lake:
        bars = lake.ohlcv("binance", "BTC/USDT", "1h").head(3)
        lake.save("binance:ohlcv:1h:BTC/USDT", bars.with_columns(high=bars["high"] + 1))
    table, told = shell("cross-check", *HOURS, "--limit", "2"), shell("cross-check", *HOURS, "--json")
    assert (table.exit_code, told.exit_code) == (3, 3)
    assert "3 differences" in table.stdout
    assert "1 not shown" in table.stdout
    ((check),) = json.loads(told.stdout)
    first = check["differences"][0]
    assert (first["column"], first["theirs"] - first["ours"], first["difference"]) == ("high", 1.0, -1.0)
    assert first["ts"] == "2024-01-02T00:00:00Z"


def test_the_exchange_can_be_asked_again(shell):
    ingested(shell)
    before = len(shell.exchange.requests)
    result = shell("cross-check", "binance", "BTC/USDT", "--timeframe", "1m", "--source", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)[0]["compared"] > 1000
    assert len(shell.exchange.requests) > before


def test_nothing_to_compare_with_is_said(shell):
    ingested(shell)
    result = shell("cross-check")
    assert result.exit_code == 0
    assert "neither trades nor shorter bars" in result.stdout


def test_how_batches_joined_is_shown(shell):
    ingested(shell, *HOURS, *DAY)
    ingested(shell, *HOURS, "--start", "2024-01-04", "--end", "2024-01-05")
    first, second = json.loads(shell("continuity", "--json").stdout)
    assert (first["joins"], second["joins"], second["missing"]) == ("first", "jumps", 24)
    assert (second["start"], second["before_ts"]) == ("2024-01-04T00:00:00Z", "2024-01-02T23:00:00Z")
    shown = shell("continuity", *HOURS, "--jumps")
    assert (shown.exit_code, shown.stdout.count("binance:ohlcv:1h:BTC/USDT")) == (0, 1)
