"""Derived datasets lie beside collected ones: the engine keeps, lists and recovers both, and mixes them nowhere."""

import dataclasses
import os
import time

import pytest
from engine_lakes import BARS, MANY, USER, tree

from ticklake.app import open_lake, rebuild_lake
from ticklake.config import Settings
from ticklake.errors import BadInput
from ticklake.testing.rows import bars

DERIVED = dataclasses.replace(BARS, variant="from_trades")


@pytest.fixture
def both(lake):
    """A lake with the same bars collected and derived; the derived closes are one higher."""
    rows = bars(0, MANY)
    lake.save(BARS, rows)
    lake.engine.append(DERIVED, rows.with_columns(high=rows["high"] + 1, close=rows["close"] + 1), USER)
    return lake


def test_derived_rows_are_rows_of_their_own(both):
    assert both.datasets() == [BARS, DERIVED]
    collected, derived = both.load(BARS), both.load(str(DERIVED))
    assert derived["close"].equals(collected["close"] + 1)
    assert both.inventory()["kind"].to_list() == ["ohlcv", "ohlcv@from_trades"]


def test_files_of_derived_rows_lie_in_a_folder_of_their_own(both, root):
    assert sorted(path.split("/")[0] for path in tree(root)) == ["derived", "ohlcv"]
    [file] = (root / "derived").rglob("*.parquet")
    assert "derived/ohlcv/variant=from_trades/exchange=x/symbol=BTC%2FUSDT/timeframe=1m/" in file.as_posix()
    assert both.verify(deep=True) == []


def test_vacuum_and_verify_list_the_derived_folder(both, root):
    [file] = (root / "derived").rglob("*.parquet")
    stray = file.with_name("2024-00000000000000000000000000000000.parquet")
    stray.write_bytes(file.read_bytes())
    then = time.time() - 48 * 3_600
    os.utime(stray, (then, then))
    assert [problem.segment for problem in both.verify()] == [str(stray.relative_to(root))]
    both.vacuum()
    assert (stray.exists(), file.exists()) == (False, True)


def test_derived_rows_come_back_from_their_files(both, root):
    before = both.load(DERIVED)
    both.close()
    for file in root.glob("catalog.db*"):
        file.unlink()
    assert rebuild_lake(root).unreadable == ()
    with open_lake(root, settings=Settings()) as lake:
        assert lake.datasets() == [BARS, DERIVED]
        assert lake.load(DERIVED).equals(before)


def test_a_folder_of_derived_files_is_no_new_lake(both, root):
    both.drop(BARS)
    both.vacuum(0)
    both.close()
    for file in root.glob("catalog.db*"):
        file.unlink()
    with pytest.raises(Exception, match="has data but no catalog"):
        open_lake(root, settings=Settings())


def test_a_backup_follows_derived_files(both, tmp_path):
    both.backup(tmp_path / "copy")
    both.drop(DERIVED)
    both.backup(tmp_path / "copy")
    assert sorted(path.split("/")[0] for path in tree(tmp_path / "copy")) == ["ohlcv"]


@pytest.mark.parametrize(
    "write",
    [
        lambda lake, _folder: lake.save(DERIVED, bars(0, 1)),
        lambda lake, _folder: lake.save_all([(BARS, bars(0, 1)), (str(DERIVED), bars(0, 1))]),
        lambda lake, folder: lake.import_files(folder, DERIVED),
        lambda lake, _folder: lake.rename(DERIVED, "x:ohlcv:1m:ETH/USDT"),
        lambda lake, _folder: lake.rename(BARS, dataclasses.replace(BARS, variant="other")),
        lambda lake, _folder: lake.update(DERIVED),
        lambda lake, _folder: lake.poll(DERIVED),
    ],
    ids=["save", "save_all", "import", "rename from", "rename to", "update", "poll"],
)
def test_nothing_else_comes_into_a_derived_dataset(both, tmp_path, write):
    before = both.engine.catalog.version()
    with pytest.raises(BadInput, match="made of other rows"):
        write(both, tmp_path)
    assert both.engine.catalog.version() == before


def test_a_backfill_names_no_variant(both):
    with pytest.raises(BadInput, match=r"made of other rows|not a kind"):
        both.backfill("x", "BTC/USDT", "1m", kind="ohlcv@from_trades")


def test_repair_asks_no_source_for_derived_rows(both):
    assert both.repair() == []


def test_bars_are_not_compared_with_what_was_made_of_them(both):
    """A derived dataset of shorter bars is no other record of the market."""
    minutes = dataclasses.replace(BARS, timeframe="5m")
    both.save(minutes, both.resample(BARS, "5m"))
    assert [check.against for check in both.cross_check(minutes)] == [str(BARS)]


def test_an_export_of_all_leaves_derived_rows_out_and_one_by_name_has_them(both, tmp_path):
    assert {file.dataset for file in both.export(tmp_path / "all", layout="hive").files} == {str(BARS)}
    named = both.export(tmp_path / "one", layout="hive", datasets=[DERIVED])
    assert sum(file.rows for file in named.files) == MANY
    mixed = both.export(tmp_path / "all", layout="hive", datasets=[DERIVED])
    assert "a folder of its own" in mixed.files[0].note
