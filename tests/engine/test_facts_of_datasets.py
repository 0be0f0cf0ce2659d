"""What a lake tells of its datasets: inventory, files and their origins, statistics, the holes of a quality."""

from __future__ import annotations

import datetime as dt

import pytest

from ticklake.core.provenance import Provenance
from ticklake.errors import BadInput, UnknownDataset

BARS, TRADES = "x:ohlcv:1h:BTC/USDT", "x:trades:ETH/USDT"
START = dt.datetime(2024, 1, 2, tzinfo=dt.UTC)


def bars(*hours):
    row = {"open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 1.0}
    return [{"ts": START + dt.timedelta(hours=hour), **row} for hour in hours]


@pytest.fixture
def lake(lake_at):
    held = lake_at()
    held.save(BARS, bars(0, 1), Provenance("theirs", "a.csv", tool="t 1"))
    held.compact(BARS)
    held.save(BARS, bars(5), "mine")
    held.save(TRADES, [{"ts": START, "id": "1", "price": 1.0, "amount": 1.0, "side": "buy"}])
    return held


def test_the_inventory_has_the_parts_of_names_and_how_many_files(lake):
    rows = lake.inventory().select("dataset", "exchange", "symbol", "kind", "timeframe", "rows", "files").rows()
    assert rows == [
        (BARS, "x", "BTC/USDT", "ohlcv", "1h", 3, 1),
        (TRADES, "x", "ETH/USDT", "trades", None, 1, 0),
    ]


def test_an_old_inventory_counts_the_files_of_then(lake):
    version = lake.engine.catalog.version()
    lake.compact(BARS)
    lake.drop(TRADES)
    assert lake.at(1).inventory()["files"].to_list() == [0]
    assert lake.at(version).inventory()["files"].to_list() == [1, 0]


def test_every_file_says_where_its_rows_came_from(lake):
    told = lake.provenance_by_file(BARS)
    assert told.select("rows", "source", "endpoint", "tool").rows() == [
        (2, "theirs", "a.csv", "t 1"),
        (1, "mine", "", ""),
    ]
    assert told["file"].is_null().to_list() == [False, True]
    assert (lake.root / told["file"][0]).is_file()
    lake.compact(BARS)
    whole = lake.provenance_by_file(BARS)
    assert whole["file"].n_unique() == 1
    assert sorted(whole["source"]) == ["mine", "theirs"]
    assert lake.at(2).provenance_by_file(BARS)["source"].to_list() == ["theirs"]


def test_a_dataset_says_where_all_of_its_rows_came_from(lake):
    assert [one.source for one in lake.provenance(BARS)] == ["theirs", "mine"]
    assert [one.source for one in lake.provenance(BARS, START)] == ["theirs"]
    assert lake.provenance(BARS, "2020-01-01") == []
    with pytest.raises(UnknownDataset):
        lake.provenance_by_file("x:trades:NO/SUCH")


def test_statistics_tell_files_from_inline_rows_and_from_what_is_retired(lake):
    stats = lake.stats()
    assert (stats.datasets, stats.rows, stats.files, stats.total("inline_rows")) == (2, 4, 1, 2)
    assert stats.total("retired_segments") == 1
    assert stats.bytes == sum(row["bytes"] for row in lake.inventory().to_dicts())
    assert stats.raw_bytes == 3 * 8 * 8 + (8 + 8 + 16 + 8 + 8 + 16)
    assert stats.catalog_bytes > 0
    assert [(one.kind, one.rows) for one in stats.groups] == [("ohlcv", 3), ("trades", 1)]
    lake.drop(TRADES)
    assert [(one.kind, one.datasets, one.rows) for one in lake.stats().groups] == [("ohlcv", 1, 3), ("trades", 0, 0)]


def test_a_lake_without_rows_has_statistics(lake_at):
    stats = lake_at(name="empty").stats()
    assert (stats.datasets, stats.rows, stats.bytes, stats.compression, stats.groups) == (0, 0, 0, None, ())


def test_a_quality_has_the_list_of_its_holes(lake):
    found = lake.quality(BARS)
    assert found.gap_list == tuple(lake.gaps(BARS))
    assert [tuple(gap.span) for gap in found.gap_list] == [tuple(span) for span in lake.missing_intervals(BARS)]
    assert lake.quality(TRADES, "2024-01-02", "2024-01-03").gap_list == tuple(
        lake.gaps(TRADES, "2024-01-02", "2024-01-03")
    )


@pytest.mark.parametrize(("hours", "gone"), [(0, 1), (24, 0), (0.5, 0)])
def test_jobs_that_ended_are_forgotten_by_hours(lake, hours, gone):
    lake.jobs.start(lake.jobs.create("compact").id)
    assert lake.jobs.cleanup_completed(max_age_hours=hours) == gone


@pytest.mark.parametrize("hours", [-1, float("nan"), 1e12])
def test_hours_that_are_no_length_are_refused(lake, hours):
    with pytest.raises(BadInput, match="number of hours"):
        lake.jobs.cleanup_completed(max_age_hours=hours)
