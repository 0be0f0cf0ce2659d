from __future__ import annotations

import pytest

from ticklake.app import memory_lake

BARS = "binance:ohlcv:1h:BTC/USDT"


@pytest.fixture
def lake():
    with memory_lake() as lake:
        rows = [
            {"ts": f"2024-01-01T0{hour}:00:00Z", "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 9.0}
            for hour in range(5)
        ]
        lake.save(BARS, rows)
        yield lake


def test_datasets_are_listed_with_the_version(lake, serve):
    answer = serve(lake).get("/datasets").json()
    assert answer["version"] == lake.engine.catalog.version()
    assert [row["dataset"] for row in answer["data"]] == [BARS]


def test_rows_are_those_of_the_lake(lake, serve):
    answer = serve(lake).get(f"/datasets/{BARS}/rows", params={"start": "2024-01-01T02:00:00Z", "columns": "ts,close"})
    assert answer.json() == {
        "rows": 3,
        "complete": True,
        "next": None,
        "version": lake.engine.catalog.version(),
        "condition": "unknown",
        "datasets": [BARS],
        "data": [{"ts": f"2024-01-01T0{hour}:00:00Z", "close": 1.5} for hour in (2, 3, 4)],
    }


def test_rows_are_of_the_version_that_is_asked_for(lake, serve):
    client, before = serve(lake), lake.engine.catalog.version()
    lake.delete(BARS, "2024-01-01", "2024-01-02")
    assert client.get(f"/datasets/{BARS}/rows").json()["rows"] == 0
    assert client.get(f"/datasets/{BARS}/rows", params={"version": before}).json()["rows"] == 5


@pytest.mark.parametrize(
    ("path", "status", "title", "words"),
    [
        ("/datasets/binance:ohlcv:1h:BTC/USD/rows", 404, "UnknownDataset", "BTC/USDT"),
        (f"/datasets/{BARS}/rows?start=yesterday-ish", 400, "InvalidTime", "yesterday-ish"),
        (f"/datasets/{BARS}/rows?last=0", 400, "BadInput", "last"),
        (f"/datasets/{BARS}/rows?version=1&at=2024-01-01", 400, "BadInput", "give one of them"),
        ("/nowhere", 404, "NotFound", "/docs"),
    ],
)
def test_errors_are_problems_in_plain_words(lake, serve, path, status, title, words):
    answer = serve(lake).get(path)
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (answer.status_code, told["status"], told["title"]) == (status, status, title)
    assert words in told["detail"]


def test_a_version_that_was_vacuumed_is_gone(lake, serve):
    first = lake.engine.catalog.version()
    lake.delete(BARS, "2024-01-01", "2024-01-02")
    lake.vacuum("0s")
    answer = serve(lake).get(f"/datasets/{BARS}/rows", params={"version": first})
    assert (answer.status_code, answer.json()["title"]) == (410, "VersionGone")
