"""``ticklake serve`` as a process: what it does beside requests, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from ticklake.app import open_lake
from ticklake.core.jobs import JobState
from ticklake.core.time import MINUTE, parse_time
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.server import SimulatedExchange
from ticklake.testing.rows import bars

from ...conftest import settings_for
from ...forked import run_script, start_command

BTC = "binance:trades:BTC/USDT"


@contextmanager
def serving(folder, *arguments):
    """Serve the lake in a folder by a process; the value is it, and a client."""
    output = folder.parent / f"{folder.name}.txt"
    output.write_text("")
    process = start_command("serve", "--port", "0", "--lake", str(folder), *arguments, output=output)
    try:
        url = until(lambda: re.search(r"http://127\.0\.0\.1:\d+", output.read_text()))[0]
        with httpx.Client(base_url=url, timeout=20) as client:
            yield process, client
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.join(10)


def until(found, seconds=30.0):
    """Wait until something is so, and return it."""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
    return result


def goes_on(exchange):
    """Let the market go on a little."""
    exchange.clock.advance(MINUTE // 20)
    return True


def ended(process, *signals):
    """Send signals, and return the exit code."""
    for number in signals:
        os.kill(process.pid, number)
    process.join(30)
    return process.exitcode


@pytest.mark.slow
def test_a_server_that_collects_does_jobs_and_streams_and_ends_in_good_order(tmp_path, market, monkeypatch):
    monkeypatch.setenv("TICKLAKE_ARCHIVES", "false")
    # Nothing is committed by time: what is in the lake afterwards, the end has committed.
    monkeypatch.setenv("TICKLAKE_LIVE__FLUSH_SECONDS", "600")
    monkeypatch.setenv("TICKLAKE_LIVE__FLUSH_ROWS", "1000000")
    exchange = SimulatedExchange(market, SimulatedClock(parse_time("2024-01-05T12:00:30Z")))
    folder = tmp_path / "lake"
    with exchange.running(), open_lake(folder, settings=settings_for(exchange.url)) as lake:
        lake.save("x:ohlcv:1m:BTC/USDT", bars(0, 3))
        lake.schedules.add("tidy", "compact", every="1s")
        stream = lake.jobs.create("stream", streams=[{"exchange": "binance", "symbols": ["BTC/USDT"]}])
        with serving(folder, "--collect", "--exchange-url", exchange.url) as (process, client):
            until(lambda: lake.jobs.list(state="succeeded", operation="compact"))
            until(lambda: goes_on(exchange) and lake.streams.status() and lake.streams.status()[0].waiting > 20)
            assert 'ticklake_stream_up{exchange="binance"' in client.get("/metrics").text
            assert client.get("/health/ready").status_code == 200
            assert ended(process, signal.SIGTERM) == 0
        assert lake.jobs.get(stream.id).state is JobState.QUEUED
        [run] = [run for run in lake.runs.list() if run.operation == "stream"]
        assert run.state == "cancelled"
        assert run["received"] > 20
        assert run["new"] + run["duplicate"] + run["quarantined"] == run["received"]
        assert lake.load(BTC).height == run["new"]


@pytest.mark.slow
def test_a_server_that_was_killed_goes_on_with_its_jobs(tmp_path, market, monkeypatch):
    monkeypatch.setenv("TICKLAKE_ARCHIVES", "false")
    monkeypatch.setenv("TICKLAKE_JOBS__LEASE", "1")
    exchange = SimulatedExchange(market, SimulatedClock(parse_time("2024-01-05")))
    folder = tmp_path / "lake"
    with exchange.running(), open_lake(folder, settings=settings_for(exchange.url)) as lake:
        job = lake.jobs.create(
            "backfill", "binance", "BTC/USDT", kind="trades", start="2024-01-01", end="2024-01-04T12:00"
        )
        with serving(folder, "--collect", "--exchange-url", exchange.url) as (process, _):
            until(lambda: lake.inventory().height and lake.inventory()["rows"][0])
            acknowledged = lake.load(BTC)
            assert ended(process, signal.SIGKILL) == -signal.SIGKILL
        with serving(folder, "--collect", "--exchange-url", exchange.url) as (process, _):
            until(lambda: lake.jobs.get(job.id).state is JobState.SUCCEEDED, 60)
            assert ended(process, signal.SIGTERM) == 0
        rows = lake.load(BTC)
        assert rows.head(acknowledged.height).equals(acknowledged)
        happened = market.rows("binance", "BTC/USDT", "trades", None)
        happened = happened.filter(happened["ts"].to_physical() < parse_time("2024-01-04T12:00"))
        # The last page may go a little further.
        assert rows["id"].head(happened.height).equals(happened["id"])


@pytest.mark.slow
def test_streams_go_on_however_often_their_process_was_killed_without_waiting_for_its_lease(
    tmp_path, market, monkeypatch
):
    monkeypatch.setenv("TICKLAKE_ARCHIVES", "false")
    monkeypatch.setenv("TICKLAKE_JOBS__LEASE", "600")
    exchange = SimulatedExchange(market, SimulatedClock(parse_time("2024-01-05T12:00:30Z")))
    folder = tmp_path / "lake"
    with exchange.running(), open_lake(folder, settings=settings_for(exchange.url)) as lake:
        job = lake.jobs.create("stream", max_attempts=1, streams=[{"exchange": "binance", "symbols": ["BTC/USDT"]}])
        for fence in (1, 2, 3):
            with serving(folder, "--collect", "--exchange-url", exchange.url) as (process, client):
                until(lambda expected=fence: lake.jobs.get(job.id).fence == expected)
                until(lambda: goes_on(exchange) and lake.streams.status())
                assert client.get("/api/v1/health").json()["jobs"] == {"running": 1}
                assert ended(process, signal.SIGKILL) == -signal.SIGKILL
        [waiting] = lake.jobs.list()
        assert (waiting.state, waiting.attempts) == (JobState.QUEUED, 3)


@pytest.mark.slow
def test_a_job_that_hangs_is_given_back_and_the_server_ends_in_time(tmp_path, monkeypatch):
    monkeypatch.setenv("TICKLAKE_ARCHIVES", "false")
    monkeypatch.setenv("TICKLAKE_SERVER__SHUTDOWN_SECONDS", "1")
    folder = tmp_path / "lake"
    with socket.socket() as silent, open_lake(folder) as lake:
        # An exchange that takes connections and never answers.
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        job = lake.jobs.create("backfill", "binance", "BTC/USDT", "1h", start="2024-01-01", end="2024-01-02")
        with serving(folder, "--collect", "--exchange-url", url) as (process, _):
            silent.settimeout(30)
            with silent.accept()[0]:
                began = time.monotonic()
                assert ended(process, signal.SIGTERM) == 0
                assert time.monotonic() - began < 10
        given_back = lake.jobs.get(job.id)
        assert (given_back.state, given_back.attempts) == (JobState.QUEUED, 0)
    assert "server ended before its work did" in (tmp_path / "lake.txt").read_text()


@pytest.mark.slow
def test_several_processes_answer_on_one_port_and_add_up_what_they_did(tmp_path):
    folder = tmp_path / "lake"
    with open_lake(folder) as lake:
        lake.save("x:ohlcv:1m:BTC/USDT", bars(0, 3))
    with serving(folder, "--processes", "2", "--collect") as (process, client):
        children = until(lambda: len(found := children_of(process.pid)) == 2 and found)
        for _ in range(30):
            # A connection of its own for each, so that both take some.
            assert httpx.get(f"{client.base_url}/api/v1/datasets", timeout=20).status_code == 200
        count = 'ticklake_http_requests_total{method="GET",route="/api/v1/datasets",status="200"} 30.0'
        assert count in client.get("/metrics").text
        assert ended(process, signal.SIGTERM) == 0
        assert [pid for pid in children if is_there(pid)] == []


@pytest.mark.trials
def test_a_process_that_dies_is_replaced_and_all_end_with_the_one_that_watches_over_them(tmp_path):
    folder = tmp_path / "lake"
    open_lake(folder).close()
    with serving(folder, "--processes", "2") as (process, client):
        children = until(lambda: len(found := children_of(process.pid)) == 2 and found)
        os.kill(children[0], signal.SIGKILL)
        until(lambda: len(found := children_of(process.pid)) == 2 and found != children)
        assert httpx.get(f"{client.base_url}/health", timeout=20).json() == {"status": "ok"}
        children = children_of(process.pid)
        assert ended(process, signal.SIGKILL) == -signal.SIGKILL
        until(lambda: not any(map(is_there, children)))
        # The port is free for the next one.
        with socket.socket() as another:
            another.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            another.bind(("127.0.0.1", client.base_url.port))


def children_of(pid):
    """The processes that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(path.parent.name))
    return sorted(found)


