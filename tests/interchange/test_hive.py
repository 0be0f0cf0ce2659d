"""Hive trees by venue and instrument: ours are read by any engine, others by what is usual."""

from __future__ import annotations

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from .foreign_rows import START, bars, book, funding, trades

DATASETS = {
    "okx:ohlcv:1h:BTC/USDT": bars,
    "okx:trades:BTC/USDT:USDT": trades,
    "okx:book:BTC/USDT": book,
    "okx:funding:BTC/USD:BTC": funding,
}


@pytest.fixture
def ours(lake_at):
    lake = lake_at()
    for name, rows in DATASETS.items():
        lake.save(name, rows())
    return lake


def test_there_and_back_again_nothing_is_lost(ours, lake_at, tmp_path):
    report = ours.export(tmp_path / "theirs", layout="hive")
    assert report.is_complete
    assert {file.path.rpartition("/year=")[0] for file in report.files} == {
        "ohlcv/venue=okx/instrument=BTC-USDT/timeframe=1h",
        "trades/venue=okx/instrument=BTC-USDT-PERP",
        "orderbook/venue=okx/instrument=BTC-USDT",
        "funding_rates/venue=okx/instrument=BTC%2FUSD%3ABTC",
    }
    other = lake_at(name="other")
    assert other.import_lake(tmp_path / "theirs").layout == "hive"
    for dataset in DATASETS:
        assert_frame_equal(other.load(dataset), ours.load(dataset))


def test_duckdb_reads_the_tree_with_its_partitions(ours, tmp_path):
    ours.export(tmp_path / "theirs", layout="hive")
    query = "SELECT venue, instrument, timeframe, year, month, count(*), min(timestamp) FROM read_parquet(?, hive_partitioning = true) GROUP BY ALL ORDER BY year"
    with duckdb.connect() as connection:
        rows = connection.execute(query, [str(tmp_path / "theirs/ohlcv/**/*.parquet")]).fetchall()
    assert [row[:3] for row in rows] == [("okx", "BTC-USDT", "1h")] * 2
    assert [(int(year), int(month), count) for *_, year, month, count, _first in rows] == [
        (2023, 12, 24),
        (2024, 1, 24),
    ]
    with duckdb.connect() as connection:
        perpetual = connection.execute(
            "SELECT DISTINCT instrument FROM read_parquet(?, hive_partitioning = true)",
            [str(tmp_path / "theirs/funding_rates/**/*.parquet")],
        ).fetchall()
    assert perpetual == [("BTC/USD:BTC",)]


@pytest.mark.parametrize(
    ("unit", "name"), [("s", "time"), ("ms", "open_time"), ("us", "ts"), ("ns", "timestamp"), ("datetime", "datetime")]
)
def test_usual_names_and_units_of_time_are_read(lake_at, tmp_path, unit, name):
    rows = bars(5)
    times = rows["ts"] if unit == "datetime" else rows["ts"].dt.epoch(unit)
    folder = tmp_path / "theirs/ohlcv/venue=BINANCE/instrument=BTC-USDT/timeframe=1h/year=2023/month=12"
    folder.mkdir(parents=True)
    others = rows.select(times.alias(name), "open", "high", "low", "close", vol="volume", venue=pl.lit("BINANCE"))
    others.write_parquet(folder / "data.parquet")
    lake = lake_at()
    assert lake.import_lake(tmp_path / "theirs").is_complete
    found = lake.load("binance:ohlcv:1h:BTC/USDT")
    assert_frame_equal(found.select("ts", "close", "volume"), rows.select("ts", "close", "volume"))
    assert found["trades"].null_count() == 5


def test_a_file_is_taken_as_a_whole_or_named(lake_at, tmp_path):
    """Naive times: nobody can know which zone was meant."""
    folder = tmp_path / "theirs/trades/venue=okx/instrument=BTC-USDT/year=2023"
    odd = {
        "month=10": pl.DataFrame({"price": [1.0], "size": [1.0]}),
        "month=11": trades(2).with_columns(pl.col("ts").dt.replace_time_zone(None)),
        "month=12": trades(2).select(
            "ts", "price", qty="amount", trade_id="id", side=pl.col("side").str.to_uppercase()
        ),
    }
    for month, rows in odd.items():
        (folder / month).mkdir(parents=True)
        rows.write_parquet(folder / month / "data.parquet")
    (tmp_path / "theirs/trades/venue=okx/instrument=BTC-USD-SWAP/year=2023/month=12").mkdir(parents=True)
    odd["month=12"].write_parquet(
        tmp_path / "theirs/trades/venue=okx/instrument=BTC-USD-SWAP/year=2023/month=12/data.parquet"
    )
    lake = lake_at()
    report = lake.import_lake(tmp_path / "theirs")
    assert [
        (str(file.state), word in file.note)
        for file, word in zip(report.files, ["settled", "no column", "naive", ""], strict=True)
    ] == [
        ("refused", True),
        ("failed", True),
        ("failed", True),
        ("imported", True),
    ]
    assert_frame_equal(lake.load("okx:trades:BTC/USDT").drop("received_at"), trades(2))
    assert lake.load("okx:trades:BTC/USDT")["ts"].to_physical()[0] > START
