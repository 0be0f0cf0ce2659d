"""Stored files as they are, for clients that read them as the lake does."""

from __future__ import annotations

import io

import polars as pl
import pytest

from ticklake.app import memory_lake, open_lake
from ticklake.core.dataset import Dataset
from ticklake.core.span import ALL_TIME
from ticklake.core.time import format_time
from ticklake.testing.rows import START, trades

TRADES = "binance:trades:BTC/USDT"
MANY = 20_000


@pytest.fixture
def lake(tmp_path):
    with open_lake(tmp_path / "lake") as lake:
        lake.save(TRADES, trades(0, MANY))
        yield lake


def plan_of(client, **parameters):
    return client.get(f"/datasets/{TRADES}/segments", params=parameters).json()


def test_a_stored_file_comes_as_it_is(lake, serve):
    client = serve(lake)
    plan = plan_of(client)
    (part,) = plan["parts"]
    answer = client.get(f"/segments/{part['segment']}", params={"version": plan["version"]})
    (segment,) = lake.engine.store.view(Dataset.parse(TRADES), ALL_TIME).segments
    assert answer.content == (lake.root / segment.path).read_bytes()
    assert (part["rows"], part["bytes"]) == (MANY, len(answer.content))
    assert pl.read_parquet(io.BytesIO(answer.content)).height == MANY


def test_edges_and_inline_rows_are_to_be_asked_for(lake, serve):
    client = serve(lake)
    lake.save(TRADES, trades(MANY + 10, MANY + 20))
    whole, inline = plan_of(client)["parts"]
    assert whole["segment"] is not None
    assert inline["segment"] is None
    (cut,) = plan_of(client, start=format_time(START + 1))["parts"]
    assert cut["segment"] is None


def test_few_rows_of_no_whole_file_come_at_once(lake, serve):
    client = serve(lake)
    span = {"start": format_time(START + 1), "end": format_time(START + 10**10), "columns": "id,ts"}
    accepts = {"Accept": "application/json, application/vnd.apache.arrow.stream"}
    answer = client.get(f"/datasets/{TRADES}/segments", params=span, headers=accepts)
    assert pl.read_ipc_stream(answer.content).equals(
        lake.load(TRADES, span["start"], span["end"], columns=["id", "ts"])
    )
    assert answer.headers["ticklake-version"] == str(lake.engine.catalog.version())
    assert "parts" in client.get(f"/datasets/{TRADES}/segments", headers=accepts).json()


@pytest.mark.parametrize(
    ("header", "status", "first", "last"),
    [("bytes=0-3", 206, 0, 4), ("bytes=-8", 206, -8, None), ("bytes=100-", 206, 100, None), ("bytes=0-1,4-5", 200, 0, None), ("lines=1-2", 200, 0, None)],
)  # fmt: skip
def test_a_range_of_a_file_may_be_asked_for(lake, serve, header, status, first, last):
    client = serve(lake)
    plan = plan_of(client)
    path, version = f"/segments/{plan['parts'][0]['segment']}", {"version": plan["version"]}
    whole = client.get(path, params=version).content
    answer = client.get(path, params=version, headers={"Range": header})
    assert (answer.status_code, answer.content) == (status, whole[first:last])


@pytest.mark.parametrize("header", ["bytes=99999999-", "bytes=9-2", "bytes=-0"])
def test_a_range_that_the_file_does_not_have_is_refused(lake, serve, header):
    client = serve(lake)
    plan = plan_of(client)
    path = f"/segments/{plan['parts'][0]['segment']}?version={plan['version']}"
    answer = client.get(path, headers={"Range": header})
    assert (answer.status_code, answer.json()["title"]) == (416, "RangeNotSatisfiable")
    assert answer.headers["content-range"] == f"bytes */{plan['parts'][0]['bytes']}"


def test_only_segments_of_the_version_are_given_out(lake, serve):
    client = serve(lake)
    segment, before = plan_of(client)["parts"][0]["segment"], lake.engine.catalog.version()
    lake.delete(TRADES)
    assert client.get(f"/segments/{segment}", params={"version": before}).status_code == 200
    for name, version in [(segment, before + 1), ("../catalog.db", before), ("nothing", before)]:
        answer = client.get(f"/segments/{name}", params={"version": version})
        assert answer.status_code == 404
    lake.vacuum(0)
    assert client.get(f"/segments/{segment}", params={"version": before + 1}).json()["title"] == "MissingSegment"


def test_files_in_memory_are_given_out_too(serve):
    with memory_lake() as lake:
        lake.save(TRADES, trades(0, MANY))
        client = serve(lake)
        plan = plan_of(client)
        answer = client.get(f"/segments/{plan['parts'][0]['segment']}", params={"version": plan["version"]})
        assert len(answer.content) == plan["parts"][0]["bytes"]
