"""Who may call: every route with every role, tokens, and sessions of browsers."""

from __future__ import annotations

import re
import socket
import sqlite3
import time
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute, iter_route_contexts

from ticklake.app import memory_lake, open_lake
from ticklake.catalog.tokens import SessionTable
from ticklake.config import ServerSettings
from ticklake.core.access import Role
from ticklake.errors import BadInput
from ticklake.interfaces.api.access import role_of
from ticklake.interfaces.api.app import make_app
from ticklake.interfaces.api.callers import check_public
from ticklake.interfaces.api.head import COOKIE

from .conftest import running

OPEN_PATHS = {"/api/v1/openapi.json", "/docs", "/redoc", "/static"}
"""Addresses without a declared role: they hold nothing of a lake."""
OPEN_ROUTES = {
    "/",
    "/docs",
    "/docs/assets/{name}",
    "/docs/start.js",
    "/health",
    "/health/ready",
    "/login",
    "/logout",
    "/redoc",
}
"""Routes that declare that anyone may call them."""
UNKNOWN = "tl_" + "x" * 43


class Served:
    """A lake with a token of each role, and the address of its server."""

    def __init__(self, stack, **options):
        self.lake = stack.enter_context(memory_lake())
        self.tokens = {role: self.lake.tokens.create(role.value, role).secret for role in Role}
        settings = ServerSettings.model_validate({"port": 0, **options})
        self.url = stack.enter_context(running(self.lake, settings))
        self.client = stack.enter_context(httpx.Client(base_url=self.url, timeout=10, verify=False))

    def get(self, path, token=None, **headers):
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return self.client.get(path, headers=headers)


@pytest.fixture(scope="module")
def served():
    with ExitStack() as stack:
        yield Served(stack)


@pytest.fixture
def lake():
    with memory_lake() as lake:
        yield lake


def routes():
    with memory_lake() as lake:
        return [context for context in iter_route_contexts(make_app(lake).routes) if context.path not in OPEN_PATHS]


def test_every_route_declares_a_role():
    kinds = {type(route.original_route) for route in routes()}
    assert kinds <= {APIRoute, APIWebSocketRoute}
    assert {route.path for route in routes() if role_of(route.dependant) is None} <= OPEN_ROUTES


def example(path):
    return re.sub(r"\{[^}]*\}", "1", path)


def status_of(served, route, method, headers):
    if isinstance(route.original_route, APIWebSocketRoute):
        return handshake(served.url, example(route.path), headers)
    body = {} if method in {"GET", "HEAD"} else {"json": {}}
    with served.client.stream(method, example(route.path), headers=headers, **body) as answer:
        return answer.status_code


def handshake(url, path, headers):
    """The status that a server answers with to who opens a WebSocket."""
    address = urlsplit(url)
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n".encode()
        )
        return int(connection.recv(4096).split()[1])


@pytest.mark.parametrize("caller", ["nobody", "unknown", *Role])
def test_every_route_takes_those_whose_role_includes_its_own_and_nobody_else(served, caller):
    wrong = []
    for route in routes():
        needed = role_of(route.dependant)
        headers = {}
        if caller != "nobody":
            headers["Authorization"] = f"Bearer {served.tokens.get(caller, UNKNOWN)}"
        is_socket = isinstance(route.original_route, APIWebSocketRoute)
        for method in {"GET"} if is_socket else route.methods:
            status = status_of(served, route, method, headers)
            if route.path in {"/health", "/health/ready"}:
                expected = status == 200
            elif caller == "unknown":
                expected = status in {401, 429}
            elif needed is None:
                expected = status not in {403, 500}
            elif caller == "nobody":
                expected = status in ({403} if is_socket else {401})
            elif Role(caller).includes(needed):
                expected = status not in {401, 403, 429, 500}
            else:
                expected = status == 403
            if not expected:
                wrong.append((method, route.path, caller, needed, status))
    assert wrong == []


