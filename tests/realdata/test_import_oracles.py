"""Done-when 2: the oracles of the recorded data hold through the product: import, resample, compare."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.core.time import parse_time
from ticklake.interfaces.cli.formats import write_rows
from ticklake.lake import Lake

PRICES = ["ts", "open", "high", "low", "close"]


@pytest.fixture
def lake() -> Iterator[Lake]:
    with memory_lake(clock=lambda: parse_time("2026-09-01")) as lake:
        yield lake


def volumes_apart(made: pl.DataFrame, want: pl.DataFrame) -> float:
    """Return the largest relative difference of volumes."""
    return ((made["volume"] - want["volume"]).abs() / want["volume"]).max()


def test_raw_trades_give_exactly_the_exchanges_own_bars(recorded, lake):
    """18,776 trades of ten complete minutes, from two files that meet at midnight, give the candles of Binance."""
    trades, bars = "binance:trades:BTC/USDT", "binance:ohlcv:1m:BTC/USDT"
    done = lake.import_files([recorded / f"ws_raw/binance_spot_btcusdt_2024080{day}.gz" for day in (8, 9)], trades)
    lake.import_files(recorded / "ohlcv/binance_BTC_USDT_1m_202408.feather", bars, preset="freqtrade")
    span = ("2024-08-08T23:55", "2024-08-09T00:05")

    made, want = lake.resample(trades, "1m", *span), lake.load(bars, *span)

    assert [one.new for one in done] == [9_757, 10_147]
    assert lake.load(trades, *span).height == 18_776
    assert made.height == want.height == 10
    assert made.select(PRICES).equals(want.select(PRICES))
    assert made["volume"].round(8).equals(want["volume"].round(8))
    ids = lake.load(trades)["id"].cast(pl.Int64)
    assert (ids.len(), ids.max() - ids.min() + 1) == (19_904, 19_904)
    assert lake.gaps(trades) == [], "ids that follow each other prove the seam between the files"


def test_aggregated_trades_give_the_recorded_bars_on_all_2_469_minutes(recorded, lake):
    trades, bars = "binance:trades:XRP/ETH", "binance:ohlcv:1m:XRP/ETH"
    lake.import_files(recorded / "trades/binance_XRPETH_aggTrades_201910.json.gz", trades, preset="freqtrade-trades")
    lake.import_files(recorded / "ohlcv/freqtrade_XRP_ETH-1m.feather", bars, preset="freqtrade")

    made, want = lake.resample(trades, "1m"), lake.load(bars)

    assert want.height == 2_469
    assert made.select(PRICES).equals(want.select(PRICES))
    assert made["volume"].round(8).equals(want["volume"].round(8))


def test_kucoins_minutes_give_its_five_minutes(recorded, lake):
    one, five = "kucoin:ohlcv:1m:BTC/USDT", "kucoin:ohlcv:5m:BTC/USDT"
    lake.import_files(recorded / "ohlcv/kucoin_BTC_USDT_1m_202303.json.xz", one, preset="freqtrade")
    lake.import_files(recorded / "ohlcv/kucoin_BTC_USDT_5m_202303.json.gz", five, preset="freqtrade")
    span = ("2023-03-05T11:35", "2023-04-04T11:30")

    made, want = lake.resample(one, "5m", *span), lake.load(five, *span)

    assert made.height == want.height == 8_639
    assert made.select(PRICES).equals(want.select(PRICES))
    assert volumes_apart(made, want) < 1e-6


@pytest.mark.parametrize(
    ("short", "long", "bars", "span"),
    [
        ("5m", "15m", 3_635, ("2025-03-06T10:30", "2025-04-13T07:15")),
        ("15m", "1h", 719, ("2025-03-06T11:00", "2025-04-05T10:00")),
    ],
)
def test_binances_futures_resample_exactly(recorded, lake, short, long, bars, span):
    for timeframe in (short, long):
        file = recorded / f"ohlcv/binanceusdm_BTC_USDT_{timeframe}_2025.feather"
        lake.import_files(file, f"binanceusdm:ohlcv:{timeframe}:BTC/USDT:USDT", preset="freqtrade")

    made = lake.resample(f"binanceusdm:ohlcv:{short}:BTC/USDT:USDT", long, *span)
    want = lake.load(f"binanceusdm:ohlcv:{long}:BTC/USDT:USDT", *span)

    assert made.height == want.height == bars
    assert made.select(PRICES).equals(want.select(PRICES))
    assert made["volume"].round(3).equals(want["volume"].round(3))


def test_recorded_pages_of_bitfinex_equal_its_published_file(recorded, lake):
    """84 answers of two hours each are the last week of June in the file of the same market."""
    whole, pages = "bitfinex:ohlcv:1m:BTC/USD", recorded / "rest/bitfinex_candles_1m_BTCUSD_201906.jsonl.gz"
    lake.import_files(recorded / "ohlcv/bitfinex_BTCUSD_1m_2019-06_07.csv.xz", whole)
    (done,) = lake.import_files(pages, whole)
    assert (done.rows, done.new, done.changed, done.duplicate) == (9_707, 0, 0, 9_707)


def test_a_snapshot_and_its_changes_are_one_book(recorded, lake):
    """The snapshot of Binance's REST has no time of its own: it is stated; the changes that follow reach beyond it."""
    from ticklake import Mapping

    dataset = "binance:book:ETH/BTC"
    at = Mapping(constants={"ts": "2020-11-01T09:00:02Z"})
    lake.import_files(recorded / "book/binance_ETHBTC_20201101T09_snapshot.json.gz", dataset, mapping=at)
    lake.import_files(recorded / "book/binance_ETHBTC_20201101T09_update.json.gz", dataset)
    rows = lake.load(dataset)
    snapshot, changes = rows.filter("is_snapshot"), rows.filter(~pl.col("is_snapshot"))
    assert (snapshot.height, changes["seq"].n_unique()) == (2_000, 3_600)
    assert changes["seq"].min() < snapshot["seq"][0] < changes["seq"].max()
    assert lake.book("binance", "ETH/BTC", depth=1)["price"].to_list() == [0.0282, 0.028201]


