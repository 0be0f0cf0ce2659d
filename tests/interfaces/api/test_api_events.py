"""Server-Sent Events: what changes, once, to any number of clients."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack

import httpx
import pytest

from ticklake.app import memory_lake, open_lake
from ticklake.core.time import parse_time
from ticklake.interfaces.api import events as event_module
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.server import SimulatedExchange

BARS = "x:ohlcv:1h:BTC/USDT"


def bar(hour):
    ts = f"2024-01-01T{hour:02}:00:00Z"
    return [{"ts": ts, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 9.0}]


class Events:
    """Reads the events of one connection."""

    def __init__(self, answer):
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        self._lines = answer.iter_lines()
        self.last_id = None

    def __iter__(self):
        name = data = None
        for line in self._lines:
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data = json.loads(value)
            elif field == "id":
                self.last_id = value
            elif not line and name is not None:
                yield name, data
                name = None

    def until(self, wanted):
        """Return the events up to the first that is wanted."""
        found = []
        for event in self:
            found.append(event)
            if wanted(*event):
                return found
        raise AssertionError(f"the connection ended: {found}")


def listening(stack, http, topics="commits", last_id=None):
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    stream = http.stream("GET", "/events", params={"topics": topics}, headers=headers)
    events = Events(stack.enter_context(stream))
    # An iteration that nobody holds is ended, and its connection with it.
    stack.callback(lambda: events)
    return events, events.until(lambda name, _data: name == "current")


def is_commit(version):
    return lambda name, data: name == "commits" and data["version"] == version


def has_number(number):
    return lambda name, data: name == "runs" and data["progress"].get("number") == number


@pytest.fixture
def lake():
    with memory_lake() as lake:
        yield lake


@pytest.fixture
def http(lake, serve):
    return serve(lake, poll_seconds=0.02, subscriptions=100)


def test_commits_come_once_and_a_client_that_was_away_goes_on(lake, http):
    seen = []
    with ExitStack() as stack:
        events, _ = listening(stack, http)
        for hour in range(3):
            lake.save(BARS, bar(hour))
        seen += events.until(is_commit(lake.engine.catalog.version()))
        last_id = events.last_id
    for hour in range(3, 6):
        lake.save(BARS, bar(hour))
    with ExitStack() as stack:
        events, first = listening(stack, http, last_id=last_id)
        seen += [event for event in first if event[0] == "commits"]
        lake.save(BARS, bar(6))
        seen += events.until(is_commit(lake.engine.catalog.version()))
    newest = lake.engine.catalog.version()
    assert [data["version"] for _, data in seen] == list(range(newest - 6, newest + 1))
    assert {data["rows"] for _, data in seen} == {1}
    assert seen[0][1]["spans"][0]["start"] == "2024-01-01T00:00:00Z"


def test_a_client_that_is_cut_while_it_catches_up_goes_on_from_there(lake, http):
    started = lake.engine.catalog.version()
    for hour in range(6):
        lake.save(BARS, bar(hour))
    last_id, seen = f"{started}.7", []
    # A connection a commit, each cut after it.
    for version in range(started + 1, lake.engine.catalog.version() + 1):
        with ExitStack() as stack:
            address = "/events?topics=commits"
            answer = stack.enter_context(http.stream("GET", address, headers={"Last-Event-ID": last_id}))
            events = Events(answer)
            assert next(iter(events))[0] == "ready"
            seen.append(next(iter(events))[1]["version"])
            last_id = events.last_id
        assert last_id.startswith(f"{version}.")
    assert seen == list(range(started + 1, lake.engine.catalog.version() + 1))


def test_a_version_of_several_datasets_has_its_id_at_the_last_of_them(lake):
    rows = [{"ts": "2024-01-01T00:00:00Z", "price": 1, "amount": 1}]
    lake.save_all([(f"x:trades:A{number}/B", rows) for number in range(3)])
    lake.save(BARS, bar(0))
    lake.save(BARS, bar(1))
    changes = lake.changes_since(0)
    look = event_module.Look(9, 90, changes, (), (), (), False)
    found = [text.partition("\n")[0] for text in event_module.messages_of(look, ["commits"], 70)]
    first = changes[0].version
    assert found == ["event: commits", "event: commits", f"id: {first}.70", f"id: {first + 1}.70", "id: 9.90"]


def test_commits_of_another_process_come_too(tmp_path, serve):
    with open_lake(tmp_path / "lake") as lake, open_lake(tmp_path / "lake") as other, ExitStack() as stack:
        events, _ = listening(stack, serve(lake, poll_seconds=0.02))
        other.save(BARS, bar(0))
        assert events.until(is_commit(other.engine.catalog.version()))[-1][1]["dataset"] == BARS


def test_a_client_that_was_away_for_too_long_is_told_so(lake, http, monkeypatch):
    monkeypatch.setattr(event_module, "MOST_REPLAYED", 3)
    for hour in range(4):
        lake.save(BARS, bar(hour))
    with ExitStack() as stack:
        _, first = listening(stack, http, last_id="0.0")
    assert [name for name, _ in first] == ["ready", "missed", "current"]


def test_a_backfill_is_watched_until_it_is_done(market, lake_at, serve):
    with (
        SimulatedExchange(market, SimulatedClock(parse_time("2024-01-05"))).running() as exchange,
        ExitStack() as stack,
    ):
        lake = lake_at(exchange)
        http = serve(lake, poll_seconds=0.02)
        events, _ = listening(stack, http, "jobs,runs,commits")
        body = {
            "exchange": "binance",
            "symbols": ["BTC/USDT"],
            "timeframe": "1h",
            "start": "2024-01-02",
            "archives": False,
        }
        job = http.post("/backfill", json=body).json()
        worker = threading.Thread(target=lake.jobs.worker().run, kwargs={"once": True})
        worker.start()
        found = events.until(lambda name, data: name == "jobs" and data["status"] == "succeeded")
        worker.join()
        # Its run ends with it or just before: one of the two comes last.
        names = [name for name, _ in found]
        assert found[-1][1]["id"] == job["id"]
        assert {"commits", "jobs"} <= set(names)
        assert next(data["status"] for name, data in found if name == "jobs") in ("queued", "running")
        _, again = listening(stack, http, "jobs,runs", last_id="0.0")
        assert [(name, data["state"]) for name, data in again[1:-1]] == [("jobs", "succeeded"), ("runs", "succeeded")]


def test_what_is_active_comes_first(lake, http):
    lake.jobs.create("quality")
    run = lake.runs.create("train")
    with ExitStack() as stack:
        _, first = listening(stack, http, "jobs,runs")
    lake.runs.finish(run.id)
    assert [name for name, _ in first] == ["ready", "jobs", "runs", "current"]


def test_all_clients_share_one_look(lake, http):
    server = http.ticklake
    looks = []
    version = lake.engine.catalog.version
    with ExitStack() as stack:
        for _ in range(20):
            listening(stack, http)
        lake.engine.catalog.version = lambda: looks.append(1) or version()
        time.sleep(0.5)
        del lake.engine.catalog.version
        # At most every 20 ms, however many clients there are.
        assert 1 <= len(looks) <= 26
        assert len(server.clients) == 20
    deadline = time.monotonic() + 5
    while len(server.clients) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (len(server.clients), server.watch._task) == (0, None)


def test_a_client_too_many_is_refused(lake, serve):
    http = serve(lake, subscriptions=2)
    with ExitStack() as stack:
        for _ in range(2):
            listening(stack, http)
        answer = http.get("/events")
        assert (answer.status_code, answer.json()["title"]) == (429, "TooManyRequests")


def test_a_client_that_reads_nothing_delays_nobody_and_is_cut(lake, serve):
    http = serve(lake, poll_seconds=0.01, send_timeout=0.3)
    with ExitStack() as stack:
        slow = stack.enter_context(httpx.Client(base_url=http.base_url, timeout=10))
        stack.enter_context(slow.stream("GET", "/events"))
        quick, _ = listening(stack, http, "runs")
        run = lake.runs.create("train")
        deadline = time.monotonic() + 20
        number = 0
        # Until its socket takes no more, which holds some megabytes.
        while len(http.ticklake.clients) == 2 and time.monotonic() < deadline:
            number += 1
            lake.runs.update_progress(run.id, 0.5, {"number": number, "text": "x" * 300_000})
            quick.until(has_number(number))
        assert len(http.ticklake.clients) == 1
        lake.runs.finish(run.id)


def test_too_many_events_that_wait_end_a_client_that_is_told(lake, http, monkeypatch):
    monkeypatch.setattr(event_module, "MOST_WAITING", 5)
    with ExitStack() as stack:
        events, _ = listening(stack, http)
        lake.save_all(
            [
                (f"x:trades:A{number}/B", [{"ts": "2024-01-01T00:00:00Z", "price": 1, "amount": 1}])
                for number in range(9)
            ]
        )
        assert [name for name, _ in events] == ["slow"]


def test_clients_are_ended_when_the_server_ends(lake, serve):
    http = serve(lake)
    with ExitStack() as stack:
        events, _ = listening(stack, http)
        ending = threading.Thread(target=serve.stop_servers)
        ending.start()
        assert list(events) == []
        ending.join(5)
        assert not ending.is_alive()
    assert [thread.name for thread in threading.enumerate() if "test-server" in thread.name] == []


MEANT_BADLY = [
    ({"topics": "weather"}, None, "'weather' is no topic"),
    ({"topics": ","}, None, "empty"),
    ({}, "yesterday", "Last-Event-ID"),
]


def test_what_cannot_be_meant_is_refused(http):
    for parameters, last_id, words in MEANT_BADLY:
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        answer = http.get("/events", params=parameters, headers=headers)
        assert answer.status_code == 400
        assert words in answer.json()["detail"]
