"""Health, metrics and the access log of a real server."""

from __future__ import annotations

import logging
import re

import pytest

from ticklake.core.time import DAY, MINUTE
from ticklake.interfaces.api.observe import HTTP_METRICS
from ticklake.interfaces.collection import Collection
from ticklake.interfaces.metrics import LAKE_METRICS
from ticklake.testing.rows import START, bars

BTC = "x:ohlcv:1m:BTC/USDT"


@pytest.fixture
def lake(lake_at):
    lake = lake_at()
    lake.save(BTC, bars(0, 3))
    return lake


def at_root(client, path):
    return client.get(str(client.base_url).removesuffix("/api/v1/") + path)


def values(text):
    """The values of a scrape by name and labels."""
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))


def test_anybody_learns_that_the_server_answers_and_nothing_else(lake, serve):
    client = serve(lake)
    assert at_root(client, "/health").json() == {"status": "ok"}
    assert at_root(client, "/health/ready").json() == {"status": "ready"}


def test_who_asks_for_health_may_send_a_token_that_is_none(lake, serve):
    client = serve(lake)
    client.headers["Authorization"] = "Bearer tl_nobody"
    assert at_root(client, "/health").status_code == 200
    assert at_root(client, "/health/ready").status_code == 200
    assert client.get("/datasets").status_code == 401


@pytest.mark.parametrize("path", ["health", "health/ready", f"api/v1/datasets/{BTC}/rows", "api/v1/datasets", "docs"])
def test_head_gives_the_headers_of_get_and_no_body(lake, serve, path):
    client = serve(lake)
    address = str(client.base_url).removesuffix("/api/v1/") + "/" + path
    got, head = client.get(address), client.head(address)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert head.headers.get("content-length") == got.headers.get("content-length")
    # The connection goes on: nothing of a body was sent.
    assert client.get(address).content == got.content


def test_head_is_for_what_get_is_for(lake, serve):
    client = serve(lake)
    assert client.head("/sql").status_code == 405
    assert client.head("/events").status_code == 405
    assert client.head("/nothing").status_code == 404
    labels = values(at_root(client, "/metrics").text)
    assert labels['ticklake_http_requests_total{method="HEAD",route="/api/v1/sql",status="405"}'] == "1.0"


def test_a_server_whose_lake_cannot_be_read_is_not_ready(lake, serve):
    client = serve(lake)
    (lake.root / "catalog.db").rename(lake.root / "catalog.db.away")
    answer = at_root(client, "/health/ready")
    assert answer.status_code == 503
    assert str(lake.root) not in answer.text
    assert at_root(client, "/health").status_code == 200


def test_health_says_which_datasets_are_stale_by_the_rule_of_alerts(lake, serve):
    lake.save("x:ohlcv:1m:ETH/USDT", bars(0, 3))
    now = lake.engine.now()
    late = (now - START) // MINUTE
    lake.save("x:ohlcv:1m:NEW/USDT", bars(late - 2, late))
    run = lake.runs.create("stream", "", {"datasets": [BTC, "x:ohlcv:1m:NEW/USDT"]})
    lake.runs.finish(run.id)
    answer = serve(lake).get("/health").json()
    assert answer["status"] == "degraded"
    assert answer["problems"] == ["1 of 2 datasets are stale"]
    assert [(each["dataset"], each["is_kept_up"], each["is_stale"]) for each in answer["data"]] == [
        (BTC, True, True),
        # Of files, whose rows are as old as they are.
        ("x:ohlcv:1m:ETH/USDT", False, False),
        ("x:ohlcv:1m:NEW/USDT", True, False),
    ]
    assert answer["data"][1]["expected_by"] is None
    assert answer["data"][0]["newest"] == "2024-01-01T00:02:00Z"
    # The bar of 00:02 ends at 00:03; the setting stale_bars is 3.
    assert answer["data"][0]["expected_by"] == "2024-01-01T00:06:00Z"
    stale = serve(lake).get("/health", params={"stale": "true"}).json()
    assert [each["dataset"] for each in stale["data"]] == [BTC]


def test_health_says_what_keeps_this_process_from_collecting_and_it_is_ready_all_the_same(lake, serve):
    client = serve(lake)
    collection = Collection(lake, lambda _job: None, lambda _text: None)
    collection.problems = lambda: ["streams cannot go on (ZeroDivisionError): see the log"]
    client.ticklake.collects(collection)
    answer = client.get("/health").json()
    assert (answer["status"], answer["problems"]) == ("degraded", collection.problems())
    assert at_root(client, "/health/ready").status_code == 200


