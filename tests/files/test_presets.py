"""Presets: whose file it is, which dataset its name says, and what a row of it becomes."""

from __future__ import annotations

import hashlib
import lzma
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ticklake.app import memory_lake
from ticklake.core.file_reports import FileReport
from ticklake.core.instrument import Instrument
from ticklake.core.time import parse_time
from ticklake.errors import BadInput
from ticklake.lake import Lake
from ticklake.sources.archives.layouts import LAYOUTS

KLINE = "1704153600000,100,103,99,102,5,1704157199999,510,7,2,204,0\n"
KLINE_NAMES = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n"
AGG = "1,100.5,2,10,11,1704153600000,true,true\n"


@pytest.fixture
def lake() -> Iterator[Lake]:
    with memory_lake(clock=lambda: parse_time("2026-01-01")) as lake:
        yield lake


def put(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{path.stem}.csv", text)
    else:
        path.write_text(text)
    return path


def one(lake: Lake, path: Path, *arguments, **options) -> FileReport:
    (done,) = lake.import_files(path, *arguments, **options)
    assert not done.refused, done.problems
    assert done.quarantined == 0
    return done


@pytest.mark.parametrize(
    ("name", "text", "preset", "dataset"),
    [
        ("BTCUSDT-1h-2024-01.zip", KLINE, "binance-klines", "binance:ohlcv:1h:BTC/USDT"),
        ("BTCUSDT-1h-2024-01-02.zip", KLINE_NAMES + KLINE, "binance-um-klines", "binance:ohlcv:1h:BTC/USDT:USDT"),
        ("data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2024-01-02.csv", KLINE_NAMES + KLINE, "binance-klines", "binance:ohlcv:1h:BTC/USDT"),
        ("data/futures/um/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2024-01-02.zip", KLINE, "binance-um-klines", "binance:ohlcv:1h:BTC/USDT:USDT"),
        ("data/futures/cm/monthly/klines/BTCUSD_PERP/1h/BTCUSD_PERP-1h-2024-01.zip", KLINE, "binance-cm-klines", "binance:ohlcv:1h:BTC/USD:BTC"),
        ("data/futures/um/daily/markPriceKlines/BTCUSDT/1h/BTCUSDT-1h-2024-01-02.zip", KLINE, "binance-um-markPriceKlines", "binance:mark_ohlcv:1h:BTC/USDT:USDT"),
        ("BTCUSDT-aggTrades-2024-01-02.zip", AGG, "binance-aggTrades", "binance:trades:BTC/USDT"),
        ("BTCUSDT-fundingRate-2024-01.zip", "calc_time,funding_interval_hours,last_funding_rate\n1704153600000,8,0.0001\n", "binance-um-fundingRate", "binance:funding:BTC/USDT:USDT"),
        ("BTCUSDT-metrics-2024-01-02.zip", "create_time,symbol,sum_open_interest,sum_open_interest_value\n2024-01-02 00:00:00,BTCUSDT,5.5,500\n", "binance-um-metrics", "binance:open_interest:BTC/USDT:USDT"),
        ("BTCUSDT-bookTicker-2024-01-02.zip", "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n9,1,2,3,4,1704153600000,1704153600005\n", "binance-um-bookTicker", "binance:quotes:BTC/USDT:USDT"),
        ("BTC-USDT-trades-2024-01-02.zip", "trade_id,side,size,price,created_time\n7,buy,1,100,1704153600000\n", "okx-trades", "okx:trades:BTC/USDT"),
        ("BTCUSDT2024-01-02.csv", "timestamp,symbol,side,size,price,tickDirection,trdMatchID\n1704153600.5,BTCUSDT,Buy,1,100,x,a-1\n", "bybit-trades", "bybit:trades:BTC/USDT:USDT"),
        ("XBTUSD_1440.csv", "1704153600,100,103,99,102,5,7\n", "kraken-ohlcvt", "kraken:ohlcv:1d:BTC/USD"),
        ("XDGUSD.csv", "1704153600,0.09,500\n", "kraken-trades", "kraken:trades:DOGE/USD"),
        ("binance-futures_trades_2024-01-02_BTCUSDT.csv", "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\nbinance-futures,BTCUSDT,1704153600000000,1704153600100000,1,unknown,100,2\n", "tardis-trades", "binance:trades:BTC/USDT:USDT"),
        ("renamed.csv", "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\nokex-swap,BTC-USD-SWAP,1704153600000000,1704153600100000,1,buy,100,2\n", "tardis-trades", "okx:trades:BTC/USD:BTC"),
        ("Binance_BTCUSDT_1h.csv", "https://www.CryptoDataDownload.com\nUnix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT,tradecount\n1704153600000,2024-01-02 00:00:00,BTCUSDT,100,103,99,102,5,510,7\n", "cryptodatadownload-unix", "binance:ohlcv:1h:BTC/USDT"),
        ("data/okx/futures/BTC_USDT_USDT-1h-futures.json", "[[1704153600000,100,103,99,102,5]]", "freqtrade", "okx:ohlcv:1h:BTC/USDT:USDT"),
        ("data/okx/futures/BTC_USDT_USDT-1h-mark.json", "[[1704153600000,100,103,99,102,5]]", "freqtrade-mark", "okx:mark_ohlcv:1h:BTC/USDT:USDT"),
        ("data/kraken/BTC_EUR-trades.json", '[[1704153600000,"1",null,"buy",100,2,200]]', "freqtrade-trades", "kraken:trades:BTC/EUR"),
        ("crypto/coinbase/daily/btcusd_trade.zip", "20240102 00:00,100,103,99,102,5\n", "lean-long-bars", "coinbase:ohlcv:1d:BTC/USD"),
    ],
)  # fmt: skip
def test_a_name_says_the_dataset_where_its_preset_defines_it(name, text, preset, dataset, lake, tmp_path):
    done = one(lake, put(tmp_path, name, text))
    assert (done.preset, done.dataset, done.new) == (preset, dataset, 1)
    assert done.first in {"2024-01-02T00:00:00Z", "2024-01-02T00:00:00.5Z"}


def test_the_taker_sold_where_the_buyer_was_the_maker(lake, tmp_path):
    one(lake, put(tmp_path, "BTCUSDT-aggTrades-2024-01-02.zip", AGG))
    row = lake.trades("binance", "BTC/USDT").row(0, named=True)
    assert (row["id"], row["side"], row["price"]) == ("1", "sell", 100.5)


def test_a_dump_covers_its_whole_day_even_where_its_first_row_is_late(lake, tmp_path):
    late = AGG.replace("1704153600000", "1704200000000")
    done = one(lake, put(tmp_path, "BTCUSDT-aggTrades-2024-01-02.zip", late))
    (span,) = lake.coverage(done.dataset).spans()
    assert str(span) == "[2024-01-02T00:00:00Z .. 2024-01-03T00:00:00Z)"


def test_a_checksum_that_lies_beside_a_file_is_compared(lake, tmp_path):
    path = put(tmp_path, "BTCUSDT-1h-2024-01.zip", KLINE)
    beside = tmp_path / "BTCUSDT-1h-2024-01.zip.CHECKSUM"
    beside.write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    assert one(lake, path).new == 1
    beside.write_text(f"{'0' * 64}  {path.name}\n")
    (refused,) = lake.import_files(tmp_path)
    assert "its SHA-256 is not the one in BTCUSDT-1h-2024-01.zip.CHECKSUM" in refused.problems[-1]


def test_every_layout_of_binance_has_a_preset():
    from ticklake.files.presets import PRESETS

    kinds = {(preset.kind, preset.market) for preset in PRESETS if preset.exchange == "binance"}
    assert kinds >= {(row.kind, row.market) for row in LAYOUTS if row.exchange == "binance"}


def test_rows_of_several_markets_are_told_apart_by_their_columns(lake, tmp_path):
    text = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n" + "".join(
        f"deribit,{symbol},1704153600000000,1704153600100000,{number},buy,100,2\n"
        for number, symbol in enumerate(["BTC-USDC", "ETH-USDC", "BTC-USDC"])
    )
    done = lake.import_files(put(tmp_path, "x.csv", text))
    assert {entry.dataset: entry.new for entry in done} == {"deribit:trades:BTC/USDC": 2, "deribit:trades:ETH/USDC": 1}
    (refused,) = lake.import_files(tmp_path / "x.csv", "deribit:trades:BTC/USDC")
    assert "rows of several symbols" in refused.problems[-1]


