"""Every row of the table of layouts: its address, and a file of it, short as its site documents it or recorded."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import polars as pl
import pytest

from ticklake.core.archive_plan import ArchiveFile, Period
from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument
from ticklake.core.kinds import KINDS
from ticklake.core.span import Span
from ticklake.core.time import DAY, MINUTE, parse_time
from ticklake.errors import InvalidData, InvalidName
from ticklake.sources.archives.layouts import LAYOUTS, Layout, layout_of, url_of
from ticklake.sources.archives.members import read_rows

JANUARY = parse_time("2024-01-01")
DAILY = ArchiveFile(Span(JANUARY, JANUARY + DAY), Period.DAY, "2024-01-01")
MONTHLY = ArchiveFile(Span(JANUARY, JANUARY + 31 * DAY), Period.MONTH, "2024-01")
SPOT = Instrument("binance", "BTC/USDT", "BTCUSDT", "spot")
LINEAR = Instrument("binance", "BTC/USDT:USDT", "BTCUSDT", "swap")
INVERSE = Instrument("binance", "BTC/USD:BTC", "BTCUSD_PERP", "swap", details={"inverse": True})
QUARTER = Instrument("binance", "BTC/USD:BTC-240329", "BTCUSD_240329", "future", details={"inverse": True})

ADDRESSES = [
    ("binance:ohlcv:1M:BTC/USDT", SPOT, MONTHLY, "data/spot/monthly/klines/BTCUSDT/1mo/BTCUSDT-1mo-2024-01.zip"),
    ("binance:ohlcv:1s:BTC/USDT", SPOT, DAILY, "data/spot/daily/klines/BTCUSDT/1s/BTCUSDT-1s-2024-01-01.zip"),
    ("binance:trades:BTC/USDT", SPOT, DAILY, "data/spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-01-01.zip"),
    ("binance:ohlcv:1m:BTC/USDT:USDT", LINEAR, DAILY, "data/futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip"),
    ("binance:mark_ohlcv:1h:BTC/USDT:USDT", LINEAR, MONTHLY, "data/futures/um/monthly/markPriceKlines/BTCUSDT/1h/BTCUSDT-1h-2024-01.zip"),
    ("binance:funding:BTC/USDT:USDT", LINEAR, MONTHLY, "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-01.zip"),
    ("binance:quotes:BTC/USDT:USDT", LINEAR, DAILY, "data/futures/um/daily/bookTicker/BTCUSDT/BTCUSDT-bookTicker-2024-01-01.zip"),
    ("binance:open_interest:BTC/USDT:USDT", LINEAR, DAILY, "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2024-01-01.zip"),
    ("binance:ohlcv:1d:BTC/USD:BTC", INVERSE, MONTHLY, "data/futures/cm/monthly/klines/BTCUSD_PERP/1d/BTCUSD_PERP-1d-2024-01.zip"),
    ("binance:index_ohlcv:1d:BTC/USD:BTC", INVERSE, DAILY, "data/futures/cm/daily/indexPriceKlines/BTCUSD/1d/BTCUSD-1d-2024-01-01.zip"),
    ("binance:trades:BTC/USD:BTC-240329", QUARTER, DAILY, "data/futures/cm/daily/aggTrades/BTCUSD_240329/BTCUSD_240329-aggTrades-2024-01-01.zip"),
    ("bybit:trades:BTC/USDT:USDT", LINEAR, DAILY, "trading/BTCUSDT/BTCUSDT2024-01-01.csv.gz"),
    ("okx:trades:BTC/USDT", Instrument("okx", "BTC/USDT", "BTC-USDT", "spot"), DAILY, "cdn/okex/traderecords/trades/daily/20240101/BTC-USDT-trades-2024-01-01.zip"),
]  # fmt: skip


def space(text: str) -> str:
    return "agg" if text.startswith("binance:trades") else ""


@pytest.mark.parametrize(("text", "instrument", "file", "path"), ADDRESSES)
def test_a_dataset_has_the_address_its_site_documents(text, instrument, file, path):
    dataset = Dataset.parse(text)
    layout = layout_of(dataset, instrument, space(text))
    assert layout is not None
    assert url_of(layout, "https://site.example/", dataset, instrument, file) == f"https://site.example/{path}"


@pytest.mark.parametrize("native", ["../../etc", "a/b", "BTC USDT", "", "a..b"])
def test_a_market_whose_name_is_no_file_name_is_never_asked_for(native):
    dataset, strange = Dataset.parse("binance:trades:BTC/USDT"), Instrument("binance", "BTC/USDT", native, "spot")
    layout = layout_of(dataset, strange, "agg")
    assert layout is not None
    with pytest.raises(InvalidName, match="cannot be part of an address"):
        url_of(layout, "https://site.example", dataset, strange, DAILY)


@pytest.mark.parametrize(
    ("text", "instrument"),
    [
        ("bybit:trades:BTC/USDT", SPOT),  # its files number trades from 1 each day
        ("okx:trades:BTC/USDT:USDT-240329", QUARTER),  # files of whole chains
        ("kraken:trades:BTC/USDT", SPOT),  # no site
        ("binance:trades:BTC/USDT", Instrument("binance", "BTC/USDT", "BTCUSDT", "option")),
    ],
)
def test_what_has_no_file_of_its_own_has_no_layout(text, instrument):
    assert layout_of(Dataset.parse(text), instrument, space(text)) is None


def find(exchange: str, market: str, kind: str, id_space: str = "") -> Layout:
    (row,) = (r for r in LAYOUTS if (r.exchange, r.market, r.kind, r.id_space) == (exchange, market, kind, id_space))
    return row


def zipped(folder: Path, text: str) -> Path:
    path = folder / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", text)
    return path


def rows(path: Path, layout: Layout, span: Span = DAILY.span) -> pl.DataFrame:
    return pl.concat([piece for piece, _ in read_rows(path, layout, span)])


MS, US = 1704067200123, 1704067200123456
KLINE = "1704067200000,42283.6,42554.6,42261.0,42475.2,1271.7,1704070799999,53957.3,47134,682.6,28957.4,0"
FILES = {
    "spot trades without a header": (
        ("binance", "spot", "trades", "raw"),
        f"3353,42283.58,0.5,21141.79,{MS},True,True\n",
        {"ts": US // 1000 * 1000000, "id": "3353", "price": 42283.58, "amount": 0.5, "side": "sell"},
    ),
    "spot aggregated trades in microseconds, as from 2025 on": (
        ("binance", "spot", "trades", "agg"),
        f"7,42283.58,0.5,10,11,{US},false,True\n",
        {"ts": US * 1000, "id": "7", "price": 42283.58, "amount": 0.5, "side": "buy"},
    ),
    "futures trades with a header": (
        ("binance", "linear", "trades", "raw"),
        f"id,price,qty,quote_qty,time,is_buyer_maker\n9,1.5,2,3,{MS},false\n",
        {"ts": MS * 10**6, "id": "9", "price": 1.5, "amount": 2.0, "side": "buy"},
    ),
    "inverse bars, whose contracts are in column 6 and coins in column 8": (
        ("binance", "inverse", "ohlcv", ""),
        f"open_time,open,high,low,close,volume,close_time,quote_volume,count,x,y,ignore\n{KLINE}\n",
        {"ts": JANUARY, "open": 42283.6, "close": 42475.2, "volume": 53957.3, "trades": 47134},
    ),
    "spot bars without a header": (
        ("binance", "spot", "ohlcv", ""),
        f"{KLINE}\n",
        {"ts": JANUARY, "high": 42554.6, "low": 42261.0, "volume": 1271.7, "quote_volume": 53957.3},
    ),
    "best bid and ask": (
        ("binance", "inverse", "quotes", ""),
        "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n"
        f"77,42283.5,10,42283.6,12,{MS},{MS + 5}\n",
        {"ts": MS * 10**6, "seq": 77, "bid_price": 42283.5, "bid_amount": 10.0, "ask_price": 42283.6},
    ),
    "funding rates, milliseconds late": (
        ("binance", "linear", "funding", ""),
        "calc_time,funding_interval_hours,last_funding_rate\n1704067200004,8,0.00037409\n",
        {"ts": JANUARY + 4 * 10**6, "rate": 0.00037409},
    ),
    "metrics, whose rows end the five minutes they are about": (
        ("binance", "inverse", "open_interest", ""),
        "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio\n"
        "2024-01-01 00:05:00,BTCUSD_PERP,8012.5,1894.2,1.07\n",
        {"ts": JANUARY + 5 * MINUTE, "open_interest": 8012.5, "open_interest_value": 1894.2},
    ),
    "OKX trades": (
        ("okx", "linear", "trades", ""),
        f"instrument_name,trade_id,side,price,size,created_time\nBTC-USDT-SWAP,812,BUY,42283.1,3,{MS}\n",
        {"ts": MS * 10**6, "id": "812", "price": 42283.1, "amount": 3.0, "side": "buy"},
    ),
    "OKX bars of a swap, whose coins are in vol_ccy": (
        ("okx", "linear", "ohlcv", ""),
        "instrument_name,open,high,low,close,vol,vol_ccy,vol_quote,open_time,confirm\n"
        "BTC-USDT-SWAP,1,4,0.5,2,100,1.5,3,1704067200000,1\n",
        {"ts": JANUARY, "open": 1.0, "high": 4.0, "volume": 1.5, "quote_volume": 3.0},
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_as_its_site_documents_it_becomes_rows(name, tmp_path):
    key, text, want = FILES[name]
    layout = find(*key)
    (row,) = rows(zipped(tmp_path, text), layout).with_columns(pl.col("ts").to_physical()).to_dicts()
    assert {column: row[column] for column in want} == want
    assert set(row) <= set(KINDS[layout.kind].names)


def test_every_layout_that_differs_in_columns_has_a_file_here():
    tried = {(find(*key).columns, find(*key).kind) for key, *_ in FILES.values()}
    left = {(r.columns, r.kind) for r in LAYOUTS if r.exchange != "bybit" and not r.kind.endswith("_ohlcv")} - tried
    assert {kind for _, kind in left} <= {"ohlcv"}  # OKX spot: one column name apart
    assert len(left) <= 1


DAMAGED = {
    "two files": lambda path: zipfile.ZipFile(path, "a").writestr("b.csv", "x"),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-30]),
    "no zip": lambda path: path.write_bytes(b"<html>busy</html>"),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_file_is_refused_whole(how, tmp_path):
    path = zipped(tmp_path, f"{KLINE}\n" * 50)
    DAMAGED[how](path)
    with pytest.raises(InvalidData):
        rows(path, find("binance", "spot", "ohlcv"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{KLINE}\n1704153660000,1,1,1,1,1,1,1,1,1,1,0\n", "outside"),
        ("1704067200000,42283.6,x,42261.0,42475.2,1,2,3,4,5,6,0\n", "not as its layout says"),
        ("open_time,open,high\n1704067200000,1,2\n", "no column"),
    ],
)
def test_a_file_that_is_not_as_its_layout_says_is_refused_with_the_reason(text, told, tmp_path):
    with pytest.raises(InvalidData, match=told):
        rows(zipped(tmp_path, text), find("binance", "spot", "ohlcv"))


class TestRecorded:
    def test_binance_s_own_month_of_near(self, recorded, tmp_path):
        text = gzip.decompress((recorded / "ohlcv/vision_um_NEARUSDT-1m-2023-09.csv.gz").read_bytes()).decode()
        month = Span(parse_time("2023-09-01"), parse_time("2023-10-01"))
        bars = rows(zipped(tmp_path, text), find("binance", "linear", "ohlcv"), month)
        assert bars.height == 43_200
        assert (bars["volume"] == 0).sum() == 144
        assert bars["ts"].to_physical().diff().drop_nulls().unique().to_list() == [MINUTE]
        assert bars.row(0)[1:5] == (1.1540, 1.1540, 1.1510, 1.1520)

    def test_bybit_s_own_day_which_is_newest_first(self, recorded):
        """Oddities: newest first, float seconds with microseconds, several trades at one instant."""
        path = recorded / "trades/bybit_BTCUSD_2019-10-01.csv.gz"
        day = Span(parse_time("2019-10-01"), parse_time("2019-10-02"))
        trades = rows(path, find("bybit", "inverse", "trades"), day)
        ts = trades["ts"].to_physical()
        assert (trades.height, trades["id"].n_unique(), int((ts.diff() == 0).sum())) == (93_598, 93_598, 26_889)
        assert ts.is_sorted()
        assert (int(ts[0]), int(ts[-1])) == (1569888000719213000, 1569974396557895000)
        assert trades.row(-1, named=True)["side"] == "buy"
