"""Recorded messages of each exchange: in which datasets they come in, and that damaged ones end no import."""

from __future__ import annotations

import gzip
import importlib
import json
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.sources.test_wire_hostile import damaged
from ticklake.app import memory_lake
from ticklake.core.time import parse_time
from ticklake.lake import Lake

FEEDS = {
    "BITFLYER": ("bitflyer", "book:BTC/JPY quotes:BTC/JPY trades:BTC/JPY trades:BTC/JPY:JPY"),
    "BITGET": ("bitget", "book:BTC/USDT book:BTC/USDT:USDT open_interest:BTC/USD:BTC predicted_funding:BTC/USD:BTC quotes:BTC/USD:BTC quotes:BTC/USDT trades:BTC/USDT trades:BTC/USDT:USDT"),
    "BITHUMB": ("bithumb", "book:BTC/KRW book:ETH/KRW trades:BTC/KRW"),
    "BITSTAMP": ("bitstamp", "book:ETH/BTC trades:BTC/USD"),
    "CRYPTO.COM": ("cryptocom", "book:BTC/USD:USD book:HNT/USDT open_interest:BTC/USD:USD predicted_funding:BTC/USD:USD quotes:BTC/USD:USD quotes:HNT/USDT trades:BTC/USD:USD"),
    "DYDX": ("dydx", "book:ETH/USD:USD liquidations:ETH/USD:USD open_interest:BTC/USD:USD predicted_funding:BTC/USD:USD trades:ETH/USD:USD"),
    "GATEIO": ("gate", "book:BTC/USDT book:BTC/USDT:USDT book:ETH/BTC liquidations:BTC/USDT:USDT ohlcv:1m:BTC/USDT ohlcv:1m:BTC/USDT:USDT open_interest:BTC/USDT:USDT predicted_funding:BTC/USDT:USDT quotes:BTC/USDT quotes:BTC/USDT:USDT trades:BTC/USD:BTC trades:BTC/USDT trades:ETH/BTC"),
    "GEMINI": ("gemini", "book:BTC/USD trades:BTC/USD"),
    "HITBTC": ("hitbtc", "book:ETH/BTC quotes:ETH/BTC trades:BTC/USDT trades:ETH/BTC"),
    "HUOBI": ("htx", "book:BTC/USD:BTC book:BTC/USDT book:HTX/USDT liquidations:BTC/USDT:USDT predicted_funding:BTC/USDT:USDT quotes:BTC/USDT trades:BTC/USDT trades:BTC/USDT:USDT"),
    "KRAKEN_FUTURES": ("krakenfutures", "book:BTC/USD:USD liquidations:BTC/USD:BTC open_interest:BTC/USD:BTC predicted_funding:BTC/USD:BTC quotes:BTC/USD:BTC trades:BTC/USD:BTC"),
    "KUCOIN": ("kucoin", "book:BTC/USDT book:BTC/USDT:USDT predicted_funding:BTC/USDT:USDT quotes:BTC/USDT quotes:BTC/USDT:USDT quotes:ETH/BTC trades:BTC/USDT trades:BTC/USDT:USDT"),
    "PHEMEX": ("phemex", "book:BTC/USD:BTC book:BTC/USDT book:BTC/USDT:USDT open_interest:BTC/USD:BTC open_interest:BTC/USDT:USDT predicted_funding:BTC/USD:BTC predicted_funding:BTC/USDT:USDT trades:BTC/USD:BTC trades:BTC/USDT trades:BTC/USDT:USDT"),
    "POLONIEX": ("poloniex", "book:BTC/USDT book:BTC/USDT:USDT book:ETH/BTC quotes:ETH/BTC trades:BTC/USDT trades:BTC/USDT:USDT trades:ETH/BTC"),
    "UPBIT": ("upbit", "book:BTC/KRW trades:BTC/KRW"),
}  # fmt: skip


@pytest.fixture
def lake() -> Iterator[Lake]:
    with memory_lake(clock=lambda: parse_time("2026-01-01")) as lake:
        yield lake


def messages_of(exchange: str) -> list[Any]:
    module = importlib.import_module(f"tests.sources.test_wire_{exchange}")
    return [*module.MESSAGES, *getattr(module, "NUMBERED", ())]


