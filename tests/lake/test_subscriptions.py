"""Subscriptions: new rows of a lake, whichever process brings them, each once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import polars as pl
import pytest

from ticklake.app import open_lake
from ticklake.config import Settings
from ticklake.core.dataset import Dataset
from ticklake.core.time import SECOND
from ticklake.errors import BadInput, CatalogError
from ticklake.testing.rows import START, bars, trades

TRADES = Dataset.parse("x:trades:BTC/USDT")
BARS = Dataset.parse("x:ohlcv:1m:BTC/USDT")
FIRST_ID = 1_000_000
WRITER = """
import sys
from ticklake import open
from ticklake.testing.rows import trades
with open(sys.argv[1]) as lake:
    for number in range(20):
        lake.save("x:trades:BTC/USDT", trades(number * 10, number * 10 + 12))
"""


@pytest.fixture
def lake(tmp_path):
    with open_lake(tmp_path / "lake", settings=Settings(live={"poll_seconds": 0.05})) as opened:
        yield opened


@pytest.fixture
def other(lake, tmp_path):
    """The same lake, opened a second time: as another process has it."""
    with open_lake(tmp_path / "lake", settings=Settings()) as opened:
        yield opened


def raw(first, last):
    """Rows as a stream of this process brings them."""
    return [
        (START + number * SECOND, START, str(FIRST_ID + number), "100", "1", "buy") for number in range(first, last)
    ]


def frames(first, last):
    return trades(first, last).with_columns(pl.lit("buy").alias("side"), price=100.0, amount=1.0)


def numbers_until(subscriber, last):
    """The numbers of all rows until that one has come."""
    found = []
    watchdog = threading.Timer(20, subscriber.close)
    watchdog.start()
    for batch in subscriber:
        found.extend(int(ident) - FIRST_ID for ident in batch.frame()["id"])
        if last in found:
            break
    watchdog.cancel()
    return found


def test_rows_of_another_process_come_once_and_in_the_order_of_commits(lake, tmp_path):
    subscriber = lake.subscribe("x:trades:*")
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "lake")])
    assert numbers_until(subscriber, 201) == list(range(202))
    assert writer.wait(20) == 0


def test_an_event_loop_gets_what_others_commit(lake, other):
    async def read():
        found = []
        async with asyncio.timeout(20):
            async for batch in lake.subscribe(str(TRADES)):
                found.append((batch.version, batch.frame().height))
                if len(found) < 3:
                    await asyncio.to_thread(other.save, TRADES, trades(len(found) * 10, len(found) * 10 + 5))
                else:
                    return found
        return found

    starter = threading.Timer(0.2, other.save, (TRADES, trades(0, 5)))
    starter.start()
    assert asyncio.run(read()) == [(1, 5), (2, 5), (3, 5)]


def test_a_subscription_goes_on_after_a_version(lake):
    for number in range(4):
        lake.save(TRADES, trades(number, number + 1))
    first = lake.subscribe(since=0)
    versions = [next(iter(first)).version for _ in range(2)]
    assert versions == [1, 2]
    assert numbers_until(lake.subscribe(since=versions[-1]), 3) == [2, 3]


def test_the_version_of_a_batch_is_the_newest_that_has_come_whole(lake):
    lake.save_all([(TRADES, trades(0, 1)), (BARS, bars(0, 1))])
    subscriber = iter(lake.subscribe(since=0))
    assert [next(subscriber).version for _ in range(2)] == [0, 1]


def test_a_compaction_a_deletion_and_a_renaming_bring_no_rows(lake):
    lake.save(TRADES, trades(0, 1))
    subscriber = lake.subscribe()
    lake.save(TRADES, trades(1, 20))
    lake.compact()
    lake.delete(TRADES, START + 5 * SECOND, START + 6 * SECOND)
    lake.rename(TRADES, "x:trades:ETH/USDT")
    lake.save(TRADES, trades(20, 21))
    # What was compacted since is read from the segments that it was committed in.
    assert numbers_until(subscriber, 20) == list(range(1, 21))


def test_rows_in_files_come_in_parts(lake):
    lake.save(BARS, bars(0, 30_000))
    batch = next(iter(lake.subscribe(since=0)))
    assert (len(batch.rows), batch.rows[0][0], batch.frame().equals(lake.load(BARS))) == (30_000, START, True)


def test_a_corrected_row_comes_again(lake):
    lake.save(BARS, bars(0, 3))
    subscriber = lake.subscribe()
    lake.save(BARS, bars(2, 4).with_columns(volume=77.0))
    assert next(iter(subscriber)).frame()["volume"].to_list() == [77.0, 77.0]


def test_while_no_version_is_committed_only_that_is_looked_at(lake, monkeypatch):
    asked = []
    monkeypatch.setattr("ticklake.query.committed.changes_since", lambda *_args: asked.append(1) or [])
    subscriber = lake.subscribe()
    threading.Timer(0.5, subscriber.close).start()
    assert list(subscriber) == []
    assert asked == []


def test_what_a_stream_of_this_process_brought_does_not_come_again_with_its_commit(lake, other):
    live = lake.streams._live
    live.rows(TRADES, raw(0, 2), 1)
    subscriber = lake.subscribe()
    live.rows(TRADES, raw(2, 6), 1)
    live.flushing([TRADES])
    live.rows(TRADES, raw(6, 9), 1)
    lake.save(TRADES, frames(0, 6))
    live.committed({TRADES: 1})
    other.save(TRADES, frames(9, 10))
    # The first two came before the subscription, and were committed after it.
    assert sorted(numbers_until(subscriber, 9)) == list(range(10))


def test_rows_that_a_stream_and_another_process_bring_come_once(lake, other):
    live = lake.streams._live
    subscriber = lake.subscribe()
    live.rows(TRADES, raw(0, 5), 1)
    other.save(TRADES, frames(0, 8))
    found = numbers_until(subscriber, 7)
    # The stream of this process is behind; its commit has nothing new then.
    live.rows(TRADES, raw(5, 10), 1)
    live.flushing([TRADES])
    lake.save(TRADES, frames(0, 10))
    live.committed({TRADES: 2})
    other.save(TRADES, frames(10, 11))
    assert found + numbers_until(subscriber, 10) == list(range(11))


def test_commits_of_this_process_are_known_without_being_read(lake, monkeypatch):
    live = lake.streams._live
    subscriber = lake.subscribe()

    def collect(first, last, version):
        live.rows(TRADES, raw(first, last), 1)
        live.flushing([TRADES])
        lake.save(TRADES, frames(first, last))
        live.committed({TRADES: version})

    # Of the first commit nobody knows whether all of its rows came after the subscription.
    collect(0, 3, 1)
    lake.save(BARS, bars(0, 1))
    batches = iter(subscriber)
    assert [next(batches).dataset for _ in range(2)] == [TRADES, BARS]
    collect(3, 6, 3)
    monkeypatch.setattr(subscriber.delivered, "new_in_commit", None)
    threading.Timer(0.3, subscriber.close).start()
    assert [batch.dataset for batch in batches] == [TRADES]


def test_trades_without_ids_come_once_from_a_stream_and_its_commit(lake):
    live = lake.streams._live
    subscriber = lake.subscribe()
    nameless = [(ts, at, None, *rest) for ts, at, _, *rest in raw(0, 3)]
    live.rows(TRADES, [*nameless, nameless[-1]], 1)
    # Committed by somebody whom nobody told of: as if the version had been seen before its number was known.
    lake.save(TRADES, frames(0, 3).with_columns(id=None)[[0, 1, 2, 2]])
    lake.save(BARS, bars(0, 1))
    batches = iter(subscriber)
    assert [next(batches).dataset for _ in range(2)] == [TRADES, BARS]


def test_a_version_that_is_not_there_yet_and_one_that_was_vacuumed(lake):
    with pytest.raises(BadInput, match="since=3 is no version of the lake: the newest is 0"):
        lake.subscribe(since=3)
    lake.save(TRADES, trades(0, 5))
    lake.save(TRADES, trades(5, 9))
    lake.compact()
    time.sleep(0.01)
    lake.vacuum("0s")
    with pytest.raises(CatalogError, match="vacuumed"):
        next(iter(lake.subscribe(since=0)))


def test_an_iteration_that_was_left_goes_on(lake):
    lake.save(TRADES, trades(0, 1))
    lake.save(TRADES, trades(1, 2))
    subscriber = lake.subscribe(since=0)
    for batch in subscriber:
        assert batch.version == 1
        break
    assert next(iter(subscriber)).version == 2


@pytest.mark.parametrize("used_before", [True, False])
def test_after_the_lake_is_closed_nobody_waits_for_rows(lake, used_before):
    subscriber = lake.subscribe("x:*") if used_before else ()
    lake.close()
    assert list(subscriber) == []
    with pytest.raises(BadInput, match="open the lake again"):
        lake.subscribe("x:*")
    with pytest.raises(BadInput, match="open the lake again"):
        lake.streams.start("x", "BTC/USDT")
