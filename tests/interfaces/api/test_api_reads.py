"""Every reading route answers what the verb of the lake returns."""

from __future__ import annotations

import csv
import json

import httpx
import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.config import ServerSettings
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import HOUR, MINUTE, parse_time
from ticklake.interfaces.schema import to_json

from .conftest import running

START = parse_time("2024-01-01")
NOW = parse_time("2024-01-01T12:00:00Z")
BARS = "binance:ohlcv:1m:BTC/USDT"
TRADES = "binance:trades:BTC/USDT"
QUOTES = "binance:quotes:BTC/USDT"


def fill(lake):
    minutes = [START + number * MINUTE for number in range(180) if not 30 <= number < 40]
    bars = [{"ts": ts, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 9.0} for ts in minutes]
    looks = [
        Covered(Span(START, START + 30 * MINUTE)),
        Covered(Span(START + 30 * MINUTE, START + 40 * MINUTE), Found.LOST, "too many"),
        Covered(Span(START + 40 * MINUTE, START + 180 * MINUTE)),
    ]
    lake.engine.append(Dataset.parse(BARS), bars, Provenance("binance", "fetch_ohlcv"), looks)
    lake.save("binance:ohlcv:1m:ETH/USDT", bars[:60])
    lake.save(BARS, [{**bars[0], "close": 1.25}, {**bars[1], "high": 0.1}])
    trades = [
        {"ts": START + number * MINUTE, "price": 100.0 + number, "amount": 1.0, "side": "buy", "id": str(number)}
        for number in range(120)
    ]
    lake.save(TRADES, trades)
    quotes = [
        {"ts": START + number * MINUTE, "bid_price": 99.0, "bid_amount": 1.0, "ask_price": 101.0, "ask_amount": 1.0}
        for number in range(121)
    ]
    lake.save(QUOTES, quotes)
    levels = [("bid", 99.0), ("bid", 98.0), ("ask", 101.0), ("ask", 102.0)]
    lake.save(
        "binance:book:BTC/USDT",
        [
            {"ts": START + number, "seq": number + 1, "side": side, "price": price, "amount": 1.0, "is_snapshot": True}
            for number in range(2)
            for side, price in levels
        ],
    )
    lake.features.register("momentum", "v1", ["ret"], description="return")
    lake.features.write(
        "momentum", "v1", pl.DataFrame({"ts": [START], "symbol": ["BTC/USDT"], "ret": [0.5]}), exchange="binance"
    )
    lake.derive("hours", BARS, "1h")
    lake.derived.refresh()


@pytest.fixture(scope="module")
def served():
    with memory_lake(clock=lambda: NOW) as lake:
        with pytest.warns(match="refused"):
            fill(lake)
        with running(lake, ServerSettings(port=0)) as url, httpx.Client(base_url=f"{url}/api/v1", timeout=10) as client:
            yield lake, client


