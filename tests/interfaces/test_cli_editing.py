"""Commands that remove data or look at it anew: delete, drop, rename, update, stats, quarantine, book, resample."""

from __future__ import annotations

import json

import pytest

from ticklake.errors import TicklakeWarning

from ..conftest import open_lake
from .test_cli import shell  # noqa: F401
from .test_cli_names import BTC, ETH, TRADES, held  # noqa: F401


def names():
    with open_lake("data") as lake:
        return list(map(str, lake.datasets()))


@pytest.mark.parametrize(
    "words", [("delete", BTC, "--start", "2024-01-01"), ("drop", BTC), ("drop", "binance:*"), ("drop", BTC, "--json")]
)
def test_nothing_is_removed_where_nobody_can_be_asked(words, held):  # noqa: F811
    refused = held(*words)
    assert (refused.exit_code, "--yes" in refused.stderr) == (2, True)
    assert names() == [BTC, ETH, TRADES]
    with open_lake("data") as lake:
        assert lake.load(BTC).height == 1


def test_a_dry_run_says_what_would_go_and_yes_removes_it(held):  # noqa: F811
    assert held("delete", BTC, "--start", "2024-01-01", "--dry-run").stdout == f"would remove 1 row of {BTC}\n"
    assert json.loads(held("delete", BTC, "--start", "2024-01-01", "--yes", "--json").stdout)["rows"] == 1
    assert f"would remove {BTC}: 0 rows" in held("drop", BTC, "--dry-run").stdout
    assert names() == [BTC, ETH, TRADES]
    assert "dropped 1 dataset" in held("drop", BTC, "--yes").stdout
    assert names() == [ETH, TRADES]
    assert held("drop", BTC, "--yes").exit_code == 2


def test_a_delete_without_bounds_is_refused(held):  # noqa: F811
    refused = held("delete", BTC, "--yes")
    assert (refused.exit_code, "ticklake drop" in refused.stderr) == (2, True)


def test_a_rename_takes_both_forms(held):  # noqa: F811
    new = "binance:ohlcv:1h:XBT/USDT"
    assert f"{BTC} would be {new}" in held("rename", BTC, new, "--dry-run").stdout
    assert held("rename", "binance", "BTC/USDT", new, "-t", "1h").exit_code == 0
    assert names() == [ETH, new, TRADES]
    assert held("rename", new, ETH).exit_code == 2
    assert held("rename", new).exit_code == 2


def test_gaps_are_summed_up_first(held):  # noqa: F811
    with open_lake("data") as lake:
        bar = lake.load(BTC).to_dicts()[0]
        lake.save(BTC, [{**bar, "ts": f"2024-01-02T{hour:02}:00:00Z"} for hour in (3, 7, 9)])
    first = held("gaps", BTC)
    lines = first.stdout.splitlines()
    assert first.exit_code == 3
    assert lines[1].split()[:4] == [BTC, "not_fetched", "3", "6"]
    assert lines[-1].startswith("3 holes: --all lists each")
    assert len(held("gaps", BTC, "--all").stdout.splitlines()) == 4
    assert len(json.loads(held("gaps", BTC, "--json").stdout)) == 3


def test_refused_rows_are_summed_up_and_listed(held):  # noqa: F811
    with open_lake("data") as lake:
        bar = lake.load(BTC).to_dicts()[0]
        wrong = [{**bar, "ts": f"2024-01-02T{hour:02}:00:00Z", "low": 9.0} for hour in (3, 4)]
        with pytest.warns(TicklakeWarning, match="refused"):
            lake.save(BTC, wrong)
    (row,) = held("quarantine", BTC).stdout.splitlines()[1:-1]
    assert row.split()[0] == BTC
    assert row.split()[-1] == "2"
    assert len(json.loads(held("quarantine", "--json").stdout)) == 2
    assert "2024-01-02T03:00:00Z" in held("quarantine", "--all").stdout
    assert held("quarantine", ETH).stdout == "no row was refused\n"


def test_stats_count_what_there_is_by_exchange_and_kind(held):  # noqa: F811
    held("compact", BTC)
    told = json.loads(held("stats", "--json").stdout)
    assert {name: told[name] for name in ("datasets", "rows", "files", "inline_rows", "retired_segments")} == {
        "datasets": 3,
        "rows": 3,
        "files": 1,
        "inline_rows": 2,
        "retired_segments": 1,
    }
    assert told["catalog_bytes"] > 0
    assert [(one["kind"], one["datasets"], one["rows"]) for one in told["groups"]] == [
        ("ohlcv", 2, 2),
        ("trades", 1, 1),
    ]
    assert "3 datasets, 3 rows in 1 file" in held("stats").stdout


