"""Maintenance of the values of feature sets: compact, vacuum, verify, backup, rebuild, delete, and the rest."""

from __future__ import annotations

import contextlib
import sqlite3

import polars as pl
import pytest

from ticklake.app import memory_lake, open_lake, rebuild_lake
from ticklake.config import Settings
from ticklake.core.dataset import Dataset
from ticklake.core.span import Span
from ticklake.core.time import MINUTE, parse_time
from ticklake.errors import BadInput

T = parse_time("2024-01-31")
NAME = "any:momentum@v1:A/B:C"
COLUMNS = {"x": ("float64", "bps", "a value"), "n": "int64", "b": "bool", "s": "string", "t": "time"}


def rows(count, first=0):
    return pl.DataFrame(
        {
            "symbol": ["A/B:C"] * count,
            "ts": [T + number * MINUTE for number in range(first, first + count)],
            "x": [None if number % 5 == 0 else number / 7 for number in range(count)],
            "n": range(count),
            "b": [number % 2 == 0 for number in range(count)],
            "s": [str(number % 3) for number in range(count)],
            "t": pl.Series([T] * count).cast(pl.Datetime("ns", "UTC")),
        }
    )


@pytest.fixture
def root(tmp_path):
    """A lake with values in a file and some that are inline."""
    with open_lake(tmp_path / "lake", settings=Settings()) as lake:
        lake.features.register("momentum", "v1", COLUMNS, description="d", tags=["a"], code=rows)
        lake.features.write("momentum", "v1", rows(400))
        lake.compact()
        lake.features.write("momentum", "v1", rows(50, 380).with_columns(x=pl.lit(9.0)))
    return tmp_path / "lake"


def test_files_lie_below_the_version_and_say_what_they_hold(root):
    (path,) = root.rglob("*.parquet")
    assert path.parent == root / "derived/momentum/variant=v1/exchange=any/symbol=A%2FB%3AC"
    assert pl.read_parquet(path).columns[:4] == ["ts", "known_at", "x", "n"]


def test_compaction_backup_and_vacuum_keep_every_value(root, tmp_path):
    with open_lake(root, settings=Settings()) as lake:
        before, described = lake.features.read("momentum@v1"), lake.features.describe("momentum@v1")
        lake.backup(tmp_path / "copy")
        lake.compact()
        lake.vacuum("0s")
        assert lake.verify(deep=True) == []
        assert lake.features.read("momentum@v1").equals(before)
        assert before.height == 430
    with open_lake(tmp_path / "copy", settings=Settings()) as copy:
        assert copy.features.read("momentum@v1").equals(before)
        assert copy.features.describe("momentum@v1").features == described.features


def test_a_lost_catalog_is_rebuilt_with_definitions_from_the_files(root):
    with open_lake(root, settings=Settings()) as lake:
        lake.compact()
        before, described = lake.features.read("momentum@v1"), lake.features.describe("momentum@v1")
    for path in root.glob("catalog.db*"):
        path.unlink()
    assert rebuild_lake(root).rows == 430
    with open_lake(root, settings=Settings()) as lake:
        assert lake.features.read("momentum@v1").equals(before)
        assert lake.features.describe("momentum@v1").features == described.features
        assert lake.features.register("momentum", "v1", COLUMNS, description="d", tags=["a"], code=rows)


def test_a_rebuild_of_a_readable_catalog_keeps_inline_values(root):
    with open_lake(root, settings=Settings()) as lake:
        before = lake.features.read("momentum@v1")
        lake.features.deprecate("momentum@v1")
    rebuild_lake(root, force=True)
    with open_lake(root, settings=Settings()) as lake:
        assert lake.features.describe("momentum@v1").state == "deprecated"
        assert lake.engine.load(lake.datasets()[0]).height == before.height


def test_damage_is_found_and_the_rest_is_salvaged(root):
    (path,) = root.rglob("*.parquet")
    data = bytearray(path.read_bytes())
    data[300] ^= 255
    path.write_bytes(data)
    with open_lake(root, settings=Settings()) as lake:
        (problem,) = lake.verify()
        assert problem.dataset == NAME
        lake.repair(fetch=False)
        assert lake.verify() == []


def test_answers_about_datasets_have_features_too(root):
    with open_lake(root, settings=Settings()) as lake:
        assert lake.load(NAME, columns=["ts", "x"], last=1)["x"].to_list() == [9.0]
        assert lake.scan(NAME).collect().height == 430
        assert lake.latest(NAME)["n"].to_list() == [49]
        assert lake.inventory()["kind"].to_list() == ["momentum@v1"]
        assert lake.stats().raw_bytes == 430 * (8 * 5 + 1 + 16)
        assert lake.quality(NAME).present_records == 430
        assert lake.gaps(NAME) == lake.missing_intervals(NAME) == []
        assert "not known" in lake.gap_report(NAME).notes[0]
        assert lake.provenance(NAME)[0].source == "user"
        assert lake.continuity(NAME)["new"].sum() == 430
        assert len(lake.revisions(NAME)) == 20


