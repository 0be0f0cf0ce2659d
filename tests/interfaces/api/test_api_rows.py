"""Rows over HTTP: every format, pages that are exact, and streams that never end early without a word."""

from __future__ import annotations

import io
import json

import httpx
import polars as pl
import pytest

from ticklake.app import memory_lake, open_lake
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import parse_time
from ticklake.errors import CorruptSegment

TRADES = "binance:trades:BTC/USDT"
START = parse_time("2024-01-01")


def trades(times, first=0):
    return [
        {"ts": ts, "price": 100.0 + number, "amount": 0.5, "side": "buy", "id": str(number)}
        for number, ts in enumerate(times, first)
    ]


@pytest.fixture
def lake():
    with memory_lake() as lake:
        # Eleven trades of three instants, in two segments that overlap.
        lake.save(TRADES, trades([START, *[START + 1] * 7, START + 2]))
        lake.save(TRADES, trades([START + 1, START + 1], first=9))
        yield lake


def rows_path(name=TRADES):
    return f"/datasets/{name}/rows"


@pytest.mark.parametrize("at_once", [1, 1 << 18])
def test_pages_hold_each_row_once_however_many_share_an_instant(lake, serve, monkeypatch, at_once):
    monkeypatch.setattr("ticklake.query.pages.AT_ONCE", at_once)
    monkeypatch.setattr("ticklake.query.pages.STREAM_ROWS", at_once)
    client, whole = serve(lake), lake.load(TRADES)
    for limit in (1, 2, 3, 7, 11):
        ids, parameters = [], {"limit": limit, "columns": "id"}
        while True:
            page = client.get(rows_path(), params=parameters).json()
            ids += [row["id"] for row in page["data"]]
            assert page["complete"] == (page["next"] is None)
            assert len(page["data"]) == page["rows"] <= limit
            if page["complete"]:
                break
            parameters["cursor"] = page["next"]
        assert ids == whole["id"].to_list()


def test_pages_are_of_one_version_whoever_writes_meanwhile(lake, serve):
    client, before = serve(lake), lake.load(TRADES)["id"].to_list()
    first = client.get(rows_path(), params={"limit": 4}).json()
    lake.save(TRADES, trades([START, START + 1, START + 3], first=50))
    lake.compact()
    rest = client.get(rows_path(), params={"limit": 100, "cursor": first["next"]}).json()
    assert [row["id"] for row in first["data"] + rest["data"]] == before
    assert first["version"] == rest["version"] < lake.engine.catalog.version()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"cursor": "nonsense"}, "send back what 'next' was"),
        ({"cursor": "ä" * 40}, "send back what 'next' was"),
        ({"columns": "id"}, "another request"),
        ({"version": 1}, "leave one out"),
        ({"last": 3}, "leave out limit and cursor"),
    ],
)
def test_a_cursor_goes_with_its_request(lake, serve, parameters, words):
    client = serve(lake)
    cursor = client.get(rows_path(), params={"limit": 2}).json()["next"]
    answer = client.get(rows_path(), params={"limit": 2, "cursor": cursor, **parameters})
    assert answer.status_code == 400
    assert words in answer.json()["detail"]


def parsed(answer, form):
    match form:
        case "ndjson":
            return pl.DataFrame(list(map(json.loads, answer.text.splitlines())))
        case "csv":
            return pl.read_csv(io.BytesIO(answer.content), schema_overrides={"id": pl.String})
        case "arrow":
            return pl.read_ipc_stream(io.BytesIO(answer.content))
        case "parquet":
            return pl.read_parquet(io.BytesIO(answer.content))


@pytest.mark.parametrize("form", ["ndjson", "csv", "arrow", "parquet"])
@pytest.mark.parametrize("rows", [0, 11])
def test_every_format_has_the_rows_and_says_what_they_are(lake, serve, form, rows):
    parameters = {"format": form, "columns": "ts,id,price", "times": "ns"}
    if not rows:
        parameters["end"] = "2023-01-01"
    answer = serve(lake).get(rows_path(), params=parameters)
    assert answer.status_code == 200
    facts = {
        name: answer.headers.get(f"ticklake-{name}") for name in ("rows", "complete", "next", "version", "condition")
    }
    assert facts == {"rows": str(rows), "complete": "true", "next": None, "version": "2", "condition": "unknown"}
    if form == "ndjson" and not rows:
        assert answer.content == b""
        return
    frame = parsed(answer, form)
    wanted = lake.load(TRADES, columns=["ts", "id", "price"]).head(rows)
    if form in ("arrow", "parquet"):
        assert frame.equals(wanted)
    else:
        assert frame.columns == wanted.columns
        assert frame.rows() == wanted.with_columns(pl.col("ts").to_physical()).rows()


