"""Connections: what is tried again, what errors say, and what they never say."""

from __future__ import annotations

import asyncio
import http.server
import logging
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from unittest.mock import Mock

import pytest

import ticklake
from tests.interfaces.api.conftest import running
from ticklake.app import memory_lake
from ticklake.config import ServerSettings
from ticklake.core.retry import RetryPolicy
from ticklake.errors import (
    BadInput,
    BadResponse,
    NotAllowed,
    NotSignedIn,
    RateLimited,
    ServerUnavailable,
    TicklakeError,
    TicklakeWarning,
    UnknownDataset,
)
from ticklake.interfaces.client.connection import Connection, json_of
from ticklake.interfaces.client.problems import error_of
from ticklake.testing.rows import trades

TRADES = "binance:trades:BTC/USDT"
AT_ONCE = RetryPolicy(attempts=4, first_wait=0.001, longest_wait=0.002)


@contextmanager
def answering(*answers):
    """Answer one request after the other, the last answer again and again; the value is the address, and what was asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.command, self.path))
            status, headers, body = answers[min(len(asked), len(answers)) - 1]
            if status is None:
                self.connection.close()
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


GOOD = (200, {}, b'{"version": 3}')
BUSY = (503, {"Retry-After": "0"}, b"")


def connection(url, **options):
    return Connection(url, retry=AT_ONCE, **options)


@pytest.mark.parametrize("failure", [BUSY, (502, {}, b"<html>bad gateway"), (429, {}, b""), (None, {}, b"")])
def test_a_read_is_tried_again_until_it_succeeds(failure):
    with answering(failure, failure, GOOD) as (url, asked):
        client = connection(url)
        assert json_of(client.get("/version")) == {"version": 3}
        client.close()
    assert len(asked) == 3


def test_what_changes_something_is_sent_once():
    with answering(BUSY, GOOD) as (url, asked):
        client = connection(url)
        with pytest.raises(ServerUnavailable):
            client.send("POST", "/jobs", {})
        client.close()
    assert len(asked) == 1


def test_a_server_that_asks_for_a_long_wait_is_not_waited_for():
    with answering((503, {"Retry-After": "3600"}, b"")) as (url, asked):
        client = connection(url)
        with pytest.raises(ServerUnavailable) as told:
            client.get("/version")
        client.close()
    assert (told.value.retry_after, len(asked)) == (3600.0, 1)


def test_a_wait_that_the_server_asks_for_is_kept():
    client = connection("http://127.0.0.1:9")

    state = Mock(attempt_number=1)
    state.outcome.exception.return_value = ServerUnavailable("busy", 7.0)
    assert client._wait(state) == 7.0
    client.close()


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (404, b'{"title": "UnknownDataset", "detail": "the lake has no x: y"}', UnknownDataset, "^the lake has no x: y$"),
        (401, b"", NotSignedIn, "status 401"),
        (403, b"<html>", NotAllowed, "says nothing more"),
        (404, b"nothing here", TicklakeError, "nothing here"),
        (404, b"", TicklakeError, "is it a server of a lake"),
        (307, b"", TicklakeError, "sends elsewhere"),
        (500, b'{"title": "InternalError", "detail": "its log says why"}', TicklakeError, "its log says why"),
        (400, b'{"title": "SystemExit", "detail": "no"}', BadInput, "no"),
        (400, b'["title"]', BadInput, "status 400"),
    ],
)  # fmt: skip
def test_a_problem_is_the_error_that_a_lake_at_hand_raises(status, body, kind, words):
    error = error_of(status, body, {}, "http://here")
    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error


def test_an_error_keeps_the_wait_that_comes_with_it():
    error = error_of(503, b'{"title": "RateLimited", "detail": "slow"}', {"retry-after": "9"}, "x")
    assert (type(error), error.retry_after) == (RateLimited, 9.0)


def test_no_server_is_one_clear_line():
    with pytest.raises(ServerUnavailable, match=r"^no server answers at http://127\.0\.0\.1:9 \(Connection refused\): is 'ticklake serve' running there\?$"):  # fmt: skip
        connection("http://127.0.0.1:9").get("/version")


def test_a_server_that_is_silent_is_given_up():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        # Not asked again: it may be at work.
        client = Connection(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.05, retry=RetryPolicy(9, 9, 9))
        with pytest.raises(ServerUnavailable, match=r"did not answer within 0\.05 s"):
            client.get("/version")
        client.close()


def test_what_is_no_lake_says_so():
    with answering((200, {}, b"<html>hello")) as (url, _), pytest.raises(BadResponse, match="is it a server of a lake"):
        ticklake.connect(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [("data", "no address"), ("ftp://x", "no address"), ("http://", "no address"), ("http://x:y", "no address"), ("http://a b", "no address"), ("http://[x", "no address"), ("http://..", "no address"), ("http://me:secret@x", "holds a password"), ("http://x/?token=secret", "leave it out"), (5, "no address")],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_its_secrets(url, words):
    with pytest.raises(BadInput, match=words) as told:
        ticklake.connect(url)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("options", [{"token": "two words"}, {"token": "line\nbreak"}, {"token": 5}, {"timeout": 0}, {"timeout": "x"}])  # fmt: skip
def test_what_is_no_token_or_timeout_is_refused(options):
    with pytest.raises(BadInput):
        ticklake.connect("http://127.0.0.1:9", **options)


@pytest.fixture
def guarded():
    """A lake whose server wants a token."""
    with memory_lake() as lake:
        lake.save(TRADES, trades(0, 5))
        lake.tokens.create("reader", "read")
        with running(lake, ServerSettings(port=0)) as url:
            yield lake, url


def test_a_token_lets_in_and_is_shown_nowhere(guarded, caplog):
    lake, url = guarded
    caplog.set_level(logging.DEBUG)
    secret = lake.tokens.create("mine", "read").secret
    with pytest.raises(NotSignedIn):
        ticklake.connect(url)
    with ticklake.connect(url, token=secret) as remote:
        assert remote.load(TRADES).height == 5
        with pytest.raises(NotAllowed) as told:
            remote.save(TRADES, trades(5, 6))
        with pytest.raises(UnknownDataset) as unknown:
            remote.load("binance:trades:ETH/USDT")
        shown = [repr(remote), repr(remote._connection), repr(remote.at(1)), repr(vars(remote)), caplog.text]
        for error in (told.value, unknown.value):
            shown += [str(error), "".join(traceback.format_exception(error))]
    assert all(secret not in text for text in shown)


def test_a_token_over_the_open_net_is_warned_of(monkeypatch):
    monkeypatch.setattr("ticklake.interfaces.client.remote_lake.RemoteLake._newest", lambda _: 1)
    with pytest.warns(TicklakeWarning, match="not encrypted"):
        ticklake.connect("http://lake.example:8470", token="tl_x").close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for url, token in [("https://lake.example", "tl_x"), ("http://127.0.0.1:1", "tl_x"), ("http://[::1]:1", "tl_x"), ("http://lake.example", None)]:  # fmt: skip
            ticklake.connect(url, token=token).close()


def test_a_closed_connection_says_so(shared):
    remote = ticklake.connect(shared[1]._connection.url)
    remote.close()
    with pytest.raises(BadInput, match="was closed: connect again"):
        remote.datasets()


def test_many_threads_may_read(shared):
    lake, remote = shared
    expected = lake.load(TRADES)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: remote.load(TRADES), range(16)))
    assert all(answer.equals(expected) for answer in answers)


def test_a_notebook_reads_inside_of_its_event_loop(shared):
    lake, remote = shared

    async def cell():
        return remote.load(TRADES, last=3)

    assert asyncio.run(cell()).equals(lake.load(TRADES, last=3))


def test_without_httpx_the_cure_is_named():
    code = "import sys; sys.modules['httpx'] = None; import ticklake; ticklake.connect('http://127.0.0.1:9')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (
        done.stderr.splitlines()[-1]
        == "ticklake.errors.MissingExtra: httpx is not installed: pip install 'ticklake[client]'"
    )


def test_open_takes_the_address_of_a_server_and_the_token_of_the_settings(guarded, monkeypatch):
    lake, url = guarded
    monkeypatch.setenv("TICKLAKE_TOKEN", lake.tokens.create("mine", "read").secret)
    with ticklake.open(url) as remote:
        assert remote.load(TRADES).height == 5
    monkeypatch.setenv("TICKLAKE_LAKE", url)
    with ticklake.open() as remote:
        assert [str(each) for each in remote.datasets()] == [TRADES]