@pytest.mark.parametrize(
    ("exchange", "dataset"),
    [("bybit", "bybit:trades:BTC/USD:BTC"), ("bitmex", "bitmex:trades:XBT/USD:BTC")],
)
def test_columns_of_contracts_say_that_a_renamed_file_is_of_no_spot_market(exchange, dataset, lake, tmp_path):
    """The amounts of ``BTCUSD`` are dollars: as trades of a spot market they would be thousands of times too large."""
    native = dataset.split(":")[2].replace("/", "")
    text = (
        "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional\n"
        f"1704153600.5,{native},Buy,1,100,x,a-1,1,1,1\n"
    )
    done = one(lake, put(tmp_path, f"{exchange}_trades.csv", text), exchange=exchange)
    assert done.dataset == dataset.replace("XBT", "BTC")


@pytest.mark.parametrize(
    ("native", "symbol"),
    [("SOLUSDT", "SOL/USDT:USDT"), ("SOLPERP", "SOL/USDC:USDC"), ("ETHUSDH24", "ETH/USD:ETH-240329")],
)
def test_a_renamed_file_of_bybit_is_of_the_contract_in_its_rows(native, symbol, lake, tmp_path):
    text = (
        "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional\n"
        f"1704153600.5,{native},Sell,1,100,x,a-1,1,1,1\n"
    )
    assert one(lake, put(tmp_path, "x.csv", text), exchange="bybit").dataset == f"bybit:trades:{symbol}"


