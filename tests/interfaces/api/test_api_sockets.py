"""What reaches a server that no client of good will sends: over real sockets, byte by byte."""

from __future__ import annotations

import json
import socket
import time
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import httpx
import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.config import ServerSettings

from .conftest import running

PATH = "/api/v1/session"
TIMEOUT = 0.5


class Line:
    """A connection to a server, as bytes."""

    def __init__(self, url):
        address = urlsplit(url)
        self.host = address.netloc
        self.socket = socket.create_connection((address.hostname, address.port), timeout=30)

    def send(self, data):
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        return self

    def close(self):
        self.socket.close()

    def rest(self):
        """All that comes until the server ends the connection."""
        received = b""
        try:
            while part := self.socket.recv(65536):
                received += part
        except ConnectionResetError:
            pass
        return received

    def statuses(self):
        """The status of each answer until the server ends the connection."""
        return [int(part[:3]) for part in self.rest().split(b"HTTP/1.1 ")[1:]]


@pytest.fixture(scope="module")
def url():
    with ExitStack() as stack:
        lake = stack.enter_context(memory_lake())
        options = ServerSettings(port=0, receive_timeout=TIMEOUT, send_timeout=TIMEOUT, max_body=2000)
        yield stack.enter_context(running(lake, options))


@pytest.fixture
def dial(url):
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(Line(url)))


def head(line, method="GET", path=PATH, **headers):
    named = {
        "Host": line.host,
        "Connection": "close",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items() if value is not None)]
    return "\r\n".join(lines) + "\r\n\r\n"


def ask(dial, *arguments, body="", **headers):
    line = dial()
    return line.send(head(line, *arguments, **headers) + body).statuses()


def dripped(line, data, pause=TIMEOUT / 10, most=80):
    """How often the same bytes could be sent before the server ended the connection."""
    for sent in range(most):
        try:
            line.send(data)
        except ConnectionError:
            return sent
        time.sleep(pause)
    return most


def is_alive(dial):
    return ask(dial) == [200]


# Slow and half-open


@pytest.mark.parametrize("sent", ["", "G", "GET /", f"GET {PATH} HTTP/1.1\r\nHost: x\r\n", "\r\n\r\n"])
def test_a_head_that_does_not_come_in_time_ends_the_connection(dial, sent):
    began = time.monotonic()
    assert dial().send(sent).statuses() in ([], [408])
    assert time.monotonic() - began > TIMEOUT / 2


