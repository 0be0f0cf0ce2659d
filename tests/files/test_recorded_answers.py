"""Recorded answers: whose they are, of what market, and that each comes in as it was sent or is refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ticklake import Mapping
from ticklake.app import memory_lake
from ticklake.core.span import Span
from ticklake.core.time import format_time, parse_time
from ticklake.lake import Lake

S = parse_time("2024-01-02") // 10**9
KLINES = [[(S + 60 * n) * 1000, *"13125", (S + 60 * n) * 1000 + 59_999, "6", 7, "1", "1", "0"] for n in range(3)]
KRAKEN_TRADES = '{"error":[],"result":{"XXBTZUSD":[["105433.60000","0.00027625",1762795433.9717445,"b","l","",10218208]],"last":"1"}}'


@pytest.fixture
def lake() -> Iterator[Lake]:
    with memory_lake(clock=lambda: parse_time("2026-01-01")) as lake:
        yield lake


def recorded(path: Path, *records: dict) -> Path:
    path.write_text("".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records))
    return path


def asked(uri: str, body: object, date: str = "Tue, 02 Jan 2024 12:00:00 GMT", status: int = 200) -> dict:
    text = body if isinstance(body, str) else json.dumps(body)
    return {"method": "GET", "uri": uri, "status": status, "headers": {"Date": [date]}, "body": text}


def mock(path: str, query: str, body: object) -> dict:
    return {"method": "GET", "path": path, "query": query, "body": body}


class TestWhoseAnswersTheyAre:
    def test_the_host_says_it(self, lake, tmp_path):
        uri = "https://api.binance.us/api/v3/klines?symbol=BTCUSD&interval=1m"
        (done,) = lake.import_files(recorded(tmp_path / "x.jsonl", asked(uri, KLINES)))
        assert (done.dataset, done.new) == ("binanceus:ohlcv:1m:BTC/USD", 3)

    def test_an_unknown_host_is_not_taken_for_a_known_one(self, lake, tmp_path):
        body = {
            "status": "ok",
            "data": [{"id": 1, "data": [{"id": 7, "ts": S * 1000, "price": 1, "amount": 2, "direction": "sell"}]}],
        }
        uri = "https://api-cloud.huobi.co.jp/market/history/trade?symbol=btcjpy"
        (done,) = lake.import_files(recorded(tmp_path / "huobi.jsonl", asked(uri, body)), exchange="htx")
        assert done.refused
        assert "1 api-cloud.huobi.co.jp/market/history/trade answer of htx is not known" in done.problems[-1]

    def test_without_a_host_the_caller_is_asked(self, lake, tmp_path):
        """Binance, its American sister and MEXC have the same paths and the same names of markets."""
        path = recorded(tmp_path / "x.jsonl", mock("/api/v3/klines", "symbol=BTCUSDT&interval=1m", KLINES))
        (refused,) = lake.import_files(path)
        assert refused.refused
        assert "say it with exchange='kraken' (--exchange kraken)" in refused.problems[-1]
        assert lake.datasets() == []
        (done,) = lake.import_files(path, exchange="binanceus")
        assert done.dataset == "binanceus:ohlcv:1m:BTC/USDT"

    def test_an_exchange_of_which_no_answer_is_known_is_refused(self, lake, tmp_path):
        path = recorded(tmp_path / "x.jsonl", mock("/api/v3/klines", "symbol=BTCUSDT&interval=1m", KLINES))
        (refused,) = lake.import_files(path, exchange="mexc")
        assert "is not one of binance, " in refused.problems[-1]

    def test_the_name_of_the_file_says_it(self, lake, tmp_path):
        path = recorded(tmp_path / "mock_binance.jsonl", mock("/fapi/v1/klines", "symbol=BTCUSDT&interval=1m", KLINES))
        assert lake.import_files(path)[0].dataset == "binance:ohlcv:1m:BTC/USDT:USDT"

    def test_a_name_with_two_exchanges_says_nothing(self, lake, tmp_path):
        path = recorded(tmp_path / "binance_kraken.jsonl", mock("/api/v3/klines", "symbol=BTCUSDT&interval=1m", KLINES))
        assert lake.import_files(path)[0].refused

    def test_pages_of_bars_without_an_address_are_named_by_their_file(self, lake, tmp_path):
        page = {
            "start": "2024-01-02T00:00:00Z",
            "body": json.dumps([[S * 1000, 100, 102, 103, 99, 5], [(S + 60) * 1000, 1, 1, 1, 1, 1]]),
        }
        (done,) = lake.import_files(recorded(tmp_path / "bitfinex_candles_1m_BTCUSD_202401.jsonl", page))
        assert (done.dataset, done.new) == ("bitfinex:ohlcv:1m:BTC/USD", 1)
        assert lake.load(done.dataset).row(0)[1:6] == (100, 103, 99, 102, 5)
        assert lake.import_files(recorded(tmp_path / "pages.jsonl", page))[0].refused


class TestWhatComesIn:
    def test_times_and_prices_are_those_that_were_sent(self, lake, tmp_path):
        uri = "https://api.kraken.com/0/public/Trades?pair=XBTUSD"
        (done,) = lake.import_files(recorded(tmp_path / "x.jsonl", asked(uri, KRAKEN_TRADES)))
        row = lake.load("kraken:trades:BTC/USD").row(0, named=True)
        assert done.first == "2025-11-10T17:23:53.9717445Z"
        assert (row["id"], row["price"], row["amount"], row["side"]) == ("10218208", 105433.6, 0.00027625, "buy")
        assert format_time(lake.load(done.dataset)["received_at"].to_physical()[0]) == "2024-01-02T12:00:00Z"

    def test_whole_numbers_among_decimals_are_kept(self, lake, tmp_path):
        page = {
            "start": "2024-01-02T00:00:00Z",
            "body": f"[[{S}000,10909,10880.11831765,10922,10877,17.69230125],[{S + 60}000,1,1,1,1,1]]",
        }
        (done,) = lake.import_files(recorded(tmp_path / "bitfinex_candles_1m_BTCUSD.jsonl", page))
        assert lake.load(done.dataset).row(0)[1:6] == (10909.0, 10922.0, 10877.0, 10880.11831765, 17.69230125)

    def test_a_bar_that_was_forming_is_left_out(self, lake, tmp_path):
        uri = "https://api.binance.com/api/v3/klines?symbol=BTCUSDT&interval=1m"
        path = recorded(tmp_path / "x.jsonl", asked(uri, KLINES, "Tue, 02 Jan 2024 00:02:30 GMT"))
        (done,) = lake.import_files(path)
        assert (done.new, done.last) == (2, "2024-01-02T00:01:00Z")

    def test_books_have_the_time_of_the_answer_where_they_have_none(self, lake, tmp_path):
        uri = "https://api.binance.com/api/v3/depth?symbol=BTCUSDT"
        body = {"lastUpdateId": 9, "bids": [["100", "2"]], "asks": [["101", "3"]]}
        (done,) = lake.import_files(recorded(tmp_path / "x.jsonl", asked(uri, body)))
        assert (done.dataset, done.new, done.first) == ("binance:book:BTC/USDT", 2, "2024-01-02T12:00:00Z")
        assert lake.load(done.dataset)["is_snapshot"].all()

    def test_books_without_any_time_wait_for_one(self, lake, tmp_path):
        body = {"lastUpdateId": 9, "bids": [["100", "2"]], "asks": [["101", "3"]]}
        path = recorded(tmp_path / "mock_binance.jsonl", mock("/api/v3/depth", "symbol=BTCUSDT", body))
        (refused,) = lake.import_files(path)
        assert "1 answer refused: books without a time" in refused.problems[-1]
        (done,) = lake.import_files(path, mapping=Mapping(constants={"ts": "2024-01-02T00:00:00Z"}))
        assert (done.new, done.first) == (2, "2024-01-02T00:00:00Z")

    def test_aggregated_trades_beside_single_ones_are_refused_and_counted(self, lake, tmp_path):
        single = [{"id": 7, "price": "1", "qty": "2", "time": S * 1000, "isBuyerMaker": True}]
        summed = [{"a": 3, "p": "1", "q": "2", "T": S * 1000, "m": True}]
        path = recorded(
            tmp_path / "mock_binance.jsonl",
            mock("/api/v3/trades", "symbol=BTCUSDT", single),
            mock("/api/v3/aggTrades", "symbol=BTCUSDT", summed),
            mock("/api/v3/aggTrades", "symbol=ETHUSDT", summed),
        )
        done = lake.import_files(path)
        assert {one.dataset: one.new for one in done} == {"binance:trades:BTC/USDT": 1, "binance:trades:ETH/USDT": 1}
        assert any("aggregated trades are numbered otherwise" in problem for problem in done[0].problems)
        by_name = {entry["channel"]: entry for entry in done[0].channels}
        assert (by_name["aggTrades"]["refused"], by_name["aggTrades"]["read"]) == (1, 1)

    def test_errors_are_counted_and_have_no_rows(self, lake, tmp_path):
        uri = "https://api.binance.com/api/v3/klines?symbol=BTCUSDT&interval=1m"
        path = recorded(
            tmp_path / "x.jsonl", asked(uri, KLINES), asked(uri, {"code": -1003}, status=429), asked(uri, "<html>")
        )
        (done,) = lake.import_files(path)
        assert done.new == 3
        assert "2 answers refused: the answer is an error, or no JSON" in done.problems

    def test_messages_among_answers_are_not_read_as_answers(self, lake, tmp_path):
        """A change of a book wraps the same lists as an answer with the whole book, and bars of a day those of a minute."""
        level, bar = [["100", "2", "0", "1"]], [str(S * 1000), *"123456", "7", "1"]
        bodies = [
            {"arg": {"channel": "books", "instId": "BTC-USDT"}, "action": "update", "data": [{"bids": level, "asks": level, "ts": str(S * 1000)}]},
            {"arg": {"channel": "candle1D", "instId": "BTC-USDT"}, "data": [bar]},
        ]  # fmt: skip
        lines = [{"fixture": f"ws_{n}", "body": json.dumps(body)} for n, body in enumerate(bodies)]
        path = recorded(tmp_path / "okx.jsonl", *lines)
        (book,) = lake.import_files(path, "okx:book:BTC/USDT")
        assert "1 candle1D answer of okx is not known" in book.problems
        assert lake.load(book.dataset)["is_snapshot"].to_list() == [False, False]
        (bars,) = lake.import_files(path, "okx:ohlcv:1m:BTC/USDT")
        assert bars.refused

    def test_a_name_that_two_markets_share_must_be_said(self, lake, tmp_path):
        body = {
            "retCode": 0,
            "result": {"s": "BTCUSDT", "b": [["100", "2"]], "a": [["101", "3"]], "ts": S * 1000, "u": 9},
        }
        path = recorded(tmp_path / "bybit.jsonl", {"fixture": "http_get_orderbook", "body": json.dumps(body)})
        (refused,) = lake.import_files(path)
        assert "2 of bybit:book:?: name the dataset" in refused.problems[-1]
        (done,) = lake.import_files(path, "bybit:book:BTC/USDT:USDT")
        assert done.new == 2


def kraken_trades(first, count):
    """An answer of Kraken's Trades call: *count* trades a second apart."""
    start = parse_time(first) // 10**9
    rows = [["100.0", "1.0", start + n, "b", "l", "", start + n] for n in range(count)]
    body = {"error": [], "result": {"XXBTZUSD": rows, "last": str((start + count) * 10**9)}}
    return json.dumps({"uri": "https://api.kraken.com/0/public/Trades?pair=XXBTZUSD", "body": body})


def test_answers_that_were_recorded_hours_apart_show_nothing_of_the_time_between(lake_at, tmp_path):
    file = tmp_path / "answers.jsonl"
    file.write_text("\n".join([kraken_trades("2024-01-01T00:00", 60), kraken_trades("2024-01-01T22:00", 60)]))
    lake = lake_at()
    (report,) = lake.import_files(file)
    assert (report.rows, report.dataset) == (120, "kraken:trades:BTC/USD")
    hole = Span(parse_time("2024-01-01T00:00:59") + 1, parse_time("2024-01-01T22:00"))
    assert [(gap.span, str(gap.reason)) for gap in lake.gaps(report.dataset)] == [(hole, "not_fetched")]
    assert not lake.quality(report.dataset).is_complete
