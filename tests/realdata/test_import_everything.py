"""Done-when 1: every recorded file that holds rows comes in, with exact counts, through a preset or a stated mapping."""

from __future__ import annotations

import json
from collections import Counter
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
    """A file, what it is said to be, and how it must come in: rows are the manifest's unless said.

    ``again`` are rows that a session received twice, ``events`` how many messages the levels of a book came in.
    """

    file: str
    dataset: str
    preset: str = ""
    mapping: Mapping = field(default_factory=Mapping)
    chosen: str = ""
    rows: int | None = None
    quarantined: int = 0
    again: int = 0
    events: int | None = None


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
        Case(
            f"funding/{name}_BTC-USDT_funding.csv.gz",
            f"{name}:funding:BTC/USDT:USDT",
            mapping=zone,
            chosen="funding-history",
        )
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
SNAPSHOT_TIME = Mapping(constants={"ts": "2020-11-01T09:00:02Z"})
BOOKS = [
    Case(
        "book/binance_ETHBTC_20201101T09_snapshot.json.gz",
        "binance:book:ETH/BTC",
        mapping=SNAPSHOT_TIME,
        chosen="binance-depth-snapshot",
    ),
    Case(
        "book/binance_ETHBTC_20201101T09_update.json.gz",
        "",
        chosen="binance-depth-events",
        rows=67_601,
        events=3_600,
    ),
    Case(
        "book/bybit_XRPUSDT_ob500_20241201.zip",
        "bybit:book:XRP/USDT:USDT",
        chosen="bybit-orderbook",
        rows=3_966,
        events=50,
    ),
    Case("book/coinbase_BTC-USD_L2_snapshot_20260807.json.gz", "", chosen="coinbase-book"),
    Case(
        "book/bitstamp_BTCUSD_L3_events_20150501_3h.log.xz",
        "bitstamp:book:BTC/USD",
        chosen="bitstamp-log",
        rows=200_440,
        events=5_011,
    ),
    Case(
        "book/bitstamp_BTCUSD_L3_events_20150501_3h.log.xz", "bitstamp:trades:BTC/USD", chosen="bitstamp-log", rows=575
    ),
    Case(
        "book/gdax_BTC-USD_level2_2018.csv.gz",
        "coinbase:book:BTC/USD",
        chosen="gdax-export",
        rows=40_042,
        quarantined=28_392,
        events=11_650,
    ),
    Case("book/gdax_BTC-USD_level2_2018.csv.gz", "coinbase:trades:BTC/USD", chosen="gdax-export", rows=60),
]
STREAMS = [
    Case(f"ws_raw/{file}", f"binance:{kind}:{symbol}", chosen="stamped-messages", rows=rows, events=events)
    for file, symbol, kind, rows, events in [
        ("binance_spot_btcusdt_20240808.gz", "BTC/USDT", "book", 126_090, 3_452),
        ("binance_usdm_btcusdt_20240718.gz", "BTC/USDT:USDT", "trades", 974, None),
        ("binance_usdm_btcusdt_20240719.gz", "BTC/USDT:USDT", "trades", 9_727, None),
    ]
]
STREAMS += [
    Case("ws_raw/hyperliquid_btcusd_20250126.gz", "hyperliquid:trades:BTC/USDC:USDC", rows=64),
    Case("ws_raw/hyperliquid_btcusd_20250126.gz", "hyperliquid:book:BTC/USDC:USDC", rows=1_840, again=40, events=45),
]
ANSWERS = [
    Case(
        "rest/bitfinex_candles_1m_BTCUSD_201906.jsonl.gz",
        "bitfinex:ohlcv:1m:BTC/USD",
        chosen="recorded-answers",
        rows=9_707,
    ),
    Case("rest/gct_binance.jsonl.gz", "binance:ohlcv:1h:BTC/USDT", chosen="recorded-answers", rows=1_642),
    Case("rest/gct_binance.jsonl.gz", "binance:trades:ETH/BTC", chosen="recorded-answers", rows=1_000),
    Case("rest/gct_binance.jsonl.gz", "binance:funding:BTC/USDT:USDT", chosen="recorded-answers", rows=107),
    Case("rest/vcr_Binance.jsonl.gz", "binance:trades:BTC/USDC", chosen="recorded-answers", rows=500),
    Case("rest/nautilus_kraken.jsonl.gz", "kraken:ohlcv:1m:BTC/USDT", chosen="recorded-answers", rows=720),
    Case("rest/nautilus_okx.jsonl.gz", "okx:ohlcv:1m:BTC/USDT:USDT", chosen="recorded-answers", rows=2),
    Case("rest/nautilus_deribit.jsonl.gz", "deribit:ohlcv:1m:BTC/USD:BTC", chosen="recorded-answers", rows=5),
    Case("rest/nautilus_bitmex.jsonl.gz", "bitmex:ohlcv:1m:BTC/USD:BTC", chosen="recorded-answers", rows=3),
    Case("rest/nautilus_coinbase.jsonl.gz", "coinbase:ohlcv:1h:BTC/USD", chosen="recorded-answers", rows=1),
]
CASES = [*BARS, *TRADES, *QUOTES, *FUNDING, *BOOKS, *STREAMS, *ANSWERS]

