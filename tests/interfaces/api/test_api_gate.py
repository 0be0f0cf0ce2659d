"""What every request passes: pages of others, limits, headers of answers, names that lead elsewhere, and the audit log."""

from __future__ import annotations

import threading
import time

import httpx
import pytest

from ticklake.app import memory_lake, open_lake
from ticklake.core.audit_log import AuditEntry
from ticklake.interfaces.api import audit_writer, callers
from ticklake.interfaces.api.audit_writer import AuditWriter, together

EVIL = {"Origin": "http://evil.example"}


@pytest.fixture
def lake():
    with memory_lake() as lake:
        yield lake


def make(client, **headers):
    """What changes something, and needs nothing else than the right to do it."""
    return client.post("/tokens", json={"name": "made", "role": "read"}, headers=headers)


def names(lake):
    return [token.name for token in lake.tokens.list()]


# Pages of others, on a machine whose lake has no token


def test_a_page_of_others_changes_nothing(lake, serve):
    client = serve(lake)
    for forged in (
        EVIL,
        {"Origin": "null"},
        {"Origin": f"http://localhost:{client.base_url.port + 1}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ):
        refused = make(client, **forged)
        assert (refused.status_code, refused.json()["title"]) == (403, "NotAllowed"), forged
    assert names(lake) == []


def test_a_form_of_others_changes_nothing(lake, serve):
    """Browsers send such bodies without asking; old ones say nothing of the page."""
    client, body = serve(lake), '{"name": "made", "role": "read"}'
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "TEXT/PLAIN;a=b",
    ):
        refused = client.post("/tokens", content=body, headers={"Content-Type": kind})
        assert (refused.status_code, refused.json()["title"]) == (415, "UnsupportedMediaType"), kind
    assert client.post("/tokens", content=body).status_code == 415
    assert names(lake) == []


def test_pages_of_others_read_nothing(lake, serve):
    client = serve(lake)
    answer = client.get("/datasets", headers=EVIL)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}
    assert client.get("/datasets", headers=embedded).status_code == 403
    assert client.options("/datasets", headers=EVIL).status_code == 403


def test_own_pages_and_programs_are_served(lake, serve):
    client = serve(lake)
    own = f"http://127.0.0.1:{client.base_url.port}"
    assert make(client, Origin=own, **{"Sec-Fetch-Site": "same-origin"}).status_code == 201


