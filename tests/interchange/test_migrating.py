"""A tree that dccd 2 wrote becomes one that dccd 3 reads, in place."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from ticklake.errors import BadInput, InvalidData
from ticklake.interchange.dccd import SCHEMAS
from ticklake.interchange.migrate import migrate_dccd, needs_migration
from ticklake.interfaces.cli.main import app

from .foreign_rows import bars, trades
from .test_dccd import theirs

MS = 10**6
V2_OHLC = ["TS", "open", "high", "low", "close", "volume", "quoteVolume", "weightedAverage"]
V2_TRADES = ["tid", "TS", "price", "amount", "type"]
V2_BOOK = ["side", "price", "amount", "count", "TS"]


def v2_bars():
    rows = bars().with_columns(TS=pl.col("ts").dt.epoch("s"), weightedAverage=pl.col("open") + 0.5)
    return rows.rename({"quote_volume": "quoteVolume"}).select(V2_OHLC)


def v2_trades():
    """Its store keeps one trade an instant; its times are seconds with decimals, as Python divides milliseconds."""
    rows = trades(600).unique("ts", keep="last", maintain_order=True)
    seconds = pl.Series("TS", [ns // MS / 1000 for ns in rows["ts"].to_physical()])
    return rows.select(pl.col("id").cast(pl.Int64).alias("tid"), seconds, "price", "amount", type="side")


def v2_book():
    start = bars(1)["ts"].dt.epoch("s")[0]
    return pl.DataFrame(
        {
            "side": ["bid", "ask"],
            "price": [1.0, 2.0],
            "amount": [3.0, 4.0],
            "count": [None, 5],
            "TS": [start, start + 1],
        }
    )


@pytest.fixture
def tree(tmp_path):
    """What dccd 2 writes, without it."""
    root = tmp_path / "theirs"
    for path, rows in (
        ("binance/ohlc/BTC-USDT/1h/2023.parquet", v2_bars().head(24)),
        ("binance/ohlc/BTC-USDT/1h/2024.parquet", v2_bars().slice(24)),
        ("kraken/trades/BTC-USDT/2023-12-31.parquet", v2_trades()),
        ("kraken/orderbook/BTC-USDT/2023-12-31.parquet", v2_book()),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        rows.write_parquet(root / path)
    return root


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_tree_of_dccd_2_is_read_by_dccd_3_afterwards(dccd, tmp_path):
    root = tmp_path / "theirs"
    dccd.write_v2(root, "binance", "BTC/USDT", "ohlc", 3600, v2_bars())
    dccd.write_v2(root, "binance", "BTC/USDT", "trades", "", v2_trades())
    dccd.write_v2(root, "binance", "BTC/USDT", "orderbook", "", v2_book())
    assert dccd.read(root, "binance", "BTC/USDT", "ohlc", 3600)["TS"].max() < 10**11
    done = migrate_dccd(root)
    assert all(file.migrated and file.rescaled and not file.error for file in done)
    expected = theirs("ohlc", bars().with_columns(trades=pl.lit(None, pl.Int64)))
    assert_frame_equal(dccd.read(root, "binance", "BTC/USDT", "ohlc", 3600), expected)
    found = dccd.read(root, "binance", "BTC/USDT", "trades")
    whole_ms = theirs("trades", trades(600).unique("ts", keep="last")).with_columns(pl.col("TS") // MS * MS)
    assert_frame_equal(found.sort("tid"), whole_ms.unique("TS", keep="last").sort("tid"))
    assert dccd.read(root, "binance", "BTC/USDT", "orderbook")["is_snapshot"].to_list() == [None, None]


def test_rows_that_dccd_3_added_to_a_file_of_version_2_are_told_apart(dccd, tmp_path):
    """dccd 3 merges into the file without looking at its unit: seconds and nanoseconds stand in one column."""
    root = tmp_path / "theirs"
    dccd.write_v2(root, "binance", "BTC/USDT", "ohlc", 3600, v2_bars().head(20))
    newer = theirs("ohlc", bars().slice(10, 14).with_columns(close=pl.lit(40_000.0)))
    dccd.write(root, "binance", "BTC/USDT", "ohlc", 3600, newer)
    (done,) = migrate_dccd(root)
    assert (done.rows, done.rescaled, done.migrated) == (24, True, True)
    found = dccd.read(root, "binance", "BTC/USDT", "ohlc", 3600)
    assert found["TS"].equals(bars(24)["ts"].to_physical(), null_equal=True)
    assert_frame_equal(found.slice(10), newer)
    assert b"dccd.provenance" in next(root.rglob("*.parquet")).read_bytes()


def test_the_report_says_what_became_of_every_file(tree):
    before = contents(tree)
    planned = migrate_dccd(tree, dry_run=True)
    assert contents(tree) == before
    assert all(needs_migration(path) for path in tree.rglob("*.parquet"))
    done = migrate_dccd(tree)
    assert [(one.path, one.needed, one.rescaled, one.migrated) for one in planned] == [
        (one.path, True, True, False) for one in done
    ]
    assert {one.path.split("/")[1]: (list(one.from_schema), list(one.to_schema)) for one in done} == {
        "ohlc": (V2_OHLC, list(SCHEMAS["ohlc"])),
        "trades": (V2_TRADES, list(SCHEMAS["trades"])),
        "orderbook": (V2_BOOK, list(SCHEMAS["orderbook"])),
    }
    assert not any(needs_migration(path) for path in tree.rglob("*.parquet"))
    after = contents(tree)
    assert not any(file.needed or file.migrated or file.error for file in migrate_dccd(tree))
    assert contents(tree) == after


def test_what_is_none_of_dccds_or_damaged_is_left_and_named(tree):
    (tree / "notes.parquet").write_bytes((tree / "binance/ohlc/BTC-USDT/1h/2023.parquet").read_bytes())
    odd = tree / "kraken/trades/BTC-USDT"
    (odd / "2024-01-01.parquet").write_bytes(b"PAR1")
    pl.DataFrame({"TS": [1_704_067_200_123], "price": [1.0], "amount": [1.0]}).write_parquet(odd / "2024-01-02.parquet")
    pl.DataFrame({"TS": [1], "rank": [0], "cum_amount": [1.0]}).write_parquet(odd / "2024-01-03.parquet")
    pl.DataFrame(schema={"TS": pl.Int64}).write_parquet(odd / "2024-01-04.parquet")
    before = contents(tree)
    left = {file.path: file.error for file in migrate_dccd(tree) if not file.migrated}
    assert {path: before[path] for path in left} == {path: contents(tree)[path] for path in left}
    words = {
        "notes": "not a file of dccd",
        "01-01": "cannot be read",
        "01-02": "looks like ms",
        "01-03": "is missing",
        "01-04": "",
    }
    assert len(left) == len(words)
    assert all(any(word in error for path, error in left.items() if name in path) for name, word in words.items())
    with pytest.raises(InvalidData):
        needs_migration(tree / "notes.parquet")


def test_a_tree_of_version_2_comes_in_like_the_migrated_one(tree, lake_at):
    before, after = lake_at(name="before"), lake_at(name="after")
    assert before.import_lake(tree).is_complete
    migrate_dccd(tree)
    assert after.import_lake(tree).is_complete
    assert len(before.datasets()) == 3
    for dataset in before.datasets():
        assert_frame_equal(before.load(dataset), after.load(dataset))
    assert before.trades("kraken", "BTC/USDT")["side"].null_count() == 0


KILLED = """
import os, signal, sys
from ticklake.interchange.migrate import migrate_dccd
from ticklake.storage import durable, local

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

