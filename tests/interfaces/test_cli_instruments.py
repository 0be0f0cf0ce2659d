"""Instruments in the shell."""

from __future__ import annotations

import json

from .test_cli import shell  # noqa: F401


def test_instruments_are_looked_at_searched_and_linked(shell):  # noqa: F811
    assert shell("instruments", "binance").exit_code != 0
    result = shell("instruments", "binance", "--refresh", "--search", "ETH")
    assert result.exit_code == 0
    assert "binance lists 4: 4 new, 0 changed, 0 gone" in result.stderr
    assert "ETHUSDT" in result.stdout
    assert "BTC" not in result.stdout
    shell.exchange.be("delist=ETH/USDT@2024-01-04")
    renamed = ("--rename", "ETH/USDT>ETC/USDT@2024-01-04")
    result = shell("instruments", "binance", "--refresh", "--search", "ETC", *renamed)
    assert "1 gone" in result.stderr
    assert "gone since 2024-01-06T00:00:00Z; now ETC/USDT" in result.stdout
    rows = json.loads(shell("instruments", "binance", "--search", "ETH/USDT", "--json").stdout)
    assert [(row["symbol"], row["delisted_at"]) for row in rows] == [
        ("ETH/USDT", "2024-01-06T00:00:00Z"),
        ("ETH/USDT:USDT", None),
    ]


def test_a_rename_that_is_none_is_bad_use(shell):  # noqa: F811
    shell("instruments", "binance", "--refresh")
    result = shell("instruments", "binance", "--rename", "ETH/USDT")
    assert result.exit_code == 2
    assert "OLD>NEW" in result.stderr or "write it like" in result.stderr
