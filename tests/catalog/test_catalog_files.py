"""The catalog's file: made once, moved forward, never back; damage has a name."""

import os
import resource
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler

import ticklake
from ticklake.app import open_lake
from ticklake.catalog import checksums
from ticklake.catalog.catalog import Catalog
from ticklake.catalog.changes import Change
from ticklake.catalog.database import Database
from ticklake.catalog.migrations import NEWEST
from ticklake.catalog.witness import Witness
from ticklake.core.dataset import Dataset
from ticklake.core.segment import Segment
from ticklake.errors import CatalogDamaged, CatalogError, CatalogTooNew, ReadOnlyLake, StorageError, TicklakeError

BTC = Dataset.parse("x:ohlcv:1m:BTC/USDT")
SOURCES = Path(ticklake.__file__).parents[1]


def fill(path, segments=50):
    """Make a catalog of many pages and close it."""
    database = Database.in_file(path)
    catalog = Catalog(database, time.time_ns)
    added = tuple(Segment(f"s{i}", i, 1, i, i, 4, "d", None, os.urandom(3_000)) for i in range(segments))
    catalog.commit("append", [Change(BTC, add=added, new_rows=segments)])
    database.close()


def test_the_first_commit_needs_no_second_connection(tmp_path, monkeypatch):
    opened = []
    real = checksums.register
    monkeypatch.setattr(checksums, "register", lambda connection: (opened.append(connection), real(connection)))
    with closing(Database.in_file(tmp_path / "catalog.db")) as database:
        catalog = Catalog(database, time.time_ns, Witness(tmp_path / "witness"))
        catalog.commit("append", [Change(BTC, add=(Segment("s", 1, 1, 1, 1, 4, "d", data=b"rows"),), new_rows=1)])
    assert len(opened) == 1


def ask(path):
    """Open a catalog and read all that fill() wrote."""
    database = Database.in_file(path)
    try:
        return len(Catalog(database, time.time_ns).snapshot(BTC)[2])
    finally:
        database.close()


def query(path, sql):
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute(sql).fetchall()
        connection.commit()
        return rows
    finally:
        connection.close()


def test_an_empty_catalog_is_brought_to_the_newest_schema(database):
    with database.read() as connection:
        version = connection.exec_driver_sql("select value from meta where key = 'schema'").scalar()
    assert int(version) == NEWEST


def test_opening_again_keeps_what_is_there(tmp_path):
    fill(tmp_path / "c.db")
    assert [ask(tmp_path / "c.db") for _ in range(2)] == [50, 50]


def test_the_file_is_durable_and_shared_by_default(tmp_path):
    database = Database.in_file(tmp_path / "c.db")
    with database.read() as connection:
        mode, durability, keys = (
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        )
    database.close()
    assert (mode, durability, keys) == ("wal", 2, 1)


def test_a_newer_schema_is_refused_and_not_changed(tmp_path):
    path = tmp_path / "c.db"
    fill(path)
    query(path, f"update meta set value = '{NEWEST + 1}' where key = 'schema'")
    before = path.read_bytes()
    with pytest.raises(CatalogTooNew, match=r"c\.db.*upgrade"):
        Database.in_file(path)
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["c.db"]


def test_a_schema_version_that_is_no_number_is_a_damaged_catalog(tmp_path):
    path = tmp_path / "c.db"
    fill(path)
    query(path, "update meta set value = 'two' where key = 'schema'")
    with pytest.raises(CatalogError):
        Database.in_file(path)


@pytest.mark.parametrize("data", [b"garbage " * 1_000, b"\x00" * 5_000, b"SQLite format 3\x00" + b"\xff" * 9_000])
def test_a_file_that_is_no_catalog_is_damaged_and_named(tmp_path, data):
    path = tmp_path / "c.db"
    path.write_bytes(data)
    with pytest.raises(CatalogDamaged, match=r"c\.db.*(backup|rebuild)"):
        ask(path)
    assert path.read_bytes() == data


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_catalog_is_damaged(tmp_path, share):
    path = tmp_path / "c.db"
    fill(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share) // 4096 * 4096])
    with pytest.raises(CatalogDamaged):
        ask(path)


