"""The command panel."""

from __future__ import annotations

import json

import polars as pl

from .test_cli import shell  # noqa: F401
from .test_cli_names import held  # noqa: F401


def test_a_panel_is_printed_in_every_format(held):  # noqa: F811
    (row,) = json.loads(held("panel", "binance", "BTC/USDT", "ETH/USDT", "-t", "1h", "--json").stdout)
    assert row == {"ts": "2024-01-02T00:00:00Z", "BTC/USDT": 1.5, "ETH/USDT": 1.5}
    csv = held("panel", "binance", "*", "-t", "1h", "-c", "open, low", "--label", "close", "-f", "csv").stdout
    assert csv.splitlines()[0] == "close_time,open:BTC/USDT,low:BTC/USDT,open:ETH/USDT,low:ETH/USDT"
    assert csv.splitlines()[1].startswith("2024-01-02T01:00:00Z,1.0,0.5")
    written = held("panel", "binance", "*", "-t", "1h", "--long", "-o", "panel.parquet")
    assert written.exit_code == 0
    assert pl.read_parquet("panel.parquet").columns == ["ts", "symbol", "close"]


def test_a_panel_of_what_was_known_then(held):  # noqa: F811
    command = ("panel", "binance", "BTC/USDT", "-t", "1h", "--json", "--known-at")
    assert json.loads(held(*command, "2024-01-02T00:59").stdout) == []
    assert len(json.loads(held(*command, "2024-01-02T01:00").stdout)) == 1


def test_what_a_panel_cannot_be_is_one_line(held):  # noqa: F811
    for words in (["-t", "1h", "--how", "left"], [], ["-t", "4h"], ["-t", "1h", "-c", "price"]):
        refused = held("panel", "binance", "BTC/USDT", *words)
        assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