def test_accept_chooses_the_format(lake, serve):
    client = serve(lake)
    kinds = {
        "text/csv": "text/csv; charset=utf-8",
        "application/x-ndjson;q=0.5, application/vnd.apache.arrow.stream": "application/vnd.apache.arrow.stream",
        "text/html,*/*;q=0.1": "application/json",
    }
    assert {
        accept: client.get(rows_path(), headers={"Accept": accept}).headers["content-type"] for accept in kinds
    } == kinds
    refused = client.get(rows_path(), headers={"Accept": "image/png"})
    assert (refused.status_code, refused.json()["title"]) == (406, "NotAcceptable")


def test_json_may_have_a_list_for_each_column(lake, serve):
    answer = serve(lake).get(rows_path(), params={"layout": "columns", "columns": "ts,id", "last": 2, "times": "ns"})
    assert answer.json()["data"] == {"ts": [START + 1, START + 2], "id": ["10", "8"]}


def test_formulas_are_escaped_on_request(lake, serve):
    lake.save(TRADES, [{"ts": START + 9, "price": 1.0, "amount": 1.0, "side": "buy", "id": "=1+1"}])
    client = serve(lake)
    parameters = {"format": "csv", "columns": "id", "start": str(START + 9)}
    assert client.get(rows_path(), params=parameters).text == "id\n=1+1\n"
    assert client.get(rows_path(), params={**parameters, "safe": True}).text == "id\n'=1+1\n"


def test_several_symbols_come_in_one_answer(lake, serve):
    lake.save("binance:trades:ETH/USDT", trades([START + 1, START + 2]))
    client = serve(lake)
    parameters = {"exchange": "BINANCE", "symbols": "ETH/USDT,BTC/USDT", "schema": "trades", "columns": "id"}
    first = client.get("/rows", params={**parameters, "limit": 2}).json()
    assert [row["symbol"] for row in first["data"]] == ["ETH/USDT"] * 2
    rest = client.get("/rows", params={**parameters, "cursor": first["next"]}).json()
    assert [(row["symbol"], row["id"]) for row in rest["data"]] == [
        ("BTC/USDT", id_) for id_ in lake.load(TRADES)["id"]
    ]
    assert rest["complete"]
    csv = client.get("/rows", params={**parameters, "format": "csv"})
    assert csv.headers["ticklake-rows"] == "13"
    assert len(csv.text.splitlines()) == 14


@pytest.mark.parametrize("form", ["json", "csv", "arrow"])
def test_what_a_client_has_already_is_not_sent_again(lake, serve, form):
    client = serve(lake)
    first = client.get(rows_path(), params={"format": form})
    seen = {"If-None-Match": first.headers["etag"]}
    again = client.get(rows_path(), params={"format": form}, headers=seen)
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(rows_path(), params={"format": form, "last": 1}, headers=seen).status_code == 200
    # Another dataset changes nothing of this one.
    lake.save("binance:trades:ETH/USDT", trades([START]))
    assert client.get(rows_path(), params={"format": form}, headers=seen).status_code == 304
    # Not a row is new, but it is known now that there are no others.
    lake.engine.append(Dataset.parse(TRADES), [], Provenance("binance"), [Covered(Span(START, START + 10))])
    looked_at = client.get(rows_path(), params={"format": form}, headers=seen)
    assert looked_at.headers["ticklake-condition"] == "complete"
    lake.save(TRADES, trades([START + 5], first=70))
    assert client.get(rows_path(), params={"format": form}, headers=seen).status_code == 200


def test_more_rows_than_an_answer_may_have_are_refused(lake, serve):
    client = serve(lake, page_rows=3, most_rows=5)
    assert client.get(rows_path()).json()["rows"] == 3
    assert client.get(rows_path(), params={"limit": 5}).json()["rows"] == 5
    refused = client.get(rows_path(), params={"limit": 6})
    assert refused.status_code == 400
    assert "ask for ndjson" in refused.json()["detail"]
    assert len(client.get(rows_path(), params={"format": "ndjson"}).text.splitlines()) == 11


MANY = 70_000


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    with open_lake(tmp_path_factory.mktemp("large") / "lake") as lake:
        ts = pl.int_range(START, START + MANY * 1000, 1000, eager=True)
        frame = pl.DataFrame({"ts": ts.cast(pl.Datetime("ns", "UTC")), "price": 1.0, "amount": 2.0, "side": "buy"})
        lake.save(TRADES, frame.with_columns(id=ts.cast(pl.String)))
        lake.compact()
        yield lake


@pytest.fixture
def in_chunks(monkeypatch):
    """Read in chunks what a server would read at once."""
    monkeypatch.setattr("ticklake.query.pages.AT_ONCE", 1)


@pytest.mark.parametrize("form", ["ndjson", "csv", "arrow", "parquet"])
def test_many_rows_are_streamed(large, serve, in_chunks, form):
    answer = serve(large).get(rows_path(), params={"format": form, "columns": "ts,id", "times": "ns"})
    assert "content-length" not in answer.headers
    assert answer.headers["ticklake-rows"] == str(MANY)
    assert parsed(answer, form)["id"].to_list() == large.load(TRADES)["id"].to_list()


