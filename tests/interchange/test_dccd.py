"""dccd itself reads what we export, and what it wrote comes in as it is."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ticklake.core.provenance import Provenance
from ticklake.interchange.dccd import SCHEMAS
from ticklake.testing.exchange.recorded import FILES

from .foreign_rows import bars, book, funding, trades

OURS = {"ohlc": bars, "trades": trades, "orderbook": book, "funding": funding}
DATASETS = {
    "ohlc": "binance:ohlcv:1h:BTC/USDT",
    "trades": "binance:trades:BTC/USDT",
    "orderbook": "binance:book:BTC/USDT",
    "funding": "binance:funding:BTC/USDT:USDT",
}
PAIRS = {kind: "BTC/USDT:perp" if kind == "funding" else "BTC/USDT" for kind in DATASETS}
SPANS = {"ohlc": 3600}


def theirs(kind, rows):
    """Rows of ours with dccd's columns."""
    times = rows.with_columns(TS=pl.col("ts").to_physical())
    return times.rename({"id": "tid"}, strict=False).select(list(SCHEMAS[kind]))


def same(left, right):
    """Whether frames hold the same rows, whatever the order inside an instant."""
    names = [name for name in left.columns if name != "seq"]
    assert_frame_equal(left.select(names).sort(names), right.select(names).sort(names))


@pytest.mark.parametrize("kind", list(DATASETS))
def test_dccd_reads_what_we_export(dccd, lake_at, tmp_path, kind):
    lake = lake_at()
    rows = OURS[kind]()
    lake.save(DATASETS[kind], rows)
    report = lake.export(tmp_path / "theirs", layout="dccd")
    found = dccd.read(tmp_path / "theirs", "binance", PAIRS[kind], kind, SPANS.get(kind, ""))
    same(found, theirs(kind, rows))
    (listed,) = dccd.inventory(tmp_path / "theirs")
    assert (listed["rows"], listed["span"]) == (rows.height, SPANS.get(kind))
    assert report.is_complete
    assert report.counts["written"] == listed["files"] == 2


@pytest.mark.parametrize("kind", list(DATASETS))
def test_what_dccd_wrote_comes_in_as_it_is(dccd, lake_at, tmp_path, kind):
    rows = theirs(kind, OURS[kind]())
    dccd.write(tmp_path / "theirs", "binance", PAIRS[kind], kind, SPANS.get(kind, ""), rows)
    before = {path: path.read_bytes() for path in (tmp_path / "theirs").rglob("*") if path.is_file()}
    lake = lake_at()
    report = lake.import_lake(tmp_path / "theirs")
    same(theirs(kind, lake.load(DATASETS[kind])), rows)
    assert (report.layout, report.counts["new"], report.is_complete) == ("dccd", rows.height, True)
    again = lake.import_lake(tmp_path / "theirs", "dccd")
    assert (again.counts["new"], again.counts["changed"], again.counts["duplicate"]) == (0, 0, rows.height)
    assert {path: path.read_bytes() for path in (tmp_path / "theirs").rglob("*") if path.is_file()} == before


SPANS_OF_DCCD = {60: "1m", 180: "3m", 900: "15m", 3600: "1h", 43_200: "12h", 86_400: "1d", 259_200: "3d", 604_800: "1w"}
UNNAMED = {10: "10s", 2_700: "45m", 172_800: "2d", 2_592_000: "1M"}


def test_every_span_has_the_folder_that_dccd_looks_into(dccd, lake_at, tmp_path):
    """Its folders are called 1h and 1d, and by seconds only where it has no name for a span."""
    lake, rows, root = (
        lake_at(),
        bars(1, 1).with_columns(pl.col("ts").dt.truncate("1mo").dt.offset_by("1mo")),
        tmp_path / "theirs",
    )
    spans = {**SPANS_OF_DCCD, **UNNAMED}
    monday = rows.with_columns(pl.col("ts").dt.offset_by("1d").dt.truncate("1w"))
    for frame in spans.values():
        lake.save(f"x:ohlcv:{frame}:BTC/USDT", monday if frame == "1w" else rows)
    assert lake.export(root, layout="dccd").is_complete
    assert {one["span"] for one in dccd.inventory(root)} == set(spans)
    assert [dccd.read(root, "x", "BTC/USDT", "ohlc", span).height for span in (259_200, 2_700)] == [1, 1]