def test_a_catalog_with_overwritten_pages_is_damaged(tmp_path):
    path = tmp_path / "c.db"
    fill(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    with pytest.raises(CatalogDamaged):
        ask(path)


def test_a_catalog_whose_folder_is_missing_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ReadOnlyLake, match="nowhere"):
        Database.in_file(tmp_path / "nowhere" / "c.db")


@pytest.mark.parametrize("name", ["with blank", "a?b", "a#b", "100%25", "é[1]*", "a&b=c", "file:x"])
def test_the_catalog_stands_in_the_folder_that_was_named_whatever_its_name(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    Database.in_file(folder / "c.db").close()
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == [
        f"{name}/c.db"
    ]


def test_a_failed_transaction_leaves_nothing(database, clock):
    def fail_half_way():
        with database.write() as connection:
            connection.exec_driver_sql("insert into commits (created_at, operation) values (1, 'append')")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert Catalog(database, clock).version() == 0


def test_a_reader_sees_one_state_while_a_writer_commits(tmp_path):
    database = Database.in_file(tmp_path / "c.db")
    catalog = Catalog(database, time.time_ns)
    count = "select count(*) from commits"
    with database.read() as connection:
        before = connection.exec_driver_sql(count).scalar()
        catalog.commit("append", [Change(BTC, add=(Segment("a", 1, 1, 1, 1, 4, "d", None, b"x"),))])
        after = connection.exec_driver_sql(count).scalar()
    assert (before, after, catalog.version()) == (0, 0, 1)
    database.close()


def test_a_backup_is_a_catalog_with_the_same_rows(database, tmp_path, clock):
    catalog = Catalog(database, clock)
    catalog.commit("append", [Change(BTC, add=(Segment("a", 1, 1, 1, 1, 4, "d", None, b"x"),), new_rows=1)])
    database.backup(tmp_path / "copy.db")
    catalog.commit("append", [Change(BTC, add=(Segment("b", 1, 1, 2, 2, 4, "d", None, b"x"),), new_rows=1)])
    assert ask(tmp_path / "copy.db") == 1


def test_a_backup_that_cannot_be_written_is_an_error_of_ours(database, tmp_path):
    (tmp_path / "copy.db").mkdir()
    with pytest.raises(TicklakeError, match=r"copy\.db"):
        database.backup(tmp_path / "copy.db")


_OPEN_AT_ONCE = """
import sys, time
from pathlib import Path
from ticklake.catalog.database import Database

folder = Path(sys.argv[1])
(folder / f"ready{sys.argv[2]}").touch()
deadline = time.monotonic() + 60
while not (folder / "go").exists() and time.monotonic() < deadline:
    time.sleep(0.001)
for number in range(6):
    Database.in_file(folder / f"{number}.db").close()
"""


def test_processes_may_make_the_same_catalog_at_once(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _OPEN_AT_ONCE, str(tmp_path), str(number)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    deadline = time.monotonic() + 30
    while len(list(tmp_path.glob("ready*"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    (tmp_path / "go").touch()
    errors = [process.communicate(timeout=60)[1] for process in started]
    assert [error.splitlines()[-1:] for error in errors] == [[]] * 3
    assert query(tmp_path / "3.db", "select value from meta where key = 'schema'") == [(str(NEWEST),)]


def test_the_sql_of_a_statement_is_written_once_for_all_catalogs(tmp_path, monkeypatch):
    """Each catalog wrote it anew: a sixth of what a small lake costs."""

    def lake_of(name):
        database = Database.in_file(tmp_path / name)
        with closing(database):
            return database.lake()

    first = lake_of("first.db")
    monkeypatch.setattr(SQLiteCompiler, "visit_select", lambda *_args, **_named: pytest.fail("written anew"))
    assert lake_of("second.db") != first


def test_a_write_that_the_system_refuses_is_an_error_of_the_storage(tmp_path):
    """As beyond a quota: live collection waits for such errors to pass."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    row = {"ts": "2024-01-01", "price": 1.0, "amount": 1.0, "side": "buy"}
    with open_lake(tmp_path / "lake") as lake:
        lake.save("x:trades:BTC/USDT", [{**row, "id": "1"}])
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            with pytest.raises(StorageError, match="check the disk, its free space and quotas"):
                lake.save("x:trades:BTC/USDT", [{**row, "id": "2"}])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        lake.save("x:trades:BTC/USDT", [{**row, "id": "2"}])
        assert lake.load("x:trades:BTC/USDT").height == 2
