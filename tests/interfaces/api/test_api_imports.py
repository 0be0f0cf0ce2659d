"""Files that are uploaded, looked at, and imported as confirmed."""

from __future__ import annotations

import gzip
import io
import zipfile

import pytest

from ticklake.app import open_lake

CSV = b"Date,Open,High,Low,Close,Volume\n2024-01-01 00:00,1,2,0.5,1.5,9\n2024-01-01 01:00,1,2,0.5,1.5,9\n"
BARS = "x:ohlcv:1h:BTC/USDT"


@pytest.fixture
def lake(tmp_path):
    with open_lake(tmp_path / "lake") as lake:
        yield lake


@pytest.fixture
def http(lake, serve):
    return serve(lake, max_upload=100_000, max_unpacked=1_000_000)


def upload(http, body, filename="bars.csv", **parameters):
    headers = {"Content-Type": "application/octet-stream"}
    return http.post("/imports", content=body, headers=headers, params={"filename": filename, **parameters})


def good(answer, status=200):
    assert answer.status_code == status, answer.text
    return answer.json()


def refused(answer, status, words):
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]


def waiting(lake):
    folder = lake.root / "uploads"
    return sorted(path.name for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []


def test_a_file_is_looked_at_first_and_imported_with_the_confirmed_mapping(lake, http):
    seen = good(upload(http, gzip.compress(CSV), "bars.csv.gz", dataset=BARS), 201)
    (report,) = seen["reports"]
    assert (report["path"], report["state"], "without a zone" in report["note"]) == ("bars.csv.gz", "refused", True)
    assert (lake.stats().rows, waiting(lake)) == (0, ["bars.csv.gz"])
    path = f"/imports/{seen['id']}"
    shifted = {"dataset": BARS, "mapping": {"zone": "Europe/Berlin"}}
    (report,) = good(http.post(path, json={**shifted, "dry_run": True}))["reports"]
    assert (report["state"], report["format"], report["rows"]) == ("planned", "csv.gz", 2)
    assert (report["mapping"]["columns"]["ts"], report["first"]) == ("Date", "2023-12-31T23:00:00Z")
    assert good(http.post(path, json=shifted))["reports"][0]["new"] == 2
    assert waiting(lake) == []
    refused(http.post(path, json=shifted), 404, "no upload")
    (run,) = lake.runs.list()
    assert (run.subject, run.parameters, run.state) == ("bars.csv.gz", {"paths": ["bars.csv.gz"]}, "succeeded")


def test_a_recorded_capture_is_imported(recorded, lake, serve):
    path = recorded / "ws_rec" / "UPBIT.jsonl.zst"
    http = serve(lake)
    seen = good(upload(http, path.read_bytes(), path.name), 201)
    assert {report["state"] for report in seen["reports"]} == {"planned"}
    done = good(http.post(f"/imports/{seen['id']}", json={}))
    assert sum(report["new"] for report in done["reports"]) == lake.stats().rows > 0
    assert done["reports"][0]["channels"]


def test_a_file_that_does_not_say_what_it_is_waits_for_the_answer(lake, http):
    body = CSV.replace(b":00,1", b":00Z,1")
    seen = good(upload(http, body), 201)
    refused(http.post(f"/imports/{seen['id']}", json={}), 400, "of which dataset")
    assert good(http.post(f"/imports/{seen['id']}", json={"dataset": BARS}))["reports"][0]["new"] == 2


PATHS = [
    "../bars.csv",
    "/etc/bars.csv",
    "a/b.csv",
    "..",
    ".",
    ".hidden",
    "a\\b.csv",
    "a\x00b",
    "",
    " ",
    "x" * 300,
    "c:d",
]


def test_a_name_is_never_a_path(lake, http):
    for name in PATHS:
        refused(upload(http, CSV, name), 400, "filename")
        assert waiting(lake) == []


IDS = ["0" * 32, "x", "..", "%2e%2e", "..%2f..%2fcatalog.db", "0" * 31 + "%0a"]


def test_an_id_is_never_a_path(lake, http):
    for number in IDS:
        assert http.post(f"/imports/{number}", json={}).status_code in (400, 404, 405)
        assert http.delete(f"/imports/{number}").status_code in (400, 404, 405)
        assert (lake.root / "catalog.db").is_file()


def zipped(*members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


BOMBS = [
    (gzip.compress(b"1,2,3\n" * 1_000_000), "bomb.csv.gz"),
    (gzip.compress(gzip.compress(b"1,2,3\n" * 4_000_000)), "bomb.csv.gz.gz"),
    (zipped(*[(f"{n}.csv", b"1,2,3\n" * 50_000) for n in range(5)]), "bomb.zip"),
]


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_read(lake, http):
    for body, name in BOMBS:
        refused(upload(http, body, name), 400, "unpacks to more than 1,000,000 bytes")
        assert waiting(lake) == []


def test_a_table_whose_rows_would_not_fit_is_refused(lake, http):
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table({"ts": pa.array([0] * 200_000)}), buffer)
    refused(upload(http, buffer.getvalue(), "bars.parquet"), 400, "200,000 rows")


def test_a_file_that_is_too_large_leaves_nothing_behind(lake, http):
    refused(upload(http, b"x" * 200_000), 413, "larger than 100,000 bytes")

    def pieces():
        for _ in range(20):
            yield b"x" * 10_000

    headers = {"Content-Type": "application/octet-stream"}
    answer = http.post("/imports", content=pieces(), headers=headers, params={"filename": "x.csv"})
    refused(answer, 413, "larger than 100,000 bytes")
    assert waiting(lake) == []


def test_uploads_are_limited_forgotten_when_told_and_after_a_day(lake, http, monkeypatch):
    from ticklake.interfaces.api import uploads

    monkeypatch.setattr(uploads, "MOST", 2)
    first, second = (good(upload(http, CSV, dataset=BARS), 201)["id"] for _ in range(2))
    refused(upload(http, CSV), 400, "2 uploads wait already")
    assert http.delete(f"/imports/{first}").status_code == 204
    good(upload(http, CSV), 201)
    monkeypatch.setattr(uploads, "KEPT", -1.0)
    good(upload(http, CSV), 201)
    refused(http.post(f"/imports/{second}", json={"dataset": BARS}), 404, "no upload")


def test_what_is_no_data_is_reported_as_such(http):
    (report,) = good(upload(http, b"<html>no</html>", "page.csv"), 201)["reports"]
    assert (report["state"], report["refused"], "web page" in report["note"]) == ("refused", True, True)
