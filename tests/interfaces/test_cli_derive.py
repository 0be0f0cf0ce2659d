"""ticklake resample with every rule and edge, and ticklake derive."""

import json

import polars as pl
import pytest

from ticklake.core.kinds import TIME
from ticklake.core.time import MINUTE, parse_time

from ..conftest import open_lake
from .test_cli import shell  # noqa: F401

T = parse_time("2024-03-08")
TRADES = "x:trades:BTC/USDT"


@pytest.fixture
def traded(shell):  # noqa: F811
    """A shell whose lake has 600 trades, one a minute."""
    numbers = range(600)
    columns = {
        "id": list(map(str, numbers)),
        "price": [100.0] * 600,
        "amount": [0.5] * 600,
        "side": ["buy", "sell"] * 300,
    }
    rows = pl.DataFrame({"ts": [T + n * MINUTE for n in numbers], **columns})
    with open_lake("data") as lake:
        lake.save(TRADES, rows.with_columns(pl.col("ts").cast(TIME)))
    return shell


def bars(shell, *words):  # noqa: F811
    return json.loads(shell("resample", TRADES, "--json", *words).stdout)


def test_rules_and_edges_are_options(traded):
    assert [bar["trades"] for bar in bars(traded, "--to", "250ticks")] == [250, 250]
    assert [bar["volume"] for bar in bars(traded, "--to", "100volume")] == [100.0] * 3
    assert len(bars(traded, "--to", "5000dollars", "--origin", "2024-03-08")) == 6
    assert (
        bars(traded, "--to", "1d", "--session", "17:00 America/New_York", "--partial")[0]["ts"]
        == "2024-03-07T22:00:00Z"
    )
    right = bars(traded, "--to", "1h", "--closed", "right", "--label", "close", "--columns", "ts,open,trades")
    assert right[0] == {"ts": "2024-03-08T00:00:00Z", "open": 100.0, "trades": 1}
    assert right[1] == {"ts": "2024-03-08T01:00:00Z", "open": 100.0, "trades": 60}
    assert "close_time" in bars(traded, "--to", "1h", "--columns", "ts, close_time,vwap")[0]
    assert len(bars(traded, "--to", "1h", "--fill", "forward")) == 10


def test_a_second_dataset_is_not_left_out_without_a_word(traded):
    with open_lake("data") as lake:
        lake.save("x:ohlcv:1m:BTC/USDT", lake.resample(TRADES, "1m"))
    done = traded("resample", TRADES, "x:ohlcv:1m:BTC/USDT", "--to", "1h")
    assert done.exit_code == 2
    assert "say which" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--to", "10x"),
        ("--to", "1h", "--closed", "both"),
        ("--to", "1h", "--fill", "no"),
        ("--to", "1h", "--session", "Mars"),
    ],
)
def test_what_is_no_rule_is_a_line(traded, words):
    refused = traded("resample", TRADES, *words)
    assert (refused.exit_code, len(refused.stderr.strip().splitlines())) == (2, 1)


def test_bars_go_into_files(traded, tmp_path):
    path = tmp_path / "bars.parquet"
    assert traded("resample", TRADES, "--to", "100ticks", "-o", str(path)).exit_code == 0
    assert pl.read_parquet(path)["trades"].to_list() == [100] * 6


def test_a_rule_is_declared_listed_refreshed_and_dropped(traded):
    declared = traded("derive", "add", "hours", "--from", "x:trades:*", "--to", "1h")
    assert "rule hours makes 1h bars of x:trades:*" in declared.stdout
    done = json.loads(traded("derive", "refresh", "--json").stdout)
    assert [(each["name"], each["new"], each["datasets"]) for each in done] == [
        ("hours", 10, ["x:ohlcv@hours:1h:BTC/USDT"])
    ]
    assert "hours: 0 new, 0 changed, 0 removed" in traded("derive", "refresh", "hours").stdout
    (rule,) = json.loads(traded("derive", "list", "--json").stdout)
    assert (rule["rule"], rule["kind"], rule["inputs"]) == ("1h", "ohlcv", ["x:trades:*"])
    assert "x:trades:*" in traded("derive", "list").stdout
    assert len(json.loads(traded("read", "x:ohlcv@hours:1h:BTC/USDT", "--json").stdout)) == 10
    assert "ohlcv@hours" in traded("list").stdout
    assert traded("drop", "x:ohlcv@hours:1h:BTC/USDT", "--yes").exit_code == 2
    assert traded("derive", "drop", "hours").exit_code == 2
    assert "10 rows" in traded("derive", "drop", "hours", "--dry-run").stdout
    assert json.loads(traded("derive", "drop", "hours", "--yes", "--json").stdout)["rows"] == 10
    assert traded("derive", "refresh").stdout.startswith("there are no rules")


def test_a_job_refreshes_all_rules(traded):
    traded("derive", "add", "hours", "--from", TRADES, "--to", "1h")
    with open_lake("data") as lake:
        job = lake.jobs.create("derive")
        done = lake.jobs.start(job.id)
        assert (str(done.state), done.outcome) == ("succeeded", "10 rows new, 0 changed, 0 removed")
        assert lake.load("x:ohlcv@hours:1h:BTC/USDT").height == 10


def test_the_collected_dataset_is_meant_where_both_are_there(traded):
    with open_lake("data") as lake:
        lake.derive("hours", TRADES, "1h")
        lake.derived.refresh()
        lake.save("x:ohlcv:1h:BTC/USDT", lake.resample(TRADES, "1h").head(3))
    assert len(json.loads(traded("read", "x", "BTC/USDT", "-t", "1h", "--json").stdout)) == 3
    assert len(json.loads(traded("read", "x", "BTC/USDT", "-t", "1h", "-k", "ohlcv@hours", "--json").stdout)) == 10
    refused = traded("backfill", "x:ohlcv@hours:1h:BTC/USDT")
    assert (refused.exit_code, "made of other rows" in refused.stderr) == (2, True)


def test_a_timeframe_that_is_not_stored_names_what_makes_it(traded):
    refused = traded("read", "x", "BTC/USDT", "-t", "1h")
    assert (refused.exit_code, f"'ticklake resample {TRADES} --to 1h'" in refused.stderr) == (2, True)
    with open_lake("data") as lake:
        lake.derive("hours", TRADES, "1h")
        lake.derived.refresh()
    refused = traded("read", "x:ohlcv:1h:BTC/USDT")
    assert "x:ohlcv@hours:1h:BTC/USDT is made of others" in refused.stderr
