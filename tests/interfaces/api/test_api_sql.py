"""POST /sql over real HTTP: answers in every format, limits, and clients that go away."""

from __future__ import annotations

import io
import json
import os
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.config import ServerSettings, SqlSettings
from ticklake.core.time import HOUR
from ticklake.testing.rows import bars

from .conftest import running

ENDLESS = "with recursive t as (select 1 a union all select a + 1 from t) select count(*) from t where a < 0"
ROWS = "select ts, symbol, close from ohlcv where symbol = $symbol order by ts"


@pytest.fixture(scope="module")
def lake():
    with memory_lake() as lake:
        lake.save("x:ohlcv:1h:BTC/USDT", bars(0, 30, interval=HOUR))
        lake.save("x:ohlcv:1h:ETH/USDT", bars(0, 10, interval=HOUR))
        yield lake


@pytest.fixture(scope="module")
def client(lake):
    with ExitStack() as stack:
        sql = SqlSettings(rows=20, seconds=5, at_once=2)
        url = stack.enter_context(running(lake, ServerSettings(port=0, most_rows=15), sql))
        yield stack.enter_context(httpx.Client(base_url=f"{url}/api/v1", timeout=20))


def ask(client, query, params=None, limit=None, **words):
    body = {"query": query, "params": params, "limit": limit}
    return client.post("/sql", json={name: value for name, value in body.items() if value is not None}, params=words)


def test_an_answer_has_the_envelope_of_rows(lake, client):
    answer = ask(client, ROWS, {"symbol": "ETH/USDT"})
    assert answer.status_code == 200
    facts = answer.json()
    rows = facts.pop("data")
    version = lake.engine.catalog.version()
    assert facts == {"rows": 10, "complete": True, "next": None, "version": version, "condition": None, "note": ""}
    assert rows[1] == {"ts": "2024-01-01T01:00:00Z", "symbol": "ETH/USDT", "close": bars(1, 2)["close"][0]}
    assert answer.headers["Ticklake-Rows"] == "10"


def test_an_answer_comes_in_every_format(lake, client):
    expected = lake.sql(ROWS, {"symbol": "ETH/USDT"}).pl()

    def get(form):
        answer = ask(client, ROWS, {"symbol": "ETH/USDT"}, format=form)
        assert (answer.status_code, answer.headers["Ticklake-Complete"]) == (200, "true")
        return answer.content

    assert pl.read_ipc_stream(io.BytesIO(get("arrow"))).equals(expected)
    assert pl.read_parquet(io.BytesIO(get("parquet"))).equals(expected)
    assert get("csv").decode().splitlines()[0] == "ts,symbol,close"
    assert len([json.loads(line) for line in get("ndjson").splitlines()]) == 10


def test_an_answer_that_is_cut_says_so_in_every_format(client):
    answer = ask(client, ROWS, {"symbol": "BTC/USDT"}).json()
    assert (answer["rows"], answer["complete"]) == (15, False)
    assert "15 rows" in answer["note"]
    answer = ask(client, ROWS, {"symbol": "BTC/USDT"}, limit=3).json()
    assert (answer["rows"], answer["complete"], len(answer["data"])) == (3, False, 3)
    answer = ask(client, ROWS, {"symbol": "BTC/USDT"}, format="csv")
    assert answer.headers["Ticklake-Complete"] == "false"
    assert "20 rows" in answer.headers["Ticklake-Note"]
    assert len(answer.text.splitlines()) == 21


@pytest.mark.parametrize("form", ["json", "csv", "parquet"])
def test_every_type_is_written_in_every_format(client, form):
    types = (
        "[1, 2] l, {'a': [date '2024-01-01']} s, map {'a': 1} m, 'x'::blob b, time '12:00' t, interval 1 day i, null n"
    )
    answer = ask(client, f"select {types}, 1.5::decimal(5, 2) d, [interval 1 day] p, 12::hugeint h", format=form)
    assert answer.status_code == 200, answer.text
    if form == "csv":
        assert answer.text.splitlines()[1].startswith('"[1,2]","{""a"":[""2024-01-01""]}",')


