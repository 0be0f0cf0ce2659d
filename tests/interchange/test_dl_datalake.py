"""The layout of dl-datalake, as its repository documents it; the package itself is not on PyPI."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path

import duckdb
import polars as pl
import pytest
import sqlalchemy as sa
from polars.testing import assert_frame_equal

from .foreign_rows import START, bars, funding, trades

MS = 10**6
RAW = ["ts", "open", "high", "low", "close", "volume"]
BARS, TRADES, FUNDING = "bybit:ohlcv:1h:BTC/USDT:USDT", "bybit:trades:BTC/USDT:USDT", "bybit:funding:BTC/USDT:USDT"
FOLDER = "BYBIT/FUTURE/BTC_USDT_USDT/raw/1h/2023/12"
NAME = "BTC_USDT_USDT_1h_202312.parquet"


def ms():
    return (pl.col("ts").to_physical() // MS).alias("ts")


def manifest_of(root):
    """The manifest through SQLAlchemy, as dl-datalake reads it."""
    engine = sa.create_engine(f"sqlite:///{root / 'manifest.db'}")
    table = sa.Table("manifest", sa.MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        rows = [dict(row._mapping) for row in connection.execute(sa.select(table).order_by(table.c.path))]
    engine.dispose()
    return rows


def contents(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def theirs(tmp_path):
    """A project folder as dl-datalake leaves it: the manifest beside ``data``, its paths relative to the project."""
    root = tmp_path / "project"
    files = {
        f"data/{FOLDER}/{NAME}": bars().head(24).select(ms(), *RAW[1:]),
        "data/BYBIT/SPOT/ETH_USDT/raw/1min/2023/12/ETH_USDT_1min_202312.parquet": bars(60, 60 * 10**9).select(
            ms(), *RAW[1:]
        ),
        "data/BYBIT/SPOT/ETH_USDT/raw/1m/2023/12/31/ETH_USDT_1M_20231231.parquet": bars(1)
        .select(ms(), *RAW[1:])
        .with_columns(ts=pl.lit(1_701_388_800_000)),
        "data/BYBIT/FUTURE/BTC_USDT_USDT/ticks/tick/2023/12/BTC_USDT_USDT_tick_202312.parquet": pl.DataFrame(
            {"ts": [START // MS, START // MS], "price": [1.5, 1.5], "qty": [2.0, 2.0]}
        ),
        "data/BYBIT/FUTURE/BTC_USDT_USDT/alt/funding/2023/12/BTC_USDT_USDT_funding_202312.parquet": funding(3).select(
            pl.struct(raw=pl.lit("x")).alias("info"), symbol=pl.lit("BTC/USDT:USDT"), fundingRate="rate", timestamp=ms()
        ),
    }
    with sqlite3.connect(root.parent / "manifest.db") as manifest:
        manifest.execute(
            "CREATE TABLE manifest (id INTEGER PRIMARY KEY, exchange, market, symbol, path UNIQUE, type, checksum)"
        )
        for path, rows in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            rows.write_parquet(root / path, compression="snappy")
            manifest.execute("INSERT INTO manifest (path) VALUES (?)", [path.replace("/", "\\")])
    manifest.close()
    (root.parent / "manifest.db").rename(root / "manifest.db")
    return root


def test_a_tree_comes_in_with_its_symbols_and_time_frames(theirs, lake_at):
    before = contents(theirs)
    lake = lake_at()
    report = lake.import_lake(theirs)
    assert report.layout == "dl-datalake"
    assert report.is_complete
    assert contents(theirs) == before
    assert {str(dataset): lake.load(dataset).height for dataset in lake.datasets()} == {
        BARS: 24,
        TRADES: 2,
        FUNDING: 3,
        "bybit:ohlcv:1m:ETH/USDT": 60,
        "bybit:ohlcv:1M:ETH/USDT": 1,
    }
    assert_frame_equal(lake.load(BARS).select(RAW), bars(24).select(RAW))
    assert lake.load(FUNDING)["ts"].equals(funding(3)["ts"])
    assert lake_at(name="data").import_lake(theirs / "data").counts["new"] == 90


def test_the_manifest_is_compared_with_the_files(theirs, lake_at):
    path = theirs / "data" / FOLDER / NAME
    with sqlite3.connect(theirs / "manifest.db") as manifest:
        manifest.execute("UPDATE manifest SET checksum = ?", [hashlib.sha256(path.read_bytes()).hexdigest()])
        gone = f"data/{FOLDER}/{NAME.replace('12.', '11.')}".replace("2023/12", "2023/11")
        manifest.execute(
            "INSERT INTO manifest (path) VALUES (?), ('data/features/set/1.0.0/x.parquet')", [f"/old/{gone}"]
        )
    manifest.close()
    notes = {file.path.rpartition("/")[2]: (str(file.state), file.note) for file in lake_at().import_lake(theirs).files}
    assert notes[NAME] == ("imported", "")
    assert "its checksum is not the one" in notes["ETH_USDT_1min_202312.parquet"][1]
    assert notes[NAME.replace("12.", "11.")][0] == "failed"
    assert len(notes) == 6


def test_a_damaged_manifest_is_said_and_stands_in_no_row_s_way(theirs, lake_at):
    (theirs / "manifest.db").write_bytes(b"no database" * 100)
    report = lake_at().import_lake(theirs)
    assert "manifest.db" in report.files[-1].note
    assert report.counts["new"] == 90


def test_names_that_fit_two_markets_and_bars_of_bars_are_refused(theirs, lake_at):
    for folder in (
        "BYBIT/FUTURE/BTCUSDT/raw/1h",
        "BYBIT/FUTURE/BTC_USDT/raw/1h",
        "BYBIT/AGG/BTC_USDT_USDT/raw/1h",
        "BYBIT/SPOT/BTC_USDT_USDT/raw/1h",
    ):
        path = theirs / "data" / folder / "2023" / "12" / f"{folder.split('/')[2]}_1h_202312.parquet"
        path.parent.mkdir(parents=True)
        bars().select(ms(), *RAW[1:]).write_parquet(path)
    report = lake_at().import_lake(theirs)
    assert (report.counts["refused"], report.counts["new"]) == (4, 90)


@pytest.fixture
def ours(lake_at, tmp_path):
    lake = lake_at()
    lake.save(BARS, bars())
    lake.save(TRADES, trades(600))
    lake.save(FUNDING, funding())
    return lake


def test_its_way_of_reading_finds_our_rows(ours, tmp_path):
    """It globs the folders of a symbol with DuckDB and compares ts, in milliseconds."""
    root = tmp_path / "theirs"
    assert ours.export(root, layout="dl-datalake").is_complete
    pattern = str(root / "BYBIT" / "*" / "BTC_USDT_USDT" / "raw" / "**" / "*.parquet")
    query = "SELECT * FROM read_parquet(?) WHERE ts >= ? AND ts <= ? ORDER BY ts"
    with duckdb.connect() as connection:
        rows = connection.execute(query, [pattern, START // MS, START // MS + 47 * 3_600_000])
        names = [name for name, *_ in rows.description]
        found = pl.DataFrame(rows.fetchall(), schema=names, orient="row")
    assert_frame_equal(found, bars().select(ms(), *RAW[1:]))
    assert found.schema == pl.Schema({"ts": pl.Int64(), **dict.fromkeys(RAW[1:], pl.Float64())})


def test_the_manifest_names_every_file_with_its_checksum(ours, tmp_path):
    root = tmp_path / "theirs"
    ours.export(root, layout="dl-datalake")
    rows = manifest_of(root)
    assert [row["path"] for row in rows] == sorted(str(path) for path in root.rglob("*.parquet"))
    assert all(row["checksum"] == hashlib.sha256(Path(row["path"]).read_bytes()).hexdigest() for row in rows)
    (december,) = (row for row in rows if row["path"].endswith(NAME))
    assert (december["exchange"], december["market"], december["symbol"], december["type"], december["version"]) == (
        "BYBIT",
        "FUTURE",
        "BTC_USDT_USDT",
        "raw",
        "1.0.0",
    )
    assert (december["time_from"], december["time_to"]) == (START // MS, START // MS + 23 * 3_600_000)
    assert json.loads(december["metadata_json"]) == {"timeframe": "1h"}
    assert december["created_at"].year >= 2024
    assert {row["type"]: json.loads(row["metadata_json"]) for row in rows} == {
        "raw": {"timeframe": "1h"},
        "ticks": {"timeframe": "tick"},
        "alt": {"category": "funding"},
    }


def test_another_export_keeps_the_manifest_in_step(ours, tmp_path):
    root = tmp_path / "theirs"
    ours.export(root, layout="dl-datalake", datasets=[BARS], end="2023-12-31T12:00Z")
    first = manifest_of(root)
    ours.export(root, layout="dl-datalake", datasets=[BARS])
    second = manifest_of(root)
    assert [row["id"] for row in second][:1] == [row["id"] for row in first]
    assert (len(first), len(second)) == (1, 2)
    assert second[0]["time_to"] - first[0]["time_to"] == 12 * 3_600_000
    before = (root / "manifest.db").read_bytes()
    ours.export(root, layout="dl-datalake", datasets=[BARS])
    assert (root / "manifest.db").read_bytes() == before


def test_there_and_back_again(ours, lake_at, tmp_path):
    ours.export(tmp_path / "theirs", layout="dl-datalake")
    other = lake_at(name="other")
    assert other.import_lake(tmp_path / "theirs").is_complete
    for dataset, names in ((BARS, RAW), (TRADES, ["ts", "id", "price", "amount", "side"]), (FUNDING, ["ts", "rate"])):
        assert_frame_equal(other.load(dataset).select(names), ours.load(dataset).select(names))


def test_what_has_no_column_is_said(ours, tmp_path):
    notes = {file.dataset: file.note for file in ours.export(tmp_path / "theirs", layout="dl-datalake").files}
    assert "quote_volume" in notes[BARS]
    assert "ts_ns exact" in notes[TRADES]
    ours.save("bybit:ohlcv:1M:BTC/USDT", bars(1).with_columns(pl.col("ts").dt.truncate("1mo")))
    report = ours.export(tmp_path / "theirs", layout="dl-datalake", datasets=["*:1M:*"])
    assert [(file.state, "folder of minutes" in file.note) for file in report.files] == [("refused", True)]