RECORDINGS = {
    "ws_rec/BINANCE.jsonl.zst": {"trades": 2, "quotes": 84, "book": 5_070},
    "ws_rec/BINANCE_FUTURES.jsonl.zst": {"trades": 91, "quotes": 613, "book": 11_902, "ohlcv": 4},
    "ws_rec/BITFINEX.jsonl.zst": {"trades": 210, "quotes": 21, "book": 2_926},
    "ws_rec/BYBIT.jsonl.zst": {
        "trades": 347,
        "quotes": 638,
        "book": 20_809,
        "ohlcv": 6,
        "open_interest": 105,
        "predicted_funding": 91,
    },
    "ws_rec/COINBASE.jsonl.zst": {"trades": 279, "quotes": 160, "book": 74_193, "ohlcv": 198},
    "ws_rec/DERIBIT.jsonl.zst": {"quotes": 82, "open_interest": 89, "book": 149},
    "ws_rec/CRYPTO.COM.jsonl.zst": {"trades": 1_143, "quotes": 1_481, "book": 375_235},
    "ws_rec/GATEIO.jsonl.zst": {"trades": 9, "quotes": 22, "book": 2_887},
    "ws_rec/HUOBI.jsonl.zst": {"trades": 73, "book": 58_996},
    "ws_rec/KRAKEN.jsonl.zst": {"trades": 10, "quotes": 18, "book": 11_745},
    "ws_rec/KUCOIN.jsonl.zst": {"trades": 18, "quotes": 830, "book": 10_354},
    "ws_rec/OKX.jsonl.zst": {"trades": 74, "quotes": 28, "book": 8_264},
    "ws_rec/UPBIT.jsonl.zst": {"trades": 304, "book": 4_350},
    "ws_rec/DYDX.ws.1.0.zst": {"trades": 1_026, "book": 7_094},
    "rest/vcr_Binance.jsonl.gz": {"book": 1_572, "trades": 500},
    "rest/vcr_Bitmex.jsonl.gz": {"book": 11_757, "trades": 100},
    "rest/vcr_Bybit.jsonl.gz": {"book": 50},
    "rest/vcr_Deribit.jsonl.gz": {"book": 40, "trades": 10},
    "rest/vcr_Gate.jsonl.gz": {"book": 154, "trades": 29},
    "rest/vcr_Gdax.jsonl.gz": {"book": 100},
    "rest/vcr_Huobi.jsonl.gz": {"book": 300, "trades": 2_894},
    "rest/vcr_Kraken.jsonl.gz": {"book": 200, "trades": 1_000},
    "rest/vcr_Kucoin.jsonl.gz": {"book": 2_547},
    "rest/vcr_Okex.jsonl.gz": {"book": 400, "trades": 100},
    "rest/vcr_OkexSwap.jsonl.gz": {"book": 400},
    "rest/nautilus_bitmex.jsonl.gz": {"trades": 3},
    "rest/nautilus_bybit.jsonl.gz": {"trades": 1, "funding": 2},
    "rest/nautilus_coinbase.jsonl.gz": {"book": 18, "trades": 5},
    "rest/nautilus_deribit.jsonl.gz": {"book": 54, "trades": 12},
    "rest/nautilus_kraken.jsonl.gz": {"trades": 1_002, "book": 6},
    "rest/nautilus_okx.jsonl.gz": {"trades": 3, "funding": 2, "book": 32, "predicted_funding": 1},
}
"""New rows by kind in recordings that say themselves of what they are."""

AGAIN = {
    "ws_rec/CRYPTO.COM.jsonl.zst": 16_628,
    "ws_rec/BINANCE_FUTURES.jsonl.zst": 8,
    "rest/nautilus_kraken.jsonl.gz": 1,
}
"""Levels that a change and the book before it, or two books, name with the same time and number: they are one row."""

UNTRUE = {"rest/vcr_Gate.jsonl.gz": 1}
"""Rows that cannot be true: a trade of nothing."""

ORACLES = {
    "ws_raw/binance_spot_btcusdt_20240809.gz": "the trades of both days, and the quotes of the first, are counted in test_import_oracles"
}