where, count, root = sys.argv[1], int(sys.argv[2]), sys.argv[3]
owner, name = {"write": (durable._FileSink, "write"), "move": (local.LocalStore, "move")}[where.split("-")[0]]
real, calls = getattr(owner, name), []

def counted(*arguments):
    calls.append(1)
    if len(calls) == count and where == "move-after":
        real(*arguments)
    if len(calls) == count:
        die()
    return real(*arguments)

setattr(owner, name, counted)
migrate_dccd(root)
"""


@pytest.mark.parametrize(("where", "count"), [("write", 1), ("write", 3), ("move-before", 2), ("move-after", 2)])
def test_killed_at_any_point_every_file_is_the_old_or_the_new_one(tree, tmp_path, where, count):
    old = contents(tree)
    done = subprocess.run([sys.executable, "-c", KILLED, where, str(count), str(tree)])
    assert done.returncode == -signal.SIGKILL
    between = {path: data for path, data in contents(tree).items() if path.endswith(".parquet")}
    again = migrate_dccd(tree)
    new = contents(tree)
    assert all(data in (old[path], new[path]) for path, data in between.items())
    assert set(new) == set(old)
    kept = sum(between[path] == new[path] for path in old)
    assert sum(not file.migrated for file in again) == kept


def test_the_shell_migrates(tree):
    shell = CliRunner()
    told = shell.invoke(app, ["migrate", "dccd", str(tree), "--dry-run", "--json"])
    assert told.exit_code == 0
    assert set(json.loads(told.stdout)[0]) >= {"path", "rows", "from_schema", "to_schema", "rescaled", "migrated"}
    assert "4 of 4 files are of version 2" in shell.invoke(app, ["migrate", "dccd", str(tree)]).stdout
    assert "0 of 4 files" in shell.invoke(app, ["migrate", "dccd", str(tree)]).stdout
    (tree / "notes.parquet").write_bytes(b"")
    assert shell.invoke(app, ["migrate", "dccd", str(tree)]).exit_code == 3
    assert shell.invoke(app, ["migrate", "arctic", str(tree)]).exit_code == 2


def test_no_folder_is_bad_input(tmp_path):
    with pytest.raises(BadInput, match="not a folder"):
        migrate_dccd(tmp_path / "nowhere")
