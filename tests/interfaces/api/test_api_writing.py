"""Rows that are sent, removed and renamed over HTTP; feature sets and rules."""

from __future__ import annotations

import io
import json

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ticklake.app import memory_lake
from ticklake.core.time import parse_time

TRADES = "x:trades:BTC/USDT"
RECORDS = [
    {"ts": f"2024-01-01T00:00:0{n}Z", "id": f"t{n}", "price": 1.5 + n, "amount": 2.0, "side": "buy"} for n in range(3)
]


@pytest.fixture
def lake():
    with memory_lake() as lake:
        yield lake


@pytest.fixture
def http(lake, serve):
    return serve(lake)


def frame():
    return pl.DataFrame(RECORDS).with_columns(pl.col("ts").str.to_datetime(time_unit="ns", time_zone="UTC"))


def as_arrow(rows=None, **options):
    buffer = io.BytesIO()
    (frame() if rows is None else rows).write_ipc_stream(buffer, **options)
    return buffer.getvalue()


def as_parquet():
    buffer = io.BytesIO()
    frame().write_parquet(buffer)
    return buffer.getvalue()


BODIES = {
    "application/json": json.dumps(RECORDS).encode(),
    "application/json; charset=utf-8": json.dumps({"data": RECORDS}).encode(),
    "application/JSON": json.dumps({name: [row[name] for row in RECORDS] for name in RECORDS[0]}).encode(),
    "application/x-ndjson": "\n".join(map(json.dumps, RECORDS)).encode(),
    "text/csv": pl.DataFrame(RECORDS).write_csv().encode(),
    "application/vnd.apache.arrow.stream": as_arrow(),
    "application/vnd.apache.parquet": as_parquet(),
}


def good(answer, status=200):
    assert answer.status_code == status, answer.text
    return answer.json()


def refused(answer, status, words):
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]


def sent(http, body, kind="application/json", name=TRADES, **parameters):
    return http.post(f"/datasets/{name}/rows", content=body, headers={"Content-Type": kind}, params=parameters)


def test_rows_are_saved_in_each_format_and_the_same_again_changes_nothing(lake, http):
    receipts = [good(sent(http, body, kind))["data"] for kind, body in BODIES.items()]
    assert [(each["received"], each["new"], each["duplicate"]) for each in receipts] == [(3, 3, 0), *[(3, 0, 3)] * 6]
    assert lake.load(TRADES, columns=["id", "price"]).rows() == [("t0", 1.5), ("t1", 2.5), ("t2", 3.5)]


def test_where_rows_came_from_is_kept_and_refused_rows_are_said(lake, http):
    body = json.dumps([*RECORDS, {**RECORDS[0], "id": "t9", "price": -1}]).encode()
    receipt = good(sent(http, body, source="mine", note="by hand"))["data"]
    assert (receipt["new"], receipt["quarantined"]) == (3, 1)
    assert sum(receipt["reasons"].values()) == 1
    origin = lake.provenance(TRADES, "2024-01-01T00:00:00Z")
    assert "mine" in str(origin)


NO_ROWS = [
    (b"{", "application/json", 400, "no JSON"),
    (b"[" * 100_000, "application/json", 400, "no JSON"),
    (b'"text"', "application/json", 400, "no rows"),
    (b'[{"ts": NaN}]', "application/json", 400, "no JSON"),
    (b'[{"ts": "2024-01-01", "prize": 1}]', "application/json", 400, "prize"),
    (b'{"a": 1}\n{', "application/x-ndjson", 400, "line 2"),
    (b"\xff\xfe\n1", "text/csv", 400, "column"),
    (b"ARROW1", "application/vnd.apache.arrow.stream", 400, "no Arrow stream"),
    (b"PAR1", "application/vnd.apache.parquet", 400, "no Parquet"),
    (as_arrow(compression="zstd"), "application/vnd.apache.arrow.stream", 400, "compressed"),
    (b"x", "application/xml", 415, "application/xml"),
    (b"[" + b" " * 17_000_000 + b"]", "application/json", 413, "larger"),
]