def test_folders_of_seconds_are_read_too(lake_at, tmp_path):
    folder = tmp_path / "theirs" / "binance" / "ohlc" / "BTC-USDT" / "3600s"
    folder.mkdir(parents=True)
    theirs("ohlc", bars(5)).write_parquet(folder / "2023.parquet")
    lake = lake_at()
    lake.import_lake(tmp_path / "theirs")
    assert lake.load("binance:ohlcv:1h:BTC/USDT").height == 5


def test_two_programs_on_one_folder_take_nothing_from_each_other(dccd, lake_at, tmp_path):
    lake, root = lake_at(), tmp_path / "theirs"
    lake.save(DATASETS["ohlc"], bars(30))
    lake.export(root, layout="dccd")
    dccd.write(root, "binance", "BTC/USDT", "ohlc", 3600, theirs("ohlc", bars(48)).slice(28))
    assert dccd.read(root, "binance", "BTC/USDT", "ohlc", 3600).equals(theirs("ohlc", bars(48)))
    report = lake.export(root, layout="dccd")
    assert [str(file.state) for file in report.files] == ["unchanged", "refused"]
    assert lake.import_lake(root).counts["new"] == 18
    lake.export(root, layout="dccd", overwrite=True)
    assert dccd.read(root, "binance", "BTC/USDT", "ohlc", 3600).equals(theirs("ohlc", bars(48)))
    assert b"dccd.provenance" in (root / "binance/ohlc/BTC-USDT/1h/2024.parquet").read_bytes()


@pytest.mark.slow
def test_dccd_reads_everything_recorded(dccd, lake_at, tmp_path, recorded):
    lake, root = lake_at(), tmp_path / "theirs"
    for name, text, read in FILES:
        lake.save(text, read(recorded / name))
    assert lake.export(root, layout="dccd").is_complete
    held = {str(dataset): lake.load(dataset).height for dataset in lake.datasets()}
    assert sorted(one["rows"] for one in dccd.inventory(root)) == sorted(held.values())
    for exchange, pair, kind, span, text in (
        ("kraken", "BTC/USD", "ohlc", 3600, "kraken:ohlcv:1h:BTC/USD"),
        ("kraken", "XRP/EUR", "trades", "", "kraken:trades:XRP/EUR"),
        ("binance", "BTC/USDT:perp", "ohlc", 60, "binance:ohlcv:1m:BTC/USDT:USDT"),
        ("binance", "LAYER/USDT:perp", "funding", "", "binance:funding:LAYER/USDT:USDT"),
    ):
        same(dccd.read(root, exchange, pair, kind, span), theirs(kind, lake.load(text)))


@pytest.mark.parametrize("space", ["agg", "raw"])
def test_ids_stay_in_their_space(lake_at, tmp_path, space):
    """Aggregated trades have another id space than raw ones; dccd collects the former, an export holds what we have."""
    lake, root, other = lake_at(), tmp_path / "theirs", lake_at(name="other")
    lake.save(DATASETS["trades"], trades(9), Provenance("user", id_space=space))
    lake.export(root, layout="dccd")
    other.save(DATASETS["trades"], trades(9).head(1), Provenance("ccxt", id_space="agg"))
    report = other.import_lake(root)
    assert (report.counts.get("imported", 0), "trade ids" in report.files[-1].note) == (
        (1, False) if space == "agg" else (0, True)
    )
    for path in root.rglob("*.parquet"):
        pl.read_parquet(path).write_parquet(path)
    assert other.import_lake(root).is_complete


def test_what_dccd_noted_of_the_source_is_kept(lake_at, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "theirs" / "binance" / "trades" / "BTC-USDT"
    folder.mkdir(parents=True)
    rows = {"TS": [1_704_153_600_000_000_000], "price": [1.0], "amount": [1.0], "side": ["buy"], "tid": ["7"]}
    noted = {b"dccd.provenance": b'{"source": "binance:rest", "derived_from": null}'}
    pq.write_table(pa.table(rows).replace_schema_metadata(noted), folder / "2024-01-02.parquet")
    pq.write_table(pa.table({**rows, "TS": [1_704_240_000_000_000_000]}), folder / "2024-01-03.parquet")
    lake = lake_at()
    lake.import_lake(tmp_path / "theirs", "dccd")
    told = [(one.source, one.tool, one.note) for one in lake.provenance("binance:trades:BTC/USDT")]
    assert told == [("dccd", "dccd", "source binance:rest"), ("dccd", "dccd", "")]
