"""Rows over WebSockets: each once, and a slow client delays nobody."""

from __future__ import annotations

import io
import json
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import polars as pl
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from ticklake.app import memory_lake, open_lake
from ticklake.config import LiveSettings
from ticklake.core.dataset import Dataset
from ticklake.core.time import MINUTE, parse_time
from ticklake.interfaces.api import subscriptions
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.server import SimulatedExchange

from ...conftest import settings_for

TRADES, OTHER = "x:trades:BTC/USDT", "x:trades:ETH/USDT"
LIVE = "binance:trades:BTC/USDT"


def trades(first, last):
    return [{"ts": parse_time("2024-01-01") + n, "id": str(n), "price": 1.5, "amount": 2.0} for n in range(first, last)]


class Socket:
    """A client of the server."""

    def __init__(self, connection):
        self.connection = connection

    def send(self, **message):
        self.connection.send(json.dumps(message))

    def receive(self, wait=10):
        message = json.loads(self.connection.recv(timeout=wait))
        if message.get("format") == "arrow":
            message["frame"] = pl.read_ipc_stream(io.BytesIO(self.connection.recv(timeout=wait)))
        return message

    def subscribe(self, *datasets, **more):
        self.send(action="subscribe", datasets=datasets, **more)
        told = self.receive()
        assert told["type"] == "subscribed", told
        return told

    def rows(self, count):
        """Return the next so many rows, and the last message."""
        found, message = [], None
        while len(found) < count:
            message = self.receive()
            assert message["type"] == "rows", message
            found += message["data"]
        return found, message


@contextmanager
def opened(http, **options):
    url = str(http.base_url).replace("http", "ws", 1) + "subscribe"
    with connect(url, compression=None, **options) as connection:
        yield Socket(connection)


def moving_rows(socket, clock, count):
    """Let time pass until so many rows have come; return them, and the cursor of the last."""
    found, cursor = [], None
    deadline = time.monotonic() + 20
    while len(found) < count:
        assert time.monotonic() < deadline
        clock.advance(2 * MINUTE)
        with suppress(TimeoutError):
            message = socket.receive(wait=0.1)
            found += message["data"]
            cursor = message["cursor"]
    return found, cursor


def ids(rows):
    return [int(row["id"]) for row in rows]


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def lake():
    with memory_lake() as lake:
        yield lake


@pytest.fixture
def http(lake, serve):
    return serve(lake, poll_seconds=0.02)


def test_rows_come_as_they_are_committed(lake, http):
    with opened(http) as socket:
        assert socket.subscribe(TRADES)["cursor"] == str(lake.engine.catalog.version())
        lake.save_all([(TRADES, trades(0, 2)), (OTHER, trades(0, 1))])
        rows, message = socket.rows(2)
    assert (ids(rows), message["dataset"], message["rows"]) == ([0, 1], TRADES, 2)
    assert message["cursor"] == str(lake.engine.catalog.version())
    assert rows[0]["ts"] == "2024-01-01T00:00:00Z"
    assert "provenance" not in rows[0]


def test_rows_of_other_processes_come_too(tmp_path, serve):
    with ExitStack() as stack:
        lake, other = (stack.enter_context(open_lake(tmp_path / "lake")) for _ in range(2))
        socket = stack.enter_context(opened(serve(lake, poll_seconds=0.02)))
        socket.subscribe("x:*")
        other.save(TRADES, trades(0, 3))
        assert ids(socket.rows(3)[0]) == [0, 1, 2]


def test_a_client_that_was_cut_in_the_middle_of_a_version_goes_on_there(lake, http, monkeypatch):
    monkeypatch.setattr(subscriptions, "ROWS_AT_ONCE", 3)
    lake.save("y:trades:A/B", trades(0, 1))
    since = lake.engine.catalog.version()
    lake.save("y:trades:A/B", trades(1, 2))
    lake.save_all([(TRADES, trades(0, 7)), (OTHER, trades(10, 14))])
    lake.save(TRADES, trades(7, 9))
    for stop_after in range(1, 7):
        found = []
        with opened(http) as socket:
            socket.subscribe("x:*", since=since)
            for _ in range(stop_after):
                message = socket.receive()
                found += message["data"]
        with opened(http) as socket:
            socket.subscribe("x:*", since=message["cursor"])
            found += socket.rows(13 - len(found))[0]
        assert sorted(ids(found)) == [*range(9), *range(10, 14)], stop_after


