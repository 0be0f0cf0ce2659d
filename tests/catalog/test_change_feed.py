"""The change feed: every version's segments once, in order, whoever committed them."""

import threading

import polars as pl
import pytest

from ticklake.app import open_lake
from ticklake.catalog.change_feed import changes_since
from ticklake.catalog.listeners import CommitListeners
from ticklake.config import Settings
from ticklake.core.dataset import Dataset
from ticklake.core.segment import Segment
from ticklake.core.span import Span
from ticklake.errors import BadInput, CatalogError

BARS = Dataset.parse("x:ohlcv:1m:BTC/USDT")
ETHER = Dataset.parse("x:ohlcv:1m:ETH/USDT")
MINUTE = 60 * 10**9
START = 1_704_067_200 * 10**9


def bars(first, last, close=1.0):
    times = [START + minute * MINUTE for minute in range(first, last)]
    return pl.DataFrame({"ts": times}).with_columns(open=close, high=close, low=close, close=close, volume=1.0)


@pytest.fixture
def lake(tmp_path):
    with open_lake(tmp_path / "lake", settings=Settings()) as opened:
        yield opened


def feed(lake, version=0, **options):
    return list(changes_since(lake.engine.catalog.database, version, **options))


def replayed(changes):
    """The live segments of each dataset, from nothing but the feed."""
    live = {}
    for change in changes:
        segments = live.setdefault(change.dataset, {})
        for segment in change.removed:
            del segments[segment.id]
        segments.update({segment.id: segment for segment in change.added})
    return {dataset: sorted(segments) for dataset, segments in live.items() if segments}


def live_segments(lake):
    catalog = lake.engine.catalog
    found = {row.dataset: sorted(one.id for one in catalog.snapshot(row.dataset)[2]) for row in catalog.datasets()}
    return {dataset: ids for dataset, ids in found.items() if ids}


def test_each_commit_is_told_with_its_datasets_and_spans(lake):
    lake.save(BARS, bars(0, 10))
    lake.save_all([(ETHER, bars(5, 6)), (BARS, bars(10, 12))])
    first, second, third = feed(lake)
    assert (first.version, first.operation, first.dataset) == (1, "append", BARS)
    assert first.spans == [Span(START, START + 9 * MINUTE + 1)]
    assert [(one.version, one.dataset) for one in (second, third)] == [(2, BARS), (2, ETHER)]
    assert first.committed_at == lake.engine.catalog.committed_at(1)


def test_the_feed_replayed_is_what_the_lake_holds(lake):
    lake.save(BARS, bars(0, 300))
    lake.save(BARS, bars(100, 200, close=2.0))
    lake.save(ETHER, bars(0, 50))
    lake.delete(BARS, START + 20 * MINUTE, START + 40 * MINUTE)
    lake.compact()
    lake.save(BARS, bars(300, 310))
    lake.drop(ETHER)
    assert replayed(feed(lake)) == live_segments(lake)


def test_reading_goes_on_after_the_last_version_that_came(lake):
    for minute in range(5):
        lake.save(BARS, bars(minute, minute + 1))
    pieces, version = [], 0
    while changes := feed(lake, version, limit=2):
        pieces += changes
        version = changes[-1].version
    assert [change.version for change in pieces] == [1, 2, 3, 4, 5]
    assert feed(lake, version) == []


def test_no_segment_of_a_version_beyond_the_limit_is_read(lake, monkeypatch):
    for minute in range(6):
        lake.save(BARS, bars(minute, minute + 1))
    read = []

    def counted(*values):
        read.append(values)
        return Segment(*values)

    monkeypatch.setattr("ticklake.catalog.change_feed.Segment", counted)
    assert [change.version for change in feed(lake, 1, limit=2)] == [2, 3]
    assert len(read) == 2


def test_a_lake_tells_its_changes(lake):
    lake.save(BARS, bars(0, 10))
    lake.save(ETHER, bars(5, 6))
    assert lake.changes_since() == feed(lake)
    assert [change.dataset for change in lake.changes_since(1)] == [ETHER]
    assert [change.dataset for change in lake.changes_since(limit=1)] == [BARS]
    assert lake.changes_since(2) == lake.changes_since(limit=0) == []


@pytest.mark.parametrize("wrong", [{"version": -1}, {"version": "1"}, {"limit": -1}, {"limit": 1.5}], ids=str)
def test_what_is_no_number_of_versions_is_refused(lake, wrong):
    with pytest.raises(BadInput, match=f"{next(iter(wrong))}=.* is not a number of versions"):
        lake.changes_since(**wrong)


def test_compaction_changes_segments_and_no_rows(lake):
    for minute in range(3):
        lake.save(BARS, bars(minute, minute + 1))
    lake.compact()
    change = feed(lake, 3)[-1]
    assert change.operation == "compact"
    assert len(change.removed) == 3
    assert change.spans == []


def test_a_dropped_dataset_is_told_under_its_name(lake):
    lake.save(BARS, bars(0, 3))
    lake.drop(BARS)
    dropped = feed(lake, 1)[-1]
    assert (dropped.dataset, dropped.operation, len(dropped.removed)) == (BARS, "drop", 1)


def test_a_version_that_was_vacuumed_is_refused(lake):
    lake.save(BARS, bars(0, 3))
    lake.save(BARS, bars(0, 3, close=2.0))
    lake.compact()
    lake.vacuum(0)
    with pytest.raises(CatalogError, match="version 0 was vacuumed"):
        feed(lake, 0)


def test_a_listener_hears_of_the_newest_version_alone(lake):
    listener = lake.engine.catalog.listeners.add()
    for minute in range(3):
        lake.save(BARS, bars(minute, minute + 1))
    assert listener.get(timeout=0) == 3
    assert listener.get(timeout=0) is None
    lake.engine.catalog.listeners.remove(listener)
    lake.save(BARS, bars(3, 4))
    assert listener.get(timeout=0) is None


def test_a_listener_waits_for_the_next_commit(lake):
    listener = lake.engine.catalog.listeners.add()
    heard = []
    thread = threading.Thread(target=lambda: heard.append(listener.get(timeout=30)))
    thread.start()
    lake.save(BARS, bars(0, 1))
    thread.join(30)
    assert heard == [1]


def test_nobody_hears_of_a_commit_that_failed(lake, monkeypatch):
    listener = lake.engine.catalog.listeners.add()
    monkeypatch.setattr(lake.engine.catalog, "check_files", lambda _changes: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        lake.save(BARS, bars(0, 1))
    assert listener.get(timeout=0) is None


def test_an_older_version_never_replaces_a_newer_one():
    listeners = CommitListeners()
    listener = listeners.add()
    listeners.tell(5)
    listeners.tell(4)
    assert listener.get(timeout=0) == 5
