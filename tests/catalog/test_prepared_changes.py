"""Statements of commits, which the driver executes itself."""

import time

import pytest
from sqlalchemy.exc import IntegrityError

from ticklake.catalog import schema
from ticklake.catalog.catalog import Catalog
from ticklake.catalog.changes import Change
from ticklake.catalog.checksums import with_check
from ticklake.catalog.prepared import PreparedChange
from ticklake.core.dataset import Dataset
from ticklake.core.segment import Segment

BTC = Dataset.parse("x:ohlcv:1m:BTC/USDT")
NEW = PreparedChange(schema.coverage.insert())


def piece(start):
    values = {"dataset_id": 1, "start": start, "end": start + 1, "found": "data", "reason": ""}
    return with_check(schema.coverage, values)


@pytest.fixture
def connection(database):
    segment = Segment("s", 1, 1, 1, 1, 4, "d", data=b"rows")
    Catalog(database, time.time_ns).commit("append", [Change(BTC, add=(segment,), new_rows=1)])
    with database.write() as connection:
        yield connection


def starts(connection):
    return [row.start for row in connection.execute(schema.coverage.select().order_by(schema.coverage.c.start))]


def test_each_row_is_written_once(connection):
    NEW.execute(connection, [piece(1), piece(5)])
    NEW.execute(connection, [])
    NEW.execute(connection, [piece(9)])
    assert starts(connection) == [1, 5, 9]


def test_a_key_that_is_taken_is_the_error_that_sqlalchemy_raises(connection):
    NEW.execute(connection, [piece(1)])
    with pytest.raises(IntegrityError, match="UNIQUE"):
        NEW.execute(connection, [piece(1)])


def test_a_row_without_a_value_for_a_column_is_refused(connection):
    row = piece(1)
    del row["found"]
    with pytest.raises(KeyError, match="found"):
        NEW.execute(connection, [row])
    assert starts(connection) == []
