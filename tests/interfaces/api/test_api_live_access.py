"""Live connections end with the right to them."""

from __future__ import annotations

import threading

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from ticklake.app import memory_lake
from ticklake.interfaces.api import live
from ticklake.interfaces.api.head import COOKIE


@pytest.fixture
def lake():
    with memory_lake() as lake:
        yield lake


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(live, "_CHECKED_EVERY", 0.2)


def bearer(lake):
    return {"Authorization": f"Bearer {lake.tokens.create('dash', 'read').secret}"}


def subscribe(client, **headers):
    url = str(client.base_url).rstrip("/").replace("http://", "ws://")
    return connect(f"{url}/subscribe", additional_headers=headers)


def test_a_socket_ends_when_its_token_is_revoked(lake, serve):
    headers = bearer(lake)
    with subscribe(serve(lake), **headers) as socket:
        socket.send('{"action": "subscribe", "datasets": ["x:trades:*"]}')
        assert "subscribed" in socket.recv(timeout=10)
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.5)
        lake.tokens.revoke("dash")
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=20)


def test_a_socket_ends_when_its_session_does(lake, serve):
    client, headers = serve(lake), bearer(lake)
    root = str(client.base_url).removesuffix("/api/v1/")
    answer = client.post(f"{root}/login", json={"token": headers["Authorization"].split()[1]})
    cookie = {"Cookie": f"{COOKIE}={answer.cookies[COOKIE]}"}
    with subscribe(client, **cookie) as socket:
        client.post(f"{root}/logout", headers={"X-CSRF-Token": answer.json()["csrf_token"]})
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=20)


def test_a_socket_of_nobody_ends_when_the_lake_gets_a_token(lake, serve):
    with subscribe(serve(lake)) as socket:
        lake.tokens.create("dash", "read")
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=20)


def test_events_end_when_their_token_is_revoked(lake, serve):
    client = serve(lake)
    with client.stream("GET", "/events", headers=bearer(lake)) as answer:
        threading.Timer(0.5, lake.tokens.revoke, ["dash"]).start()
        assert answer.status_code == 200
        # Ends, or the reader times out.
        list(answer.iter_lines())


def test_events_go_on_while_they_are_allowed(lake, serve):
    client = serve(lake)
    patient = {"headers": bearer(lake), "timeout": httpx.Timeout(10, read=1)}
    with pytest.raises(httpx.ReadTimeout), client.stream("GET", "/events", **patient) as answer:
        list(answer.iter_lines())