def test_what_is_no_rows_is_refused_and_nothing_is_saved(lake, http):
    for body, kind, status, words in NO_ROWS:
        refused(sent(http, body, kind), status, words)
        assert lake.stats().rows == 0


def test_rows_that_a_small_body_would_unpack_to_are_counted_first(http):
    # 30 million nulls take no bytes in Arrow, and a few in Parquet.
    nulls = as_arrow(pl.DataFrame({"ts": pl.Series([None], dtype=pl.Null)}))
    table = pa.table({"ts": pa.nulls(30_000_000)})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert len(nulls) < len(sink.getvalue()) + 1_000_000
    refused(sent(http, sink.getvalue(), "application/vnd.apache.arrow.stream"), 400, "more than 1,000,000 rows")
    packed = io.BytesIO()
    pq.write_table(pa.table({"ts": pa.array([0] * 2_000_000)}), packed)
    refused(sent(http, packed.getvalue(), "application/vnd.apache.parquet"), 400, "2,000,000 rows")


def test_rows_are_removed_and_datasets_renamed_and_dropped_after_a_dry_run(lake, http):
    lake.save(TRADES, RECORDS)
    path = f"/datasets/{TRADES}"
    span = {"start": "2024-01-01T00:00:01Z"}
    refused(http.delete(f"{path}/rows"), 400, "from when to when")
    assert good(http.delete(f"{path}/rows", params={**span, "dry_run": True}))["rows"] == 2
    in_ns = {name: str(parse_time(text)) for name, text in span.items()}
    assert good(http.delete(f"{path}/rows", params={**in_ns, "dry_run": True}))["rows"] == 2
    assert good(http.delete(f"{path}/rows", params=span)) == {"dataset": TRADES, "rows": 2, "dry_run": False}
    new = "x:trades:ETH/USDT"
    assert good(http.post(f"{path}/rename", json={"new": new, "dry_run": True}))["rows"] == 1
    assert good(http.post(f"{path}/rename", json={"new": new})) == {
        "old": TRADES,
        "new": new,
        "rows": 1,
        "dry_run": False,
    }
    assert good(http.delete(f"/datasets/{new}", params={"dry_run": True}))["rows"] == 1
    assert good(http.delete(f"/datasets/{new}"))["rows"] == 1
    assert lake.datasets() == []
    refused(http.delete(f"/datasets/{new}"), 404, new)


def test_feature_sets_are_declared_written_and_deleted(lake, http):
    body = {"name": "momentum", "version": "v3", "columns": {"ret_5m": ["float64", "1", "log return"]}, "tags": ["a"]}
    assert good(http.post("/features", json=body), 201)["data"]["name"] == "momentum"
    refused(http.post("/features", json={**body, "columns": {"x": "float64"}}), 409, "columns")
    rows = json.dumps([{"ts": "2024-01-01T00:00:00Z", "ret_5m": 0.5}]).encode()
    answer = http.post(
        "/features/momentum@v3/rows",
        content=rows,
        params={"symbol": "BTC/USDT"},
        headers={"Content-Type": "application/json"},
    )
    assert good(answer)["data"]["new"] == 1
    assert lake.features.read("momentum", "v3")["ret_5m"].to_list() == [0.5]
    good(http.post("/features/momentum@v3/deprecate"))
    assert good(http.delete("/features/momentum@v3", params={"dry_run": True}))["rows"] == 1
    assert good(http.delete("/features/momentum@v3"))["rows"] == 1
    refused(http.delete("/features/other@v1"), 404, "other@v1")


def test_rules_are_declared_refreshed_by_a_job_and_dropped(lake, http):
    lake.save(TRADES, RECORDS)
    body = {"name": "from_trades", "inputs": ["x:trades:*"], "rule": "1m"}
    assert good(http.post("/derived", json=body), 201)["data"]["rule"] == "1m"
    job = good(http.post("/derived/from_trades/refresh", json={}), 201)
    lake.jobs.worker().run(once=True)
    assert good(http.get(f"/jobs/{job['id']}"))["outcome"].startswith("1 rows new")
    assert good(http.delete("/derived/from_trades"))["done"] == 1
    refused(http.post("/derived/from_trades/refresh", json={}), 404, "from_trades")