def test_a_head_that_drips_is_not_waited_for(dial):
    line = dial().send(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n")
    assert 0 < dripped(line, "X-A: b\r\n") < 60


def test_blank_lines_between_requests_keep_no_connection_open(dial):
    line = dial()
    line.send(head(line, Connection="keep-alive"))
    assert line.socket.recv(65536).startswith(b"HTTP/1.1 200")
    assert 0 < dripped(line, "\r\n") < 60


@pytest.mark.parametrize("body", ["", "{", '{"token": "'])
def test_a_body_that_does_not_come_in_time_ends_the_request(dial, body):
    headers = {"Content_Type": "application/json", "Content_Length": "100", "Connection": "keep-alive"}
    assert ask(dial, "POST", "/login", body=body, **headers) == [408]


def test_a_chunked_body_that_drips_is_not_waited_for(dial):
    line = dial()
    line.send(head(line, "POST", "/login", Content_Type="application/json", Transfer_Encoding="chunked"))
    assert 0 < dripped(line, "1\r\n \r\n") < 60


def test_a_client_that_reads_nothing_is_given_up():
    with ExitStack() as stack:
        lake = stack.enter_context(memory_lake())
        times = pl.Series("ts", range(10**18, 10**18 + 20_000)).cast(pl.Datetime("ns", "UTC"))
        lake.save(
            "x:trades:A/B",
            pl.DataFrame({"ts": times}).with_columns(price=1.0, amount=1.0, id=pl.col("ts").cast(pl.String)),
        )
        url = stack.enter_context(running(lake, ServerSettings(port=0, send_timeout=TIMEOUT)))
        line = stack.enter_context(closing(Line(url)))
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # Many answers: the kernels hold megabytes of them.
        request = head(line, path="/api/v1/datasets/x:trades:A%2FB/rows", Connection="keep-alive")
        assert dripped(line, request, most=100) < 100
        assert httpx.get(f"{url}{PATH}", verify=False).status_code == 200


def test_a_client_that_leaves_in_the_middle_disturbs_nobody(dial):
    for part in (1, 20, 60):
        line = dial()
        line.send(head(line)[:part])
        line.close()
    line = dial()
    line.send(head(line, "POST", "/login", Content_Type="application/json", Content_Length="50") + "{")
    line.socket.shutdown(socket.SHUT_WR)
    assert line.statuses() in ([], [408], [400])
    assert is_alive(dial)


def test_more_connections_than_allowed_are_refused_and_the_others_go_on():
    with ExitStack() as stack:
        lake = stack.enter_context(memory_lake())
        url = stack.enter_context(running(lake, ServerSettings(port=0, connections=3)))
        lines = [stack.enter_context(closing(Line(url))) for _ in range(3)]
        assert lines[0].send(head(lines[0], Connection="keep-alive")).socket.recv(65536).startswith(b"HTTP/1.1 200")
        assert stack.enter_context(closing(Line(url))).statuses() == [503]
        assert lines[0].send(head(lines[0])).statuses() == [200]


# Oversized


@pytest.mark.parametrize(
    ("request_line", "more", "status"),
    [
        (f"GET {PATH}?{'a' * 9000}", "", 414),
        (f"GET /{'a' * 40_000}", "", 431),
        (f"GET {PATH}", f"X: {'a' * 40_000}\r\n", 431),
        (f"GET {PATH}", "".join(f"X-{n}: a\r\n" for n in range(200)), 431),
        (f"{'A' * 40_000} /", "", 400),
    ],
)
def test_a_head_that_is_too_large_is_refused(dial, request_line, more, status):
    line = dial()
    line.send(f"{request_line} HTTP/1.1\r\nHost: {line.host}\r\nConnection: close\r\n{more}\r\n")
    assert line.statuses() == [status]


def test_a_head_without_an_end_is_not_kept(dial):
    line = dial()
    line.send(f"GET {PATH} HTTP/1.1\r\nHost: {line.host}\r\nX-Endless: ")
    assert dripped(line, b"a" * 20_000, pause=0.001) < 80
    assert is_alive(dial)


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(dial):
    headers = {"Content_Type": "application/json", "Content_Length": "2001", "Expect": "100-continue"}
    assert ask(dial, "POST", "/api/v1/tokens", **headers) == [413]


def test_a_chunked_body_that_is_too_large_is_refused_as_it_comes(dial):
    chunk = f"3e8\r\n{' ' * 1000}\r\n"
    headers = {"Content_Type": "application/json", "Transfer_Encoding": "chunked"}
    assert ask(dial, "POST", "/api/v1/tokens", body=chunk * 3, **headers) == [413]


def test_a_body_that_nobody_asked_for_ends_the_connection(dial):
    """Its rest would be taken for the next request."""
    line = dial()
    line.send(head(line, Content_Length="100", Connection="keep-alive") + f"{head(line)}")
    assert line.statuses() == [200]


# Smuggled


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
        ("Content-Length: 2\r\nContent-Length: 3\r\n", "{}"),
        ("Content-Length: 2\r\nContent-Length: 2\r\n", "{}"),
        ("Content-Length: +2\r\n", "{}"),
        ("Content-Length: 0x2\r\n", "{}"),
        ("Content-Length: -1\r\n", ""),
        ("Content-Length: 2, 2\r\n", "{}"),
        ("Content-Length: 99999999999999999999999\r\n", ""),
        ("Content-Length : 2\r\n", "{}"),
        ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: identity\r\n", ""),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding\x0b: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding:\x0bchunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "2;a=\nb\r\n{}\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "-2\r\n{}\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
    ],
)
def test_a_body_whose_length_has_two_readings_is_refused(dial, headers, body):
    line = dial()
    line.send(
        f"POST /login HTTP/1.1\r\nHost: {line.host}\r\nContent-Type: application/json\r\n{headers}\r\n{body}"
        f"GET {PATH} HTTP/1.1\r\nHost: {line.host}\r\nConnection: close\r\n\r\n"
    )
    statuses = line.statuses()
    assert len(statuses) == 1, "what follows the body was taken for a request"
    assert statuses[0] in {400, 413}


@pytest.mark.parametrize(
    "text",
    [
        "GET {path} HTTP/1.1\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost:\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nhost: {host}\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost: {host}@evil.example\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost: {host}, evil.example\r\n\r\n",
        "GET http://evil.example{path} HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost : {host}\r\n\r\n",
        "GET {path} HTTP/1.1\r\n Host: {host}\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nX: a\r\n folded\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nX\x00: a\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nX: a\x00b\r\n\r\n",
        "GET {path} HTTP/9.9\r\nHost: {host}\r\n\r\n",
        "GET {path}\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_a_head_that_no_two_programs_read_alike_is_refused(dial, text):
    line = dial()
    line.send(text.format(path=PATH, host=line.host))
    assert line.statuses() in ([400], [408], [])
    assert is_alive(dial)


def test_refusals_of_the_connection_are_problems_too(dial):
    line = dial()
    answer = line.send("nonsense\r\n\r\n").rest()
    before, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in before
    assert json.loads(body)["title"] == "BadRequest"


# Where a page of others could lead a browser


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "10.0.0.1:{port}"]
)
def test_a_name_that_was_pointed_at_this_machine_is_not_answered(dial, url, host):
    line = dial()
    host = host.format(port=urlsplit(url).port)
    answer = line.send(head(line, Host=host)).rest()
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"allowed_hosts" in answer


def test_a_server_is_reached_by_each_name_of_this_machine(dial, url):
    port = urlsplit(url).port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}", "localhost", "[::1]"):
        assert ask(dial, Host=host) == [200]


def test_a_name_that_was_pointed_at_this_machine_opens_no_socket(dial, url):
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert ask(dial, path="/api/v1/subscribe", Host="evil.example", **upgrade) == [400]
    assert ask(dial, path="/api/v1/subscribe", Origin="http://evil.example", **upgrade) == [403]