def test_quotes_without_a_time_of_the_exchange_say_whose_clock_they_have(recorded, lake):
    """Field note: keep the local time and say which clock it was."""
    dataset = "binance:quotes:BTC/USDT"
    (done,) = lake.import_files(recorded / "ws_raw/binance_spot_btcusdt_20240808.gz", dataset)
    rows = lake.load(dataset)
    assert done.new == rows.height == 28_040
    assert rows["ts"].equals(rows["received_at"].alias("ts"))
    assert [origin.clock for origin in lake.provenance(dataset, rows["ts"].to_physical()[0])] == ["local"]


def test_raw_and_aggregated_trades_do_not_mix(recorded, lake):
    """Field note: aggregated trades have another id space than raw ones: keep id spaces apart."""
    dataset = "binance:trades:BTC/USDT"
    (first,) = lake.import_files(recorded / "trades/binance_BTCUSDT_aggTrades_20201101T09.json.gz", dataset)
    (done,) = lake.import_files(recorded / "ws_raw/binance_spot_btcusdt_20240808.gz", dataset)
    assert first.new == 18_054
    assert done.refused
    assert "'agg' trade ids and these are 'raw'" in done.problems[-1]


@pytest.mark.parametrize("form", ["csv", "json", "ndjson", "parquet", "arrow"])
def test_what_is_written_out_comes_in_again(recorded, lake, tmp_path, form):
    """Every column of every format that `ticklake read` writes, into another lake, is the same rows."""
    files = [
        ("trades/kraken_BCHEUR_incremental_q2.csv", "kraken:trades:BCH/EUR"),
        ("ohlcv/vision_um_NEARUSDT-1m-2023-09.csv.gz", "binance:ohlcv:1m:NEAR/USDT:USDT"),
        ("funding/bitmex_XBTUSD_funding_2016_2020.csv.gz", "bitmex:funding:BTC/USD:BTC"),
        ("quotes/tardis_binance-futures_BTCUSDT_quotes_20200222.csv.gz", "binance:quotes:BTC/USDT:USDT"),
        ("book/bybit_XRPUSDT_ob500_20241201.zip", "bybit:book:XRP/USDT:USDT"),
    ]
    for file, dataset in files:
        preset = "binance-um-klines" if "vision" in file else ""
        lake.import_files(recorded / file, dataset, preset=preset)
        path = tmp_path / "rows"
        write_rows(lake.load(dataset), form, path, 0)
        with memory_lake(clock=lambda: parse_time("2026-09-01")) as other:
            (done,) = other.import_files(path, dataset)
            assert done.new == done.rows, done
            assert other.load(dataset).equals(lake.load(dataset))
