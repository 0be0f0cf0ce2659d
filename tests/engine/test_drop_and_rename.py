"""Verbs that remove say first what would go, and never act on a guess."""

import datetime as dt

import pytest
from engine_lakes import BARS, MANY, MINUTE, TRADES, USER, at, full, lake_in, span, tree

from ticklake import Dataset
from ticklake.core.coverage import Covered
from ticklake.errors import BadInput, UnknownDataset
from ticklake.testing.rows import bars, trades

NEW = Dataset.parse("x:ohlcv:1m:BTC/USD")
DAY = 24 * 60 * MINUTE


@pytest.mark.parametrize(
    "keep", [7, 24, 168, 604_800, 604_800_000, True, -1, "-7d", "7", "soon", None, 1.5, dt.timedelta(-1)]
)
def test_vacuum_refuses_a_length_of_time_without_a_unit_and_removes_nothing(any_lake, clock, keep):
    """A 7 that was meant in days was taken for nanoseconds, and the whole history was gone."""
    any_lake.save(BARS, bars(0, 10))
    any_lake.save(BARS, bars(5, 15))
    any_lake.compact()
    clock.ahead += MINUTE
    with pytest.raises(BadInput):
        any_lake.vacuum(keep)
    assert any_lake.at(1).load(BARS).height == 10


@pytest.mark.parametrize("keep", ["36h", dt.timedelta(hours=36), "2d", 36 * 60 * MINUTE])
def test_vacuum_takes_text_and_timedeltas(any_lake, clock, keep):
    any_lake.save(BARS, bars(0, 10))
    any_lake.save(BARS, bars(5, 15))
    any_lake.compact()
    clock.ahead += DAY
    assert any_lake.vacuum(keep).segments == 0
    clock.ahead += DAY
    assert any_lake.vacuum(keep).segments == 2


def test_vacuum_says_what_it_would_remove(lake, root, clock):
    lake.save(BARS, bars(0, MANY))
    lake.save(BARS, bars(MANY, MANY + 5))
    lake.compact()
    clock.ahead += 8 * DAY
    before = tree(root)
    would = lake.vacuum(dry_run=True)
    assert tree(root) == before
    assert lake.at(1).load(BARS).height == MANY
    assert would == lake.vacuum()


@pytest.mark.parametrize("age", [24, 0.5, True, "30", -3])
def test_jobs_that_ended_are_not_forgotten_for_a_number_without_a_unit(any_lake, age):
    job = any_lake.jobs.create("compact")
    any_lake.jobs.cancel(job.id)
    with pytest.raises(BadInput):
        any_lake.jobs.cleanup_completed(age)
    assert any_lake.jobs.get(job.id).id == job.id
    assert any_lake.jobs.cleanup_completed("24h") == 0
    assert any_lake.jobs.cleanup_completed(dt.timedelta()) == 1


def test_delete_says_how_many_rows_would_go(any_lake):
    any_lake.save(BARS, bars(0, 20))
    assert any_lake.delete(BARS, at(5), at(9), dry_run=True) == 4
    assert any_lake.load(BARS).height == 20
    assert any_lake.delete(BARS, at(5), at(9)) == 4


