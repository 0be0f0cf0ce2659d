"""One table in every format and packing comes in as the same rows; what is no table is refused."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
import zstandard

from ticklake import Mapping
from ticklake.app import memory_lake
from ticklake.core.time import MINUTE, parse_time
from ticklake.files import decompress, inspect, readers
from ticklake.lake import Lake

DATASET = "nyse:trades:AIR/EUR"
START = parse_time("2024-01-02")
ROWS = pl.DataFrame(
    {
        "timestamp": [(START + step * MINUTE) // 10**6 for step in range(500)],
        "id": [f"t{step}" for step in range(500)],
        "price": [100 + step / 8 for step in range(500)],
        "amount": [1.5 + step for step in range(500)],
        "side": ["buy" if step % 3 else "sell" for step in range(500)],
    }
)


@pytest.fixture
def lake() -> Iterator[Lake]:
    with memory_lake(clock=lambda: parse_time("2026-01-01")) as lake:
        yield lake


def written(write: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


FORMATS: dict[str, bytes] = {
    "csv": ROWS.write_csv().encode(),
    "csv with CRLF and a BOM": b"\xef\xbb\xbf" + ROWS.write_csv(line_terminator="\r\n").encode(),
    "csv with quotes": ROWS.write_csv(quote_style="always").encode(),
    "csv without a last newline": ROWS.write_csv().encode().rstrip(b"\n"),
    "tsv": ROWS.write_csv(separator="\t").encode(),
    "semicolons": ROWS.write_csv(separator=";").encode(),
    "json of records": json.dumps(ROWS.to_dicts()).encode(),
    "json in an envelope": json.dumps({"code": 0, "result": {"trades": ROWS.to_dicts()}}).encode(),
    "json of columns": json.dumps(ROWS.to_dict(as_series=False)).encode(),
    "ndjson": ROWS.write_ndjson().encode(),
    "parquet": written(ROWS.write_parquet),
    "feather": written(ROWS.write_ipc),
    "compressed feather": written(lambda buffer: ROWS.write_ipc(buffer, compression="zstd")),
}


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.csv", data)
    return buffer.getvalue()


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "zst": zstandard.ZstdCompressor().compress,
    "zip": zipped,
    "zip of gz": lambda data: zipped(gzip.compress(data)),
    "gz twice": lambda data: gzip.compress(gzip.compress(data)),
}


def assert_same(lake: Lake, path: Path) -> None:
    (done,) = lake.import_files(path, DATASET)
    assert not done.refused, done.problems
    assert (done.rows, done.new, done.problems) == (500, 500, ())
    rows = lake.load(DATASET)
    want = ROWS.select(ts=(pl.col("timestamp") * 10**6), id="id", price="price", amount="amount", side="side")
    assert rows.with_columns(pl.col("ts").to_physical()).select(want.columns).equals(want)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_told_from_its_content(name, lake, tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(FORMATS[name])
    assert_same(lake, path)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_packings_are_taken_off(packing, name, lake, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(PACKINGS[packing](FORMATS[name]))
    assert_same(lake, path)


@pytest.mark.parametrize("name", ["csv", "ndjson"])
def test_chunks_make_no_difference(name, lake, tmp_path, monkeypatch):
    """Big files are read in pieces of whole lines."""
    monkeypatch.setattr(readers, "CHUNK", 1_000)
    monkeypatch.setattr(readers.parts_of, "__defaults__", (1_000,))
    path = tmp_path / "data"
    path.write_bytes(FORMATS[name])
    assert_same(lake, path)


@pytest.mark.parametrize("packing", ["gz", "xz", "bz2", "zst", "zip"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_damage_inside_a_packing_is_refused_as_a_whole(packing, damage, lake, tmp_path):
    """Field note: truncated gzip; never half-import."""
    data = bytearray(PACKINGS[packing](FORMATS["csv"]))
    if damage == "cut":
        data = data[: len(data) * 3 // 4]
    else:
        data[len(data) // 2] ^= 0xFF
    path = tmp_path / "data"
    path.write_bytes(data)
    (done,) = lake.import_files(path, DATASET)
    assert done.refused, done
    assert lake.datasets() == []


@pytest.mark.parametrize("name", ["parquet", "feather", "json of records", "csv"])
def test_a_file_that_ends_too_early_is_refused(name, lake, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(FORMATS[name][:-9])
    (done,) = lake.import_files(path, DATASET)
    assert done.refused, done
    assert lake.datasets() == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"   \n\n", "the file is empty"),
        (b"ts,price,amount\n", "no rows"),
        (b"[]", "no list of rows|no rows"),
        (b"FEA1 old", "Feather version 1"),
        (b"\x7fELF\x02\x01\x00\x00", "neither text nor a format"),
        (b"a,a,b\n1,2,3\n", "names a column twice"),
        (b"hello\nworld\n", "no column was recognised as ts"),
        (b'{"error": "rate limit"}', "no list of rows"),
        (b"1704153600,100,1\n1704153660,100,1,9\n", "is not csv|cells"),
        (b"SQLite format 3\x00" + bytes(100), "SQLite"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(content, reason, lake, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(content)
    (done,) = lake.import_files(path, DATASET)
    assert done.refused
    assert pl.Series([done.problems[-1]]).str.contains(reason).all(), done.problems


def test_nothing_is_unpacked_past_a_bound(lake, tmp_path, monkeypatch):
    monkeypatch.setattr(decompress, "MOST_BYTES", 1_000)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"0" * 100_000))
    (done,) = lake.import_files(path, DATASET)
    assert done.refused
    assert "unpacks to more than 1,000 bytes" in done.problems[-1]


class TestManyRows:
    """Of more rows than memory should hold, several commits are made; the span counts as covered with the last."""

    @pytest.fixture(autouse=True)
    def _little_memory(self, monkeypatch):
        monkeypatch.setattr(inspect, "MOST_IN_MEMORY", 100)
        monkeypatch.setattr(readers.parts_of, "__defaults__", (2_000,))

    def prints(self, tmp_path: Path) -> Path:
        """Ten identical prints an instant, without ids."""
        path = tmp_path / "BCHEUR.csv"
        path.write_text("".join(f"{1704153600 + step // 10},90.5,1.25\n" for step in range(2_000)))
        return path

    def test_all_rows_get_in_and_identical_prints_survive_the_cuts(self, lake, tmp_path):
        (done,) = lake.import_files(self.prints(tmp_path))
        assert (done.rows, done.new, done.refused) == (2_000, 2_000, False)
        assert lake.load("kraken:trades:BCH/EUR").height == 2_000
        assert lake.engine.catalog.version() > 5
        (span,) = lake.coverage("kraken:trades:BCH/EUR").spans()
        assert span.length == 199 * 10**9 + 1

    def test_again_nothing_is_new(self, lake, tmp_path):
        lake.import_files(self.prints(tmp_path))
        (again,) = lake.import_files(self.prints(tmp_path))
        assert (again.new, again.duplicate) == (0, 2_000)

    def test_what_would_have_to_be_sorted_is_refused(self, lake, tmp_path):
        path = self.prints(tmp_path)
        path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
        (done,) = lake.import_files(path)
        assert done.refused
        assert "too many to sort" in done.problems[-1]
        assert lake.datasets() == []


def test_interrupted_between_files_the_run_says_so_and_what_is_in_stays(lake, tmp_path):
    for number in (1, 2):
        (tmp_path / f"BCHEUR{number}").mkdir()
        (tmp_path / f"BCHEUR{number}/BCHEUR.csv").write_text(f"170415360{number},90.5,1.25\n")

    def stop(progress):
        if progress.finished:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lake.import_files(tmp_path, watch=stop)
    (run,) = lake.runs.list()
    assert (run.operation, run.state) == ("import", "cancelled")
    assert lake.load("kraken:trades:BCH/EUR").height == 1
    lake.import_files(tmp_path)
    assert lake.load("kraken:trades:BCH/EUR").height == 2


def test_a_mapping_can_be_stated_for_columns_that_nobody_could_guess(lake, tmp_path):
    path = tmp_path / "odd.csv"
    path.write_text("wann,preis,menge\n02.01.2024 10:00,1,2\n")
    mapping = Mapping(columns={"ts": "wann", "price": "preis", "amount": "menge"}, zone="Europe/Berlin")
    (done,) = lake.import_files(path, DATASET, mapping=mapping)
    assert (done.rows, done.first) == (1, "2024-01-02T09:00:00Z")


def test_the_datasets_of_a_file_get_in_together_or_not_at_all(lake, tmp_path):
    """Field note: never half-import: one of two markets has ids of another numbering."""
    text = "".join(
        f'1704153600000000000 {{"stream":"x","data":{{"e":"trade","E":1704153600000,"s":"{symbol}","t":7,"p":"1",'
        f'"q":"2","T":1704153600000,"m":true}}}}\n'
        for symbol in ("ETHUSDT", "BTCUSDT")
    )
    header = '{"t":"header","exchange":"BINANCE"}\n'
    lines = [
        json.dumps({"t": "recv", "conn": "c", "ts": 1704153600.5, "data": line.split(" ", 1)[1]})
        for line in text.splitlines()
    ]
    path = tmp_path / "BINANCE.jsonl"
    path.write_text(header + "\n".join(lines) + "\n")
    agg = tmp_path / "BTCUSDT-aggTrades-2024-01-02.csv"
    agg.write_text("1,100.5,2,10,11,1704153600000,true,true\n")
    lake.import_files(agg)

    done = lake.import_files(path)

    assert [one.refused for one in done] == [True, True]
    assert [str(dataset) for dataset in lake.datasets()] == ["binance:trades:BTC/USDT"]


def test_a_bar_that_was_forming_when_the_file_was_written_is_left_out(lake, tmp_path):
    path = tmp_path / "BTCUSD_60.csv"
    path.write_text("1704153600,1,2,1,2,1,1\n1704157200,1,2,1,2,1,1\n")
    os.utime(path, (1704157300, 1704157300))
    (done,) = lake.import_files(path)
    assert (done.dataset, done.new) == ("kraken:ohlcv:1h:BTC/USD", 1)
    assert done.problems == ("1 bars from 2024-01-02T01:00:00Z on left out: not over yet",)


def test_a_line_that_never_ends_is_refused_before_memory_is_full(lake, tmp_path):
    """A bomb: a few kilobytes that unpack to a single line of gigabytes."""
    path = tmp_path / "bomb.csv.xz"
    with lzma.open(path, "wb", preset=0) as out:
        out.write(b"time,price,amount\n")
        for _ in range(260):
            out.write(b"1" * 2**20)
    (done,) = lake.import_files(path, DATASET)
    assert done.refused
    assert "a line has more than" in done.problems[-1]


@pytest.mark.parametrize("odd", ["[1704157200000, 1]", '{"a": 1}', "7"])
def test_a_row_unlike_the_others_refuses_its_file_and_no_other(lake, tmp_path, odd):
    """It used to end the whole import with a traceback."""
    good = "[1704153600000, 1, 3, 1, 2, 5]"
    (tmp_path / "BTC_USDT-1h.json").write_text(f"[{good}, {odd}]")
    (tmp_path / "ETH_USDT-1h.json").write_text(f"[{good}]")
    bad, fine = lake.import_files(tmp_path, exchange="okx")
    assert (bad.refused, fine.refused, fine.new) == (True, False, 1)
    assert "not all alike" in bad.problems[-1]
