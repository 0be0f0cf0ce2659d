"""Done-when 1: every recorded file that holds rows comes in, with exact counts, through a preset or a stated mapping."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ticklake import Dataset, Mapping
from ticklake.app import memory_lake
from ticklake.core.time import parse_time
from ticklake.lake import Lake

MOSCOW = Mapping(zone="Europe/Moscow")
UTC = Mapping(zone="UTC")


@dataclass(frozen=True)
class Case:
    """A file, what it is said to be, and how it must come in: rows are the manifest's unless said."""

    file: str
    dataset: str
    preset: str = ""
    mapping: Mapping = field(default_factory=Mapping)
    chosen: str = ""
    rows: int | None = None
    quarantined: int = 0


BARS = [
    Case("ohlcv/bitfinex_BTCUSD_1m_2019-06_07.csv.xz", "bitfinex:ohlcv:1m:BTC/USD", chosen="generic"),
    Case("ohlcv/bitfinex_LTCUSD_1m_2014.csv.gz", "bitfinex:ohlcv:1m:LTC/USD", chosen="generic"),
    Case("ohlcv/kraken_XBTUSD_60m.csv.xz", "kraken:ohlcv:1h:BTC/USD", "kraken-ohlcvt"),
    Case("ohlcv/kraken_BTCUSDC_1m_2023.csv.xz", "kraken:ohlcv:1m:BTC/USDC", "kraken-ohlcvt"),
    Case("ohlcv/binanceus_BTCUSD_1m_202303.csv.xz", "binanceus:ohlcv:1m:BTC/USD", chosen="generic"),
    Case("ohlcv/okx_BTC_USDT_swap_1m_2026.feather", "okx:ohlcv:1m:BTC/USDT:USDT", "freqtrade"),
    Case("ohlcv/bybit_BTC_USDT_perp_5m_2025.feather", "bybit:ohlcv:5m:BTC/USDT:USDT", "freqtrade"),
    Case("ohlcv/kucoin_BTC_USDT_1m_202303.json.xz", "kucoin:ohlcv:1m:BTC/USDT", "freqtrade"),
    Case("ohlcv/kucoin_BTC_USDT_5m_202303.json.gz", "kucoin:ohlcv:5m:BTC/USDT", "freqtrade"),
    Case("ohlcv/hyperliquid_BTC_USDC_perp_1h.feather", "hyperliquid:ohlcv:1h:BTC/USDC:USDC", "freqtrade"),
    Case("ohlcv/hyperliquid_BTC_USDC_perp_1d.feather", "hyperliquid:ohlcv:1d:BTC/USDC:USDC", "freqtrade"),
    Case("ohlcv/binanceusdm_BTC_USDT_1m_2025.feather", "binanceusdm:ohlcv:1m:BTC/USDT:USDT", "freqtrade"),
    Case("ohlcv/binanceusdm_BTC_USDT_5m_2025.feather", "binanceusdm:ohlcv:5m:BTC/USDT:USDT", "freqtrade"),
    Case("ohlcv/binanceusdm_BTC_USDT_15m_2025.feather", "binanceusdm:ohlcv:15m:BTC/USDT:USDT", "freqtrade"),
    Case("ohlcv/binanceusdm_BTC_USDT_1h_2025.feather", "binanceusdm:ohlcv:1h:BTC/USDT:USDT", "freqtrade"),
    Case("ohlcv/binance_BTC_USDT_1m_202408.feather", "binance:ohlcv:1m:BTC/USDT", "freqtrade"),
    Case("ohlcv/vision_um_NEARUSDT-1m-2023-09.csv.gz", "binance:ohlcv:1m:NEAR/USDT:USDT", "binance-um-klines"),
    Case("ohlcv/coinbase_BTC-USD_4h_2016_2025.json.xz", "coinbase:ohlcv:4h:BTC/USD", chosen="generic"),
    Case("ohlcv/coinbase_BTCUSD_1h_cdd_2017_2019.csv.gz", "coinbase:ohlcv:1h:BTC/USD", chosen="cryptodatadownload"),
    Case("ohlcv/freqtrade_XRP_ETH-1m.feather", "binance:ohlcv:1m:XRP/ETH", "freqtrade"),
    Case("ohlcv/freqtrade_XRP_ETH-5m.feather", "binance:ohlcv:5m:XRP/ETH", "freqtrade"),
    Case("ohlcv/lean_coinbase_second_btcusd_20161007_trade.zip", "coinbase:ohlcv:1s:BTC/USD", chosen="lean-bars"),
    Case("ohlcv/lean_coinbase_minute_btcusd_20180404_trade.zip", "coinbase:ohlcv:1m:BTC/USD", chosen="lean-bars"),
    Case("ohlcv/lean_coinbase_minute_btcusd_20180404_quote.zip", "coinbase:quotes:BTC/USD", chosen="lean-quote-bars"),
    Case("ohlcv/lean_bybit_minute_btcusdt_20221213_trade.zip", "bybit:ohlcv:1m:BTC/USDT", chosen="lean-bars"),
    Case("ohlcv/lean_dydx_minute_btcusd_20260101_trade.zip", "dydx:ohlcv:1m:BTC/USD:USD", chosen="lean-bars"),
]
TRADES = [
    Case("trades/bybit_BTCUSD_2019-10-01.csv.gz", "bybit:trades:BTC/USD:BTC", "bybit-inverse-trades"),
    Case("trades/kraken_XRP_EUR_trades_2022.json.gz", "kraken:trades:XRP/EUR", "freqtrade-trades"),
    Case("trades/binance_BTCUSDT_aggTrades_20201101T09.json.gz", "", chosen="binance-aggtrade-events"),
    Case("trades/binance_ETHUSDT_aggTrades_20201101T09.json.gz", "", chosen="binance-aggtrade-events"),
    Case("trades/binance_XRPETH_aggTrades_201910.json.gz", "binance:trades:XRP/ETH", "freqtrade-trades"),
    Case("trades/kraken_BCHEUR_dump.csv", "kraken:trades:BCH/EUR", "kraken-trades"),
    Case("trades/kraken_BCHEUR_incremental_q2.csv", "kraken:trades:BCH/EUR", "kraken-trades"),
    Case("trades/binance_public_trades_list.csv", "binance:trades:ETH/USDT:USDT", chosen="generic"),
    Case(
        "trades/tardis_binance-futures_BTCUSDT_trades_20200222.csv.gz",
        "binance:trades:BTC/USDT:USDT",
        chosen="tardis-trades",
    ),
    Case("trades/gemini_ETHUSD_trades_20210701.csv.gz", "gemini:trades:ETH/USD", chosen="generic"),
    Case("trades/lean_SPY_ticks_20131008_trade.zip", "nyse:trades:SPY/USD", chosen="lean-equity-ticks"),
    Case("trades/lean_BAC_ticks_20131009_trade.zip", "nyse:trades:BAC/USD", chosen="lean-equity-ticks"),
    Case("trades/lean_AIG_ticks_20131009_trade.zip", "nyse:trades:AIG/USD", chosen="lean-equity-ticks"),
    Case("book/binance_ETHBTC_20201101T09_trades.json.gz", "", chosen="binance-aggtrade-events"),
]
QUOTES = [
    Case(
        "quotes/tardis_binance-futures_BTCUSDT_quotes_20200222.csv.gz",
        "binance:quotes:BTC/USDT:USDT",
        chosen="tardis-quotes",
    ),
    Case("quotes/lean_fxcm_EURUSD_ticks_20140508_quote.zip", "fxcm:quotes:EUR/USD", chosen="lean-forex-ticks"),
]
FUNDING = [
    *(
        Case(f"funding/{name}_BTC-USDT_funding.csv.gz", f"{name}:funding:BTC/USDT:USDT", mapping=zone, chosen="generic")
        for name, zone in [
            *((name, MOSCOW) for name in ("binance", "bybit", "htx", "kucoin", "mexc")),
            *((name, UTC) for name in ("dydx", "gate")),
        ]
    ),
    Case("funding/bitmex_XBTUSD_funding_2016_2020.csv.gz", "", chosen="bitmex-funding"),
    Case("funding/binanceusdm_BTC_USDT_funding_2025.feather", "binance:funding:BTC/USDT:USDT", "freqtrade-funding"),
    Case("funding/binanceusdm_LAYER_USDT_funding_2025.feather", "binance:funding:LAYER/USDT:USDT", "freqtrade-funding"),
    Case("funding/binanceusdm_XRP_USDT_funding_2021.feather", "binance:funding:XRP/USDT:USDT", "freqtrade-funding"),
    Case("funding/bybit_BTC_USDT_funding_2025.feather", "bybit:funding:BTC/USDT:USDT", "freqtrade-funding"),
    Case("funding/hyperliquid_BTC_funding_2023_2025.feather", "hyperliquid:funding:BTC/USDC:USDC", "freqtrade-funding"),
]
CASES = [*BARS, *TRADES, *QUOTES, *FUNDING]
GUESSED = {
    "trades/binance_BTCUSDT_aggTrades_20201101T09.json.gz": "binance:trades:BTC/USDT",
    "trades/binance_ETHUSDT_aggTrades_20201101T09.json.gz": "binance:trades:ETH/USDT",
    "book/binance_ETHBTC_20201101T09_trades.json.gz": "binance:trades:ETH/BTC",
    "funding/bitmex_XBTUSD_funding_2016_2020.csv.gz": "bitmex:funding:BTC/USD:BTC",
}


@pytest.fixture(scope="module")
def manifest(recorded: Path) -> dict[str, dict]:
    return {entry["dst"]: entry for entry in json.loads((recorded / "MANIFEST.json").read_text())}


@pytest.fixture
def lake() -> Iterator[Lake]:
    with memory_lake(clock=lambda: parse_time("2026-09-01")) as lake:
        yield lake


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_a_recorded_file_comes_in_with_every_row(case, recorded, manifest, lake):
    entry = manifest[case.file]

    (done,) = lake.import_files(recorded / case.file, case.dataset or None, preset=case.preset, mapping=case.mapping)

    assert not done.refused, done.problems
    assert done.preset == (case.preset or case.chosen)
    assert done.rows == (case.rows or entry["rows"])
    assert (done.new + done.duplicate, done.changed, done.quarantined) == (
        done.rows - case.quarantined,
        0,
        case.quarantined,
    )
    dataset = Dataset.parse(case.dataset or GUESSED[case.file])
    assert done.dataset == str(dataset)
    rows = lake.load(dataset)
    assert rows.height == done.new
    assert rows["ts"].is_sorted()
