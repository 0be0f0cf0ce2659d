"""The checksums of the catalog's rows: written with the row, and true whoever writes them."""

import sqlite3
import time
from contextlib import closing

import pytest

from ticklake.catalog import schema
from ticklake.catalog.catalog import Catalog
from ticklake.catalog.changes import Change
from ticklake.catalog.checksums import with_check
from ticklake.catalog.database import Database
from ticklake.core.append_log import Arrival
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.segment import Segment
from ticklake.core.span import Span
from ticklake.errors import CatalogDamaged

BTC = Dataset.parse("x:ohlcv:1m:BTC/USDT")


@pytest.fixture
def catalog(tmp_path):
    with closing(Database.in_file(tmp_path / "catalog.db")) as database:
        yield Catalog(database, time.time_ns)


def appended(number, **more):
    """What an append of one row changes."""
    segment = Segment(f"s{number}", number, 1, number, number, 4, "d", data=b"rows")
    return Change(BTC, add=(segment,), new_rows=1, arrival=Arrival(number, number, None, None, 1, 1, 0, 0), **more)


def test_an_append_writes_each_row_of_the_catalog_once(catalog):
    catalog.commit("append", [appended(1)])
    with catalog.database.driver_connection() as driver:
        before = driver.total_changes
    catalog.commit("append", [appended(2)])
    with catalog.database.driver_connection() as driver:
        # The commit, its checksum (its number is known only then), the segment, the batch and the dataset.
        assert driver.total_changes - before == 5


def test_rows_of_every_sort_of_commit_have_true_checksums(catalog):
    covered = [Covered(Span(start, start + 5), Found.DATA) for start in (0, 10)]
    catalog.commit("append", [appended(1, coverage=(covered[0],))])
    catalog.commit("append", [appended(2, coverage=(covered[1],))])
    old = catalog.snapshot(BTC)[2]
    catalog.commit("compact", [Change(BTC, add=(Segment("s3", 2, 2, 1, 2, 8, "d", path="p"),), remove=tuple(old))])
    catalog.commit("delete", [Change(BTC, forget=(Span(0, 5),), new_rows=-1)])
    assert catalog.problems() == []


def test_a_damaged_segment_stays_damaged_when_it_is_replaced(catalog, tmp_path):
    catalog.commit("append", [appended(1)])
    [segment] = catalog.snapshot(BTC)[2]
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as other, other:
        other.execute("UPDATE segments SET min_ts = min_ts + 8")
    catalog.commit("compact", [Change(BTC, remove=(segment,))])
    assert catalog.problems() == ["the row of inline segment s1 in segments is not what was written"]


def test_a_damaged_dataset_is_not_summarised_anew(catalog, tmp_path):
    catalog.commit("append", [appended(1)])
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as other, other:
        other.execute("UPDATE datasets SET rows = rows + 8")
    with pytest.raises(CatalogDamaged, match=r"the row 1 of datasets is not what was written"):
        catalog.commit("append", [appended(2)])


def test_a_checksum_covers_every_column_or_none_is_made():
    with pytest.raises(KeyError, match="reason"):
        with_check(schema.coverage, {"dataset_id": 1, "start": 0, "end": 1, "found": "data"})