def test_a_client_that_was_cut_after_all_rows_gets_the_next_alone(lake, http):
    lake.save_all([(TRADES, trades(0, 2)), (OTHER, trades(0, 2))])
    with opened(http) as socket:
        socket.subscribe("x:*", since=0)
        cursor = socket.rows(4)[1]["cursor"]
    lake.save(TRADES, trades(2, 3))
    with opened(http) as socket:
        socket.subscribe("x:*", since=cursor)
        assert ids(socket.rows(1)[0]) == [2]


def test_a_live_stream_arrives_exactly_once_across_reconnects(market, serve, tmp_path):
    clock = SimulatedClock(parse_time("2024-01-05T12:00:30Z"))
    quick = LiveSettings(flush_rows=20, flush_seconds=0.05, fill_delay=0.05)
    with SimulatedExchange(market, clock).running() as exchange:
        settings = settings_for(exchange.url).model_copy(update={"live": quick})
        with open_lake(tmp_path / "lake", settings=settings) as lake:
            http = serve(lake, poll_seconds=0.02)
            with opened(http) as socket:
                since = socket.subscribe("binance:trades:*")["cursor"]
            lake.streams.start("binance", "BTC/USDT", ["trades"])
            found = []
            for _ in range(3):
                with opened(http) as socket:
                    socket.subscribe("binance:trades:*", since=since)
                    rows, since = moving_rows(socket, clock, 12)
                    found += rows
                clock.advance(MINUTE)
            lake.streams.stop()
            stored = lake.load(LIVE)["id"].to_list()
            with opened(http) as socket:
                socket.subscribe("binance:trades:*", since=since)
                if len(found) < len(stored):
                    found += socket.rows(len(stored) - len(found))[0]
            assert len(stored) > 36
            assert sorted(row["id"] for row in found) == sorted(stored)


def test_live_rows_come_before_their_commit_with_what_happens_to_the_stream(market, serve, tmp_path):
    clock = SimulatedClock(parse_time("2024-01-05T12:00:30Z"))
    slow = LiveSettings(flush_rows=100_000, flush_seconds=600)
    with SimulatedExchange(market, clock).running() as exchange:
        settings = settings_for(exchange.url).model_copy(update={"live": slow})
        with open_lake(tmp_path / "lake", settings=settings) as lake, opened(serve(lake)) as socket:
            socket.subscribe("binance:*", live=True)
            lake.streams.start("binance", "BTC/USDT", ["trades"])
            names, count = set(), 0
            deadline = time.monotonic() + 10
            while count <= lake.stats().rows:
                assert time.monotonic() < deadline
                clock.advance(MINUTE)
                message = socket.receive()
                names.add(message.get("name"))
                count += len(message.get("data", ()))
            assert "subscribed" in names


def test_rows_come_as_arrow_if_they_are_wanted_so(lake, http):
    with opened(http) as socket:
        socket.subscribe(TRADES, format="arrow", id="mine")
        lake.save(TRADES, trades(0, 2))
        message = socket.receive()
    assert (message["id"], message["rows"]) == ("mine", 2)
    assert message["frame"].equals(lake.load(TRADES))


def test_a_subscription_ends_when_it_is_told_to(lake, http):
    with opened(http) as socket:
        socket.subscribe(TRADES, id="a")
        socket.subscribe(OTHER, id="b")
        socket.send(action="unsubscribe", id="a")
        assert socket.receive() == {"type": "unsubscribed", "id": "a"}
        lake.save_all([(TRADES, trades(0, 2)), (OTHER, trades(0, 1))])
        assert socket.rows(1)[1]["dataset"] == OTHER


MEANT_BADLY = [
    ("no json", "Invalid JSON"),
    ("[]", "the message"),
    ('{"action": "fly"}', "action"),
    ('{"action": "subscribe"}', "datasets is empty"),
    ('{"action": "subscribe", "datasets": ["nonsense"]}', "nonsense"),
    ('{"action": "subscribe", "datasets": ["x:*"], "since": "-1"}', "since"),
    ('{"action": "subscribe", "datasets": ["x:*"], "since": 10000}', "since=10000"),
    ('{"action": "subscribe", "datasets": ["x:*"], "colour": 1}', "colour"),
    ('{"action": "unsubscribe", "id": "x"}', "'x' is no subscription"),
]