def session(path: Path, feed: str, messages: list[Any]) -> Path:
    """Write a recording of messages, all over one connection."""
    lines: list[dict[str, Any]] = [{"t": "header", "format": 2, "exchange": feed}]
    for number, message in enumerate(messages):
        lines.append({"t": "recv", "conn": "w", "ts": 1750000000.5 + number, "data": json.dumps(message)})
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    return path


def assert_counted(done: list, messages: int) -> None:
    channels = done[0].channels
    assert sum(entry["received"] for entry in channels) == messages
    for entry in channels:
        parts = ("read", "without_rows", "refused", "control", "not_known")
        assert entry["received"] == sum(entry[part] for part in parts), entry
    for one in done:
        assert one.rows == one.new + one.changed + one.duplicate + one.quarantined


@pytest.mark.parametrize("feed", FEEDS)
def test_messages_come_in_as_datasets_of_unified_symbols(feed, lake, tmp_path):
    exchange, datasets = FEEDS[feed]
    messages = messages_of(exchange)
    done = lake.import_files(session(tmp_path / "x.jsonl", feed, messages))
    assert_counted(done, len(messages))
    assert sorted(one.dataset for one in done if not one.refused) == [f"{exchange}:{name}" for name in datasets.split()]
    assert not any(entry["not_known"] or entry["refused"] for entry in done[0].channels), done[0].problems


def test_a_second_book_of_a_market_with_other_numbers_is_left_out_and_said(lake, tmp_path):
    changes, best_levels, *_ = messages_of("kucoin")
    (done,) = lake.import_files(session(tmp_path / "x.jsonl", "KUCOIN", [changes, best_levels]))
    assert (done.dataset, done.rows, done.refused) == ("kucoin:book:BTC/USDT", 2, False)
    assert "2 rows of kucoin:book:BTC/USDT numbered otherwise left out" in "; ".join(done.problems)


def test_the_numbers_of_poloniex_markets_may_be_in_an_answer(lake, tmp_path):
    path = session(tmp_path / "x.jsonl", "POLONIEX", [[1002, None, [148, "0.065", "0.07", "0.06", "0.01"]]])
    header, message = path.read_text().splitlines()
    answer = {"t": "http", "conn": "h", "ts": 1.0, "url": "https://poloniex.com/public?command=returnTicker"}
    answer["data"] = json.dumps({"BTC_ETH": {"id": 148, "last": "0.06"}})
    path.write_text("\n".join([header, json.dumps(answer), message]) + "\n")
    assert [one.dataset for one in lake.import_files(path)] == ["poloniex:quotes:ETH/BTC"]


@pytest.mark.parametrize(("name", "exchange"), [("CRYPTO.COM.ws.1.0", "cryptocom"), ("BITSTAMP-b88f8b.0", "bitstamp")])
def test_older_recordings_are_named_by_the_exchange(name, exchange, lake, tmp_path):
    (message, *_) = [one for one in messages_of(exchange) if "trade" in str(one)]
    path = tmp_path / name
    path.write_text(f"wss://x <-> 1633998512.1\n1633998512.5: {json.dumps(message)}\n")
    assert {one.dataset.partition(":")[0] for one in lake.import_files(path)} == {exchange}


def test_older_recordings_may_begin_with_what_they_were_asked_for(lake, tmp_path):
    (message, *_) = [one for one in messages_of("bitstamp") if "trade" in str(one)]
    path = tmp_path / "BITSTAMP-b88f8b.0"
    path.write_text(
        f'configuration: {{"trades":["BTC-USD"]}}\nwss://x <-> 1633998512.1\n1633998512.5: {json.dumps(message)}\n'
    )
    assert [done.dataset for done in lake.import_files(path)] == ["bitstamp:trades:BTC/USD"]


def hitbtc_trade(native: str) -> dict[str, Any]:
    data = [{"id": 1, "price": "2", "quantity": "3", "side": "buy", "timestamp": "2021-01-02T03:04:05.678Z"}]
    return {"jsonrpc": "2.0", "method": "updateTrades", "params": {"symbol": native, "data": data}}