def test_a_zip_of_many_members_is_as_many_files(lake, tmp_path):
    """Kraken's whole history is one zip."""
    path = tmp_path / "Kraken_OHLCVT.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("XBTUSD_60.csv", "ETHEUR_60.csv"):
            archive.writestr(name, "1704153600,100,103,99,102,5,7\n")
        archive.writestr("__MACOSX/._XBTUSD_60.csv", "x")
        archive.writestr("readme.pdf", b"%PDF-1.4\x00\x01")
    done = lake.import_files(path)
    assert [entry.dataset for entry in done if not entry.refused] == [
        "kraken:ohlcv:1h:ETH/EUR",
        "kraken:ohlcv:1h:BTC/USD",
    ] or [entry.dataset for entry in done if not entry.refused] == [
        "kraken:ohlcv:1h:BTC/USD",
        "kraken:ohlcv:1h:ETH/EUR",
    ]
    assert [entry.path.rpartition("!")[2] for entry in done if entry.refused] == ["readme.pdf"]


def test_metatrader_counts_in_the_brokers_time(lake, tmp_path):
    text = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n2024.01.02\t02:00:00\t1.1\t1.2\t1.0\t1.15\t77\t0\t3\n"
    path, dataset = put(tmp_path, "EURUSD_H1.csv", text), "broker:ohlcv:1h:EUR/USD"
    (refused,) = lake.import_files(path, dataset)
    assert "without a zone" in refused.problems[-1]
    from ticklake import Mapping

    done = one(lake, path, dataset, mapping=Mapping(zone="Europe/Athens"))
    assert (done.preset, done.first) == ("metatrader", "2024-01-02T00:00:00Z")
    assert lake.load(dataset)["volume"][0] == 77