def test_what_cannot_be_meant_is_told_and_the_connection_goes_on(http):
    with opened(http) as socket:
        for message, words in MEANT_BADLY:
            socket.connection.send(message)
            told = socket.receive()
            assert (told["type"], words in told["detail"]) == ("error", True), told
            socket.connection.send(message.encode())
            assert socket.receive()["type"] == "error"
        socket.subscribe("x:*", id="x")


def test_limits_of_subscriptions_messages_and_clients(lake, serve, monkeypatch):
    monkeypatch.setattr(subscriptions, "MOST_SUBSCRIPTIONS", 2)
    http = serve(lake, subscriptions=2)
    with opened(http) as socket, opened(http) as large:
        for _ in range(2):
            socket.subscribe(TRADES)
        socket.send(action="subscribe", datasets=[TRADES])
        assert "has 2 subscriptions" in socket.receive()["detail"]
        with pytest.raises(InvalidStatus) as refused, opened(http):
            pass
        assert refused.value.response.status_code == 429
        large.send(action="subscribe", datasets=["x" * 100_000])
        with pytest.raises(ConnectionClosed) as cut:
            large.receive()
        assert cut.value.rcvd.code == 1009


def test_rows_that_were_vacuumed_are_an_error_of_the_subscription(lake, http):
    for number in range(3):
        lake.save(TRADES, trades(number, number + 1))
    lake.compact()
    lake.vacuum(0)
    with opened(http) as socket:
        socket.subscribe(TRADES, since=1)
        assert (socket.receive()["title"], socket.subscribe(TRADES)["type"]) == ("VersionGone", "subscribed")


def test_fifty_clients_of_which_one_is_slow_all_get_their_rows(lake, serve):
    http = serve(lake, poll_seconds=0.02, subscriptions=100, send_timeout=0.5)
    large = [{**row, "id": f"{row['id']}-{'x' * 20_000}"} for row in trades(0, 1_000)]
    with ExitStack() as stack:
        # Its socket takes some kilobytes and then no more: nothing reads it.
        slow = stack.enter_context(opened(http, max_queue=1))
        slow.subscribe("x:*")
        quick = [stack.enter_context(opened(http)) for _ in range(49)]
        for socket in quick:
            socket.subscribe(OTHER)
        lake.save(TRADES, large)
        lake.save(OTHER, trades(0, 5))
        begun = time.monotonic()
        for socket in quick:
            assert ids(socket.rows(5)[0]) == list(range(5))
        assert time.monotonic() - begun < 5
        # It is cut after a while, and the others go on.
        wait_for(lambda: len(http.ticklake.clients) == 49)
        lake.save(OTHER, trades(5, 6))
        for socket in quick:
            assert ids(socket.rows(1)[0]) == [5]


def test_live_rows_that_nobody_reads_end_a_subscription_that_is_told(lake, http, monkeypatch):
    monkeypatch.setattr(subscriptions, "MOST_WAITING", 10)
    live = lake.streams._live
    with opened(http) as socket:
        socket.subscribe(TRADES, live=True)
        # More at once than may wait.
        start = parse_time("2024-01-01")
        live.rows(Dataset.parse(TRADES), [(start, start, str(number), 1.5, 2.0, "buy") for number in range(11)], start)
        assert socket.receive()["title"] == "SlowSubscriber"
        with pytest.raises(ConnectionClosed) as cut:
            socket.receive()
        assert (cut.value.rcvd.code, cut.value.rcvd.reason) == (1008, "SlowSubscriber")


def test_a_client_that_leaves_frees_everything(lake, http):
    live = lake.streams._live
    before = threading.active_count()
    with ExitStack() as stack:
        for number in range(10):
            socket = stack.enter_context(opened(http))
            socket.subscribe(TRADES, live=number % 2 == 0)
        assert (len(live._subscribers), len(live._readers)) == (5, 5)
    wait_for(lambda: not len(http.ticklake.clients))
    wait_for(lambda: http.ticklake.watch._task is None)
    assert (live._subscribers, live._readers) == ((), ())
    assert lake.engine.catalog.listeners._listeners == ()
    # Those that are left are the pool of the event loop, however many clients there were.
    assert threading.active_count() - before <= 12


def test_clients_are_asked_to_come_back_when_the_server_ends(lake, serve):
    with opened(serve(lake)) as socket:
        socket.subscribe(TRADES)
        ending = threading.Thread(target=serve.stop_servers)
        ending.start()
        with pytest.raises(ConnectionClosed) as ended:
            socket.receive()
        assert ended.value.rcvd.code == 1012
        ending.join(5)
        assert not ending.is_alive()
