"""Every recorded message and answer is accounted for, by counts that are taken from the files themselves."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from ticklake.app import memory_lake
from ticklake.core.dataset import Dataset
from ticklake.core.time import parse_time
from ticklake.lake import Lake

PARTS = ("read", "without_rows", "refused", "control", "not_known")

NOT_KNOWN = {
    "ws_rec/BINANCE.jsonl.zst": {},
    "ws_rec/BINANCE_FUTURES.jsonl.zst": {},
    "ws_rec/BITFINEX.jsonl.zst": {},
    "ws_rec/BITMEX.0.zst": {},
    "ws_rec/BITMEX.ws.1.0.zst": {},
    "ws_rec/BYBIT.jsonl.zst": {},
    "ws_rec/COINBASE.jsonl.zst": {},
    "ws_rec/CRYPTO.COM.jsonl.zst": {},
    "ws_rec/DERIBIT.jsonl.zst": {},
    "ws_rec/DYDX.0.zst": {},
    "ws_rec/DYDX.ws.1.0.zst": {},
    "ws_rec/GATEIO.jsonl.zst": {},
    "ws_rec/HUOBI.jsonl.zst": {},
    "ws_rec/KRAKEN.jsonl.zst": {},
    "ws_rec/KUCOIN.jsonl.zst": {},
    "ws_rec/OKX.jsonl.zst": {},
    "ws_rec/UPBIT.jsonl.zst": {},
    "ws_raw/binance_spot_btcusdt_20240808.gz": {},
    "ws_raw/binance_usdm_btcusdt_20240718.gz": {},
    "ws_raw/hyperliquid_btcusd_20250126.gz": {},
    "book/bitfinex_tBTCUSD_R0_L3_feed_2021.json.gz": {"book": 99_999},
    "book/binance_ETHBTC_20201101T09_update.json.gz": {},
    "rest/vcr_Bitfinex.jsonl.gz": {},
    "rest/vcr_Kraken.jsonl.gz": {"Ticker": 1},
    "rest/vcr_Kucoin.jsonl.gz": {"allTickers": 1},
    "rest/vcr_Binance.jsonl.gz": {"premiumIndex": 2, "openInterest": 2},
    "rest/vcr_Bitmex.jsonl.gz": {"instrument": 5},
    "rest/vcr_Okex.jsonl.gz": {},
    "rest/vcr_OkexSwap.jsonl.gz": {"open_interest": 2, "index": 2, "funding_time": 1, "ticker": 1},
    "rest/vcr_Gate.jsonl.gz": {},
    "rest/vcr_Gdax.jsonl.gz": {},
    "rest/vcr_Bybit.jsonl.gz": {"tickers": 1},
    "rest/vcr_Deribit.jsonl.gz": {"get_book_summary_by_instrument": 4, "get_index": 1},
}
"""Messages that no reader knows, by channel; files without an entry are counted only."""
FILES = [
    *NOT_KNOWN,
    *(f"rest/nautilus_{name}.jsonl.gz" for name in ("bitmex", "bybit", "coinbase", "deribit", "kraken", "okx")),
    "rest/bitfinex_candles_1m_BTCUSD_201906.jsonl.gz",
    "rest/gct_binance.jsonl.gz",
    "rest/vcr_Huobi.jsonl.gz",
]


@pytest.fixture
def lake() -> Iterator[Lake]:
    with memory_lake(clock=lambda: parse_time("2026-09-01")) as lake:
        yield lake


def lines_of(path: Path) -> list[bytes]:
    if path.suffix == ".zst":
        return pa.input_stream(str(path), compression="zstd").read().splitlines()
    return gzip.decompress(path.read_bytes()).splitlines()


def received(path: Path) -> int:
    """Count what an exchange sent, by the file's own format."""
    lines = lines_of(path)
    if path.name.endswith(".jsonl.zst"):
        return sum(json.loads(line)["t"] in {"recv", "http"} for line in lines)
    if path.suffix == ".zst":
        return sum(re.match(rb"^(?:https?://\S+ -> )?\d{10}\.\d+: ", line) is not None for line in lines)
    if path.parent.name == "book":
        return len(json.loads(b"".join(lines)))
    return len(lines)


@pytest.mark.parametrize("file", FILES)
def test_what_was_received_is_read_or_said_to_be_something_else(file, recorded, lake):
    done = lake.import_files(recorded / file)

    channels = done[0].channels
    assert sum(entry["received"] for entry in channels) == received(recorded / file)
    for entry in channels:
        assert entry["received"] == sum(entry[part] for part in PARTS), entry
    for one in done:
        assert one.rows == one.new + one.changed + one.duplicate + one.quarantined
    problems = "; ".join(problem for one in done for problem in one.problems)
    left_out = sum(int(count.replace(",", "")) for count in _left_out(done))
    assert sum(entry["rows"] for entry in channels) == sum(one.rows for one in done) + left_out
    unknown = {entry["channel"]: entry["not_known"] for entry in channels if entry["not_known"]}
    assert unknown == NOT_KNOWN.get(file, unknown)
    for channel, count in unknown.items():
        assert f"{count:,} {channel}" in problems
    assert "holds no rows of any kind" not in problems