def test_dukascopys_table_and_its_ticks(lake, tmp_path):
    text = "Gmt time,Open,High,Low,Close,Volume\n02.01.2024 00:00:00.000,1.1,1.2,1.0,1.15,77.5\n"
    done = one(lake, put(tmp_path, "EURUSD_Candlestick_1_h_BID.csv", text), "dukascopy:ohlcv:1h:EUR/USD")
    assert (done.preset, done.first) == ("dukascopy-bars", "2024-01-02T00:00:00Z")

    path = tmp_path / "EURUSD/2024/00/02/13h_ticks.bi5"
    path.parent.mkdir(parents=True)
    ticks = b"".join(struct.pack(">3I2f", step, 110_002, 110_000, 1.5, 2.0) for step in (5, 1_000))
    path.write_bytes(lzma.compress(ticks, format=lzma.FORMAT_ALONE))
    done = one(lake, path)
    assert (done.dataset, done.new, done.first) == ("dukascopy:quotes:EUR/USD", 2, "2024-01-02T13:00:00.005Z")
    assert lake.load(done.dataset)["bid_price"].to_list() == [1.1, 1.1]


def test_cryptofeeds_parquet(lake, tmp_path):
    frame = pl.DataFrame(
        {
            "timestamp": [1704153600.123456, 1704153601.5],
            "receipt_timestamp": [1704153600.2, 1704153601.6],
            "feed": ["BINANCE_FUTURES"] * 2,
            "symbol": ["BTC-USDT-PERP"] * 2,
            "id": ["7", "8"],
            "side": ["buy", "sell"],
            "amount": [0.5, 0.25],
            "price": [100.0, 101.0],
        }
    )
    path = tmp_path / "BINANCE_FUTURES-trades-BTC-USDT-PERP-1704153600.parquet"
    frame.write_parquet(path)
    done = one(lake, path)
    assert (done.preset, done.dataset) == ("cryptofeed-trades", "binance:trades:BTC/USDT:USDT")
    assert lake.load(done.dataset)["ts"].to_physical().to_list() == [1704153600123456000, 1704153601500000000]