@pytest.mark.parametrize(
    "verb",
    [
        lambda lake, name: lake.load(name),
        lambda lake, name: lake.scan(name),
        lambda lake, name: lake.ohlcv("x", "BTC/USTD", "1m"),
        lambda lake, name: lake.resample(name, "1h"),
        lambda lake, name: lake.last_timestamp(name),
        lambda lake, name: lake.missing_intervals(name, at(0), at(5)),
        lambda lake, name: lake.gaps(name, at(0), at(5)),
        lambda lake, name: lake.gap_report(name),
        lambda lake, name: lake.coverage(name),
        lambda lake, name: lake.provenance(name, at(0)),
        lambda lake, name: lake.quarantine(name),
        lambda lake, name: lake.revisions(name),
        lambda lake, name: lake.quality(name),
        lambda lake, name: lake.quality_trend(name),
        lambda lake, name: lake.continuity(name),
        lambda lake, name: lake.cross_check(name),
        lambda lake, name: lake.delete(name),
        lambda lake, name: lake.drop(name),
        lambda lake, name: lake.rename(name, NEW),
        lambda lake, name: lake.compact(name),
        lambda lake, name: lake.verify(name),
        lambda lake, name: lake.repair(name),
        lambda lake, name: lake.cleanup(1, datasets=[name]),
        lambda lake, name: lake.at(1).load(name),
    ],
)
def test_an_unknown_dataset_is_an_error_that_names_the_likely_one(any_lake, verb):
    any_lake.save(BARS, bars(0, 5))
    with pytest.raises(UnknownDataset, match="x:ohlcv:1m:BTC/USTD: did you mean x:ohlcv:1m:BTC/USDT"):
        verb(any_lake, "x:ohlcv:1m:BTC/USTD")
    assert any_lake.datasets() == [BARS]


@pytest.mark.parametrize("rows", [20, MANY])
def test_rename_moves_everything_in_one_commit(lake, root, rows):
    lake.engine.append(BARS, bars(0, rows), USER, [Covered(span(0, rows + 5))])
    lake.save(BARS, bars(3, 5, bump=1.0))
    lake.save(BARS, bars(rows, rows + 1).with_columns(high=0.0))
    held = lake.load(BARS, provenance=True)
    refused = [(row["ts"], row["reason"], row["row"]) for row in lake.quarantine(BARS)]
    coverage, version = lake.coverage(BARS), lake.engine.catalog.version()
    assert lake.rename(BARS, NEW) == rows
    assert lake.engine.catalog.version() == version + 1
    assert lake.datasets() == [NEW]
    assert lake.load(NEW, provenance=True).equals(held)
    assert lake.coverage(NEW) == coverage
    assert [(row["ts"], row["reason"], row["row"]) for row in lake.quarantine(NEW)] == refused
    assert len(lake.revisions(NEW)) == 2
    assert lake.at(version).datasets() == [BARS]
    assert lake.at(version).load(BARS).height == rows
    assert lake.verify(deep=True) == []
    live = [name for name in tree(root) if not name.startswith("retired/")]
    assert all("BTC%2FUSD/" in name for name in live)


def test_a_renamed_dataset_takes_new_rows_and_survives_vacuum(any_lake, clock):
    any_lake.save(TRADES, trades(0, 50))
    new = "x:trades:BTC/USDC:USDC"
    any_lake.rename(TRADES, new)
    assert any_lake.save(new, trades(40, 60)).new == 10
    clock.ahead += 8 * DAY
    any_lake.compact()
    any_lake.vacuum()
    assert any_lake.load(new).height == 60


@pytest.mark.parametrize("new", ["x:ohlcv:5m:BTC/USD", "x:trades:BTC/USD", str(BARS), "x:ohlcv:1m:ETH/USDT"])
def test_rename_refuses_a_name_that_is_taken_or_holds_something_else(any_lake, new):
    any_lake.save(BARS, bars(0, 5))
    any_lake.save("x:ohlcv:1m:ETH/USDT", bars(0, 9))
    with pytest.raises(BadInput):
        any_lake.rename(BARS, new)
    assert any_lake.load(BARS).height == 5
    assert any_lake.load("x:ohlcv:1m:ETH/USDT").height == 9


def test_a_dropped_dataset_stays_gone_when_the_lake_is_opened_again(root, clock):
    with lake_in(root, clock) as lake:
        lake.save(BARS, bars(0, MANY))
        lake.save(TRADES, trades(0, 5))
        assert lake.drop(BARS) == MANY
    with lake_in(root, clock) as lake:
        assert lake.datasets() == [TRADES]
        assert lake.at(1).load(BARS).equals(full(bars(0, MANY)))
        clock.ahead += 8 * DAY
        assert lake.vacuum().segments == 1
        assert lake.verify() == []
        assert lake.inventory()["dataset"].to_list() == [str(TRADES)]