def is_there(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


ENDING = """
import sys, threading, time, os, signal
from ticklake.interfaces.api.ending import Ending

stopped = threading.Event()
ending = Ending(float(sys.argv[1]), stopped.set, lambda: print("given up", flush=True))
with ending.at_signals():
    os.kill(os.getpid(), signal.SIGTERM)
    assert stopped.wait(5)
    if sys.argv[2] == "again":
        os.kill(os.getpid(), signal.SIGTERM)
    if sys.argv[2] != "done":
        time.sleep(30)
print("ended")
"""


@pytest.mark.parametrize(
    ("seconds", "how", "code", "printed"),
    [("60", "done", 0, "ended\n"), ("60", "again", -signal.SIGTERM, ""), ("0.2", "hangs", 0, "given up\n")],
)
def test_an_end_is_in_good_order_at_once_when_asked_twice_and_in_time_whatever_hangs(
    tmp_path, seconds, how, code, printed
):
    began = time.monotonic()
    assert run_script(ENDING, seconds, how, folder=tmp_path)[:2] == (code, printed)
    assert time.monotonic() - began < 20


def test_an_empty_lake_is_served_with_a_warning(tmp_path):
    open_lake(tmp_path / "lak").close()
    with serving(tmp_path / "lak"):
        until(lambda: "lak is empty" in (tmp_path / "lak.txt").read_text())
    with open_lake(tmp_path / "lake") as lake:
        lake.save("x:ohlcv:1m:BTC/USDT", bars(0, 3))
    with serving(tmp_path / "lake") as (_, client):
        assert client.get("/health").status_code == 200
    assert "is empty" not in (tmp_path / "lake.txt").read_text()


def test_a_request_that_is_cut_at_the_end_is_no_defect(tmp_path, monkeypatch):
    monkeypatch.setenv("TICKLAKE_SERVER__SHUTDOWN_SECONDS", "2")
    with open_lake(tmp_path / "lake") as lake:
        lake.save("x:ohlcv:1m:BTC/USDT", bars(0, 150_000))
    with serving(tmp_path / "lake") as (process, client):
        address = ("127.0.0.1", client.base_url.port)
        with socket.create_connection(address) as silent:
            silent.sendall(
                b"GET /api/v1/datasets/x:ohlcv:1m:BTC%2FUSDT/rows?format=ndjson HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            )
            assert silent.recv(100)
            os.kill(process.pid, signal.SIGTERM)
            process.join(20)
    log = (tmp_path / "lake.txt").read_text()
    assert "a request was cut" in log
    assert "Traceback" not in log


def test_a_collection_that_cannot_go_on_ends_the_server_with_its_error(tmp_path, monkeypatch):
    folder = tmp_path / "lake"
    monkeypatch.setenv("TICKLAKE_JOBS__IDLE", "0.1")
    with serving(folder, "--collect") as (process, client):
        assert client.get("/health").status_code == 200
        (folder / "catalog.db").rename(folder / "catalog.away")
        process.join(30)
        assert process.exitcode == 1
    assert "was deleted or replaced" in (tmp_path / "lake.txt").read_text()
