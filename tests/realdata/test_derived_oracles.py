"""Derived bars of recorded trades are the exchange's own, however the trades come."""

import pytest

from ticklake.app import memory_lake
from ticklake.core.time import parse_time

PRICES = ["ts", "open", "high", "low", "close"]


@pytest.fixture
def lake():
    with memory_lake(clock=lambda: parse_time("2026-09-01")) as lake:
        yield lake


@pytest.mark.slow
def test_raw_trades_that_come_day_by_day_and_backwards_make_the_exchanges_bars(recorded, lake):
    trades, bars = "binance:trades:BTC/USDT", "binance:ohlcv:1m:BTC/USDT"
    lake.import_files(recorded / "ohlcv/binance_BTC_USDT_1m_202408.feather", bars, preset="freqtrade")
    lake.derive("from_trades", "binance:trades:*", "1m")
    for day in (9, 8):
        lake.import_files(recorded / f"ws_raw/binance_spot_btcusdt_2024080{day}.gz", trades)
        lake.derived.refresh()
    span = ("2024-08-08T23:55", "2024-08-09T00:05")
    made, want = lake.load("binance:ohlcv@from_trades:1m:BTC/USDT", *span), lake.load(bars, *span)
    assert made.height == want.height == 10
    assert made.select(PRICES).equals(want.select(PRICES))
    assert made["volume"].round(8).equals(want["volume"].round(8))


def test_aggregated_trades_in_pieces_make_all_2_469_recorded_bars(recorded, lake):
    trades, bars = "binance:trades:XRP/ETH", "binance:ohlcv:1m:XRP/ETH"
    lake.import_files(recorded / "trades/binance_XRPETH_aggTrades_201910.json.gz", trades, preset="freqtrade-trades")
    lake.import_files(recorded / "ohlcv/freqtrade_XRP_ETH-1m.feather", bars, preset="freqtrade")
    rows, want = lake.load(trades), lake.load(bars)
    lake.drop(trades)
    lake.derive("from_trades", trades, "1m")
    lake.derive("hours", "binance:ohlcv@from_trades:1m:*", "1h")
    # Every piece is late for most bars, and trades of one instant do not come in their order.
    for turn in (3, 0, 5, 2, 4, 1):
        lake.save(trades, rows.gather_every(6, turn))
        lake.derived.refresh()
    made = lake.load("binance:ohlcv@from_trades:1m:XRP/ETH")
    assert made.height == want.height == 2_469
    assert made.select(PRICES).equals(want.select(PRICES))
    assert made["volume"].round(8).equals(want["volume"].round(8))
    hours = lake.load("binance:ohlcv@hours:1h:XRP/ETH")
    assert hours.select(PRICES).equals(lake.resample(trades, "1h").select(PRICES).head(hours.height))
    assert lake.verify(deep=True) == []


def test_kucoins_minutes_make_its_five_minutes(recorded, lake):
    one, five = "kucoin:ohlcv:1m:BTC/USDT", "kucoin:ohlcv:5m:BTC/USDT"
    lake.import_files(recorded / "ohlcv/kucoin_BTC_USDT_1m_202303.json.xz", one, preset="freqtrade")
    lake.import_files(recorded / "ohlcv/kucoin_BTC_USDT_5m_202303.json.gz", five, preset="freqtrade")
    lake.derive("fives", one, "5m")
    lake.derived.refresh()
    span = ("2023-03-05T11:35", "2023-04-04T11:30")
    made, want = lake.load("kucoin:ohlcv@fives:5m:BTC/USDT", *span), lake.load(five, *span)
    assert made.height == want.height == 8_639
    assert made.select(PRICES).equals(want.select(PRICES))
    assert ((made["volume"] - want["volume"]).abs() / want["volume"]).max() < 1e-6


@pytest.mark.parametrize(
    ("short", "long", "bars", "span"),
    [
        ("5m", "15m", 3_635, ("2025-03-06T10:30", "2025-04-13T07:15")),
        ("15m", "1h", 719, ("2025-03-06T11:00", "2025-04-05T10:00")),
    ],
)
def test_binances_futures_are_made_exactly(recorded, lake, short, long, bars, span):
    for timeframe in (short, long):
        file = recorded / f"ohlcv/binanceusdm_BTC_USDT_{timeframe}_2025.feather"
        lake.import_files(file, f"binanceusdm:ohlcv:{timeframe}:BTC/USDT:USDT", preset="freqtrade")
    lake.derive("longer", f"binanceusdm:ohlcv:{short}:*", long)
    lake.derived.refresh()
    made = lake.load(f"binanceusdm:ohlcv@longer:{long}:BTC/USDT:USDT", *span)
    want = lake.load(f"binanceusdm:ohlcv:{long}:BTC/USDT:USDT", *span)
    assert made.height == want.height == bars
    assert made.select(PRICES).equals(want.select(PRICES))
    assert made["volume"].round(3).equals(want["volume"].round(3))