NO_ROWS = {
    "book/bitfinex_tBTCUSD_R0_L3_feed_2021.json.gz": "orders of participants, without times",
    "broken/bitfinex_L3_feed.log.gz": "damaged: refused, see the oddities",
    "broken/l2update_15min_1.csv": "a git-LFS pointer: refused, see the oddities",
    "ws_rec/BITMEX.0.zst": "instruments",
    "ws_rec/BITMEX.ws.1.0.zst": "what its contracts are settled in is not told: see the test below",
    "ws_rec/DYDX.0.zst": "markets",
    "rest/vcr_Bitfinex.jsonl.gz": "one book, of summed up levels",
}
"""Recorded files without rows that a lake should have, and why; importing them is refused."""

GUESSED = {
    "trades/binance_BTCUSDT_aggTrades_20201101T09.json.gz": "binance:trades:BTC/USDT",
    "trades/binance_ETHUSDT_aggTrades_20201101T09.json.gz": "binance:trades:ETH/USDT",
    "book/binance_ETHBTC_20201101T09_trades.json.gz": "binance:trades:ETH/BTC",
    "book/binance_ETHBTC_20201101T09_update.json.gz": "binance:book:ETH/BTC",
    "book/coinbase_BTC-USD_L2_snapshot_20260807.json.gz": "coinbase:book:BTC/USD",
    "funding/bitmex_XBTUSD_funding_2016_2020.csv.gz": "bitmex:funding:BTC/USD:BTC",
}


@pytest.fixture(scope="module")
def manifest(recorded: Path) -> dict[str, dict]:
    return {entry["dst"]: entry for entry in json.loads((recorded / "MANIFEST.json").read_text())}


@pytest.fixture
def lake() -> Iterator[Lake]:
    with memory_lake(clock=lambda: parse_time("2026-09-01")) as lake:
        yield lake


def test_every_recorded_file_is_accounted_for(manifest):
    named = {case.file for case in CASES} | set(RECORDINGS) | set(NO_ROWS) | set(ORACLES)
    assert set(manifest) - named == {"ohlcv/octobot_binance_BTC_USDT_14tf_2018.sqlite.gz"}
    assert named <= set(manifest)
    assert len(manifest) == 107


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file} {case.dataset}".strip())
def test_a_recorded_file_comes_in_with_every_row(case, recorded, manifest, lake):
    entry = manifest[case.file]

    (done,) = lake.import_files(recorded / case.file, case.dataset or None, preset=case.preset, mapping=case.mapping)

    assert not done.refused, done.problems
    assert done.preset == (case.preset or case.chosen or done.preset)
    assert done.rows == (case.rows or entry["rows"])
    counts = (done.new, done.duplicate, done.changed, done.quarantined)
    assert counts == (done.rows - case.quarantined - case.again, case.again, 0, case.quarantined)
    dataset = Dataset.parse(case.dataset or GUESSED[case.file])
    assert done.dataset == str(dataset)
    rows = lake.load(dataset)
    assert rows.height == done.new
    assert rows["ts"].is_sorted()
    if case.events is not None:
        assert rows["seq"].n_unique() == case.events


@pytest.mark.parametrize("file", RECORDINGS)
def test_a_recording_comes_in_by_market_and_kind(file, recorded, lake):
    done = lake.import_files(recorded / file)

    found: Counter[str] = Counter()
    for one in done:
        assert not one.refused, one
        found[Dataset.parse(one.dataset).kind] += one.new
    assert found == RECORDINGS[file]
    assert sum(one.rows - one.new for one in done) == AGAIN.get(file, 0) + UNTRUE.get(file, 0)
    assert sum(one.quarantined for one in done) == UNTRUE.get(file, 0)


@pytest.mark.parametrize("file", NO_ROWS)
def test_what_has_no_rows_is_refused_and_leaves_nothing(file, recorded, lake):
    done = lake.import_files(recorded / file, None if "broken" not in file else "coinbase:book:BTC/USD")
    assert [one.refused for one in done] == [True]
    assert lake.datasets() == []


def test_trades_of_a_recording_can_be_named_where_it_does_not_say_what_they_are(recorded, lake):
    (done,) = lake.import_files(recorded / "ws_rec/BITMEX.ws.1.0.zst", "bitmex:trades:BTC/USD:BTC")
    assert (done.rows, done.new) == (16, 16)


def test_octobots_database_holds_fourteen_timeframes(recorded, lake):
    """OctoBot: candle JSON text in SQLite; the column timestamp is the close time, the open time stands in the candle."""
    done = lake.import_files(recorded / "ohlcv/octobot_binance_BTC_USDT_14tf_2018.sqlite.gz")
    counts = {str(Dataset.parse(one.dataset).timeframe): one.new for one in done}
    assert counts == {
        **dict.fromkeys(("3m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h"), 500),
        "1m": 502,
        "1d": 255,
        "3d": 85,
        "1w": 37,
        "1M": 9,
    }
    assert sum(counts.values()) == 5_388