DAY = {"start": "2024-01-01", "end": "2024-01-02"}
SPAN = {"start": "2024-01-01", "end": "2024-01-01T02:00:00Z"}
MARKET = {"exchange": "binance", "symbol": "BTC/USDT"}
SERIES = {**MARKET, "start": "2024-01-01", "end": "2024-01-01T00:00:03Z"}
READS = [
    (f"/datasets/{BARS}/condition", DAY, lambda lake: lake.condition(BARS, *DAY.values())),
    (f"/datasets/{BARS}/gaps", {}, lambda lake: lake.gaps(BARS)),
    (f"/datasets/{BARS}/gaps", {"quick": True, **SPAN}, lambda lake: lake.gaps(BARS, *SPAN.values(), quick=True)),
    (f"/datasets/{BARS}/missing", {}, lambda lake: lake.missing_intervals(BARS)),
    (f"/datasets/{BARS}/coverage", {}, lambda lake: lake.coverage(BARS)),
    (f"/datasets/{BARS}/quality", SPAN, lambda lake: lake.quality(BARS, *SPAN.values())),
    (f"/datasets/{BARS}/quality/trend", {}, lambda lake: lake.quality_trend(BARS)),
    (f"/datasets/{BARS}/continuity", {}, lambda lake: lake.continuity(BARS)),
    (f"/datasets/{BARS}/provenance", {}, lambda lake: lake.provenance(BARS)),
    (f"/datasets/{BARS}/provenance/files", {}, lambda lake: lake.provenance_by_file(BARS)),
    (f"/datasets/{BARS}/latest", {"count": 3}, lambda lake: lake.latest(BARS, 3)),
    (f"/datasets/{BARS}/estimate", SPAN, lambda lake: lake.estimate(BARS, *SPAN.values())),
    (f"/datasets/{BARS}/resample", {"rule": "1h"}, lambda lake: lake.resample(BARS, "1h")),
    (f"/datasets/{TRADES}/resample", {"rule": "10ticks"}, lambda lake: lake.resample(TRADES, "10ticks")),
    (f"/datasets/{TRADES}/asof", {"right": QUOTES}, lambda lake: lake.asof(TRADES, QUOTES)),
    (
        f"/datasets/{TRADES}/markout",
        {"against": QUOTES, "offsets": "-1m,1m", "unit": "bps"},
        lambda lake: lake.markout(TRADES, QUOTES, offsets=["-1m", "1m"], unit="bps"),
    ),
    (
        "/panel",
        {"exchange": "binance", "symbols": "BTC/USDT,ETH/USDT", "timeframe": "1m", **SPAN},
        lambda lake: lake.panel("binance", ["BTC/USDT", "ETH/USDT"], "1m", "close", *SPAN.values()),
    ),
    (
        "/panel",
        {"exchange": "binance", "symbols": "*", "timeframe": "1m", "column": "open,close", "wide": False},
        lambda lake: lake.panel("binance", "*", "1m", ["open", "close"], wide=False),
    ),
    (
        "/book",
        {**MARKET, "at": str(START + 1), "depth": 1},
        lambda lake: lake.book("binance", "BTC/USDT", START + 1, 1),
    ),
    ("/books", SERIES, lambda lake: lake.books("binance", "BTC/USDT", "2024-01-01", "2024-01-01T00:00:03Z").collect()),
    (
        "/books",
        {**MARKET, "every": "message", "depth": 1, "wide": True},
        lambda lake: lake.books("binance", "BTC/USDT", every=None, depth=1, wide=True).collect(),
    ),
    (
        "/books/stats",
        {**SERIES, "depths": "1,2"},
        lambda lake: lake.book_stats("binance", "BTC/USDT", SERIES["start"], SERIES["end"], depths=[1, 2]).collect(),
    ),
    (
        "/books/imbalances",
        {**SERIES, "windows": "1s"},
        lambda lake: lake.imbalances("binance", "BTC/USDT", SERIES["start"], SERIES["end"], windows=["1s"]).collect(),
    ),
    (
        "/frame",
        {**MARKET, "at": "2024-01-01T01:00:00Z"},
        lambda lake: lake.frame("binance", "BTC/USDT", "2024-01-01T01:00:00Z"),
    ),
    ("/features", {}, lambda lake: lake.features.list()),
    ("/features/momentum@v1", {}, lambda lake: lake.features.describe("momentum", "v1", statistics=False)),
    ("/features/momentum@v1/rows", {}, lambda lake: lake.features.read("momentum", "v1")),
    ("/features/momentum@v1/latest", {}, lambda lake: lake.features.latest("momentum", "v1")),
    ("/derived", {}, lambda lake: lake.derived.list()),
    ("/derived/hours", {}, lambda lake: lake.derived.get("hours")),
    ("/symbols", {"exchange": "binance"}, lambda lake: lake.instruments.list("binance")),
    ("/stats", {}, lambda lake: lake.stats()),
]


@pytest.mark.parametrize(("path", "parameters", "verb"), READS, ids=[path for path, *_ in READS])
def test_an_answer_is_that_of_the_verb(served, path, parameters, verb):
    lake, client = served
    answer = client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == json.loads(json.dumps(to_json(verb(lake))))


OF_NO_VERSION = ("/stats", "/derived", "/derived/hours", "/symbols")
OF_VERSIONS = [read[:2] for read in READS if read[0] not in OF_NO_VERSION and "latest" not in read[0]]


@pytest.mark.parametrize(("path", "parameters"), OF_VERSIONS, ids=[path for path, _ in OF_VERSIONS])
def test_an_answer_says_of_which_version_it_is(served, path, parameters):
    lake, client = served
    newest = client.get(path, params=parameters).json()
    assert newest["version"] == lake.engine.catalog.version()
    pinned = client.get(path, params={**parameters, "version": newest["version"]}).json()
    assert pinned["data"] == newest["data"]


def test_a_dataset_is_described(served):
    _, client = served
    described = client.get(f"/datasets/{BARS}").json()["data"]
    assert described["columns"][0] == {
        "name": "ts",
        "type": "Datetime(time_unit='ns', time_zone='UTC')",
        "required": True,
        "unit": "ns since 1970-01-01T00:00:00Z",
        "description": "When the bar opens.",
    }
    assert (described["rows"], described["condition"]) == (170, "gaps")
    assert [piece["found"] for piece in described["coverage"]] == ["data", "lost"]


