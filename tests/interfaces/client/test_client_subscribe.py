"""Subscriptions of a client: each row once, also when the connection or the server goes away in between."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import ExitStack

import polars as pl
import pytest

from tests.interfaces.api.conftest import running
from ticklake.app import memory_lake
from ticklake.config import ServerSettings
from ticklake.core.retry import RetryPolicy
from ticklake.errors import BadInput, NotSignedIn, ServerUnavailable
from ticklake.interfaces.client import connect
from ticklake.interfaces.client.connection import Connection
from ticklake.interfaces.client.subscriptions import RemoteSubscriber
from ticklake.testing.rows import bars, trades

TRADES = "binance:trades:BTC/USDT"
BARS = "binance:ohlcv:1m:BTC/USDT"


@pytest.fixture
def lake():
    with memory_lake() as lake:
        lake.save(TRADES, trades(0, 3))
        yield lake


@pytest.fixture
def remote(lake):
    with running(lake, ServerSettings(port=0)) as url, connect(url) as remote:
        yield remote


def taken(subscriber, rows):
    """Return so many rows of a subscription, and the datasets that they are of."""
    frames = []
    for batch in subscriber:
        frames.append((str(batch.dataset), batch.frame()))
        if sum(frame.height for _, frame in frames) >= rows:
            break
    return frames


def test_rows_that_come_after_the_call_come_once(lake, remote):
    with remote.subscribe(TRADES, "binance:ohlcv:*") as subscriber:
        lake.save(TRADES, trades(3, 8))
        lake.save(BARS, bars(0, 2))
        found = taken(subscriber, 7)
    rows = pl.concat([frame for name, frame in found if name == TRADES])
    assert rows.equals(lake.load(TRADES).tail(5))
    assert rows.schema == lake.load(TRADES).schema
    assert [frame.equals(lake.load(BARS)) for name, frame in found if name == BARS] == [True]


def test_a_subscription_goes_on_after_what_was_read(lake, remote):
    lake.save(TRADES, trades(3, 5))
    first = next(iter(remote.subscribe(since=0)))
    assert (str(first.dataset), first.frame().height, first.version) == (TRADES, 3, 1)
    assert [tuple(row)[2] for row in first.rows] == first.frame()["id"].to_list()
    (found,) = taken(remote.subscribe(since=first.cursor), 2)
    assert found[1].equals(lake.load(TRADES).tail(2))


def test_nothing_is_lost_or_repeated_when_the_server_starts_anew(lake):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quick = RetryPolicy(attempts=40, first_wait=0.02, longest_wait=0.05)
    ids = []

    def read(subscriber):
        for batch in subscriber:
            ids.extend(batch.frame()["id"].to_list())
            if len(ids) >= 9:
                return

    with ExitStack() as server:
        url = server.enter_context(running(lake, ServerSettings(port=port)))
        connection = Connection(url)
        subscriber = RemoteSubscriber(connection, [TRADES], "0", retry=quick)
        reader = threading.Thread(target=read, args=(subscriber,))
        reader.start()
        lake.save(TRADES, trades(3, 6))
        while len(ids) < 6:
            reader.join(0.01)
    lake.save(TRADES, trades(6, 9))
    with running(lake, ServerSettings(port=port)):
        reader.join(10)
    connection.close()
    assert not reader.is_alive()
    assert ids == lake.load(TRADES)["id"].to_list()


async def subscriber_of_one(remote):
    subscriber = remote.subscribe(TRADES, since=0)
    async for batch in subscriber:
        subscriber.close()
        yield batch


def test_rows_come_in_an_event_loop(lake, remote):
    async def read():
        return [batch.frame() async for batch in subscriber_of_one(remote)]

    (frame,) = asyncio.run(read())
    assert frame.equals(lake.load(TRADES))


def test_a_reader_that_waits_can_be_closed(remote):
    subscriber = remote.subscribe(TRADES)
    threading.Timer(0.1, subscriber.close).start()
    assert list(subscriber) == []


def test_what_is_wrong_with_a_subscription_is_said(lake, remote):
    with pytest.raises(BadInput, match="no place to go on from"):
        next(iter(remote.subscribe(TRADES, since="yesterday")))
    with pytest.raises(BadInput, match="no version"):
        next(iter(remote.subscribe(TRADES, since=10**6)))


def test_a_subscription_needs_the_token_too(lake):
    secret = lake.tokens.create("reader", "read").secret
    with running(lake, ServerSettings(port=0)) as url:
        with pytest.raises(NotSignedIn):
            next(iter(RemoteSubscriber(Connection(url), [TRADES], "0")))
        assert next(iter(RemoteSubscriber(Connection(url, secret), [TRADES], "0"))).frame().height == 3


def test_a_server_that_stays_away_is_an_error():
    subscriber = RemoteSubscriber(Connection("http://127.0.0.1:9"), [], "0", retry=RetryPolicy(2, 0.01, 0.01))
    with pytest.raises(ServerUnavailable, match="no server answers"):
        next(iter(subscriber))
