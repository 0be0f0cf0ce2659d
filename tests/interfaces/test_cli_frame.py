"""The command ``frame``."""

from __future__ import annotations

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from ticklake.app import open_lake
from ticklake.config import Settings
from ticklake.interfaces.cli.main import app
from ticklake.interfaces.schema import to_json
from ticklake.testing.rows import bars, trades

AT = "2024-01-01T01:00:00Z"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    with open_lake(tmp_path / "lake", settings=Settings()) as lake:
        lake.save("x:ohlcv:1m:BTC/USDT", pl.concat([bars(0, 50), bars(52, 100)]))
        lake.save("x:trades:BTC/USDT", trades(0, 3600))
    monkeypatch.setenv("TICKLAKE_LAKE", str(tmp_path / "lake"))
    return tmp_path / "lake"


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["frame", "x", "BTC/USDT", *arguments])
    assert done.exit_code == code, done.output
    return done.output


def test_it_shows_the_newest_rows_and_what_is_missing(folder):
    shown = run("--at", AT, "-t", "1m,1h", "--indicators", "sma_20")
    assert "x BTC/USDT at 2024-01-01T01:00:00Z" in shown
    assert "window        2024-01-01T00:00:00Z .. 2024-01-01T01:00:00Z" in shown
    assert "bars 1m (58, the newest 5; inline)" in shown
    assert "bars 1h (1; inline, made of x:ohlcv:1m:BTC/USDT)" in shown
    assert "trades (3,600, the newest 5; inline)" in shown
    assert "sma_20" in shown
    assert "bars.1m  2024-01-01T00:50:00Z  2024-01-01T00:52:00Z  not_fetched" in shown


def test_json_has_everything(folder):
    options = {"timeframes": ["1m", "5m"], "kinds": "trades", "knowledge": "event"}
    with open_lake(folder, settings=Settings()) as lake:
        want = to_json(lake.frame("x", "BTC/USDT", AT, **options))
    printed = json.loads(run("--at", AT, "-t", "1m,5m", "--kinds", "trades", "--knowledge", "event", "--json"))
    assert printed == want
    assert len(printed["bars"]["1m"]) == 58
    assert printed["bars"]["1m"][0]["ts"] == "2024-01-01T00:00:00Z"
    assert printed["missing"][0]["reason"] == "not_fetched"


def test_a_version_of_the_lake(folder):
    assert "bars 1m (58" in run("--at", AT, "--version", "2")
    assert "trades (" not in run("--at", AT, "--version", "1")


def test_wrong_words_are_one_line(folder):
    assert run("--at", "2099-01-01", code=2).startswith("error: --at 2099-01-01T00:00:00Z is in the future")
    assert "no kind 'trade'" in run("--kinds", "trade", code=2)


def test_options_that_name_several_may_be_repeated(folder):
    want = json.loads(
        run("--at", AT, "-t", "1m,5m", "--kinds", "trades,quotes", "--indicators", "sma_5,rsi_7", "--json")
    )
    kinds = ("--kinds", "trades", "--kinds", "quotes")
    indicators = ("--indicators", "sma_5", "--indicators", "rsi_7")
    assert json.loads(run("--at", AT, "-t", "1m", "-t", "5m", *kinds, *indicators, "--json")) == want
    assert list(want["bars"]) == ["1m", "5m"]
    assert list(want["indicators"]) == ["sma_5", "rsi_7"]
