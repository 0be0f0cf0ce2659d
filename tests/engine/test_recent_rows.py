"""The cache of inline segments that were just written."""

import polars as pl
import pytest
from engine_lakes import BARS, at, span

from ticklake.core.dataset import Dataset
from ticklake.engine import store as stores
from ticklake.engine.recent import Part, RecentRows
from ticklake.testing.rows import bars

SETS = [Dataset.parse(f"x:trades:C{number}/USDT") for number in range(4)]
FRAME = pl.DataFrame({"a": range(8)})


def shared(cache, name, frame=FRAME):
    """Two rows for each of four datasets in one frame."""
    cache.add(frame, [Part(dataset, f"{name}{number}", 2 * number, 2) for number, dataset in enumerate(SETS)])


def test_a_segment_is_its_part_of_the_frame():
    cache = RecentRows()
    shared(cache, "s")
    assert cache.get("s2")["a"].to_list() == [4, 5]
    assert cache.get("other") is None


def test_a_shared_frame_counts_once_and_goes_with_its_last_part():
    cache = RecentRows(most=1)
    shared(cache, "s")
    size = cache.size
    assert size == FRAME.estimated_size()
    for number, dataset in enumerate(SETS[:3]):
        cache.add(FRAME.head(1), [Part(dataset, f"t{number}", 0, 1)])
    assert cache.size == size + 3 * FRAME.head(1).estimated_size()
    cache.add(FRAME.head(1), [Part(SETS[3], "t3", 0, 1)])
    assert cache.size == 4 * FRAME.head(1).estimated_size()
    assert len(cache) == 4


def test_a_dataset_that_is_written_often_does_not_push_out_others():
    cache = RecentRows(most=2)
    cache.add(FRAME, [Part(SETS[0], "rare", 0, 8)])
    for number in range(10):
        cache.add(FRAME, [Part(SETS[1], f"often{number}", 0, 8)])
    assert cache.get("rare") is not None
    assert [cache.get(f"often{number}") is not None for number in range(10)] == [False] * 8 + [True] * 2


def test_what_was_read_longest_ago_goes_when_the_budget_is_spent():
    cache = RecentRows(budget=3 * FRAME.estimated_size())
    for number, dataset in enumerate(SETS[:3]):
        cache.add(FRAME, [Part(dataset, str(number), 0, 8)])
    cache.get("0")
    cache.add(FRAME, [Part(SETS[3], "3", 0, 8)])
    assert [cache.get(str(number)) is not None for number in range(4)] == [True, False, True, True]
    assert cache.size <= 3 * FRAME.estimated_size()


def test_a_frame_above_the_budget_is_not_kept():
    cache = RecentRows(budget=1)
    shared(cache, "s")
    assert (len(cache), cache.size) == (0, 0)


@pytest.fixture
def decoded(monkeypatch):
    """How often an inline segment is decoded."""
    calls = []
    decode = stores.decode_inline

    def counted(segment, kind):
        calls.append(segment.id)
        return decode(segment, kind)

    monkeypatch.setattr(stores, "decode_inline", counted)
    return calls


def test_the_newest_segments_of_many_datasets_are_not_decoded_again(lake, decoded):
    names = [Dataset.parse(f"x:ohlcv:1m:C{number}/USDT") for number in range(40)]
    for last in (10, 11, 12):
        # The last bar comes again, changed: it is compared with the stored one.
        lake.save_all([(name, bars(last - 2, last, bump=last)) for name in names])
    assert decoded == []
    assert lake.load(names[0]).height == 4


def test_rows_read_from_the_cache_are_those_that_were_written(lake):
    lake.save(BARS, bars(0, 10))
    lake.save(BARS, bars(5, 15))
    assert lake.load(BARS, at(3), at(12)).equals(lake.load(BARS).slice(3, 9))
    assert lake.engine.load(BARS, span(3, 12)).height == 9