def _left_out(done: list) -> list[str]:
    """Return the counts of rows that were left out, which the first part of a file tells."""
    text = "; ".join(done[0].problems)
    if done[0].refused:
        held = re.search(r"it holds rows: ([^;]*?): name", text)
        return re.findall(r"([\d,]+) of ", held[1]) if held else []
    return re.findall(r"([\d,]+) rows of \S+ left out", text)


def frames(path: Path) -> Iterator[tuple[str, dict]]:
    for line in lines_of(path):
        record = json.loads(line)
        if record["t"] == "recv":
            yield "", json.loads(record["data"])["data"]
        elif record["t"] == "http" and "/depth?" in record["url"]:
            yield re.search(r"symbol=(\w+)", record["url"])[1], json.loads(record["data"])


@pytest.mark.parametrize(("name", "settle"), [("BINANCE", ""), ("BINANCE_FUTURES", ":USDT")])
def test_the_books_of_binance_can_be_made_again_from_what_is_stored(name, settle, recorded, lake):
    """Replay the file itself by the rules of Binance, and the stored rows by their numbers: both end with the same book."""
    path = recorded / f"ws_rec/{name}.jsonl.zst"
    lake.import_files(path)
    found = list(frames(path))
    bases = {symbol: body for symbol, body in found if symbol}
    assert len(bases) == 4
    for native, base in bases.items():
        last = base["lastUpdateId"]
        want = {(side[:3], price): amount for side in ("bids", "asks") for price, amount in base[side]}
        changes = [
            data for symbol, data in found if not symbol and data.get("e") == "depthUpdate" and data["s"] == native
        ]
        later = [data for data in changes if data["u"] > last]
        assert min(later[0]["U"], later[0].get("pu", last)) <= last + 1
        for data in later:
            want |= {("bid", price): amount for price, amount in data["b"]}
            want |= {("ask", price): amount for price, amount in data["a"]}

        symbol = next(
            one.symbol for one in map(Dataset.parse, lake.datasets()) if one.kind == "book" and _native(one) == native
        )
        rows = lake.load(Dataset.of("binance", str(symbol), "book"))
        whole, diffs = rows.filter("is_snapshot"), rows.filter(~pl.col("is_snapshot"))
        assert whole["seq"].unique().to_list() == [last]
        assert whole.height == len(base["bids"]) + len(base["asks"])
        got = {(side, price): amount for side, price, amount in whole[["side", "price", "amount"]].rows()}
        for side, price, amount in diffs.filter(pl.col("seq") > last)[["side", "price", "amount"]].rows():
            got[side, price] = amount
        assert {key: amount for key, amount in got.items() if amount} == {
            (side, float(price)): float(amount) for (side, price), amount in want.items() if float(amount)
        }


def _native(dataset: Dataset) -> str:
    return str(dataset.symbol).partition(":")[0].replace("/", "")


def answered(path: Path, part: str) -> list:
    """Return the bodies of calls whose address has *part*, numbers as decimals."""
    records = [json.loads(line) for line in lines_of(path)]
    return [
        json.loads(record["body"], parse_float=Decimal)
        for record in records
        if part in (record.get("uri") or record.get("fixture") or "")
    ]


def nanoseconds(seconds: Decimal | str) -> int:
    return int(Decimal(str(seconds)) * 10**9)


