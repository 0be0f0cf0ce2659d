"""Migrations are written out: each does the same for ever, and all of them together make what a new catalog is."""

import inspect as source
import shutil
from pathlib import Path

import pytest
from sqlalchemy import inspect

from ticklake.catalog import schema
from ticklake.catalog.database import Database
from ticklake.catalog.migrations import MIGRATIONS, NEWEST

GOLDEN = Path(__file__).parents[1] / "golden"


def shape(path):
    """The columns and indexes of every table."""
    database = Database.in_file(path)
    with database.read() as connection:
        found = inspect(connection)
        shapes = {
            name: (
                {(column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(name)},
                {(index["name"], tuple(index["column_names"]), index["unique"]) for index in found.get_indexes(name)},
                tuple(found.get_pk_constraint(name)["constrained_columns"]),
            )
            for name in found.get_table_names()
        }
    database.close()
    return shapes


@pytest.mark.parametrize("number", range(1, NEWEST))
def test_every_schema_is_brought_to_what_a_new_catalog_is(tmp_path, number):
    shutil.copytree(GOLDEN / f"schema-{number}" / "lake", tmp_path / "old")
    assert shape(tmp_path / "old" / "catalog.db") == shape(tmp_path / "new.db")


def test_no_migration_depends_on_what_the_schema_is_now(tmp_path, monkeypatch):
    """``schema.py`` changes with every release; a migration that looks at it would do something else then."""
    shutil.copytree(GOLDEN / "schema-1" / "lake", tmp_path / "old")
    today = shape(tmp_path / "new.db")
    monkeypatch.setattr(schema.metadata, "create_all", lambda *_args, **_named: pytest.fail("asks the schema"))
    assert shape(tmp_path / "old" / "catalog.db") == today
    assert [step for step in MIGRATIONS if "schema." in source.getsource(step)] == []


def test_the_segments_of_a_migrated_catalog_have_their_data_last(tmp_path):
    """SQLite passes over a row's data to reach what stands behind it."""
    shutil.copytree(GOLDEN / "schema-6" / "lake", tmp_path / "old")
    database = Database.in_file(tmp_path / "old" / "catalog.db")
    with database.read() as connection:
        names = [column["name"] for column in inspect(connection).get_columns("segments")]
    database.close()
    assert names[-2:] == ["packed", "data"]
