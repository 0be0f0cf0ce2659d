import os
import sqlite3
import threading
from contextlib import closing

import pytest
from sqlalchemy import bindparam, select

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact
from ticklake.catalog.database import Database
from ticklake.catalog.prepared import Prepared
from ticklake.errors import CatalogDamaged, CatalogError

VALUE = Prepared(select(intact(schema.meta.c.key), schema.meta.c.value).where(schema.meta.c.key == bindparam("key")))


@pytest.fixture
def in_file(tmp_path):
    with closing(Database.in_file(tmp_path / "catalog.db")) as database:
        yield database


def put(database, key, value):
    with database.write() as connection:
        connection.execute(schema.meta.insert(), {"key": key, "value": value})


def test_the_rows_are_those_of_sqlalchemy(database):
    put(database, "a", "1")
    with database.read() as connection:
        expected = connection.execute(VALUE.select, {"key": "a"}).one()
    [row] = database.fetch(VALUE, {"key": "a"})
    assert tuple(row) == tuple(expected) == ("a", "1")
    assert list(database.fetch(VALUE, {"key": "b"})) == []


def test_each_statement_sees_the_newest_commit(database):
    for number in range(3):
        put(database, str(number), "x")
        assert len(database.fetch(VALUE, {"key": str(number)})) == 1


def test_a_constant_of_the_statement_keeps_its_value(in_file):
    constant = Prepared(select(schema.meta.c.key + "!").where(schema.meta.c.key == bindparam("key")))
    put(in_file, "a", "1")
    assert in_file.fetch(constant, {"key": "a"}) == [("a!",)]


def test_a_damaged_row_is_named(in_file):
    put(in_file, "a", "1")
    with closing(sqlite3.connect(in_file.where)) as other, other:
        other.execute("UPDATE meta SET value = '2' WHERE key = 'a'")
    with pytest.raises(CatalogDamaged, match="the row a of meta is not what was written"):
        in_file.fetch(VALUE, {"key": "a"})
    assert in_file.fetch(VALUE, {"key": "b"}) == []


def test_an_error_of_the_driver_is_one_of_ours(in_file):
    with closing(sqlite3.connect(in_file.where)) as other:
        other.execute("ALTER TABLE meta RENAME TO other")
    with pytest.raises(CatalogError, match="no such table: meta"):
        in_file.fetch(VALUE, {"key": "a"})


def test_threads_read_at_once(in_file):
    put(in_file, "a", "1")
    rows = []

    def read():
        for _ in range(20):
            rows.extend(in_file.fetch(VALUE, {"key": "a"}))

    threads = [threading.Thread(target=read) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows == [("a", "1")] * 240


def test_nothing_stays_open_when_the_database_is_closed(tmp_path):
    database = Database.in_file(tmp_path / "catalog.db")
    put(database, "a", "1")
    database.fetch(VALUE, {"key": "a"})
    database.close()
    # The last connection that is closed takes the log with it.
    assert [path.name for path in tmp_path.iterdir()] == ["catalog.db"]


def test_a_forked_process_opens_connections_of_its_own(in_file, monkeypatch):
    put(in_file, "a", "1")
    in_file.fetch(VALUE, {"key": "a"})
    [parents] = in_file._readers._idle
    mine = os.getpid()
    monkeypatch.setattr("ticklake.catalog.prepared.os.getpid", lambda: mine + 1)
    assert in_file.fetch(VALUE, {"key": "a"}) == [("a", "1")]
    assert in_file._readers._idle != [parents]
    parents.close()