@pytest.mark.parametrize(("width", "scale"), [(8, 10**9), (16, 10**16)])
def test_nautilus_numbers_are_read_exactly_and_its_bars_begin_where_ours_do(lake, tmp_path, width, scale):
    """Nautilus 1.2 writes 128-bit fixed point (64-bit where it is built so) and names bars by their close."""

    def fixed(*prices: str) -> pa.Array:
        whole = [int(price.replace(".", "")) * (scale // 100) for price in prices]
        return pa.array([value.to_bytes(width, "little", signed=True) for value in whole], pa.binary(width))

    close = parse_time("2024-01-02T00:01")
    times = pa.array([close, close + 60 * 10**9], pa.uint64())
    columns = {name: fixed("61837.63", "61838.01") for name in ("open", "high", "low", "close", "volume")}
    table = pa.table({**columns, "ts_event": times, "ts_init": times})
    path = tmp_path / "data/bar/BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL/part-0.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table, path)

    done = one(lake, path)

    assert (done.preset, done.dataset) == ("nautilus-bars", "binance:ohlcv:1m:BTC/USDT:USDT")
    bars = lake.load(done.dataset)
    assert bars["open"].to_list() == [61837.63, 61838.01]
    assert done.first == "2024-01-02T00:00:00Z"


class TestFilesThatDoNotSayTheirExchange:
    """Field note: freqtrade and LEAN keep folders of many symbols, whose names say all but where they were traded."""

    BARS = "[[1704153600000, 1, 3, 1, 2, 10.5], [1704157200000, 2, 4, 2, 3, 11.5]]"

    def folder(self, root: Path) -> Path:
        put(root, "bars/BTC_USDT-1h.json", self.BARS)
        put(root, "bars/ETH_USDT_USDT-1h-futures.json", self.BARS)
        return root / "bars"

    def test_are_imported_once_it_is_said(self, lake, tmp_path):
        done = lake.import_files(self.folder(tmp_path), exchange="okx")
        assert [one.dataset for one in done] == ["okx:ohlcv:1h:BTC/USDT", "okx:ohlcv:1h:ETH/USDT:USDT"]
        assert [one.new for one in done] == [2, 2]

    def test_are_refused_together_with_the_word_that_lacks(self, lake, tmp_path):
        with pytest.raises(
            BadInput, match=r"2 of 2 files .*freqtrade: \?:ohlcv:1h:BTC/USDT\): the exchange is not known: say"
        ):
            lake.import_files(self.folder(tmp_path))
        assert not lake.datasets()

    def test_lack_other_words_still(self, lake, tmp_path):
        prints = put(tmp_path, "prints.csv", "time,price,amount\n2024-01-02T00:00:00Z,1,2\n")
        with pytest.raises(BadInput, match="the symbol is not known: name the dataset"):
            lake.import_files(prints, exchange="okx")
        with pytest.raises(BadInput, match="the exchange and the symbol are not known"):
            lake.import_files(prints)

    def test_a_file_that_says_another_one_is_believed_and_the_report_says_so(self, lake, tmp_path):
        done = one(lake, put(tmp_path, "BTCUSDT-1h-2024-01.zip", KLINE), exchange="okx")
        assert done.dataset == "binance:ohlcv:1h:BTC/USDT"
        assert "it says that it is of binance, not of okx" in done.problems

    @pytest.mark.parametrize("exchange", ["../okx", "o k x"])
    def test_what_can_be_no_exchange_is_refused(self, lake, tmp_path, exchange):
        with pytest.raises(BadInput, match="is not an exchange id"):
            lake.import_files(self.folder(tmp_path), exchange=exchange)

    def test_two_words_that_contradict_are_refused(self, lake, tmp_path):
        with pytest.raises(BadInput, match="is not of 'okx': say one of"):
            lake.import_files(self.folder(tmp_path), "binance:ohlcv:1h:BTC/USDT", exchange="okx")


def kraken_trades(*numbers):
    rows = ",".join(f'[{1704153600000 + 7000 * n},"{n}",null,"buy",100,2,200]' for n in numbers)
    return f"[{rows}]"


class TestSeams:
    """Files that were brought in one after the other left a stretch between them that was never looked at."""

    def bring(self, lake, tmp_path, *files):
        for at, numbers in enumerate(files):
            put(tmp_path, f"{at}/BTC_EUR-trades.json", kraken_trades(*numbers))
            lake.import_files(tmp_path / str(at) / "BTC_EUR-trades.json", "kraken:trades:BTC/EUR")
        return [(gap.missing, str(gap.reason)) for gap in lake.gaps("kraken:trades:BTC/EUR")]

    def test_ids_that_follow_each_other_prove_the_stretch_between_two_files(self, lake, tmp_path):
        assert self.bring(lake, tmp_path, range(1, 50), range(50, 90), range(90, 120)) == []
        assert lake.quality("kraken:trades:BTC/EUR").is_complete
        assert len(lake.coverage("kraken:trades:BTC/EUR").spans()) == 1

    def test_files_may_come_in_any_order(self, lake, tmp_path):
        assert self.bring(lake, tmp_path, range(90, 120), range(1, 50), range(50, 90)) == []

    def test_ids_that_jump_prove_nothing(self, lake, tmp_path):
        assert self.bring(lake, tmp_path, range(1, 50), range(51, 90)) == [(None, "not_fetched")]


class TestNativeNames:
    """Field note: ETHUSD was read as ET/HUSD, and quarterlies of USD-M with the columns of COIN-M."""

    def test_usdm_quarterlies_have_usdm_columns(self, lake, tmp_path):
        done = one(lake, put(tmp_path, "ETHUSDT_210924-1h-2024-01.csv", KLINE))
        assert (done.preset, done.dataset) == ("binance-um-klines", "binance:ohlcv:1h:ETH/USDT:USDT-210924")
        assert lake.load(done.dataset)["volume"].to_list() == [5]
        assert lake.load(done.dataset)["quote_volume"].to_list() == [510]

    def test_coinm_quarterlies_have_coinm_columns(self, lake, tmp_path):
        done = one(lake, put(tmp_path, "BTCUSD_211231-1h-2024-01.csv", KLINE))
        assert (done.preset, done.dataset) == ("binance-cm-klines", "binance:ohlcv:1h:BTC/USD:BTC-211231")
        assert lake.load(done.dataset)["volume"].to_list() == [510]

    def test_the_index_of_coinm_is_named_by_its_pair(self, lake, tmp_path):
        name = "data/futures/cm/daily/indexPriceKlines/BTCUSD/1h/BTCUSD-1h-2024-01-02.zip"
        assert one(lake, put(tmp_path, name, KLINE)).dataset == "binance:index_ohlcv:1h:BTC/USD:BTC"

    @pytest.mark.parametrize(
        ("name", "symbol"),
        [
            *(("XETHZUSD", "ETH/USD"), ("XXBTZUSD", "BTC/USD"), ("ETHUSD", "ETH/USD"), ("ARBUSD", "ARB/USD")),
            *(("BCHUSD", "BCH/USD"), ("BNBUSD", "BNB/USD"), ("DASHUSD", "DASH/USD")),
        ],
    )
    def test_krakens_dumps(self, lake, tmp_path, name, symbol):
        done = one(lake, put(tmp_path, f"{name}_60.csv", "1704153600,100,103,99,102,5,7\n"))
        assert done.dataset == f"kraken:ohlcv:1h:{symbol}"

    def ambiguous(self, root: Path) -> Path:
        return put(root, "crypto/someplace/daily/arbusd_trade.zip", "20240102 00:00,100,103,99,102,5\n")

    def test_a_name_with_two_readings_is_refused_until_it_is_said_which(self, lake, tmp_path):
        path = self.ambiguous(tmp_path)
        with pytest.raises(BadInput, match=r"'arbusd' may be AR/BUSD or ARB/USD on someplace: say which .*--symbol"):
            lake.import_files(path)
        assert one(lake, path, symbol="ARB/USD").dataset == "someplace:ohlcv:1d:ARB/USD"
        assert one(lake, path, "someplace:ohlcv:1d:AR/BUSD").new == 1

    def test_what_the_exchange_listed_decides(self, lake, tmp_path):
        """Also what it lists no longer."""
        listed = [Instrument("someplace", f"X{number}/EUR", f"X{number}-EUR") for number in range(30)]
        instruments = lake._collector.instruments
        instruments.snapshot("someplace", [*listed, Instrument("someplace", "AR/BUSD", "ARBUSD")], 10**18)
        instruments.snapshot("someplace", listed, 2 * 10**18)
        assert one(lake, self.ambiguous(tmp_path)).dataset == "someplace:ohlcv:1d:AR/BUSD"

    def test_rows_with_such_a_name_refuse_their_file(self, lake, tmp_path):
        text = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\nsomeplace,ARBUSD,1704153600000000,1704153600100000,1,buy,100,2\n"
        path = put(tmp_path, "x.csv", text)
        (refused,) = lake.import_files(path)
        assert "may be AR/BUSD or ARB/USD" in refused.problems[-1]
        assert one(lake, path, symbol="AR/BUSD").dataset == "someplace:trades:AR/BUSD"

    def test_a_symbol_and_a_dataset_of_another_contradict(self, lake, tmp_path):
        with pytest.raises(BadInput, match="is not of 'ETH/USD'"):
            lake.import_files(self.ambiguous(tmp_path), "someplace:ohlcv:1d:AR/BUSD", symbol="ETH/USD")
