"""Gaps in the shell, beyond coverage."""

from __future__ import annotations

import json
from weakref import WeakSet

import polars as pl
import pytest

from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import SECOND, parse_time
from ticklake.errors import StorageError
from ticklake.interfaces.cli.output import print_long_table
from ticklake.lake import Lake

from ..conftest import open_lake
from .test_cli import shell  # noqa: F401

T = parse_time("2024-01-02")
TRADES = "binance:trades:BTC/USDT"


def keep(ids):
    """Put trades a second apart into the lake of this folder."""
    ts = pl.Series([T + place * SECOND for place in range(len(ids))], dtype=pl.Int64).cast(TIME)
    frame = pl.DataFrame({"ts": ts, "id": [str(n) for n in ids], "price": 1.0, "amount": 1.0, "side": "buy"})
    with open_lake("data") as lake:
        covered = [Covered(Span(T, T + len(ids) * SECOND))]
        lake.engine.append(Dataset.parse(TRADES), frame, Provenance("ccxt", id_space="agg"), covered)


def test_trades_that_are_lost_by_their_ids_are_listed(shell):  # noqa: F811
    keep([1, 2, 3, 10, 11])
    result = shell("gaps", "binance", "BTC/USDT", "--kind", "trades", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout) == [
        {
            "dataset": TRADES,
            "start": "2024-01-02T00:00:02Z",
            # A missing trade may share the time of the one after the hole.
            "end": "2024-01-02T00:00:03.000000001Z",
            "missing": 6,
            "reason": "lost",
            "detail": "trade ids 4 to 9 are missing",
        }
    ]
    assert shell("gaps", "--quick").exit_code == 0


def test_quiet_minutes_are_listed_and_nothing_is_missing(shell):  # noqa: F811
    minutes = [n for n in range(30) if n % 7]
    ts = pl.Series([T + n * 60 * SECOND for n in minutes], dtype=pl.Int64).cast(TIME)
    frame = pl.DataFrame({"ts": ts, "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0})
    with open_lake("data") as lake:
        looked = [Covered(Span(T, T + 30 * 60 * SECOND))]
        lake.engine.append(Dataset.parse("binance:ohlcv:1m:BTC/USDT"), frame, Provenance("user"), looked)
    result = shell("gaps", "--json")
    assert {row["reason"] for row in json.loads(result.stdout)} == {"no_trades"}
    assert result.exit_code == 0


def bars_with_holes(*symbols, minutes=3_000):
    """Put bars of every other minute into the lake of this folder."""
    ts = pl.Series([T + n * 60 * SECOND for n in range(0, minutes, 2)], dtype=pl.Int64).cast(TIME)
    frame = pl.DataFrame({"ts": ts, "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0})
    with open_lake("data") as lake:
        for symbol in symbols:
            lake.engine.append(Dataset.parse(f"x:ohlcv:1m:{symbol}"), frame, Provenance("user"))


def test_json_is_printed_while_gaps_are_found(shell, monkeypatch):  # noqa: F811
    bars_with_holes("A/USD", "B/USD", minutes=20)
    whole = json.loads(shell("gaps", "--quick", "--json").stdout)
    assert [row["dataset"] for row in whole] == ["x:ohlcv:1m:A/USD"] * 9 + ["x:ohlcv:1m:B/USD"] * 9
    report = Lake.gap_report

    def fail_at_the_second(lake, dataset, *bounds, **options):
        if str(dataset.symbol) == "B/USD":
            raise StorageError("the disk is gone")
        return report(lake, dataset, *bounds, **options)

    monkeypatch.setattr(Lake, "gap_report", fail_at_the_second)
    broken = shell("gaps", "--quick", "--json")
    assert broken.exit_code != 0
    assert broken.stdout.count("x:ohlcv:1m:A/USD") == 9


def test_a_long_list_is_printed_like_a_short_one(shell):  # noqa: F811
    bars_with_holes("A/USD")
    lines = shell("gaps", "--quick", "--all").stdout.splitlines()
    assert len(lines) == 1 + 1_499
    assert lines[0].split() == ["dataset", "start", "end", "missing", "reason", "detail"]
    first = ["x:ohlcv:1m:A/USD", "2024-01-02T00:01:00Z", "2024-01-02T00:02:00Z", "1", "not_fetched"]
    assert lines[1].split()[:5] == first
    assert len({len(line) for line in lines}) == 1


def test_rows_of_a_long_list_are_made_twice_and_never_held(capsys):
    alive, most = WeakSet(), 0

    class Cell(str):
        """A text that can be watched."""

    def rows():
        nonlocal most
        for number in range(1_500):
            cell = Cell(number)
            alive.add(cell)
            most = max(most, len(alive))
            yield [cell]
            del cell

    print_long_table(["n"], rows, ["n"])
    assert capsys.readouterr().out.splitlines()[-1] == "1499"
    assert most < 100


def test_ids_that_begin_anew_are_a_note_and_no_gap(shell):  # noqa: F811
    keep([501, 502, 1, 2, 3])
    result = shell("gaps", "binance")
    assert result.exit_code == 0
    assert "nothing is missing" in result.stdout
    assert "note: binance:trades:BTC/USDT: trade ids begin anew at 2024-01-02T00:00:02Z" in result.stderr


def test_a_repair_closes_gaps_and_says_what_stays(shell):  # noqa: F811
    shell.exchange.be("withhold=BTC/USDT@2024-01-02T10:00/2024-01-02T11:00")
    day = ("--start", "2024-01-02", "--end", "2024-01-03")
    shell("ingest", "binance", "BTC/USDT", "--kind", "trades", *day)
    with open_lake("data") as lake:
        lake.delete(TRADES, "2024-01-02T06:00", "2024-01-02T06:30")
    result = shell("repair", "binance", "--json")
    assert result.exit_code == 3
    (row,) = json.loads(result.stdout)
    assert (row["dataset"], row["closed"], [left["reason"] for left in row["left"]]) == (TRADES, 1, ["lost"])
    asked = len(shell.exchange.requests)
    again = shell("repair")
    assert again.exit_code == 3
    assert "asked for again in vain: trade ids" in again.stdout
    assert len(shell.exchange.requests) == asked
    shell.exchange.be()
    assert shell("repair", "--retry").exit_code == 0
    assert shell("repair").stdout.strip() == "nothing is damaged, and no gap can be closed"


@pytest.mark.parametrize(
    "words",
    [
        ("gaps", "nobody"),
        ("gaps", "binance", "NOPE/USDT"),
        ("quality", "nobody"),
        ("continuity", "--kind", "funding"),
        ("cross-check", "nobody"),
        ("verify", "binance:trades:NOPE/USDT"),
        ("compact", "binance:trades:NOPE/USDT"),
        ("repair", "nobody"),
        ("repair", "binance:trades:NOPE/USDT"),
        ("cleanup", "binance:trades:NOPE/USDT", "--days", "3"),
        ("cleanup", "--exchange", "nobody", "--days", "3"),
    ],
)
def test_a_name_that_the_lake_does_not_have_is_never_called_whole(shell, words):  # noqa: F811
    """A slip of the pen used to be answered by 'nothing is missing' and exit code 0."""
    keep([1, 2, 3])
    result = shell(*words)
    assert result.exit_code == 2
    assert f"the lake has no {words[1] if not words[1].startswith('-') else words[2]}" in result.stderr
