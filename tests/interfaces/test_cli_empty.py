"""An answer without rows says on standard error from when to when there are some."""

import json

import pytest
from typer.testing import CliRunner

from ticklake.interfaces.cli.main import app

BARS = "binance:ohlcv:1h:BTC/USDT"
HELD = f"the 2 rows of {BARS} are from 2024-01-02T00:00:00Z to 2024-01-02T01:00:00Z"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["ts,open,high,low,close,volume", *(f"2024-01-02T0{hour}:00:00Z,1,2,0.5,1.5,10" for hour in range(2))]
    (tmp_path / "bars.csv").write_text("\n".join(lines))
    runner = CliRunner()

    def call(*words):
        return runner.invoke(app, list(words))

    assert call("init").exit_code == 0
    assert call("import", "bars.csv", "-d", BARS).exit_code == 0
    return call


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["read", BARS, "--start", "2025-01-01"], ""),
        (["panel", "binance", "BTC/USDT", "-t", "1h", "--known-at", "2023-01-01"], ""),
        (["resample", BARS, "--to", "4h"], "; a 4h bar that they fill in part is made with --partial"),
    ],
)
def test_an_answer_without_rows_says_where_there_are_some(run, words, hint):
    empty = run(*words, "--json")
    assert (empty.exit_code, json.loads(empty.stdout)) == (0, [])
    assert empty.stderr == f"note: no row fits what is asked: {HELD}{hint}\n"


def test_an_answer_with_rows_has_no_note(run):
    assert run("read", BARS).stderr == ""


def test_a_lake_without_feature_sets_says_how_to_make_one(run):
    assert run("features", "list").stdout == "the lake has no feature set: 'ticklake features register' makes one\n"