def test_a_lake_without_a_token_is_open_on_this_machine_until_it_gets_one(lake, serve):
    client = serve(lake)
    assert client.get("/session").json() == {"name": "owner", "role": "admin", "csrf_token": None}
    secret = lake.tokens.create("dash", "read", expires="1h").secret
    time.sleep(0.15)
    assert client.get("/datasets").status_code == 401
    assert client.get("/datasets", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    lake.tokens.revoke("dash")
    time.sleep(0.15)
    refused = client.get("/datasets", headers={"Authorization": f"Bearer {secret}"})
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert client.get("/datasets").status_code == 401, "the lake opened when its last token was revoked"


def test_a_token_that_expired_is_refused():
    with ExitStack() as stack:
        now = [10**18]
        lake = stack.enter_context(memory_lake(clock=lambda: now[0]))
        secret = lake.tokens.create("dash", "read", expires="1h").secret
        url = stack.enter_context(running(lake, ServerSettings(port=0)))
        headers = {"Authorization": f"Bearer {secret}"}
        client = stack.enter_context(httpx.Client(base_url=f"{url}/api/v1", headers=headers, verify=False))
        assert client.get("/datasets").status_code == 200
        now[0] += 3600 * 10**9
        assert client.get("/datasets").status_code == 401


def test_tokens_can_be_required_before_there_is_one_and_refused_to_be(lake, serve):
    assert serve(lake, require_token=True).get("/datasets").status_code == 401
    lake.tokens.create("dash", "read")
    assert serve(lake, require_token=False).get("/datasets").status_code == 200


@pytest.mark.parametrize("header", ["Basic dXNlcjpwYXNz", "tl_abc", "Bearer", f"Bearer {UNKNOWN} x", "bearer \xff"])
def test_what_is_no_token_is_refused_and_not_repeated(served, header):
    refused = served.client.get("/api/v1/datasets", headers={"Authorization": header.encode("latin-1")})
    assert refused.status_code in {401, 429}
    assert UNKNOWN not in refused.text


@pytest.mark.parametrize("query", ["token={0}", "access_token=x", "API_KEY=x", "search={0}", "a=b&token="])
def test_a_token_in_an_address_is_refused_and_not_repeated(served, query):
    secret = served.tokens[Role.READ]
    refused = served.get(f"/api/v1/datasets?{query.format(secret)}", secret)
    assert (refused.status_code, refused.json()["title"]) == (400, "BadInput")
    assert "Authorization: Bearer" in refused.json()["detail"]
    assert secret not in refused.text


def test_many_invalid_tokens_are_slowed_and_valid_ones_are_not(lake, serve):
    secret = lake.tokens.create("dash", "read").secret
    client = serve(lake)
    statuses = [client.get("/datasets", headers={"Authorization": f"Bearer {UNKNOWN}"}) for _ in range(25)]
    assert [answer.status_code for answer in statuses[:5]] == [401] * 5
    assert statuses[-1].status_code == 429
    assert 1 <= int(statuses[-1].headers["retry-after"]) <= 3
    assert client.get("/datasets", headers={"Authorization": f"Bearer {secret}"}).status_code == 200


def test_the_use_of_a_token_is_noted_once_in_a_while(lake, serve):
    secret = lake.tokens.create("dash", "read").secret
    client, version = serve(lake), lake.engine.catalog.database.change_number()
    for _ in range(5):
        client.get("/datasets", headers={"Authorization": f"Bearer {secret}"})
    deadline = time.monotonic() + 10
    while lake.tokens.list()[0].used_at is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert lake.engine.catalog.database.change_number() == version + 1


def test_nobody_waits_until_the_use_of_a_token_can_be_noted(tmp_path, serve):
    with open_lake(tmp_path / "lake") as lake, closing(sqlite3.connect(tmp_path / "lake" / "catalog.db")) as writer:
        headers = {"Authorization": f"Bearer {lake.tokens.create('dash', 'read').secret}"}
        client = serve(lake)
        writer.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            assert client.get("/session", headers=headers, timeout=5).status_code == 200
            time.sleep(0.05)
        assert lake.tokens.list()[0].used_at is None
        writer.rollback()


def test_a_public_address_needs_a_valid_token():
    with memory_lake() as lake:
        for public in ({"host": "0.0.0.0"}, {"host": "::"}, {"allowed_hosts": ["a.b"]}, {"proxies": ["10.0.0.1"]}):
            with pytest.raises(BadInput, match=r"other machines.*, and the lake has no valid token: make one"):
                check_public(lake, ServerSettings(**public))
        check_public(lake, ServerSettings())
        lake.tokens.create("dash", "read")
        check_public(lake, ServerSettings(host="0.0.0.0"))
        with pytest.raises(BadInput, match="require_token is false"):
            check_public(lake, ServerSettings(host="0.0.0.0", require_token=False))
        lake.tokens.revoke("dash")
        with pytest.raises(BadInput, match="no valid token"):
            check_public(lake, ServerSettings(host="0.0.0.0"))


def sign_in(served, role=Role.ADMIN):
    """The cookie of a browser that has signed in, its token against forged requests, and the answer."""
    answer = served.client.post("/login", json={"token": served.tokens[role]})
    assert answer.status_code == 200, answer.text
    cookie = answer.cookies[COOKIE]
    served.client.cookies.clear()
    return f"{COOKIE}={cookie}", answer.json()["csrf_token"], answer


def test_a_browser_signs_in_with_a_token_and_gets_a_cookie_that_no_script_reads(served):
    cookie, csrf, answer = sign_in(served, Role.READ)
    told = answer.headers["set-cookie"]
    assert served.tokens[Role.READ] not in told
    assert all(part in told for part in (f"{cookie};", "HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"))
    answer = served.get("/api/v1/session", Cookie=cookie)
    assert answer.json() == {"name": "read", "role": "read", "csrf_token": csrf}
    assert served.get("/api/v1/tokens", Cookie=cookie).status_code == 403


def test_the_form_signs_in_and_leads_to_a_page_of_this_server_alone(served):
    for next_page, leads_to in [
        ("/docs?a=b", "/docs?a=b"),
        *(
            (trap, "/")
            for trap in ("https://evil.example", "//evil.example", "/\\evil.example", "/\n/evil.example", "")
        ),
    ]:
        sent = {"token": served.tokens[Role.READ], "next": next_page}
        answer = served.client.post("/login", data=sent)
        served.client.cookies.clear()
        assert (answer.status_code, answer.headers["location"]) == (303, leads_to)
        assert COOKIE in answer.headers["set-cookie"]


def test_the_page_to_sign_in_escapes_where_it_leads(served):
    page = served.client.get("/login", params={"next": '/"><script>alert(1)</script>'})
    assert (page.status_code, "<script>" in page.text) == (200, False)
    assert "script-src 'self'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("sent", [{"json": {"token": UNKNOWN}}, {"data": {"token": UNKNOWN}}, {"json": {}}])
def test_an_invalid_token_signs_nobody_in(served, sent):
    refused = served.client.post("/login", **sent)
    assert refused.status_code in {401, 429}
    assert "set-cookie" not in refused.headers


@pytest.mark.parametrize("body", [b"[]", b"x", b"null", b'"tl"', b"\xff", b"[" * 8000])
def test_a_body_that_is_no_object_signs_nobody_in(served, body):
    refused = served.client.post("/login", content=body, headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["title"]) == (400, "BadInput")


def test_a_session_ends_with_the_sign_out(served):
    cookie, csrf, _ = sign_in(served)
    ended = served.client.post("/logout", headers={"Cookie": cookie, "X-CSRF-Token": csrf})
    assert (ended.status_code, "Max-Age=0" in ended.headers["set-cookie"]) == (204, True)
    assert served.get("/api/v1/session", Cookie=cookie).status_code == 401


def test_a_session_ends_when_its_token_is_revoked(lake, serve):
    secret = lake.tokens.create("dash", "read").secret
    client = serve(lake)
    root = str(client.base_url).removesuffix("/api/v1/")
    client.post(f"{root}/login", json={"token": secret})
    assert client.get("/session").json()["name"] == "dash"
    lake.tokens.revoke("dash")
    assert client.get("/session").status_code == 401


@pytest.mark.parametrize("csrf", [None, "", "x", "\xff", "0" * 64])
def test_a_change_with_a_cookie_needs_the_token_against_forged_requests(served, csrf):
    cookie, right, _ = sign_in(served)
    headers = {"Cookie": cookie}
    if csrf is not None:
        headers["X-CSRF-Token"] = csrf.encode("latin-1")
    body = {"name": "forged", "role": "admin"}
    refused = served.client.post("/api/v1/tokens", json=body, headers=headers)
    assert (refused.status_code, "X-CSRF-Token" in refused.json()["detail"]) == (403, True)
    of_other = {"Cookie": cookie, "X-CSRF-Token": sign_in(served)[1]}
    assert served.client.post("/api/v1/tokens", json=body, headers=of_other).status_code == 403
    own = {"Cookie": cookie, "X-CSRF-Token": right}
    assert served.client.delete("/api/v1/tokens/nobody", headers=own).status_code == 400
    assert "forged" not in [token.name for token in served.lake.tokens.list()]


def test_a_forged_session_is_nobody(served):
    for value in ("x", "", '"', "a" * 5000, "%00", "1; Path=/"):
        assert served.get("/api/v1/session", Cookie=f"{COOKIE}={value}").status_code == 401


def test_many_invented_sessions_are_not_looked_up_and_valid_ones_are(lake, serve, monkeypatch):
    looked_up = []
    token_of = SessionTable.token_of
    monkeypatch.setattr(
        SessionTable, "token_of", lambda table, digest: looked_up.append(digest) or token_of(table, digest)
    )
    secret = lake.tokens.create("dash", "read").secret
    client = serve(lake)
    root = str(client.base_url).removesuffix("/api/v1/")
    cookie = client.post(f"{root}/login", json={"token": secret}).cookies[COOKIE]
    client.cookies.clear()
    for number in range(40):
        assert client.get("/session", headers={"Cookie": f"{COOKIE}={number}"}).status_code == 401
    assert len(looked_up) < 25
    assert client.get("/session", headers={"Cookie": f"{COOKIE}={cookie}"}).status_code == 200


def test_tokens_are_made_and_revoked_over_http(lake, serve):
    admin = {"Authorization": f"Bearer {lake.tokens.create('root', 'admin').secret}"}
    client = serve(lake)
    made = client.post("/tokens", json={"name": "dash", "role": "read", "expires": "30d"}, headers=admin).json()
    dash = {"Authorization": f"Bearer {made['token']}"}
    assert client.get("/session", headers=dash).json()["name"] == "dash"
    listed = client.get("/tokens", headers=admin)
    assert [(token["name"], token["state"]) for token in listed.json()["data"]] == [
        ("root", "valid"),
        ("dash", "valid"),
    ]
    assert made["token"] not in listed.text
    assert client.delete("/tokens/dash", headers=admin).json()["revoked_at"]
    assert client.get("/session", headers=dash).status_code == 401, "the token was valid after it was revoked"
    assert client.post("/tokens", json={"name": "x", "role": "root"}, headers=admin).status_code == 400


def test_the_document_says_which_role_each_operation_needs(served):
    paths = served.get("/api/v1/openapi.json").json()["paths"]
    assert (paths["/api/v1/tokens"]["post"]["x-role"], paths["/api/v1/datasets"]["get"]["x-role"]) == ("admin", "read")
    assert paths["/api/v1/tokens"]["post"]["security"] == [{"bearer": []}]
    assert paths["/health/ready"]["get"]["security"] == []