def test_books_and_resampled_bars_are_printed_like_rows(held):  # noqa: F811
    (bar,) = json.loads(held("resample", TRADES, "--to", "1h", "--json").stdout)
    assert (bar["ts"], bar["trades"]) == ("2024-01-02T00:00:00Z", 1)
    assert held("book", "binance", "BTC/USDT").exit_code == 2
    held("ingest", "binance", "BTC/USDT", "-k", "book")
    levels = json.loads(held("book", "binance", "BTC/USDT", "--depth", "2", "--json").stdout)
    assert [level["side"] for level in levels] == ["bid", "bid", "ask", "ask"]


class TestUpdate:
    def test_brings_up_to_now_what_was_collected(self, held):  # noqa: F811
        held("ingest", BTC, "--start", "2024-01-05", "--end", "2024-01-05T10:00")
        done = held("update")
        assert done.exit_code == 0, done.output
        assert f"note: left alone, for no source collected them: {ETH}, {TRADES}" in done.stderr
        with open_lake("data") as lake:
            assert lake.load(BTC, "2024-01-05").height == 23
            assert lake.load(ETH).height == 1

    def test_says_at_the_end_what_failed(self, held, monkeypatch):  # noqa: F811
        held("ingest", BTC, "--start", "2024-01-05", "--end", "2024-01-05T10:00")
        held("ingest", "kraken", "BTC/USD", "-t", "1h", "--start", "2024-01-05")
        monkeypatch.setenv("TICKLAKE_EXCHANGES__BINANCE__URL", "http://127.0.0.1:9")
        monkeypatch.setenv("TICKLAKE_RETRY__ATTEMPTS", "1")
        done = held("update")
        assert (done.exit_code, done.stdout.splitlines()[-1]) == (3, f"1 of 2 failed: {BTC}")
        assert held("update", BTC, "--json").exit_code == 1

    def test_what_no_source_collected_is_refused_if_it_is_named(self, held):  # noqa: F811
        refused = held("update", ETH)
        assert (refused.exit_code, "ticklake backfill" in refused.stderr) == (2, True)
        assert "nothing to bring up to now" in held("update").stdout


def test_provenance_is_told_of_datasets_and_of_files(held):  # noqa: F811
    held("compact", BTC)
    (origin,) = json.loads(held("provenance", BTC, "--json").stdout)
    assert (origin["dataset"], origin["source"]) == (BTC, "user")
    (file,) = json.loads(held("provenance", "binance", "BTC/USDT", "-t", "1h", "--files", "--json").stdout)
    assert (file["rows"], file["first"]) == (1, "2024-01-02T00:00:00Z")
    assert file["file"].endswith(".parquet")
    assert "user" in held("provenance").stdout


def test_of_many_files_those_that_need_a_look_are_listed(shell, tmp_path):  # noqa: F811
    head = "ts,open,high,low,close,volume\n"
    for day in range(1, 26):
        (tmp_path / f"f{day:02}.csv").write_text(f"{head}2024-01-{day:02}T00:00:00Z,1,2,0.5,1.5,10\n")
    (tmp_path / "wrong.csv").write_text(f"{head}yesterday,1,2,0.5,1.5,10\n")
    paths = [str(path) for path in sorted(tmp_path.glob("*.csv"))]
    words = ("import", *paths, "--dataset", "x:ohlcv:1d:BTC/USD", "--dry-run")
    told = shell(*words).stdout
    assert "wrong.csv" in told
    assert "f01.csv" not in told
    assert "25 files without a note: --all lists each" in told
    assert "f01.csv" in shell(*words, "--all").stdout
    with open_lake("data") as lake:
        bar = {"open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 1.0}
        days = [
            {"ts": f"2024-01-{day:02}T00:00:00Z", "price": 1.0, "amount": 1.0, "id": str(day)} for day in range(1, 26)
        ]
        lake.save_all([(BTC, [{"ts": "2024-01-02T00:00:00Z", **bar}]), (TRADES, days)])
    written = shell("export", "out", "--layout", "dccd").stdout
    assert "26 files, layout dccd: 26 rows" in written