def test_an_allowed_origin_reads_and_is_not_sent_cookies(lake, serve):
    origin = {"Origin": "https://dash.example"}
    client = serve(lake, allowed_origins=["https://dash.example"])
    answer = client.get("/datasets", headers={**origin, "Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://dash.example")
    assert "access-control-allow-credentials" not in answer.headers
    asked = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    assert client.options("/tokens", headers=asked).status_code == 200
    assert client.get("/datasets", headers=EVIL).status_code == 403
    assert client.options("/tokens", headers={**asked, **EVIL}).status_code == 400


def test_a_configured_name_is_answered(lake, serve):
    client = serve(lake, allowed_hosts=["lake.example.com"])
    assert client.get("/session", headers={"Host": "lake.example.com"}).status_code == 200
    assert client.get("/session", headers={"Host": "other.example.com"}).status_code == 400


# What comes from a proxy


def test_an_address_in_a_header_is_believed_of_proxies_alone(lake, serve):
    forwarded = {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https"}
    client = serve(lake)
    assert make(client, **forwarded).status_code == 201
    secret = lake.tokens.create("dash", "admin").secret
    behind = serve(lake, proxies=["127.0.0.1"])
    assert "Secure" in behind.post(login(behind), json={"token": secret}, headers=forwarded).headers["set-cookie"]
    assert "Secure" not in client.post(login(client), json={"token": secret}, headers=forwarded).headers["set-cookie"]
    time.sleep(0.3)
    assert [entry.address for entry in reversed(lake.admin.audit_log())] == ["127.0.0.1", "9.9.9.9", "127.0.0.1"]


# Limits


def test_more_requests_than_the_rate_are_told_when_to_come_again(lake, serve):
    client = serve(lake, rate=2)
    # On a busy machine they take longer, and some more are allowed.
    answers = [client.get("/session") for _ in range(30)]
    assert [answer.status_code for answer in answers[:2]] == [200] * 2
    last = next(answer for answer in answers if answer.status_code != 200)
    assert (last.status_code, last.json()["title"], last.json()["retriable"]) == (429, "TooManyRequests", True)
    assert last.headers["retry-after"] == "1"
    time.sleep(0.6)
    assert client.get("/session").status_code == 200


def test_callers_have_limits_of_their_own(lake, serve):
    tokens = [{"Authorization": f"Bearer {lake.tokens.create(name, 'read').secret}"} for name in ("a", "b")]
    client = serve(lake, rate=2)
    assert 429 in {client.get("/session", headers=tokens[0]).status_code for _ in range(30)}
    assert client.get("/session", headers=tokens[1]).status_code == 200


def test_more_requests_at_the_same_time_than_allowed_are_refused(lake, serve, monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(lake.tokens, "list", lambda: go_on.wait(5) and [])
    client = serve(lake, at_once=2)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(client.get("/tokens").status_code)) for _ in range(2)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 5
    while client.get("/session").status_code != 429:
        assert time.monotonic() < deadline
    go_on.set()
    for thread in threads:
        thread.join()
    assert answers == [200, 200]
    assert client.get("/session").status_code == 200


def test_a_body_of_nobody_is_not_read(lake, serve):
    secret = lake.tokens.create("dash", "read").secret
    client = serve(lake)

    def endless():
        while True:
            yield b" " * 1000
            time.sleep(0.01)

    json_type = {"Content-Type": "application/json"}
    assert client.post("/tokens", content=endless(), headers=json_type).status_code == 401
    assert client.post(login(client), content=b" " * 9000, headers=json_type).status_code == 413
    assert client.post("/datasets/x:trades:A%2FB/rows", content=b"[]", headers=json_type).status_code == 401
    reader = {**json_type, "Authorization": f"Bearer {secret}"}
    refused = client.post("/imports", content=endless(), headers=reader)
    assert (refused.status_code, "uploads need collect" in refused.json()["detail"]) == (403, True)
    assert client.post("/sql", content=b" " * (1024**2 + 1), headers=reader).status_code == 413


# Answers


def test_every_answer_is_protected(lake, serve):
    client = serve(lake)
    for path in ("/session", "/datasets", "/nowhere", "/datasets/x/rows", "/datasets?version=x", login(client)):
        check_protection(client.get(path))


def login(client):
    return f"{str(client.base_url).removesuffix('/api/v1/')}/login"


def check_protection(answer):
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'; style-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    told = {name: answer.headers[name] for name in ("x-content-type-options", "referrer-policy", "cache-control")}
    assert told == {"x-content-type-options": "nosniff", "referrer-policy": "same-origin", "cache-control": "no-store"}
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in answer.headers


def test_an_unexpected_error_tells_nothing_and_is_protected(lake, serve, monkeypatch):
    def fail():
        raise RuntimeError("/secret/path tl_0123456789012345678901234567890")

    monkeypatch.setattr(lake.tokens, "list", fail)
    answer = serve(lake).get("/tokens")
    assert (answer.status_code, answer.json()["title"]) == (500, "InternalError")
    assert not any(word in answer.text for word in ("secret", "tl_", "Traceback", "RuntimeError", ".py"))
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_catalog_that_cannot_be_read_lets_nobody_in_and_tells_nothing(tmp_path, serve):
    with open_lake(tmp_path / "lake") as lake:
        client = serve(lake)
        (tmp_path / "lake" / "catalog.db").rename(tmp_path / "moved.db")
        answer = client.get("/session")
        (tmp_path / "moved.db").rename(tmp_path / "lake" / "catalog.db")
        assert (answer.status_code, answer.json()["title"]) == (503, "CatalogReplaced")
        assert str(tmp_path) not in answer.text
        assert client.get("/session").status_code == 200


def test_a_token_counts_for_a_while_when_the_catalog_cannot_be_read(tmp_path, serve, monkeypatch):
    """Otherwise nobody could ask what is wrong."""
    with open_lake(tmp_path / "lake") as lake:
        token = {"Authorization": f"Bearer {lake.tokens.create('dash', 'read').secret}"}
        client = serve(lake)
        assert client.get("/session", headers=token).status_code == 200
        (tmp_path / "lake" / "catalog.db").rename(tmp_path / "moved.db")
        time.sleep(0.15)
        assert client.get("/session", headers=token).status_code == 200
        assert client.get("/session").status_code == 401
        monkeypatch.setattr(callers, "_KNOWN_WITHOUT_CATALOG", 0.1)
        assert client.get("/session", headers=token).status_code == 503
        (tmp_path / "moved.db").rename(tmp_path / "lake" / "catalog.db")


# Names that lead elsewhere


TRAPS = [
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%5c..%5cetc%5cpasswd",
    "%252e%252e%252fetc%252fpasswd",
    "%2fetc%2fpasswd",
    "x:trades:..%2F..%2Fetc",
    "x:trades:A%00B",
    "x:ohlcv@..%2F..:1h:A%2FB",
    "..:trades:A",
    "%ff%fe",
    "a%0d%0aSet-Cookie:x=1",
    "';DROP TABLE datasets;--",
    "x:trades:A' OR '1'='1",
    "%F0%9F%92%A9",
    "a" * 3000,
]


def test_no_name_leads_out_of_the_lake(tmp_path, serve):
    (tmp_path / "secret.txt").write_text("root:x:0:0")
    with open_lake(tmp_path / "lake") as lake:
        client = serve(lake)
        for trap in TRAPS:
            for path in (f"/datasets/{trap}/rows", f"/tokens/{trap}", f"/{trap}", f"/datasets?search={trap}"):
                for method in ("GET", "DELETE"):
                    answer = client.send(httpx.Request(method, httpx.URL(f"{client.base_url}".rstrip("/") + path)))
                    assert answer.status_code < 500, (method, path, answer.text)
                    assert not any(word in answer.text for word in ("root:", str(tmp_path), "Traceback", "sqlite"))
                    assert "set-cookie" not in answer.headers
        assert lake.datasets() == []
        made = {path.name for path in tmp_path.rglob("*")}
    assert {name for name in made if not name.startswith("catalog.db")} == {"lake", "secret.txt"}


# The audit log


def logged(lake, count):
    deadline = time.monotonic() + 5
    while len(entries := lake.admin.audit_log()) < count:
        assert time.monotonic() < deadline, entries
        time.sleep(0.02)
    return entries[::-1]


def test_what_is_changed_is_written_down_with_who_did_it(lake, serve):
    root = lake.tokens.create("root", "admin").secret
    client = serve(lake)
    client.headers["Authorization"] = f"Bearer {root}"
    client.get("/datasets")
    make(client)
    client.delete("/tokens/nobody")
    made, failed = logged(lake, 2)
    assert (made.caller, made.role, made.address) == ("root", "admin", "127.0.0.1")
    assert (made.method, made.path, made.status, made.detail) == ("POST", "/api/v1/tokens", 201, "token made, read")
    assert (failed.method, failed.path, failed.status) == ("DELETE", "/api/v1/tokens/nobody", 400)
    listed = client.get("/audit", params={"limit": 1}).json()
    assert listed["data"][0]["path"] == "/api/v1/tokens/nobody"
    assert client.get("/audit", params={"before": listed["next"]}).json()["data"][0]["path"] == "/api/v1/tokens"


def test_the_job_that_a_request_made_is_written_down(lake, serve):
    client = serve(lake)
    job = client.post("/jobs", json={"operation": "compact"}).json()["id"]
    [made] = logged(lake, 1)
    assert (made.caller, made.status, made.detail) == ("owner", 201, f"job {job}: compact all datasets")


def test_what_a_terminal_would_obey_is_written_down_as_text(lake, serve):
    lake.tokens.create("root", "admin")
    client = serve(lake)
    client.get("/datasets/%1b]0;owned%07/rows")
    [refused] = logged(lake, 1)
    assert refused.path == "/api/v1/datasets/%1B%5D0;owned%07/rows"


def test_refusals_are_written_down_without_what_was_sent(lake, serve):
    secret = lake.tokens.create("root", "admin").secret
    client = serve(lake)
    client.get(f"/datasets?token={secret}")
    client.get(f"/{secret}")
    client.get("/datasets", headers={"Authorization": f"Bearer {secret}x"})
    client.post(login(client), json={"token": secret + "x"})
    entries = logged(lake, 2)
    assert {(entry.caller, entry.status) for entry in entries} == {("", 401)}
    assert secret not in repr(entries)
    assert secret not in repr(lake.engine.catalog.database.fetch)


def test_refusals_that_are_alike_are_counted():
    deed = AuditEntry(1, "a", "admin", "::1", "POST", "/x", 201)
    refusal = AuditEntry(2, "", "", "::1", "GET", "/y", 401)
    other = AuditEntry(3, "", "", "::2", "GET", "/y", 401)
    assert [(entry.at, entry.count) for entry in together([deed, refusal, deed, refusal, other, refusal])] == [
        (1, 1),
        (2, 3),
        (1, 1),
        (3, 1),
    ]


class Log:
    def __init__(self):
        self.entries = []

    def add(self, entries):
        self.entries += entries


def test_what_was_written_before_the_end_is_kept():
    log = Log()
    writer = AuditWriter(log, lambda: 5)
    for number in range(2000):
        writer.write(AuditEntry(number, "a", "admin", "::1", "POST", "/x", 201))
    writer.close()
    assert [entry.at for entry in log.entries] == list(range(2000))


def test_refusals_do_not_fill_the_memory_while_the_log_cannot_be_written(monkeypatch):
    monkeypatch.setattr(audit_writer, "_MOST_WAITING", 100)
    go_on = threading.Event()

    class Stuck(Log):
        def add(self, entries):
            go_on.wait(5)
            super().add(entries)

    log = Stuck()
    writer = AuditWriter(log, lambda: 5)
    for number in range(1000):
        writer.write(AuditEntry(number, "", "", str(number), "GET", "/x", 401))
    writer.write(AuditEntry(1, "a", "admin", "::1", "POST", "/x", 201))
    go_on.set()
    writer.close()
    assert len(log.entries) < 900
    assert log.entries[-1].caller == "a"
