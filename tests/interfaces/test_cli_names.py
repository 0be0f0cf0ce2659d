"""Every command takes data by both of its names, and says what was meant where there is none."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ..conftest import open_lake
from .test_cli import shell  # noqa: F401

BTC, ETH = "binance:ohlcv:1h:BTC/USDT", "binance:ohlcv:1h:ETH/USDT"
TRADES, SWAP = "binance:trades:BTC/USDT", "binance:ohlcv:1h:BTC/USDT:USDT"
FORMS = [
    (BTC,),
    ("binance", "BTC/USDT", "-t", "1h"),
    ("BINANCE", "btc/usdt", "-t", "60m"),
    ("binance", "BTCUSDT", "-t", "1h"),
    ("binance:ohlcv:1h:BTC*",),
    ("BINANCE:ohlcv:1h:BTC/USDT",),
]
COMMANDS = [
    ("list",),
    ("read",),
    ("gaps",),
    ("quality",),
    ("continuity",),
    ("cross-check",),
    ("quarantine",),
    ("verify",),
    ("compact",),
    ("repair", "--no-fetch"),
    ("cleanup", "--days", "3", "--dry-run"),
    ("resample", "--to", "1d"),
    ("delete", "--start", "2024-01-02", "--dry-run"),
    ("drop", "--dry-run"),
    ("runs",),
    ("export", "out", "--layout", "hive"),
]


@pytest.fixture
def held(shell):  # noqa: F811
    """A lake with bars and trades."""
    bar = {"ts": "2024-01-02T00:00:00Z", "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 1.0}
    trade = {"ts": "2024-01-02T00:00:01Z", "id": "1", "price": 1.0, "amount": 1.0, "side": "buy"}
    with open_lake("data") as lake:
        lake.save_all([(BTC, [bar]), (ETH, [bar]), (TRADES, [trade])])
    return shell


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_every_command_takes_both_forms(command, held):
    named = [json.loads(held(*command, *form, "--json").stdout) for form in FORMS[:2]]
    assert _datasets(named[0]) == _datasets(named[1])
    assert _datasets(named[0]) - {TRADES} <= {BTC}
    assert held(*command, "binance:ohlcv:1h:DOGE/USDT").exit_code == 2


def _datasets(answer):
    """Return the datasets that an answer names, wherever in it they stand."""
    if isinstance(answer, list):
        return {name for one in answer for name in _datasets(one)}
    if isinstance(answer, dict):
        return _datasets(list(answer.values()))
    return {answer} if str(answer).startswith("binance:") else set()


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_a_dataset_is_meant_by_any_of_its_names(form, held):
    listed = json.loads(held("list", *form, "--json").stdout)
    assert [one["dataset"] for one in listed] == [BTC]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("binance:ohlcv:1h:BTC/USDTT",), f"did you mean {BTC}?"),
        (("binanec", "BTC/USDT", "-t", "1h"), f"did you mean {BTC}?"),
        (("BTC/USDT", "binance"), "did you mean 'binance BTC/USDT'?"),
        (("binanec",), "did you mean binance?"),
        (("binance", "BTC/USDT", "-t", "5m"), "no binance:ohlcv:5m:BTC/USDT"),
        (("binance", "BTC/USDT", "extra"), "names no one dataset"),
        (("kraken:*",), "the lake has no kraken:*"),
        ((BTC, "-t", "5m"), "contradict each other"),
        (("binance:nonsense:BTC/USDT",), "nonsense"),
    ],
)
def test_what_is_not_there_is_one_line_with_what_was_meant(words, meant, held):
    for command in ("gaps", "read"):
        refused = held(command, *words)
        assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
        assert meant in refused.stderr


def test_a_name_that_may_be_two_markets_is_refused_with_both(held):
    with open_lake("data") as lake:
        lake.save(SWAP, lake.load(BTC))
    refused = held("read", "binance", "BTCUSDT", "-t", "1h")
    assert refused.exit_code == 2
    assert "BTCUSDT may be BTC/USDT, BTC/USDT:USDT on binance: say which" in refused.stderr


def test_reading_falls_back_to_trades_and_removing_does_not(held):
    assert "buy" in held("read", "binance", "BTC/USDT").stdout
    refused = held("delete", "binance", "BTC/USDT", "--start", "2024-01-01", "--yes")
    assert (refused.exit_code, "say which" in refused.stderr) == (2, True)


class TestIngest:
    def test_takes_a_name_and_an_exchange_in_any_case(self, shell):  # noqa: F811
        day = ("--start", "2024-01-05", "--json")
        assert json.loads(shell("ingest", BTC, *day).stdout)["subject"] == BTC
        assert json.loads(shell("ingest", "BINANCE", "eth/usdt", "-t", "1h", *day).stdout)["subject"] == ETH

    def test_takes_an_exchanges_own_name_where_it_is_one_market(self, shell):  # noqa: F811
        done = shell("ingest", "kraken", "XXBTZUSD", "-t", "1h", "--start", "2024-01-05", "--json")
        assert json.loads(done.stdout)["subject"] == "kraken:ohlcv:1h:BTC/USD"
        refused = shell("ingest", "binance", "BTCUSDT", "-t", "1h", "--start", "2024-01-05")
        assert (refused.exit_code, "BTC/USDT or BTC/USDT:USDT" in refused.stderr) == (2, True)

    def test_words_in_the_wrong_order_are_said(self, shell):  # noqa: F811
        refused = shell("ingest", "BTC/USDT", "binance", "-t", "1h")
        assert (refused.exit_code, "did you mean 'binance BTC/USDT'?" in refused.stderr) == (2, True)

    @pytest.mark.parametrize("words", [(BTC, TRADES), (BTC, "-t", "5m"), (BTC, "-k", "trades")])
    def test_a_name_says_all_of_it(self, words, shell):  # noqa: F811
        assert shell("ingest", *words).exit_code == 2


def test_jobs_and_schedules_take_both_forms(held):
    one = json.loads(held("jobs", "create", "compact", "binance", "BTC/USDT", "-t", "1h", "--json").stdout)
    other = json.loads(held("jobs", "create", "compact", BTC, "--json").stdout)
    assert (one["id"], one["status"], one["progress"]) == (other["id"], "queued", 0.0)
    words = ("schedule", "add", "x", "backfill", BTC, "--every", "1h", "--json")
    assert json.loads(held(*words).stdout)["parameters"] == {
        "exchange": "binance",
        "symbols": ["BTC/USDT"],
        "timeframe": "1h",
        "kind": "ohlcv",
    }


@pytest.mark.parametrize(
    ("words", "at", "answers"),
    [
        ("ticklake read bin", 2, ["binance", TRADES, BTC, ETH]),
        ("ticklake read binance BT", 3, ["BTC/USDT"]),
        ("ticklake read binance : ohlcv : 1", 6, ["1h:BTC/USDT", "1h:ETH/USDT"]),
        ("ticklake drop kra", 2, []),
    ],
)
def test_names_complete_with_tab(words, at, answers, held, monkeypatch):
    monkeypatch.setenv("_TICKLAKE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(at))
    command = [sys.executable, "-c", "from ticklake.interfaces.cli.main import app; app(prog_name='ticklake')"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert sorted(done.stdout.split()) == sorted(answers)
    assert done.stderr == ""


@pytest.mark.parametrize("words", [("read",), ("read", "--nope"), ("raed",), ("runs", "show", "x")])
def test_errors_of_use_are_one_line(words, shell):  # noqa: F811
    refused = shell(*words)
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert refused.stderr.startswith("error: ")
    assert "--help' says how it is used" in refused.stderr
