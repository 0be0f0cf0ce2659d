from __future__ import annotations

import threading

from ticklake.app import memory_lake
from ticklake.core.batch import from_rows
from ticklake.core.dataset import Dataset
from ticklake.core.time import SECOND
from ticklake.query.hot_cache import HotCache
from ticklake.testing.rows import START

TRADES = Dataset.parse("x:trades:BTC/USDT")
OTHER = Dataset.parse("x:trades:ETH/USDT")


def rows(first, last, *, ids=True):
    found = []
    for number in range(first, last):
        ts = START + number * SECOND
        found.append((ts, ts + 1, str(number) if ids else None, "1.5", 2, "buy"))
    return found


def cache_of(*batches, **more):
    cache = HotCache(lambda: START + 10**6 * SECOND, **more)
    for batch in batches:
        cache.add(TRADES, batch)
    return cache


def ids(frame):
    return [int(ident) for ident in frame["id"]]


def test_the_newest_rows_come_in_order():
    cache = cache_of(rows(0, 5), rows(5, 9))
    assert ids(cache.newest(TRADES, 3)) == [6, 7, 8]
    assert cache.newest(TRADES, 3)["price"].to_list() == [1.5] * 3


def test_more_than_it_has_is_none():
    cache = cache_of(rows(0, 5))
    assert cache.newest(TRADES, 6) is None
    assert cache.newest(OTHER, 1) is None
    assert (cache.stats().hits, cache.stats().misses) == (0, 2)


def test_late_and_repeated_rows_are_put_in_order_once():
    cache = cache_of(rows(0, 5))
    assert cache.newest(TRADES, 5) is not None
    cache.add(TRADES, rows(3, 8))
    cache.add(TRADES, rows(1, 2))
    assert ids(cache.rows(TRADES)) == list(range(8))


def test_of_repeated_rows_those_are_kept_that_the_lake_keeps():
    ts = START + 10**6 * SECOND
    first, again = (ts, ts + 5, "1", "1.5", 2, "buy"), (ts, ts + 900, "1", "1.5", 2, "buy")
    changed = (ts, ts + 950, "1", "1.7", 2, "buy")
    with memory_lake(clock=lambda: ts + SECOND) as lake:
        for batches in ([[first, again]], [[first], [again]], [[first], [again, changed]], [[changed], [first, again]]):
            cache = HotCache(lambda: ts + SECOND)
            for batch in batches:
                cache.add(TRADES, batch)
                cache.rows(TRADES)
                lake.save(TRADES, from_rows(batch, TRADES.spec))
            assert cache.rows(TRADES).equals(lake.load(TRADES))
            lake.drop(TRADES)


def test_identical_prints_without_ids_are_kept():
    row = (START, START, None, "1.5", 2, "buy")
    other = (START, START, None, "1.6", 2, "buy")
    cache = cache_of([row, row, other])
    assert cache.rows(TRADES).height == 3


def test_refused_rows_are_not_served():
    cache = cache_of([*rows(0, 2), (START + 5 * SECOND, START, "5", "-3", 1, "buy")])
    assert ids(cache.rows(TRADES)) == [0, 1]


def test_old_rows_go():
    cache = cache_of(rows(0, 100), seconds=10)
    assert ids(cache.rows(TRADES)) == list(range(89, 100))
    assert cache.stats().evicted == 89


def test_a_frame_that_was_given_out_does_not_change():
    cache = cache_of(rows(0, 5))
    frame = cache.rows(TRADES)
    cache.add(TRADES, rows(5, 2000))
    cache.rows(TRADES)
    assert ids(frame) == list(range(5))


def test_the_budget_is_kept_by_datasets_that_nobody_reads():
    cache = HotCache(lambda: START + 10**6 * SECOND, seconds=10**9, budget=500_000)
    for first in range(0, 200_000, 10_000):
        cache.add(TRADES, rows(first, first + 10_000))
    assert cache.stats().bytes < 1_000_000
    assert cache.stats().evicted > 100_000


def test_many_datasets_that_nobody_reads_share_the_budget():
    cache = HotCache(lambda: START + 10**6 * SECOND, budget=5_000_000)
    for number in range(200):
        cache.add(Dataset.parse(f"x:trades:C{number}/USDT"), rows(0, 500))
    stats = cache.stats()
    assert stats.bytes < 6_000_000
    assert stats.rows + stats.evicted == 200 * 500
    newest = cache.newest(Dataset.parse("x:trades:C199/USDT"), 10)
    assert ids(newest) == list(range(490, 500))


def test_late_rows_of_what_was_dropped_are_not_served():
    cache = HotCache(lambda: START + 10**6 * SECOND, budget=40_000)
    cache.add(TRADES, rows(0, 200))
    assert cache.stats().evicted
    cache.add(TRADES, rows(3, 4))
    kept = ids(cache.rows(TRADES))
    assert kept == list(range(kept[0], 200))


def test_late_rows_of_a_hole_are_not_served():
    cache = cache_of(rows(0, 3))
    cache.forget(TRADES, START + 6 * SECOND)
    cache.add(TRADES, rows(6, 8))
    cache.add(TRADES, rows(4, 5))
    assert ids(cache.rows(TRADES)) == [6, 7]


def test_rows_before_a_hole_are_forgotten():
    cache = cache_of(rows(0, 5))
    cache.forget(TRADES)
    cache.add(TRADES, rows(8, 10))
    assert cache.newest(TRADES, 3) is None
    assert ids(cache.newest(TRADES, 2)) == [8, 9]


def test_readers_and_a_writer_at_the_same_time():
    cache = cache_of(rows(0, 1))
    done = threading.Event()
    wrong = []

    def read():
        while not done.is_set():
            frame = cache.rows(TRADES)
            if ids(frame) != list(range(frame.height)):
                wrong.append(frame)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(1, 300):
        cache.add(TRADES, rows(number, number + 1))
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert ids(cache.rows(TRADES)) == list(range(300))


def test_one_row_far_ahead_of_the_clock_drops_no_others():
    now = START + 100 * SECOND
    cache = HotCache(lambda: now)
    ahead = (now + 9 * 3600 * SECOND, now, "9999", "1.5", 2, "buy")
    cache.add(TRADES, [*rows(0, 5), ahead])
    assert ids(cache.newest(TRADES, 6)) == [0, 1, 2, 3, 4, 9999]


def test_rows_that_are_too_old_are_dropped_many_at_once():
    cache = cache_of(rows(0, 165), seconds=160)
    assert cache.rows(TRADES).height == 165
    cache.add(TRADES, rows(165, 180))
    assert ids(cache.rows(TRADES)) == list(range(19, 180))
    assert cache.stats().evicted == 19


def test_rows_that_are_read_one_by_one_stay_in_few_pieces():
    cache = cache_of(rows(0, 5))
    pieces: list[int] = []
    for number in range(5, 60):
        cache.add(TRADES, rows(number, number + 1))
        pieces.append(cache.rows(TRADES).n_chunks())
    assert ids(cache.rows(TRADES)) == list(range(60))
    assert max(pieces) <= 17
