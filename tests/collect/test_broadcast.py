from __future__ import annotations

import asyncio
import threading

import pytest

from ticklake.collect.broadcast import Broadcast
from ticklake.core.dataset import Dataset
from ticklake.core.time import SECOND
from ticklake.errors import SlowSubscriber
from ticklake.query.hot_cache import HotCache
from ticklake.sources.live.base import Control
from ticklake.testing.rows import START

TRADES = Dataset.parse("x:trades:BTC/USDT")
OTHER = Dataset.parse("x:trades:ETH/USDT")


def rows(first, last):
    return [(START + number * SECOND, START, str(number), "1.5", 2, "buy") for number in range(first, last)]


@pytest.fixture
def broadcast():
    return Broadcast(HotCache(lambda: START + 10**6 * SECOND))


def everything(_dataset):
    return True


def test_rows_that_wait_come_as_one_batch(broadcast):
    subscriber = broadcast.subscribe(everything)
    broadcast.rows(TRADES, rows(0, 2), 10)
    broadcast.rows(TRADES, rows(2, 3), 20)
    broadcast.rows(OTHER, rows(0, 1), 30)
    subscriber.close()
    batches = list(subscriber)
    assert [(batch.dataset, len(batch.rows), batch.received_at) for batch in batches] == [
        (TRADES, 3, 20),
        (OTHER, 1, 30),
    ]
    assert batches[0].frame()["id"].to_list() == ["0", "1", "2"]


def test_only_what_is_wanted_comes(broadcast):
    subscriber = broadcast.subscribe(lambda dataset: dataset == OTHER)
    broadcast.rows(TRADES, rows(0, 2), 10)
    broadcast.rows(OTHER, rows(0, 1), 30)
    subscriber.close()
    assert [batch.dataset for batch in subscriber] == [OTHER]


def test_control_events_come_between_the_rows(broadcast):
    subscriber = broadcast.subscribe(everything)
    broadcast.rows(TRADES, rows(0, 1), 10)
    broadcast.control(TRADES, Control("gap", 15, TRADES))
    broadcast.rows(TRADES, rows(5, 6), 20)
    subscriber.close()
    found = [batch.control.name if batch.control else len(batch.rows) for batch in subscriber]
    assert found == [1, "gap", 1]
    # Of what the cache holds, nothing is from before the gap.
    assert broadcast.cache.rows(TRADES)["id"].to_list() == ["5"]


def test_a_slow_subscriber_is_told_and_dropped(broadcast):
    slow, quick = broadcast.subscribe(everything, most_rows=5), broadcast.subscribe(everything)
    broadcast.rows(TRADES, rows(0, 4), 10)
    broadcast.rows(TRADES, rows(4, 8), 10)
    broadcast.rows(TRADES, rows(8, 9), 10)
    with pytest.raises(SlowSubscriber, match="5 rows waited"):
        next(iter(slow))
    quick.close()
    assert sum(len(batch.rows) for batch in quick) == 9


def test_one_list_of_rows_serves_several_subscribers(broadcast):
    first, second = broadcast.subscribe(everything), broadcast.subscribe(everything)
    broadcast.rows(TRADES, rows(0, 1), 10)
    broadcast.rows(TRADES, rows(1, 2), 10)
    for subscriber in (first, second):
        subscriber.close()
        assert [len(batch.rows) for batch in subscriber] == [2]


def test_an_event_loop_reads_what_another_thread_sends(broadcast):
    async def read():
        subscriber = broadcast.subscribe(everything)

        def send():
            for number in range(50):
                broadcast.rows(TRADES, rows(number, number + 1), number)
            subscriber.close()

        sender = threading.Thread(target=send)
        sender.start()
        found = [ident for batch in [batch async for batch in subscriber] for ident in batch.frame()["id"]]
        sender.join()
        return found

    assert asyncio.run(read()) == [str(number) for number in range(50)]


def test_a_thread_waits_for_rows(broadcast):
    subscriber, found = broadcast.subscribe(everything), []
    reader = threading.Thread(target=lambda: found.extend(len(batch.rows) for batch in subscriber))
    reader.start()
    broadcast.rows(TRADES, rows(0, 3), 10)
    broadcast.close()
    reader.join(5)
    assert not reader.is_alive()
    assert found == [3]


def test_events_that_are_read_count_no_more(broadcast):
    subscriber = broadcast.subscribe(everything, most_rows=10)
    batches = iter(subscriber)
    for at in range(50):
        broadcast.control(TRADES, Control("heartbeat", at, TRADES))
        assert next(batches).received_at == at


def test_events_that_nobody_reads_end_the_subscription_too(broadcast):
    subscriber = broadcast.subscribe(everything, most_rows=100)
    for at in range(101):
        broadcast.control(TRADES, Control("heartbeat", at, TRADES))
    subscriber.close()
    with pytest.raises(SlowSubscriber):
        list(subscriber)


def test_a_subscriber_that_is_closed_is_forgotten_at_once(broadcast):
    subscribers = [broadcast.subscribe(everything, committed=committed) for committed in (False, True)]
    for subscriber in subscribers:
        subscriber.close()
    # Nothing else would remove it: no rows come where no stream runs.
    assert (broadcast._subscribers, broadcast._readers) == ((), ())


def test_who_wants_committed_rows_gets_none_before(tmp_path):
    from ticklake.app import open_lake

    with open_lake(tmp_path / "lake") as lake:
        subscriber = lake.subscribe("x:trades:*", committed=True)
        lake.streams._live.rows(TRADES, rows(0, 3), START)
        lake.save(TRADES, [{"ts": START, "id": "7", "price": 1.5, "amount": 2.0, "side": "buy"}])
        batch = next(iter(subscriber))
        assert batch.frame()["id"].to_list() == ["7"]
        assert batch.added_in == batch.version == lake.engine.catalog.version()