def test_an_error_in_the_middle_of_a_stream_cuts_the_connection(large, serve, in_chunks, monkeypatch):
    from ticklake.query import pages

    whole = pages.chunks_of

    def broken(*arguments):
        chunks = whole(*arguments)
        yield next(chunks)
        raise CorruptSegment("a block is not what was written")

    monkeypatch.setattr(pages, "chunks_of", broken)
    with serve(large).stream("GET", rows_path(), params={"format": "csv"}) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()


def test_an_error_before_the_first_row_is_a_problem(large, serve, in_chunks, monkeypatch):
    from ticklake.query import pages

    def broken(*_arguments):
        raise CorruptSegment("a block is not what was written")
        yield

    monkeypatch.setattr(pages, "chunks_of", broken)
    answer = serve(large).get(rows_path(), params={"format": "arrow"})
    assert (answer.status_code, answer.json()["title"]) == (500, "CorruptSegment")


def test_an_answer_from_memory_says_the_newest_version(lake, serve):
    client = serve(lake)
    parameters = {"limit": 4}
    first = client.get(rows_path(), params=parameters)
    lake.save("binance:trades:ETH/USDT", trades([START]))
    again = client.get(rows_path(), params=parameters)
    assert again.headers["etag"] == first.headers["etag"]
    assert again.json()["data"] == first.json()["data"]
    assert again.json()["version"] == lake.engine.catalog.version() == first.json()["version"] + 1
    # Its cursor goes on in that version, too.
    rest = client.get(rows_path(), params={"limit": 100, "cursor": again.json()["next"]}).json()
    assert (rest["rows"], rest["version"]) == (7, lake.engine.catalog.version())


def test_answers_are_kept_up_to_their_budget():
    from ticklake.interfaces.api.answer_cache import AnswerCache

    answers = AnswerCache(80)
    for number in range(20):
        answers.add(str(number), number, 10)
        assert answers.size <= 80
    assert answers.get("19") == 19
    assert answers.get("0") is None
    answers.add("large", 1, 11)
    assert answers.get("large") is None


def test_an_old_version_is_read_of_a_dataset_that_is_gone(lake, serve):
    client, version = serve(lake), lake.engine.catalog.version()
    first = client.get(rows_path(), params={"limit": 4}).json()
    lake.drop(TRADES)
    assert client.get(rows_path()).status_code == 404
    assert client.get(rows_path(), params={"version": version}).json()["rows"] == 11
    rest = client.get(rows_path(), params={"limit": 100, "cursor": first["next"]}).json()
    assert (rest["rows"], rest["version"]) == (7, version)


def test_a_cursor_goes_on_after_a_rename(lake, serve):
    client = serve(lake)
    first = client.get(rows_path(), params={"limit": 4}).json()
    lake.rename(TRADES, "binance:trades:XBT/USDT")
    rest = client.get(rows_path(), params={"limit": 100, "cursor": first["next"]}).json()
    assert rest["rows"] == 7


def test_the_condition_of_the_newest_rows_is_theirs(serve):
    hours = [parse_time(f"2024-01-01T0{hour}:00:00Z") for hour in range(6)]
    with memory_lake(clock=lambda: hours[5]) as lake:
        name = "binance:ohlcv:1h:BTC/USDT"
        bars = [{"ts": ts, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 9.0} for ts in hours[:5]]
        looks = [Covered(Span(hours[0], hours[1])), Covered(Span(hours[2], hours[5]))]
        lake.engine.append(Dataset.parse(name), [bars[0], *bars[2:]], Provenance("binance"), looks)
        client = serve(lake)
        whole = client.get(rows_path(name))
        newest = client.get(rows_path(name), params={"last": 2})
        assert (whole.json()["condition"], newest.json()["condition"]) == ("gaps", "complete")
        # Coverage can change without a row.
        lake.engine.want(Dataset.parse(name), Span(hours[5], parse_time("2024-01-01T08:00:00Z")))
        again = client.get(rows_path(name), params={"last": 2}, headers={"If-None-Match": newest.headers["etag"]})
        assert (again.status_code, again.json()["condition"]) == (200, "pending")


def test_derived_rows_have_the_condition_of_what_they_are_made_of(lake, serve):
    lake.engine.append(Dataset.parse(TRADES), [], Provenance("binance"), [Covered(Span(START, START + 10**15))])
    lake.derive("seconds", TRADES, "1s")
    lake.derived.refresh()
    (derived,) = [str(dataset) for dataset in lake.datasets("@seconds")]
    answer = serve(lake).get(rows_path(derived)).json()
    assert (answer["rows"], answer["condition"]) == (1, "complete")