def test_gaps_are_summed_up_and_come_in_pages(served):
    _, client = served
    page = client.get(f"/datasets/{BARS}/gaps", params={"limit": 1}).json()
    assert (page["rows"], page["total"], page["complete"]) == (1, 1, True)
    assert page["summary"] == [{"reason": "lost", "is_missing": True, "holes": 1, "missing": 10}]


def test_changed_and_refused_rows_are_told(served):
    _, client = served
    changed = client.get(f"/datasets/{BARS}/revisions").json()
    assert (changed["rows"], changed["complete"]) == (1, True)
    assert json.loads(changed["data"][0]["after"])["close"] == 1.25
    refused = client.get("/quarantine").json()["data"]
    assert [(row["dataset"], row["reason"]) for row in refused] == [(BARS, "high_below_low")]
    of_one = client.get(f"/datasets/{BARS}/quarantine").json()["data"]
    assert [{"dataset": BARS, **row} for row in of_one] == refused


def test_changes_are_followed_from_version_to_version(served):
    lake, client = served
    seen, since = [], 0
    while since is not None:
        page = client.get("/changes", params={"since": since, "limit": 2}).json()
        seen += [(change["version"], change["dataset"]) for change in page["data"]]
        since = page["next"]
    assert seen == [(change.version, str(change.dataset)) for change in lake.changes_since(0)]
    assert client.get("/version").json()["version"] == lake.engine.catalog.version()


def test_frames_of_many_instants_come_in_one_answer(served):
    lake, client = served
    instants = ["2024-01-01T01:00:00Z", START + HOUR * 2]
    answer = client.post("/frames", json={**MARKET, "instants": instants, "timeframes": ["1m"]})
    assert answer.status_code == 200, answer.text
    frames = lake.frames("binance", "BTC/USDT", instants)
    assert answer.json()["data"] == [json.loads(json.dumps(to_json(frame))) for frame in frames]


def test_exchanges_and_proofs_are_listed(served):
    _, client = served
    assert "binance" in client.get("/exchanges", params={"search": "binance"}).json()["data"]
    assert {"exchange", "kind", "by", "blind"} == client.get("/proofs").json()["data"][0].keys()


@pytest.mark.parametrize("form", ["csv", "arrow", "parquet", "ndjson"])
def test_series_of_books_come_in_every_format(served, form):
    _, client = served
    answer = client.get("/books", params={**SERIES, "format": form})
    assert (answer.status_code, answer.headers["ticklake-rows"]) == (200, "12")


def test_lists_are_searched_sorted_and_paged(served):
    _, client = served
    answer = client.get(
        "/datasets", params={"search": "btc", "kind": "ohlcv", "sort": "rows", "descending": True}
    ).json()
    assert [row["dataset"] for row in answer["data"]] == [BARS]
    page = client.get("/datasets", params={"sort": "rows", "limit": 2, "offset": 1}).json()
    everything = client.get("/datasets", params={"sort": "rows"}).json()
    assert page["data"] == everything["data"][1:3]
    assert (page["rows"], page["total"], page["complete"]) == (2, everything["rows"], False)


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/panel", {"exchange": "binance", "symbols": "*", "timeframe": "1m"}),
        (f"/datasets/{TRADES}/asof", {"right": QUOTES}),
        (f"/datasets/{TRADES}/markout", {"against": QUOTES}),
    ],
)
def test_what_would_need_too_many_rows_in_memory_is_refused_before_one_is_read(served, serve, path, parameters):
    client = serve(served[0], input_rows=100)
    refused = client.get(path, params=parameters)
    assert refused.status_code == 400
    assert "ask for a shorter span" in refused.json()["detail"]
    short = client.get(path, params={**parameters, "end": "2024-01-01T00:10:00Z"})
    assert (short.status_code, short.json()["rows"]) == (200, 10)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (f"/datasets/{TRADES}/rows?limit=1&colums=ts", "no parameter 'colums' (did you mean 'columns'?)"),
        (f"/datasets/{TRADES}/rows?from=2024-01-01", "no parameter 'from'"),
        ("/datasets?strat=1", "no parameter 'strat'"),
        (f"/datasets/{TRADES}/rows?limit=1&limit=2", "'limit' is there twice"),
        ("/events?nothing", "no parameter 'nothing'"),
        ("/frames?tolerance=1", "this address has"),
    ],
)
def test_a_parameter_that_an_address_does_not_have_is_refused(served, address, words):
    answer = served[1].post(address, json={}) if address.startswith("/frames") else served[1].get(address)
    assert (answer.status_code, answer.json()["title"]) == (400, "BadInput")
    assert words in answer.json()["detail"]


def test_a_list_is_one_cell_of_csv(served):
    _, client = served
    answer = client.get("/features", params={"format": "csv"})
    (row,) = csv.DictReader(answer.text.splitlines())
    assert (row["name"], row["columns"]) == ("momentum", "ret")