def test_rows_of_features_can_be_deleted_and_dropped(root):
    with open_lake(root, settings=Settings()) as lake:
        assert lake.delete(NAME, T, T + 10 * MINUTE) == 10
        assert lake.features.read("momentum@v1").height == 420
        assert lake.drop(NAME) == 420
        assert lake.features.list()["symbols"].to_list() == [0]


def test_what_does_not_apply_to_features_says_so(root, tmp_path):
    with open_lake(root, settings=Settings()) as lake:
        with pytest.raises(BadInput, match=r"lake\.features\.write"):
            lake.save(NAME, [{"ts": T}])
        with pytest.raises(BadInput, match="keeps its name"):
            lake.rename(NAME, "any:momentum@v1:X")
        report = lake.export(tmp_path / "out", layout="hive", datasets=[NAME])
        assert not report.is_complete
        assert "no place for momentum" in report.files[0].problems[0]


def test_two_lakes_may_declare_one_name_differently():
    with memory_lake(Settings()) as one, memory_lake(Settings()) as other:
        one.features.register("m", 1, {"x": "float64"})
        other.features.register("m", 1, {"y": "string"})
        one.features.write("m", 1, [{"symbol": "A", "ts": T, "x": 1.0}])
        other.features.write("m", 1, [{"symbol": "A", "ts": T, "y": "z"}])
        (dataset,) = one.features.describe("m@v1").datasets
        assert one.load(dataset)["x"].to_list() == [1.0]
        assert other.load(dataset)["y"].to_list() == ["z"]
        assert other.load(one.datasets()[0])["y"].to_list() == ["z"]


def test_a_reader_keeps_its_version_while_features_are_deleted(root):
    with open_lake(root, settings=Settings()) as lake:
        lazy, snapshot = lake.scan(NAME), lake.at(lake.engine.catalog.version())
        lake.features.delete("momentum@v1")
        assert lazy.collect().height == snapshot.load(NAME).height == 430
        assert snapshot.features.read("momentum@v1").height == 430


def test_old_values_are_cleaned_up_like_other_rows(root):
    with open_lake(root, settings=Settings()) as lake:
        assert lake.cleanup(30, datasets=[NAME]).rows == 430
        assert lake.features.read("momentum@v1").is_empty()


def forget_definitions(root):
    with contextlib.closing(sqlite3.connect(root / "catalog.db")) as connection, connection:
        connection.execute("DELETE FROM feature_sets")


def test_a_lost_definition_comes_back_from_inline_rows(tmp_path):
    with open_lake(tmp_path / "lake", settings=Settings()) as lake:
        lake.features.register("momentum", "v1", COLUMNS)
        lake.features.write("momentum", "v1", rows(20))
        before = lake.features.read("momentum@v1")
    forget_definitions(tmp_path / "lake")
    rebuild_lake(tmp_path / "lake", force=True)
    with open_lake(tmp_path / "lake", settings=Settings()) as lake:
        assert lake.features.read("momentum@v1").equals(before)
        assert lake.features.describe("momentum@v1").features.description == "restored from its rows"
        assert lake.verify(deep=True) == []


def test_a_lost_definition_of_which_nothing_can_be_read_stops_no_rebuild(tmp_path):
    with open_lake(tmp_path / "lake", settings=Settings()) as lake:
        lake.features.register("momentum", "v1", COLUMNS)
        lake.features.write("momentum", "v1", rows(20))
    forget_definitions(tmp_path / "lake")
    with contextlib.closing(sqlite3.connect(tmp_path / "lake/catalog.db")) as connection, connection:
        connection.execute("UPDATE segments SET data = x'00'")
    rebuild_lake(tmp_path / "lake", force=True)
    with open_lake(tmp_path / "lake", settings=Settings()) as lake:
        assert [problem.dataset for problem in lake.verify()] == [NAME]
        lake.repair(fetch=False)
        assert lake.verify() == []


def test_a_deletion_that_was_stopped_can_be_ended(root, monkeypatch):
    with open_lake(root, settings=Settings()) as lake:
        with monkeypatch.context() as patch:
            patch.setattr(lake.engine, "drop", interrupt)
            with pytest.raises(KeyboardInterrupt):
                lake.features.delete("momentum@v1")
        assert lake.datasets()
        assert lake.features.delete("momentum@v1") == 430
        assert lake.datasets() == []


def interrupt(*_parts, **_options):
    raise KeyboardInterrupt


def test_the_engine_finds_the_columns_of_a_name(root):
    with open_lake(root, settings=Settings()) as lake:
        dataset = Dataset.parse(NAME)
        assert [problem.dataset for problem in lake.engine.verify([dataset], deep=True)] == []
        assert lake.engine.compact([dataset])[0].rows == 430
        assert lake.engine.load(dataset).columns == ["ts", "known_at", *COLUMNS]
        assert lake.engine.delete(dataset, Span(T, T + 5 * MINUTE)) == 5