def test_a_scrape_has_every_metric_once_and_counts_requests_by_route(lake, serve):
    client = serve(lake)
    client.get(f"/datasets/{BTC}/rows")
    client.get("/datasets/x:ohlcv:1m:NO/USDT/rows")
    at_root(client, "/some/path/that/is/not")
    text = at_root(client, "/metrics").text
    helped = re.findall(r"^# HELP (\w+)", text, flags=re.MULTILINE)
    assert set(LAKE_METRICS) | set(HTTP_METRICS) <= set(helped)
    found = values(text)
    assert found['ticklake_rows{exchange="x",kind="ohlcv"}'] == "3"
    assert found['ticklake_ingest_rows_total{result="new"}'] == "3"
    assert found["ticklake_lake_readable"] == "1"
    route = "/api/v1/datasets/{name}/rows"
    assert found[f'ticklake_http_requests_total{{method="GET",route="{route}",status="200"}}'] == "1.0"
    assert found[f'ticklake_http_requests_total{{method="GET",route="{route}",status="404"}}'] == "1.0"
    assert found['ticklake_http_requests_total{method="GET",route="none",status="404"}'] == "1.0"
    assert found[f'ticklake_http_request_seconds_bucket{{le="+Inf",route="{route}"}}'] == "2.0"


def test_a_lake_that_cannot_be_read_is_a_metric(lake, serve, monkeypatch):
    client = serve(lake)
    # Who may read metrics is known for some seconds.
    client.get("/datasets")
    (lake.root / "catalog.db").rename(lake.root / "catalog.db.away")
    found = values(at_root(client, "/metrics").text)
    assert found["ticklake_lake_readable"] == "0"
    assert "ticklake_http_requests_in_flight" in found


def test_each_request_is_a_line_of_the_log_without_its_secrets(lake, serve, caplog):
    client = serve(lake)
    with caplog.at_level(logging.INFO, "ticklake.requests"):
        client.get("/datasets", params={"search": "BTC", "api_key": "S3cr3t"})
    [record] = caplog.records
    fields = record.msg.fields
    assert record.msg.name == "request"
    # Secrets belong into headers: an address that has one is refused, and logged without it.
    assert (fields["method"], fields["path"], fields["status"]) == ("GET", "/api/v1/datasets", 400)
    assert (fields["client"], fields["query"]) == ("127.0.0.1", "?search=BTC&api_key=***")
    assert fields["ms"] > 0
    assert "S3cr3t" not in record.getMessage()


def test_a_slow_request_is_a_warning(lake, serve, caplog):
    client = serve(lake, slow=0)
    with caplog.at_level(logging.WARNING, "ticklake.requests"):
        client.get("/datasets")
    assert [record.msg.name for record in caplog.records] == ["slow request"]


def test_requests_need_not_be_logged_unless_they_are_slow_or_fail(lake, serve, caplog, monkeypatch):
    client = serve(lake, log_requests=False)
    with caplog.at_level(logging.INFO, "ticklake.requests"):
        client.get("/datasets")
        assert caplog.records == []
        monkeypatch.setattr(type(lake.engine.catalog), "version", lambda _self: 1 / 0)
        client.get("/datasets")
    assert [r.msg.fields["status"] for r in caplog.records if r.name == "ticklake.requests"] == [500]


def test_damage_that_a_request_meets_is_logged_with_its_place(lake, serve, caplog):
    lake.compact()
    lake.save("x:ohlcv:1m:BTC/USDT", bars(3, 5_000))
    [path, *_] = (lake.root / "ohlcv").rglob("*.parquet")
    path.write_bytes(b"damaged" * 100)
    client = serve(lake)
    with caplog.at_level(logging.ERROR, "ticklake.api"):
        answer = client.get(f"/datasets/{BTC}/rows")
    assert answer.status_code == 500
    assert str(lake.root) not in answer.text
    [record] = caplog.records
    assert (record.msg.name, record.msg.fields["method"]) == ("request failed", "GET")
    assert path.name in record.msg.fields["reason"]
    assert record.exc_info


def test_a_defect_is_logged_with_its_traceback_and_answered_without(lake, serve, caplog, monkeypatch):
    monkeypatch.setattr(type(lake.engine.catalog), "version", lambda _self: 1 / 0)
    client = serve(lake)
    with caplog.at_level(logging.INFO):
        answer = client.get("/datasets")
    assert answer.status_code == 500
    assert "ZeroDivisionError" not in answer.text
    assert any(record.exc_info and record.name == "uvicorn.error" for record in caplog.records)
    assert [r.msg.fields["status"] for r in caplog.records if r.name == "ticklake.requests"] == [500]


def test_the_last_backup_and_verification_are_known(lake, serve, tmp_path):
    client = serve(lake)
    assert "ticklake_last_backup_timestamp_seconds" not in values(at_root(client, "/metrics").text)
    lake.backup(tmp_path / "copy")
    lake.verify()
    found = values(at_root(client, "/metrics").text)
    now = lake.engine.now() / 1e9
    assert now - DAY / 1e9 < float(found["ticklake_last_backup_timestamp_seconds"]) <= now
    assert "ticklake_last_verify_timestamp_seconds" in found