def test_a_market_that_cannot_be_named_keeps_no_other_out(lake, tmp_path):
    done = lake.import_files(
        session(tmp_path / "x.jsonl", "HITBTC", [hitbtc_trade("ETHBTC"), hitbtc_trade("QQQQTUSD")])
    )
    assert [one.dataset for one in done] == ["hitbtc:trades:ETH/BTC"]
    (note,) = done[0].problems
    assert "1 rows of hitbtc:trades:QQQQTUSD left out: 'QQQQTUSD' may be" in note


def test_a_market_that_cannot_be_named_is_asked_for(lake, tmp_path):
    path = session(tmp_path / "x.jsonl", "HITBTC", [hitbtc_trade("QQQQTUSD")])
    (refused,) = lake.import_files(path)
    assert refused.refused
    assert "say which with symbol=" in refused.note
    (done,) = lake.import_files(path, symbol="QQQQ/TUSD")
    assert done.dataset == "hitbtc:trades:QQQQ/TUSD"


def test_older_recordings_have_bytes_as_literals_of_python(lake, tmp_path):
    data = [{"id": 1, "ts": 1609556645678, "tradeId": 2, "amount": 5, "price": 3, "direction": "buy"}]
    message = {"ch": "market.btcusdt.trade.detail", "ts": 1609556645680, "tick": {"id": 1, "ts": 1609556645678, "data": data}}  # fmt: skip
    packed = gzip.compress(json.dumps(message).encode())
    path = tmp_path / "HUOBI.ws.44.0"
    path.write_text(f"wss://x <-> 1609556640.1\n1609556646.5: {packed!r}\n1609556646.6: {packed[:-9]!r}\n")
    (done,) = lake.import_files(path)
    assert (done.dataset, done.rows) == ("htx:trades:BTC/USDT", 1)
    assert sum(entry["not_known"] for entry in done.channels) == 1


def test_older_messages_of_okex_are_deflated(lake, tmp_path):
    entry = {"side": "sell", "trade_id": "5", "price": "0.02", "qty": "3", "timestamp": "2021-01-02T03:04:05.678Z"}
    message = {"table": "option/trade", "data": [{**entry, "instrument_id": "BTC-USD-210326-30000-C"}]}
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(json.dumps(message).encode()) + packer.flush()
    path = tmp_path / "OKEX.ws.56.0"
    path.write_text(f"wss://x <-> 1609556640.1\n1609556646.5: {packed!r}\n1609556646.6: b'pong'\n")
    (done,) = lake.import_files(path)
    assert (done.dataset, done.rows) == ("okx:trades:BTC/USD:BTC-210326-30000-C", 1)
    assert sum(entry["not_known"] for entry in done.channels) == 0


def test_a_line_of_bytes_that_is_cut_short_refuses_the_file(lake, tmp_path):
    path = tmp_path / "UPBIT.ws.62.0"
    path.write_text("wss://x <-> 1609556640.1\n1609556646.5: b'{\n")
    (done,) = lake.import_files(path)
    assert done.refused
    assert "line 2 is no complete message of bytes" in done.note


@pytest.mark.parametrize(("end", "symbol"), [("realtime_public", "BTC/USDT:USDT"), ("spot", "BTC/USDT")])
def test_older_recordings_name_the_market_by_the_address(end, symbol, lake, tmp_path):
    entry = {
        "symbol": "BTCUSDT",
        "side": "Buy",
        "size": 1,
        "price": 3,
        "trade_id": "a",
        "trade_time_ms": "1609556645678",
    }
    path = tmp_path / "BYBIT.ws.25.0"
    message = json.dumps({"topic": "trade.BTCUSDT", "data": [entry]})
    path.write_text(f"wss://stream.bybit.com/{end} <-> 1609556640.1\n1609556646.5: {message}\n")
    assert [done.dataset for done in lake.import_files(path)] == [f"bybit:trades:{symbol}"]


@pytest.mark.parametrize("feed", FEEDS)
def test_damaged_messages_are_counted_and_end_no_import(feed, lake, tmp_path):
    good = messages_of(FEEDS[feed][0])
    messages = [*good, *(broken for message in good for broken in islice(damaged(message), 0, None, 11))]
    done = lake.import_files(session(tmp_path / "x.jsonl", feed, messages))
    assert_counted(done, len(messages))
    assert sum(entry["refused"] for entry in done[0].channels)