TRADES = {
    "rest/vcr_Kraken.jsonl.gz": ("kraken:trades:BCH/EUR", "/Trades", lambda body: [(nanoseconds(row[2]), row[0], row[1], {"b": "buy", "s": "sell"}[row[3]], None) for row in body["result"]["BCHEUR"]]),
    "rest/nautilus_kraken.jsonl.gz": ("kraken:trades:BTC/USDT", "http_trades", lambda body: [(nanoseconds(row[2]), row[0], row[1], {"b": "buy", "s": "sell"}[row[3]], str(row[6])) for row in body["result"]["XBTUSDT"]]),
    "rest/vcr_Bitmex.jsonl.gz": ("bitmex:trades:BTC/USD:BTC", "/trade?", lambda body: [(parse_time(row["timestamp"]), row["price"], row["size"], row["side"].lower(), row["trdMatchID"]) for row in body]),
    "rest/vcr_Okex.jsonl.gz": ("okx:trades:ETH/USDT", "/trades", lambda body: [(parse_time(row["timestamp"]), row["price"], row["size"], row["side"], row["trade_id"]) for row in body]),
    "rest/vcr_Deribit.jsonl.gz": ("deribit:trades:BTC/USD:BTC", "/getlasttrades", lambda body: [(row["timeStamp"] * 10**6, row["price"], row["amount"], row["direction"], str(row["tradeId"])) for row in body["result"]]),
    "rest/vcr_Huobi.jsonl.gz": ("htx:trades:ETH/BTC", "api.huobi.pro/market/history", lambda body: [(row["ts"] * 10**6, row["price"], row["amount"], row["direction"], str(row["id"])) for group in body["data"] for row in group["data"]]),
    "rest/vcr_Binance.jsonl.gz": ("binance:trades:BTC/USDC", "/trades?", lambda body: [(row["time"] * 10**6, row["price"], row["qty"], "sell" if row["isBuyerMaker"] else "buy", str(row["id"])) for row in body]),
    "rest/nautilus_deribit.jsonl.gz": ("deribit:trades:ETH/USD:ETH", "http_get_last_trades", lambda body: [(row["timestamp"] * 10**6, row["price"], row["amount"], row["direction"], row["trade_id"]) for row in body["result"]["trades"]]),
}  # fmt: skip


@pytest.mark.parametrize("file", TRADES)
def test_trades_are_those_of_the_answer(file, recorded, lake):
    dataset, part, read = TRADES[file]
    (body,) = answered(recorded / file, part)
    lake.import_files(recorded / file)
    rows = lake.load(dataset)
    got = zip(*(rows[name].to_physical() for name in ("ts", "price", "amount", "side", "id")), strict=True)
    want = [(ts, float(price), float(amount), side, ident) for ts, price, amount, side, ident in read(body)]
    assert Counter(got) == Counter(want)


BOOKS = {
    "rest/vcr_Kraken.jsonl.gz": ("kraken:book:BCH/EUR", "/Depth", lambda body: body["result"]["BCHEUR"], "2019-05-03T07:14:01Z"),
    "rest/vcr_Okex.jsonl.gz": ("okx:book:BTC/USDT", "/book", lambda body: body, "2020-03-27T10:38:43.454Z"),
    "rest/vcr_OkexSwap.jsonl.gz": ("okx:book:BTC/USD:BTC", "/depth", lambda body: body, "2019-10-02T07:57:51.02Z"),
    "rest/vcr_Kucoin.jsonl.gz": ("kucoin:book:KCS/BTC", "/level2", lambda body: body["data"], "2019-02-19T02:26:33Z"),
    "rest/vcr_Gdax.jsonl.gz": ("coinbase:book:BTC/USD", "/book", lambda body: body, "2019-05-02T14:12:57Z"),
    "rest/vcr_Huobi.jsonl.gz": ("htx:book:ETH/BTC", "api.huobi.pro/market/depth", lambda body: body["tick"], "2019-05-02T10:56:04.007Z"),
    "rest/vcr_Gate.jsonl.gz": ("gate:book:BCH/USDT", "/orderBook", lambda body: body, "2017-11-23T12:16:17Z"),
}  # fmt: skip


@pytest.mark.parametrize("file", BOOKS)
def test_books_are_those_of_the_answer(file, recorded, lake):
    dataset, part, find, time = BOOKS[file]
    (body,) = answered(recorded / file, part)
    sides = find(body)
    lake.import_files(recorded / file)
    rows = lake.load(dataset)
    assert rows["ts"].to_physical().unique().to_list() == [parse_time(time)]
    got = {tuple(row) for row in rows[["side", "price", "amount"]].rows()}
    want = {(side[:3], float(level[0]), float(level[1])) for side in ("bids", "asks") for level in sides[side]}
    assert got == want
    best = lake.book(*dataset.split(":", 1)[0:1], dataset.split(":", 2)[2], depth=1)["price"].to_list()
    assert best[0] < best[1]


def test_bars_of_kraken_are_all_but_the_last_of_the_answer(recorded, lake):
    (body,) = answered(recorded / "rest/nautilus_kraken.jsonl.gz", "http_ohlc")
    bars = body["result"]["XBTUSDT"]
    (done,) = lake.import_files(recorded / "rest/nautilus_kraken.jsonl.gz", "kraken:ohlcv:1m:BTC/USDT")
    rows = lake.load(done.dataset)
    assert rows["ts"].to_physical().to_list() == [bar[0] * 10**9 for bar in bars[:-1]]
    for name, place in {"open": 1, "high": 2, "low": 3, "close": 4, "volume": 6}.items():
        assert rows[name].to_list() == [float(bar[place]) for bar in bars[:-1]]
    assert rows["trades"].to_list() == [bar[7] for bar in bars[:-1]]