def test_an_older_version_is_asked_for(lake, client):
    before = lake.engine.catalog.version()
    lake.save("x:ohlcv:1h:NEW/USDT", bars(0, 5, interval=HOUR))
    count = "select count(*) as n from ohlcv"
    assert ask(client, count).json()["data"] == [{"n": 45}]
    answer = ask(client, count, version=before).json()
    assert (answer["data"], answer["version"]) == ([{"n": 40}], before)


@pytest.mark.parametrize(
    ("body", "status", "title", "words"),
    [
        ({"query": "select * from tradez"}, 400, "InvalidQuery", "did you mean 'trades'"),
        ({"query": "copy ohlcv to '/tmp/out.csv'"}, 400, "InvalidQuery", "only SELECT"),
        ({"query": "select * from read_text('/etc/passwd')"}, 400, "InvalidQuery", "no files"),
        ({"query": "select ['x'::blob] as a"}, 400, "InvalidQuery", "arrow or parquet"),
        ({"query": "select 'infinity'::timestamp as a"}, 400, "InvalidQuery", "infinity"),
        ({"query": ""}, 400, "BadInput", "query"),
        ({"sql": "select 1"}, 400, "BadInput", "query"),
        ({"query": "select 1", "params": [[1]]}, 400, "BadInput", "params"),
        ({"query": "select $a", "params": {"b": 1}}, 400, "InvalidQuery", "a"),
    ],
)
def test_mistakes_are_problems(client, body, status, title, words):
    answer = client.post("/sql", json=body)
    problem = answer.json()
    assert (answer.status_code, problem["title"]) == (status, title)
    assert words in problem["detail"]


def children():
    """The processes that this one has started and that run."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] not in "ZX":
            found.add(int(path.parent.name))
    return found


def running_hot():
    """Those of them that compute: the query, and not the process that waits for the next one."""
    return {pid for pid in children() if (Path(f"/proc/{pid}/wchan").exists() and _is_busy(pid))}


def _is_busy(pid):
    def used():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    try:
        before = used()
        time.sleep(0.1)
        return used() - before >= 3
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are seen in /proc")
def test_a_client_that_goes_away_ends_its_query(lake):
    with (
        running(lake, ServerSettings(port=0), SqlSettings(seconds=60)) as url,
        httpx.Client(base_url=f"{url}/api/v1", timeout=20) as client,
    ):
        ask(client, "select 1")
        with pytest.raises(httpx.ReadTimeout):
            client.post("/sql", json={"query": ENDLESS}, timeout=0.7)
        deadline = time.monotonic() + 3
        while running_hot() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not running_hot()
        assert ask(client, "select 1 as a").json()["data"] == [{"a": 1}]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are seen in /proc")
def test_no_process_is_left_when_the_server_ends(lake):
    before = children()
    with running(lake, ServerSettings(port=0)) as url:
        httpx.post(f"{url}/api/v1/sql", json={"query": "select 1"}, timeout=20)
        assert children() > before
    deadline = time.monotonic() + 5
    while children() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children() <= before


def test_queries_wait_for_their_turn_and_too_many_are_refused(lake, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    from ticklake.interfaces.api import queries

    monkeypatch.setattr(queries, "_WAITING", 3)
    with (
        running(lake, ServerSettings(port=0), SqlSettings(seconds=0.3, at_once=1)) as url,
        httpx.Client(base_url=f"{url}/api/v1", timeout=20) as client,
        ThreadPoolExecutor(6) as pool,
    ):
        answers = list(pool.map(lambda _: ask(client, ENDLESS), range(6)))
    statuses = sorted(answer.status_code for answer in answers)
    assert set(statuses) == {413, 429}
    assert statuses.count(413) >= 3
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["Retry-After"]) >= 1
