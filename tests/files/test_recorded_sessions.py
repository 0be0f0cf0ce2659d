"""Recorded sessions: the books that changes begin at, and what became of every message."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from ticklake.app import memory_lake
from ticklake.core.time import parse_time
from ticklake.interfaces.cli.main import app
from ticklake.lake import Lake


@pytest.fixture
def lake() -> Iterator[Lake]:
    with memory_lake(clock=lambda: parse_time("2026-01-01")) as lake:
        yield lake


def session(path: Path, exchange: str, *records: dict) -> Path:
    """Write a recording of cryptofeed; records are frames that were received, or answers if they have a url."""
    lines = [
        {"t": "header", "format": 2, "exchange": exchange},
        {"t": "connect", "conn": "w", "ts": 1.0, "addr": "wss://x"},
    ]
    for number, record in enumerate(records):
        sort = {"t": "http", "conn": "h"} if "url" in record else {"t": "recv", "conn": "w"}
        lines.append({**sort, "ts": 1633998512.5 + number, **record})
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    return path


def frame(message: object) -> dict:
    return {"data": json.dumps(message)}


def change(first: int, last: int, bids: list, *, ts: int = 1633998512068) -> dict:
    data = {"e": "depthUpdate", "E": ts, "s": "NKNUSDT", "U": first, "u": last, "b": bids, "a": []}
    return frame({"stream": "nknusdt@depth@100ms", "data": data})


def base(last: int, bids: list, asks: list, host: str = "api.binance.com", part: str = "api/v3", **others: int) -> dict:
    body = {"lastUpdateId": last, **others, "bids": bids, "asks": asks}
    return {"url": f"https://{host}/{part}/depth?symbol=NKNUSDT&limit=1000", "data": json.dumps(body)}


def channels(done: list) -> dict[str, dict[str, int]]:
    """Return what is not zero of every channel, and prove that nothing is missing."""
    for entry in done[0].channels:
        parts = ("read", "without_rows", "refused", "control", "not_known")
        assert entry["received"] == sum(entry[part] for part in parts), entry
    assert all(one.channels == done[0].channels for one in done)
    return {
        entry["channel"]: {name: count for name, count in entry.items() if count and name != "channel"}
        for entry in done[0].channels
    }


class TestTheBookThatChangesBeginAt:
    def test_it_comes_in_and_the_book_can_be_made_again(self, lake, tmp_path):
        path = session(
            tmp_path / "x.jsonl",
            "BINANCE",
            change(98, 100, [["0.50", "1"]]),
            base(101, [["0.51", "5"], ["0.50", "2"]], [["0.52", "3"]]),
            change(101, 103, [["0.51", "0"], ["0.49", "9"]], ts=1633998513068),
        )
        (done,) = lake.import_files(path)

        assert (done.dataset, done.rows, done.new) == ("binance:book:NKN/USDT", 6, 6)
        rows = lake.load(done.dataset)
        whole = rows.filter("is_snapshot")
        assert whole["seq"].unique().to_list() == [101]
        assert whole["ts"].unique().to_list() == whole["received_at"].unique().to_list()
        book = {(side, price): amount for side, price, amount in whole[["side", "price", "amount"]].rows()}
        later = rows.filter(~pl.col("is_snapshot") & (pl.col("seq") > 101))
        for side, price, amount in later[["side", "price", "amount"]].rows():
            book[side, price] = amount
        assert {key: amount for key, amount in book.items() if amount} == {
            ("bid", 0.50): 2.0,
            ("bid", 0.49): 9.0,
            ("ask", 0.52): 3.0,
        }
        assert channels([done]) == {"depth": {"received": 3, "read": 3, "rows": 6}}

    def test_a_level_that_a_change_names_with_the_same_number_stays_in_the_book(self, lake, tmp_path):
        """USD-M: the change that ends where the book begins may be heard later and have the same time."""
        last = {"e": "depthUpdate", "E": 1633998512070, "T": 1633998512068, "s": "NKNUSDT", "U": 90, "u": 101, "pu": 89}
        path = session(
            tmp_path / "x.jsonl",
            "BINANCE_FUTURES",
            base(
                101, [["0.51", "5"]], [["0.52", "3"]], "fapi.binance.com", "fapi/v1", E=1633998512069, T=1633998512068
            ),
            frame({"stream": "nknusdt@depth@100ms", "data": {**last, "b": [["0.51", "5"]], "a": []}}),
        )
        (done,) = lake.import_files(path)
        assert done.dataset == "binance:book:NKN/USDT:USDT"
        assert lake.book("binance", "NKN/USDT:USDT")["price"].to_list() == [0.51, 0.52]
        (again,) = lake.import_files(path)
        assert again.new == again.changed == 0


class TestProofs:
    def book(self, number: int, sort: str = "delta") -> dict:
        data = {"s": "BTCUSDT", "b": [[str(number), "1"]], "a": [], "u": number}
        message = {"topic": "orderbook.50.BTCUSDT", "type": sort, "ts": 1633998512068 + number, "data": data}
        return frame(message)

    def test_a_change_that_is_missing_is_named(self, lake, tmp_path):
        path = session(
            tmp_path / "x.jsonl",
            "BYBIT",
            *(self.book(5, "snapshot"), self.book(6), self.book(8), self.book(9), self.book(20, "snapshot")),
        )
        (done,) = lake.import_files(path, "bybit:book:BTC/USDT:USDT")
        assert done.rows == 5
        assert done.proofs == (
            "1 message followed on the one before by number, 1 chain break",
            "1 book followed change by change, crossed after 0 messages",
            "1 change of books not proven: a change before them is missing",
            "BTCUSDT: the message after number 6 is missing, the next one has 8",
        )

    def test_a_book_is_proven_up_to_the_change_that_is_missing_and_from_the_next_whole_one_on(self, lake, tmp_path):
        numbers = (
            self.book(5, "snapshot"),
            self.book(6),
            self.book(8),
            self.book(9),
            self.book(20, "snapshot"),
            self.book(21),
        )
        path = session(tmp_path / "x.jsonl", "BYBIT", *numbers)
        lake.import_files(path, "bybit:book:BTC/USDT:USDT")
        first = 1633998512068
        proofs = {}
        for number in (5, 6, 8, 9, 15, 20, 21):
            book = lake.book("bybit", "BTC/USDT:USDT", (first + number) * 10**6, knowledge="event")
            proofs[number] = (book.proof, book.flags)
        gap = ("unproven", ("gap", "unproven"))
        whole = ("proven", ())
        assert proofs == {5: whole, 6: gap, 8: gap, 9: gap, 15: gap, 20: whole, 21: whole}
        (stretch,) = lake.book("bybit", "BTC/USDT:USDT", (first + 9) * 10**6, knowledge="event").stretches
        assert stretch.reason == "a change of the book is missing: it is not proven until it came whole again"
        assert [gap.reason for gap in lake.gaps("bybit:book:BTC/USDT:USDT")] == ["lost"]

    def test_the_shell_says_what_was_proven(self, tmp_path):
        path = session(tmp_path / "x.jsonl", "BYBIT", self.book(5, "snapshot"), self.book(6))
        place = ["--lake", str(tmp_path / "lake"), "--dry-run"]
        command = ["import", str(path), "--dataset", "bybit:book:BTC/USDT:USDT", *place]
        text = CliRunner().invoke(app, command).output
        assert "proof: 1 message followed on the one before by number, 0 chain breaks" in text


class TestTwoWholeBooksOfOneMillisecond:
    """Without numbers the time numbers a book: as one book both would have levels that were never there together."""

    def book(self, *bids: list) -> dict:
        data = [{"bids": list(bids), "asks": [[9, 1, 1]], "t": 1637709517473}]
        return frame({"code": 0, "method": "subscribe", "result": {"instrument_name": "HNT_USDT", "channel": "book", "data": data}})  # fmt: skip

    def test_they_stay_two(self, lake, tmp_path):
        first, second = self.book([7, 1, 1], [6, 1, 1]), self.book([6, 1, 1], [5, 1, 1])
        path = session(tmp_path / "x.jsonl", "CRYPTO.COM", first, second)
        (done,) = lake.import_files(path)
        assert (done.rows, done.new) == (6, 6)
        assert lake.book("cryptocom", "HNT/USDT")["price"].to_list() == [6, 5, 9]
        (again,) = lake.import_files(path)
        assert (again.new, again.changed) == (0, 0)

    def test_the_same_book_twice_is_one(self, lake, tmp_path):
        path = session(tmp_path / "x.jsonl", "CRYPTO.COM", self.book([7, 1, 1]), self.book([7, 1, 1]))
        (done,) = lake.import_files(path)
        assert (done.rows, done.new) == (4, 2)


class TestAConnectionThatIsOpenedAgain:
    """What it numbers begins anew, and so do its books: nothing that came before leads on to what comes now."""

    def messages(self, price: str) -> Iterator[dict]:
        yield {"event": "subscribed", "channel": "book", "chanId": 5, "symbol": "tBTCUSD", "pair": "BTCUSD"}
        yield [5, [[99, 1, 2], [101, 1, -3]], 1]
        yield [5, [price, 1, 4], 2]
        yield [5, [price, 1, 5], 3]

    def test_its_numbers_begin_anew(self, lake, tmp_path):
        path = session(
            tmp_path / "x.jsonl",
            "BITFINEX",
            *(frame(message) for message in self.messages("98.5")),
            {"t": "connect", "addr": "wss://x"},
            *(frame(message) for message in self.messages("98")),
        )
        (done,) = lake.import_files(path)
        assert done.proofs[0] == "4 messages followed on the one before by number, 0 chain breaks"

    def test_the_numbers_of_its_channels_are_forgotten(self, lake, tmp_path):
        first, whole, change, _ = self.messages("98")
        path = session(
            tmp_path / "x.jsonl",
            "BITFINEX",
            *map(frame, (first, whole, change)),
            {"t": "connect", "addr": "wss://x"},
            frame(change),
        )
        (done,) = lake.import_files(path)
        assert channels([done])["?"] == {"received": 1, "not_known": 1}

    def test_older_recordings_say_it_too(self, lake, tmp_path):
        lines = [f"1633998512.5: {json.dumps(message)}" for message in self.messages("98")]
        path = tmp_path / "BITFINEX.ws.1.0"
        path.write_text("\n".join(["wss://x <-> 1633998512.1", *lines, "wss://x <-> 1633998513.1", *lines]) + "\n")
        (done,) = lake.import_files(path)
        assert done.proofs[0] == "4 messages followed on the one before by number, 0 chain breaks"


class TestEveryMessageIsCounted:
    def test_what_is_not_known_is_said_by_channel(self, lake, tmp_path):
        path = session(
            tmp_path / "x.jsonl",
            "KRAKEN",
            frame({"event": "heartbeat"}),
            frame({"event": "subscriptionStatus", "channelName": "book-10", "status": "subscribed"}),
            frame({"channel": "level3", "type": "update", "data": []}),
            frame({"channel": "level3", "type": "update", "data": []}),
            frame([2, [["354.11", "0.89", "1618678142.557535", "s", "l", ""]], "trade", "XBT/USD"]),
            frame([3, [["1", "2", "3", "4"]], "spread", "XBT/USD"]),
            {"url": "https://api.kraken.com/0/public/AssetPairs", "data": "{}"},
        )
        (done,) = lake.import_files(path)
        assert (done.dataset, done.rows, done.refused) == ("kraken:trades:BTC/USD", 1, False)
        assert "2 level3 messages of kraken are not known" in done.problems
        assert channels([done]) == {
            "control": {"received": 2, "control": 2},
            "level3": {"received": 2, "not_known": 2},
            "trade": {"received": 1, "read": 1, "rows": 1},
            "spread": {"received": 1, "refused": 1},
            "AssetPairs": {"received": 1, "control": 1},
        }

    def test_a_message_of_another_form_is_refused(self, lake, tmp_path):
        """One odd message must not refuse a file."""
        trade = ["354.11", "0.89", "1618678142.557535", "s", "l", ""]
        messages = [[1, [trade], "trade", "XBT/USD"], [1, [["odd"]], "trade", "XBT/USD"]]
        (done,) = lake.import_files(session(tmp_path / "x.jsonl", "KRAKEN", *map(frame, messages)))
        assert done.new == 1
        assert channels([done]) == {"trade": {"received": 2, "read": 1, "refused": 1, "rows": 1}}

    def test_a_recording_of_nothing_that_is_known_is_refused_with_the_counts(self, lake, tmp_path):
        path = session(
            tmp_path / "x.jsonl",
            "BITFINEX",
            frame({"event": "subscribed", "channel": "book", "chanId": 7, "symbol": "tBTCUSD", "prec": "R0"}),
            frame([7, [[1, 2, 3]], 1]),
            frame([7, [1, 2, 3], 2]),
            frame([7, "hb", 3]),
        )
        (done,) = lake.import_files(path)
        assert done.refused
        assert "2 book messages of bitfinex are not known; 2 have no market data" in done.problems[-1]
        assert channels([done]) == {"control": {"received": 2, "control": 2}, "book": {"received": 2, "not_known": 2}}

    def test_a_bar_that_is_not_over_is_read_and_has_no_row(self, lake, tmp_path):
        bar = {"t": 1633998480000, "s": "NKNUSDT", "i": "1m", "n": 3, "q": "5"} | dict.fromkeys("ohlcv", "1")
        kline = {"stream": "nknusdt@kline_1m", "data": {"e": "kline", "E": 1, "s": "NKNUSDT", "k": {**bar, "x": False}}}
        over = {"stream": "nknusdt@kline_1m", "data": {"e": "kline", "E": 1, "s": "NKNUSDT", "k": {**bar, "x": True}}}
        done = lake.import_files(session(tmp_path / "x.jsonl", "BINANCE", frame(kline), frame(over)))
        assert [one.new for one in done] == [1]
        assert channels(done) == {"kline": {"received": 2, "read": 1, "without_rows": 1, "rows": 1}}

    def test_messages_one_a_line_are_counted_too(self, lake, tmp_path):
        path = tmp_path / "x.txt"
        trade = {"stream": "btcusdt@trade", "data": {"e": "trade", "E": 1, "s": "BTCUSDT", "t": 5, "p": "1", "q": "2", "T": 1723161255208, "m": True, "M": True}}  # fmt: skip
        mark = {"stream": "btcusdt@ticker", "data": {"e": "24hrTicker", "s": "BTCUSDT"}}
        path.write_text(
            "".join(f"{1723161253937085768 + n} {json.dumps(m)}\n" for n, m in enumerate([trade, mark, mark]))
        )
        (done,) = lake.import_files(path, exchange="binance")
        assert "2 ticker messages of binance are not known" in done.problems
        assert channels([done]) == {
            "ticker": {"received": 2, "not_known": 2},
            "trade": {"received": 1, "read": 1, "rows": 1},
        }

    def test_files_without_messages_have_no_channels(self, lake, tmp_path):
        path = tmp_path / "XBTUSD_60.csv"
        path.write_text("1704153600,100,103,99,102,5,7\n")
        assert lake.import_files(path)[0].channels == ()

    def test_the_shell_says_it_once_a_file_and_in_json(self, tmp_path):
        path = session(
            tmp_path / "x.jsonl",
            "KRAKEN",
            *[frame({"channel": "level3", "type": "update", "data": []})] * 3,
            frame([2, [["354.11", "0.89", "1618678142.557535", "s", "l", ""]], "trade", "XBT/USD"]),
            frame([2, [["354.11", "0.89", "1618678142.557535", "s", "l", ""]], "trade", "ETH/USD"]),
        )
        command = ["import", str(path), "--lake", str(tmp_path / "lake"), "--dry-run"]
        text = CliRunner().invoke(app, command)
        told = CliRunner().invoke(app, [*command, "--json"])
        assert text.exit_code == told.exit_code == 0
        assert text.output.count("channel level3: 3 received, 3 not known") == 1
        assert text.output.count("3 level3 messages of kraken are not known") == 1
        assert json.loads(told.output)[0]["channels"][0] == {
            "channel": "level3", "received": 3, "read": 0, "without_rows": 0, "refused": 0, "control": 0, "not_known": 3, "rows": 0
        }  # fmt: skip


@pytest.mark.parametrize(
    ("exchange", "message", "best"),
    [
        ("OKX", {"arg": {"channel": "tickers", "instId": "BTC-USDT"}, "data": [{"instId": "BTC-USDT", "askPx": "11", "askSz": "3", "bidPx": "10", "bidSz": "4", "ts": "1652459225503"}]}, ("okx:quotes:BTC/USDT", 10.0, 4.0, 11.0, 3.0)),
        ("KRAKEN", [5, {"a": ["11", 3, "3.5"], "b": ["10", 4, "4.5"], "c": ["10.5", "1"]}, "ticker", "XBT/USD"], ("kraken:quotes:BTC/USD", 10.0, 4.5, 11.0, 3.5)),
        ("KUCOIN", {"data": {"sequence": "9", "bestAsk": "11", "bestBidSize": "4", "time": 1619378326323, "bestAskSize": "3", "bestBid": "10"}, "subject": "trade.ticker", "topic": "/market/ticker:SNX-BTC", "type": "message"}, ("kucoin:quotes:SNX/BTC", 10.0, 4.0, 11.0, 3.0)),
        ("COINBASE", {"channel": "ticker", "timestamp": "2021-10-12T00:28:32.068Z", "events": [{"type": "update", "tickers": [{"product_id": "BTC-USD", "best_bid": "10", "best_ask": "11", "best_bid_quantity": "4", "best_ask_quantity": "3"}]}]}, ("coinbase:quotes:BTC/USD", 10.0, 4.0, 11.0, 3.0)),
    ],
)  # fmt: skip
def test_best_quotes_come_in(exchange, message, best, lake, tmp_path):
    (done,) = lake.import_files(session(tmp_path / "x.jsonl", exchange, frame(message)))
    row = lake.load(done.dataset).row(0, named=True)
    assert best == (done.dataset, row["bid_price"], row["bid_amount"], row["ask_price"], row["ask_amount"])
