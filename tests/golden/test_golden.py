"""Lakes that earlier versions wrote are read as they were, and go on."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from ticklake.app import open_lake, rebuild_lake
from ticklake.catalog.tokens import SessionTable
from ticklake.config import Settings
from ticklake.core.read_plan import CHUNK_ROWS
from ticklake.core.tokens import digest_of

from .build_golden import BARS, START, TICKS, bars, told, trades

HERE = Path(__file__).parent
GOLDEN = sorted((path.parent for path in HERE.glob("*/expected.json")), key=lambda path: int(path.name[7:]))


@pytest.fixture(params=GOLDEN, ids=lambda path: path.name)
def golden(request, tmp_path):
    """A copy of a golden lake, and what it holds by version."""
    shutil.copytree(request.param / "lake", tmp_path / "lake")
    return tmp_path / "lake", json.loads((request.param / "expected.json").read_text())


def plain(value):
    return json.loads(json.dumps(value, ensure_ascii=False))


def rows_of(lake, dataset):
    return plain(lake.load(dataset, provenance=True).with_columns(pl.selectors.temporal().to_physical()).rows())


def test_there_is_a_lake_for_every_schema():
    from ticklake.catalog.migrations import NEWEST

    assert [path.name for path in GOLDEN] == [f"schema-{number}" for number in range(1, NEWEST + 1)]


def test_everything_is_answered_as_it_was(golden):
    folder, expected = golden
    with open_lake(folder, settings=Settings()) as lake:
        assert plain(told(lake)) == expected[max(expected, key=int)]
        assert lake.verify(deep=True) == []


def test_every_version_is_answered_as_it_was(golden):
    folder, expected = golden
    with open_lake(folder, settings=Settings()) as lake:
        for version, answers in expected.items():
            for dataset, answer in answers.items():
                assert rows_of(lake.at(int(version)), dataset) == answer["rows"]


def test_a_golden_lake_goes_on(golden):
    folder, expected = golden
    held = expected[max(expected, key=int)][BARS]["rows"]
    with open_lake(folder, settings=Settings()) as lake:
        assert lake.save(BARS, bars(200, 260)).duplicate == 60
        assert lake.save(BARS, bars(260, 270)).new == 10
        lake.compact()
        assert lake.load(BARS).height == len(held) + 10 < CHUNK_ROWS
        assert lake.verify(deep=True) == []


def test_the_rules_of_a_golden_lake_go_on(golden):
    folder, _ = golden
    with open_lake(folder, settings=Settings()) as lake:
        for rule in lake.derived.list():
            (name,) = rule.datasets
            before = lake.load(name)
            [done] = lake.derived.refresh(rule.name)
            assert (done.new, done.changed, done.removed) == (0, 0, 0)
            lake.save(TICKS, trades(0, 3, ids=True).with_columns(pl.col("price") + 1))
            [done] = lake.derived.refresh(rule.name)
            assert (done.new, done.changed, done.removed) == (0, 1, 0)
            assert not lake.load(name).equals(before)
            assert lake.load(name).equals(lake.resample(TICKS, rule.rule))


def test_the_tokens_of_a_golden_lake_go_on(golden):
    folder, _ = golden
    if int(folder_schema(folder)) < 10:
        with open_lake(folder, settings=Settings()) as lake:
            assert (lake.tokens.list(), lake.admin.audit_log()) == ([], [])
        return
    with open_lake(folder, settings=Settings(), clock=lambda: START + 2 * 10**15) as lake:
        gone, kept = lake.tokens.list()
        assert (gone.name, gone.state(kept.created_at), kept.name, kept.role) == ("gone", "revoked", "kept", "collect")
        sessions = SessionTable(lake.engine.catalog.database, lake.engine.now)
        assert sessions.token_of(digest_of("session")) == kept.id
        lake.tokens.revoke("kept")
        assert sessions.token_of(digest_of("session")) is None
        assert [entry.caller for entry in lake.admin.audit_log()] == ["gone"]


def folder_schema(folder):
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        return connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()[0]


def test_the_files_of_a_golden_lake_alone_make_a_catalog(golden):
    folder, _ = golden
    with open_lake(folder, settings=Settings()) as lake:
        lake.compact()
        before = plain(told(lake))
    (folder / "catalog.db").unlink()
    assert rebuild_lake(folder).unreadable == ()
    with open_lake(folder, settings=Settings()) as lake:
        assert {name: answer["rows"] for name, answer in plain(told(lake)).items()} == {
            name: answer["rows"] for name, answer in before.items()
        }
        assert lake.verify(deep=True) == []
