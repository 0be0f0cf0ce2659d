"""Messages of each exchange, in the forms that its documentation shows: their rows and their marks."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from typing import Any

import pytest

from ticklake.core.kinds import kind_of
from ticklake.core.time import parse_time
from ticklake.errors import InvalidData
from ticklake.sources.wire.channels import Channels
from ticklake.sources.wire.decode import decode
from ticklake.sources.wire.messages import READERS, read_message
from ticklake.sources.wire.proofs import PROOFS
from ticklake.sources.wire.reading import Mark, Reading

HEARD = 1_700_000_000_000_000_000
MS = 1_000_000


def read(exchange: str, *messages: Any) -> list[Reading | None]:
    """Read messages of one connection."""
    channels, readings = Channels(), []
    for message in messages:
        parsed = decode(message if isinstance(message, str) else json.dumps(message))
        channels.of(parsed)
        readings.append(read_message(parsed, HEARD, channels.subscription_of(parsed), channels.memory, exchange))
    return readings


def rows(exchange: str, *messages: Any, kind: str = "") -> list[dict[str, Any]]:
    """Return the rows of the last message, by the names of their columns."""
    reading = read(exchange, *messages)[-1]
    assert reading is not None
    named = []
    for row in reading.rows:
        if kind in ("", row.kind):
            columns = dict(zip(kind_of(row.kind).names, row.values, strict=True))
            named.append({"kind": row.kind, "native": row.native, "timeframe": row.timeframe, **columns})
    return named


def marks(exchange: str, *messages: Any) -> list[Mark]:
    reading = read(exchange, *messages)[-1]
    assert reading is not None
    return reading.marks


def only(found: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in found]


LEVEL = ("side", "price", "amount", "is_snapshot")


DEPTH = {"e": "depthUpdate", "E": 123456789000, "T": 123456788000, "s": "BTCUSDT", "U": 157, "u": 160, "pu": 149, "b": [["0.0024", "10"]], "a": [["0.0026", "0"]]}  # fmt: skip


class TestBinance:
    def test_a_change_of_a_book(self):
        found = rows("binance", DEPTH)
        assert only(found, *LEVEL) == [("bid", "0.0024", "10", False), ("ask", "0.0026", "0", False)]
        assert {(row["ts"], row["seq"]) for row in found} == {(123456788000 * MS, 160)}
        assert marks("binance", DEPTH) == [Mark("book", "BTCUSDT", 157, 160, 149)]

    @pytest.mark.parametrize(
        "data",
        [
            {"lastUpdateId": 160, "bids": [["0.0024", "10"]], "asks": []},
            {"e": "depthUpdate", "E": 1, "T": 1, "s": "BNBBTC", "U": 157, "u": 160, "pu": 149, "b": [["0.0024", "10"]], "a": []},
        ],
        ids=["spot", "futures"],
    )  # fmt: skip
    def test_the_best_levels_are_a_book_each_time_and_only_the_stream_tells(self, data):
        message = {"stream": "bnbbtc@depth20@100ms", "data": data}
        assert only(rows("binance", message), "native", *LEVEL) == [("BNBBTC", "bid", "0.0024", "10", True)]
        assert marks("binance", message) == [Mark("book", "BNBBTC", 160, 160, starts=True, channel="depth20@100ms")]

    def test_the_rate_that_will_be_paid(self):
        price = {"e": "markPriceUpdate", "E": 1562305380000, "s": "BTCUSDT", "p": "11794.15", "i": "11784.62", "P": "11784.25", "r": "0.00038167", "T": 1562306400000}  # fmt: skip
        delivery = {**price, "s": "BTCUSDT_240628", "r": "", "T": 0}
        (row,) = rows("binance", {"stream": "!markPrice@arr", "data": [price, delivery]})
        assert (row["kind"], row["ts"], row["next_ts"]) == ("predicted_funding", 1562305380000 * MS, 1562306400000 * MS)
        assert (row["predicted_rate"], row["mark_price"]) == ("0.00038167", "11794.15")
        assert rows("binance", [price, delivery]) == [row]

    def test_a_liquidation_has_the_average_price_and_what_was_filled(self):
        order = {"s": "BTCUSDT", "S": "SELL", "o": "LIMIT", "f": "IOC", "q": "0.014", "p": "9910", "ap": "9912", "X": "FILLED", "l": "0.002", "z": "0.013", "T": 1568014460893}  # fmt: skip
        (row,) = rows("binance", {"e": "forceOrder", "E": 1568014460893, "o": order})
        assert (row["kind"], row["side"], row["price"], row["amount"]) == ("liquidations", "sell", "9912", "0.013")

    def test_bars_of_coin_futures_count_coins(self):
        bar = {"t": 1591261500000, "s": "BTCUSD_PERP", "i": "1m", "o": "1", "c": "2", "h": "3", "l": "1", "v": "158", "n": 20, "x": True, "q": "1.6"}  # fmt: skip
        (row,) = rows("binance", {"e": "kline", "E": 1, "s": "BTCUSD_PERP", "k": bar})
        assert (row["volume"], row["quote_volume"], row["open"], row["close"]) == ("1.6", None, "1", "2")
        assert rows("binance", {"e": "kline", "E": 1, "s": "BTCUSD_PERP", "k": {**bar, "x": False}}) == []

    def test_bars_of_the_mark_and_the_index_price(self):
        bar = {"t": 1591261500000, "s": "BTCUSD_PERP", "i": "1m", "o": "1", "c": "2", "h": "3", "l": "1", "x": True}
        for event, kind, native in (
            ("markPrice_kline", "mark_ohlcv", "BTCUSD_PERP"),
            ("indexPrice_kline", "index_ohlcv", "BTCUSD"),
        ):
            (row,) = rows("binance", {"e": event, "E": 1, "ps": "BTCUSD", "k": bar})
            assert (row["kind"], row["native"], row["volume"]) == (kind, native, None)


SUBSCRIBED = {"method": "subscribe", "result": {"channel": "book", "depth": 25, "snapshot": True, "symbol": "BTC/USD"}, "success": True}  # fmt: skip


class TestKraken:
    BOOK = '{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":45283.5,"qty":0.10000000}],"asks":[],"checksum":3310070434,"timestamp":"2023-10-06T17:35:55.440295Z"}]}'
    CHANGE = '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[{"price":45285.2,"qty":0}],"checksum":7,"timestamp":"2023-10-06T17:35:56Z"}]}'

    def test_a_book_of_the_second_api_keeps_its_digits(self):
        found = rows("kraken", self.BOOK)
        assert only(found, *LEVEL) == [("bid", "45283.5", "0.10000000", True)]
        assert found[0]["ts"] == parse_time("2023-10-06T17:35:55.440295Z")
        assert only(rows("kraken", self.BOOK, self.CHANGE), *LEVEL) == [("ask", "45285.2", 0, False)]

    def test_its_depth_is_that_of_the_subscription_or_the_least_that_fits(self):
        (mark,) = marks("kraken", SUBSCRIBED, self.BOOK, self.CHANGE)
        assert mark == Mark("book", "BTC/USD", starts=False, checksum=7, channel="book", depth=25)
        assert marks("kraken", self.BOOK)[0].depth == 10

    def test_a_change_of_the_first_api_may_have_two_parts_and_old_times(self):
        whole = [0, {"as": [["5541.3", "2.5", "1534614248.123678"]], "bs": [["5541.2", "1.5", "1534614248.765567"]]}, "book-100", "XBT/USD"]  # fmt: skip
        change = [0, {"a": [["5541.4", "2.5", "1534614200.456738", "r"]]}, {"b": [["5541.2", "0.0", "1534614249.335345"]], "c": "974942666"}, "book-100", "XBT/USD"]  # fmt: skip
        returned = [0, {"a": [["5541.5", "1.0", "1534614100.000000", "r"]], "c": "1"}, "book-100", "XBT/USD"]
        assert only(rows("kraken", whole), *LEVEL) == [("bid", "5541.2", "1.5", True), ("ask", "5541.3", "2.5", True)]
        found = rows("kraken", whole, change)
        assert only(found, *LEVEL) == [("bid", "5541.2", "0.0", False), ("ask", "5541.4", "2.5", False)]
        assert {row["ts"] for row in found} == {1534614249335345000}
        assert rows("kraken", whole, change, returned)[0]["ts"] == 1534614249335345000
        (mark,) = marks("kraken", whole, change)
        assert (mark.checksum, mark.depth, mark.channel, mark.starts) == (974942666, 100, "book-100", False)

    def test_trades_tickers_and_spreads(self):
        trade = {"channel": "trade", "type": "update", "data": [{"symbol": "MATIC/USD", "side": "sell", "price": 0.5117, "qty": 40.0, "ord_type": "market", "trade_id": 4665906, "timestamp": "2023-09-25T07:49:37.708706Z"}]}  # fmt: skip
        assert only(rows("kraken", trade), "id", "price", "amount", "side") == [("4665906", "0.5117", "40.0", "sell")]
        ticker = {"channel": "ticker", "type": "update", "data": [{"symbol": "ALGO/USD", "bid": 0.10025, "bid_qty": 740.0, "ask": 0.10036, "ask_qty": 1361.5, "last": 0.10035}]}  # fmt: skip
        (row,) = rows("kraken", ticker)
        assert (row["ts"], row["bid_price"], row["ask_amount"]) == (HEARD, "0.10025", "1361.5")
        spread = [0, ["5698.40000", "5700.00000", "1542057299.545897", "1.01234567", "0.98765432"], "spread", "XBT/USD"]
        (row,) = rows("kraken", spread)
        assert (row["ts"], row["bid_price"], row["ask_price"]) == (1542057299545897000, "5698.40000", "5700.00000")
        assert (row["bid_amount"], row["ask_amount"]) == ("1.01234567", "0.98765432")

    def test_a_bar_is_over_when_the_next_one_comes(self):
        bar = {"symbol": "A/USD", "open": 0.5, "high": 0.6, "low": 0.4, "close": 0.5, "trades": 3, "volume": 9.5, "vwap": 0.5, "interval": 5}  # fmt: skip
        first = {"channel": "ohlc", "type": "snapshot", "data": [{**bar, "interval_begin": f"2023-10-04T16:{minute}:00Z"} for minute in (20, 25)]}  # fmt: skip
        last = {"channel": "ohlc", "type": "update", "data": [{**bar, "close": 0.7, "interval_begin": "2023-10-04T16:25:00Z"}]}  # fmt: skip
        new = {"channel": "ohlc", "type": "update", "data": [{**bar, "interval_begin": "2023-10-04T16:30:00Z"}]}
        assert only(rows("kraken", first), "ts", "timeframe") == [(parse_time("2023-10-04T16:20:00Z"), "5m")]
        assert rows("kraken", first, last) == []
        assert only(rows("kraken", first, last, new), "ts", "close") == [(parse_time("2023-10-04T16:25:00Z"), "0.7")]
        old = [42, ["1542057314.748456", "1542057360.435743", "1", "3", "1", "2", "2", "0.1", 2], "ohlc-5", "XBT/USD"]
        later = [42, ["1542057364.7", "1542057660.0", "2", "2", "2", "2", "2", "0.1", 1], "ohlc-5", "XBT/USD"]
        (row,) = rows("kraken", old, later)
        assert (row["open"], row["high"], row["low"], row["close"], row["volume"], row["trades"]) == ("1", "3", "1", "2", "0.1", 2)  # fmt: skip


class TestOkx:
    def message(self, channel: str, *data: dict[str, Any], **others: str) -> dict[str, Any]:
        return {"arg": {"channel": channel, "instId": "BTC-USDT"}, **others, "data": list(data)}

    def test_books_and_their_changes(self):
        book = {"asks": [["8476.98", "415", "0", "13"]], "bids": [], "ts": "1597026383085", "checksum": -855196043, "prevSeqId": -1, "seqId": 123456}  # fmt: skip
        whole = self.message("books", book, action="snapshot")
        (row,) = rows("okx", whole)
        assert (row["seq"], row["side"], row["count"], row["is_snapshot"]) == (123456, "ask", "13", True)
        assert marks("okx", whole)[0].previous is None
        change = self.message("books", {**book, "checksum": 0, "prevSeqId": 123456, "seqId": 123457}, action="update")
        assert marks("okx", change) == [Mark("book", "BTC-USDT", 123457, 123457, 123456, channel="books")]
        assert marks("okx", self.message("books5", book))[0].starts

    def test_the_best_levels_are_a_quote(self):
        best = {"asks": [["111.06", "55154", "0", "2"]], "bids": [], "ts": "1670324386802", "seqId": 363996337}
        (row,) = rows("okx", self.message("bbo-tbt", best))
        assert (row["kind"], row["seq"], row["bid_price"], row["ask_price"]) == ("quotes", 363996337, None, "111.06")

    def test_bars_that_are_confirmed(self):
        bar = ["1597026383085", "3.721", "3.743", "3.677", "3.708", "8422410", "22698348", "12698348", "1"]
        open_bar = [*bar[:-1], "0"]
        message = {"arg": {"channel": "candle1H", "instId": "BTC-USDT-SWAP"}, "data": [bar, open_bar]}
        (row,) = rows("okx", message)
        assert (row["timeframe"], row["volume"], row["quote_volume"]) == ("1h", "22698348", "12698348")
        price_bar = [*bar[:5], "1"]
        (row,) = rows("okx", self.message("mark-price-candle1Dutc", price_bar))
        assert (row["kind"], row["timeframe"], row["close"]) == ("mark_ohlcv", "1d", "3.708")
        assert read("okx", self.message("candle1D", bar)) == [None]

    def test_rates_interest_and_liquidations(self):
        rate = {"instId": "BTC-USD-SWAP", "fundingRate": "0.0001", "fundingTime": "1700726400000", "prevFundingTime": "1700697600000", "settState": "settled", "settFundingRate": "0.0002", "ts": "1700724675402"}  # fmt: skip
        predicted, paid = rows("okx", self.message("funding-rate", rate))
        assert (predicted["predicted_rate"], predicted["next_ts"]) == ("0.0001", 1700726400000 * MS)
        assert (paid["kind"], paid["ts"], paid["rate"]) == ("funding", 1700697600000 * MS, "0.0002")
        interest = {"instType": "SWAP", "instId": "BTC-USD-SWAP", "oi": "2216113", "oiCcy": "1949", "oiUsd": "221611300", "ts": "1743041250440"}  # fmt: skip
        (row,) = rows("okx", self.message("open-interest", interest))
        assert (row["open_interest"], row["open_interest_value"]) == ("2216113", "221611300")
        order = {"bkLoss": "0", "bkPx": "0.007831", "ccy": "", "posSide": "short", "side": "buy", "sz": "13", "ts": "1692266434010"}  # fmt: skip
        (row,) = rows("okx", self.message("liquidation-orders", {"instId": "IOST-USDT-SWAP", "details": [order]}))
        assert (row["native"], row["side"], row["price"], row["amount"]) == ("IOST-USDT-SWAP", "buy", "0.007831", "13")

    def test_the_api_until_2022(self):
        depth = {"table": "spot/depth", "action": "update", "data": [{"instrument_id": "ETH-USDT", "asks": [["162.1", "1.5", "2"]], "bids": [], "timestamp": "2019-05-06T07:03:33.048Z", "checksum": -1832}]}  # fmt: skip
        (row,) = rows("okx", depth)
        assert (row["native"], row["count"], row["is_snapshot"]) == ("ETH-USDT", "2", False)
        assert row["ts"] == row["seq"] == parse_time("2019-05-06T07:03:33.048Z")
        assert marks("okx", depth) == [Mark("book", "ETH-USDT", checksum=-1832, channel="spot/depth")]
        trade = {"table": "swap/trade", "data": [{"instrument_id": "BTC-USD-SWAP", "price": "5611.9", "side": "buy", "size": "2", "timestamp": "2019-05-06T06:51:24.389Z", "trade_id": "227897880202387456"}]}  # fmt: skip
        assert only(rows("okx", trade), "id", "price", "amount") == [("227897880202387456", "5611.9", "2")]
        ticker = {"table": "spot/ticker", "data": [{"instrument_id": "ETH-USDT", "best_bid": "8.2", "best_ask": "8.3", "best_bid_size": "1", "best_ask_size": "2", "timestamp": "2019-05-06T06:45:56.716Z"}]}  # fmt: skip
        assert only(rows("okx", ticker), "bid_price", "ask_amount") == [("8.2", "2")]


class TestBybit:
    def test_books_are_named_by_their_depth(self):
        book = {"topic": "orderbook.50.BTCUSDT", "type": "delta", "ts": 1687940967466, "data": {"s": "BTCUSDT", "b": [["30247.20", "0"]], "a": [], "u": 177400507, "seq": 66544703342}, "cts": 1687940967464}  # fmt: skip
        (row,) = rows("bybit", book)
        assert (row["ts"], row["seq"], row["amount"]) == (1687940967464 * MS, 177400507, "0")
        assert marks("bybit", book) == [Mark("book", "BTCUSDT", 177400507, 177400507, channel="orderbook.50")]

    def test_a_change_of_a_ticker_is_read_with_what_came_before(self):
        whole = {"topic": "tickers.BTCUSDT", "type": "snapshot", "data": {"symbol": "BTCUSDT", "markPrice": "17217.33", "openInterest": "68744.761", "openInterestValue": "1183601235.91", "nextFundingTime": "1673280000000", "fundingRate": "-0.000212", "bid1Price": "17215.50", "bid1Size": "84.489", "ask1Price": "17216.00", "ask1Size": "83.020"}, "cs": 24987956059, "ts": 1673272861686}  # fmt: skip
        change = {"topic": "tickers.BTCUSDT", "type": "delta", "data": {"symbol": "BTCUSDT", "ask1Size": "1", "markPrice": "17217.00"}, "cs": 24987956060, "ts": 1673272861786}  # fmt: skip
        assert [row["kind"] for row in rows("bybit", whole)] == ["quotes", "open_interest", "predicted_funding"]
        quote, rate = rows("bybit", whole, change)
        assert (quote["seq"], quote["bid_price"], quote["ask_amount"]) == (24987956060, "17215.50", "1")
        assert (rate["predicted_rate"], rate["mark_price"]) == ("-0.000212", "17217.00")
        assert rows("bybit", change) == []

    def test_bars_that_are_confirmed(self):
        bar = {"start": 1672324800000, "end": 1672325099999, "interval": "5", "open": "1", "close": "2", "high": "3", "low": "1", "volume": "2.081", "turnover": "34666.4005", "confirm": False, "timestamp": 1672324988882}  # fmt: skip
        data = [{**bar, "confirm": True}, bar]
        (row,) = rows("bybit", {"topic": "kline.5.BTCUSDT", "data": data, "ts": 1, "type": "snapshot"})
        assert (row["timeframe"], row["volume"], row["quote_volume"]) == ("5m", "2.081", "34666.4005")
        (row,) = rows(
            "bybit", {"topic": "kline.D.BTCUSD", "data": [{**bar, "interval": "D", "confirm": True}], "ts": 1}
        )
        assert (row["timeframe"], row["volume"], row["quote_volume"]) == ("1d", "34666.4005", "2.081")

    def test_the_side_of_a_liquidation_is_that_of_the_order(self):
        new = {"topic": "allLiquidation.ROSEUSDT", "type": "snapshot", "ts": 1, "data": [{"T": 1739502302929, "s": "ROSEUSDT", "S": "Sell", "v": "20000", "p": "0.04499"}]}  # fmt: skip
        old = {"topic": "liquidation.BTCUSDT", "type": "snapshot", "ts": 1, "data": {"updatedTime": 1703485237953, "symbol": "BTCUSDT", "side": "Buy", "size": "0.003", "price": "43511.70"}}  # fmt: skip
        assert only(rows("bybit", new), "side", "price", "amount") == [("buy", "0.04499", "20000")]
        assert only(rows("bybit", old), "side", "price", "amount") == [("sell", "43511.70", "0.003")]

    def test_the_api_of_contracts_until_2022(self):
        book = {"topic": "orderBookL2_25.BTCUSD", "type": "snapshot", "data": [{"price": "2999.00", "symbol": "BTCUSD", "id": 29990000, "side": "Buy", "size": 9}], "cross_seq": 11518, "timestamp_e6": 1555647164875373}  # fmt: skip
        linear = {**book, "data": {"order_book": book["data"]}}
        assert rows("bybit", book) == rows("bybit", linear)
        assert only(rows("bybit", book), "ts", "seq", *LEVEL) == [
            (1555647164875373000, 11518, "bid", "2999.00", 9, True)
        ]
        gone = {"price": "3001.00", "symbol": "BTCUSD", "id": 30010000, "side": "Sell"}
        data = {"delete": [gone], "update": [{**gone, "price": "2999.00", "size": 8}], "insert": []}
        change = {**book, "type": "delta", "data": data}
        assert only(rows("bybit", change), *LEVEL) == [("ask", "3001.00", 0, False), ("ask", "2999.00", 8, False)]
        trade = {"topic": "trade.BTCUSD", "data": [{"timestamp": "2020-01-12T16:59:59.000Z", "trade_time_ms": 1582793344685, "symbol": "BTCUSD", "side": "Sell", "size": 328, "price": 8098, "tick_direction": "MinusTick", "trade_id": "00c706e1", "cross_seq": 1}]}  # fmt: skip
        assert only(rows("bybit", trade), "ts", "id", "side") == [(1582793344685 * MS, "00c706e1", "sell")]


class TestCoinbase:
    def test_levels_and_the_number_of_the_connection(self):
        updates = [{"side": "bid", "event_time": "1970-01-01T00:00:00Z", "price_level": "21921.73", "new_quantity": "0.06"}, {"side": "offer", "event_time": "1970-01-01T00:00:00Z", "price_level": "21921.3", "new_quantity": "0"}]  # fmt: skip
        message = {"channel": "l2_data", "client_id": "", "timestamp": "2023-02-09T20:32:50.714964855Z", "sequence_num": 3, "events": [{"type": "update", "product_id": "BTC-USD", "updates": updates}]}  # fmt: skip
        found = rows("coinbase", message)
        assert only(found, *LEVEL) == [("bid", "21921.73", "0.06", False), ("ask", "21921.3", "0", False)]
        assert found[0]["ts"] == parse_time("2023-02-09T20:32:50.714964855Z")
        assert marks("coinbase", message) == [Mark("book", "BTC-USD"), Mark("", "", 3, 3)]

    def test_heartbeats_are_numbered_and_hold_nothing(self):
        (reading,) = read("coinbase", {"channel": "heartbeats", "timestamp": "x", "sequence_num": 0, "events": []})
        assert reading is not None
        assert (reading.unread, reading.marks) == (True, [Mark("", "", 0, 0, starts=True)])

    def test_messages_of_the_exchange_api(self):
        book = {"type": "snapshot", "product_id": "BTC-USD", "bids": [["10101.10", "0.45"]], "asks": [["10102.55", "0.57"]]}  # fmt: skip
        change = {"type": "l2update", "product_id": "BTC-USD", "time": "2019-08-14T20:42:27.265Z", "changes": [["buy", "10101.80", "0.162"], ["sell", "10102.55", "0.0"]]}  # fmt: skip
        assert only(rows("coinbase", book), *LEVEL) == [("bid", "10101.10", "0.45", True), ("ask", "10102.55", "0.57", True)]  # fmt: skip
        assert only(rows("coinbase", book, change), *LEVEL) == [("bid", "10101.80", "0.162", False), ("ask", "10102.55", "0.0", False)]  # fmt: skip
        match = {"type": "match", "trade_id": 10, "sequence": 50, "maker_order_id": "a", "taker_order_id": "b", "time": "2014-11-07T08:19:27.028459Z", "product_id": "BTC-USD", "size": "5.23512", "price": "400.23", "side": "sell"}  # fmt: skip
        assert only(rows("coinbase", match), "id", "side", "price") == [("10", "buy", "400.23")]
        assert read("coinbase", {"type": "open", "product_id": "BTC-USD", "price": "1"}) == [None]

    def test_candles_are_over_when_the_next_one_comes(self):
        def candles(*starts: int) -> dict[str, Any]:
            bars = [{"start": str(start), "high": "3", "low": "1", "open": "1", "close": "2", "volume": "9", "product_id": "ETH-USD"} for start in starts]  # fmt: skip
            return {"channel": "candles", "timestamp": "2023-06-09T20:19:35Z", "sequence_num": 0, "events": [{"type": "update", "candles": bars}]}  # fmt: skip

        first, second = candles(1688998200, 1688997900), candles(1688998500)
        assert only(rows("coinbase", first), "ts", "timeframe") == [(1688997900 * 10**9, "5m")]
        assert only(rows("coinbase", first, second), "ts") == [(1688998200 * 10**9,)]


class TestDeribit:
    def message(self, channel: str, data: Any) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}}

    def test_books_and_their_changes(self):
        book = {"type": "change", "timestamp": 1554373911330, "prev_change_id": 297217, "instrument_name": "BTC-PERPETUAL", "change_id": 297218, "bids": [["delete", 5041.94, 0.0], ["change", 5042.34, 20.0]], "asks": []}  # fmt: skip
        message = self.message("book.BTC-PERPETUAL.100ms", book)
        assert only(rows("deribit", message), *LEVEL) == [("bid", "5041.94", 0, False), ("bid", "5042.34", "20.0", False)]  # fmt: skip
        (mark,) = marks("deribit", message)
        assert (mark.first, mark.last, mark.previous, mark.starts) == (297218, 297218, 297217, False)
        top = {"timestamp": 1554375447971, "instrument_name": "ETH-PERPETUAL", "change_id": 109615, "bids": [[160, 40]], "asks": [[161, 20]]}  # fmt: skip
        grouped = self.message("book.ETH-PERPETUAL.none.5.100ms", top)
        assert only(rows("deribit", grouped), *LEVEL) == [("bid", 160, 40, True), ("ask", 161, 20, True)]

    def test_a_forced_trade_is_a_liquidation_too(self):
        trade = {"trade_seq": 30289442, "trade_id": "48079269", "timestamp": 1590484512188, "price": 8950, "instrument_name": "BTC-PERPETUAL", "direction": "sell", "amount": 10, "liquidation": "M"}  # fmt: skip
        message = self.message("trades.BTC-PERPETUAL.raw", [trade])
        assert only(rows("deribit", message), "kind", "id", "side") == [("trades", "48079269", "sell"), ("liquidations", "48079269", "buy")]  # fmt: skip
        assert marks("deribit", message) == [Mark("trades", "BTC-PERPETUAL", 30289442, 30289442)]

    def test_tickers_and_bars(self):
        ticker = {"timestamp": 1623060194301, "instrument_name": "BTC-PERPETUAL", "best_bid_price": 36442.5, "best_bid_amount": 5000, "best_ask_price": 0.0, "best_ask_amount": 0.0, "open_interest": 502097590, "mark_price": 36446.51, "current_funding": 0.0001}  # fmt: skip
        quote, interest, rate = rows("deribit", self.message("ticker.BTC-PERPETUAL.100ms", ticker))
        assert (quote["bid_price"], quote["ask_price"]) == ("36442.5", None)
        assert (interest["open_interest"], rate["predicted_rate"]) == (502097590, "0.0001")
        bars = [self.message("chart.trades.BTC-PERPETUAL.60", {"tick": tick, "open": 1, "high": 2, "low": 1, "close": 2, "volume": 0.5, "cost": 9}) for tick in (1573645080000, 1573648680000)]  # fmt: skip
        assert only(rows("deribit", *bars), "ts", "timeframe", "quote_volume") == [(1573645080000 * MS, "1h", 9)]


class TestBitfinex:
    def subscribed(self, channel: str, number: int = 7, **others: str) -> dict[str, Any]:
        return {"event": "subscribed", "channel": channel, "chanId": number, **others}

    def test_levels_are_added_and_removed(self):
        book = self.subscribed("book", symbol="tBTCUSD", prec="P0", len="25")
        whole, removed = [7, [[7254.7, 3, 3.3], [7254.8, 1, -0.5]]], [7, [7254.8, 0, -1], 5, 1574694475039]
        assert only(rows("bitfinex", book, whole), *LEVEL) == [("bid", "7254.7", "3.3", True), ("ask", "7254.8", "0.5", True)]  # fmt: skip
        (row,) = rows("bitfinex", book, whole, removed)
        assert (row["side"], row["price"], row["amount"], row["ts"]) == ("ask", "7254.8", 0, 1574694475039 * MS)
        assert marks("bitfinex", book, whole, removed) == [Mark("book", "tBTCUSD", channel="P0 25"), Mark("", "", 5, 5)]

    def test_a_checksum_is_a_message_of_its_own(self):
        book = self.subscribed("book", symbol="tBTCUSD", prec="P0", len="25")
        assert marks("bitfinex", book, [7, "cs", -1]) == [Mark("book", "tBTCUSD", checksum=0xFFFFFFFF, channel="P0 25")]

    def test_a_trade_is_read_once(self):
        trades = self.subscribed("trades", symbol="tBTCUSD")
        made = [401597395, 1574694478808, -0.005, 7245.3]
        assert only(rows("bitfinex", trades, [7, "te", made]), "id", "side", "amount") == [
            ("401597395", "sell", "0.005")
        ]
        assert rows("bitfinex", trades, [7, "tu", made]) == []

    @pytest.mark.parametrize(
        "subscription",
        [{"channel": "book", "symbol": "tBTCUSD", "prec": "R0"}, {"channel": "trades", "symbol": "fUSD"}],
        ids=["orders", "loans"],
    )
    def test_what_is_not_read_keeps_its_number(self, subscription):
        reading = read("bitfinex", {"event": "subscribed", "chanId": 7, **subscription}, [7, [34006738527, 8744.9, 0.25], 9])[-1]  # fmt: skip
        assert reading is not None
        assert (reading.unread, reading.rows, reading.marks) == (True, [], [Mark("", "", 9, 9)])

    def test_candles_and_derivatives(self):
        candles = self.subscribed("candles", key="trade:1m:tBTCUSD")
        first, later = [7, [1574698260000, 7379.7, 7383.8, 7388.3, 7379.7, 1.68]], [7, [1574698320000, 1, 1, 1, 1, 1]]
        (row,) = rows("bitfinex", candles, first, later)
        assert (row["ts"], row["open"], row["high"], row["low"], row["close"]) == (1574698260000 * MS, "7379.7", "7388.3", "7379.7", "7383.8")  # fmt: skip
        state = [1596124822000, None, 0.89, 0.771995, None, 1396531.67, None, 1596153600000, 0.0001056, 6, None, -0.01381344, None, None, 0.7664, None, None, 246502.09, None]  # fmt: skip
        status = self.subscribed("status", key="deriv:tBTCF0:USTF0")
        rate, interest = rows("bitfinex", status, [7, state])
        assert (rate["native"], rate["predicted_rate"], rate["next_ts"]) == ("tBTCF0:USTF0", "0.0001056", 1596153600000 * MS)  # fmt: skip
        assert (rate["mark_price"], interest["open_interest"]) == ("0.7664", "246502.09")


PARTIAL = {"table": "orderBookL2", "action": "partial", "filter": {"symbol": "XBTUSD"}, "data": [{"symbol": "XBTUSD", "id": 17999992000, "side": "Sell", "size": 100, "price": 80}, {"symbol": "XBTUSD", "id": 17999993000, "side": "Buy", "size": 20, "price": 70.5}]}  # fmt: skip


class TestBitmex:
    def change(self, action: str, **entry: Any) -> dict[str, Any]:
        return {"table": "orderBookL2", "action": action, "data": [{"symbol": "XBTUSD", **entry}]}

    def test_the_price_of_a_level_is_that_of_its_id(self):
        update = self.change("update", id=17999993000, side="Buy", size=5)
        delete = self.change("delete", id=17999993000, side="Buy")
        assert only(rows("bitmex", PARTIAL), *LEVEL) == [("ask", 80, 100, True), ("bid", "70.5", 20, True)]
        assert only(rows("bitmex", PARTIAL, update), *LEVEL) == [("bid", "70.5", 5, False)]
        assert only(rows("bitmex", PARTIAL, update, delete), *LEVEL) == [("bid", "70.5", 0, False)]
        assert rows("bitmex", update) == []

    def test_levels_have_a_price_and_a_time_since_2022(self):
        update = self.change("update", id=1, side="Buy", size=5, price=70.5, timestamp="2024-11-24T08:26:00.000Z")
        (row,) = rows("bitmex", update)
        assert (row["price"], row["ts"]) == ("70.5", parse_time("2024-11-24T08:26:00Z"))

    def test_other_tables(self):
        ten = {"table": "orderBook10", "action": "update", "data": [{"symbol": "XBTUSD", "bids": [[1, 2]], "asks": [[3, 4]], "timestamp": "2024-11-24T08:26:00.000Z"}]}  # fmt: skip
        assert only(rows("bitmex", ten), *LEVEL) == [("bid", 1, 2, True), ("ask", 3, 4, True)]
        funding = {"table": "funding", "action": "partial", "data": [{"timestamp": "2017-08-21T20:00:00.000Z", "symbol": "XBTUSD", "fundingInterval": "2000-01-01T08:00:00.000Z", "fundingRate": 0.0001}]}  # fmt: skip
        assert only(rows("bitmex", funding), "rate", "interval") == [("0.0001", 8 * 3600 * 10**9)]
        order = {"table": "liquidation", "action": "insert", "data": [{"orderID": "a", "symbol": "XBTUSD", "side": "Sell", "price": 9000.5, "leavesQty": 7}]}  # fmt: skip
        assert only(rows("bitmex", order), "id", "side", "amount", "ts") == [("a", "sell", 7, HEARD)]
        bar = {"table": "tradeBin5m", "action": "insert", "data": [{"timestamp": "2024-11-23T20:10:00.000Z", "symbol": "XBTUSD", "open": 1, "high": 2, "low": 1, "close": 2, "trades": 3, "volume": 5, "homeNotional": 0.5, "foreignNotional": 9}]}  # fmt: skip
        assert only(rows("bitmex", bar), "ts", "timeframe", "volume") == [(parse_time("2024-11-23T20:05:00Z"), "5m", "0.5")]  # fmt: skip

    def test_an_instrument_is_read_with_what_came_before(self):
        whole = {"table": "instrument", "action": "partial", "data": [{"symbol": "XBTUSD", "fundingRate": 0.0001, "fundingTimestamp": "2021-07-23T04:00:00.000Z", "openInterest": 9, "markPrice": 5, "timestamp": "2021-07-22T22:36:00.000Z"}]}  # fmt: skip
        part = {"table": "instrument", "action": "update", "data": [{"symbol": "XBTUSD", "markPrice": 6, "timestamp": "2021-07-22T22:36:05.000Z"}]}  # fmt: skip
        assert [row["kind"] for row in rows("bitmex", whole)] == ["open_interest", "predicted_funding"]
        (row,) = rows("bitmex", whole, part)
        assert (row["predicted_rate"], row["mark_price"], row["next_ts"]) == ("0.0001", 6, parse_time("2021-07-23T04:00:00Z"))  # fmt: skip


@pytest.mark.parametrize("exchange", ["binance", "kraken", "okx", "bybit", "coinbase", "deribit", "bitfinex", "bitmex"])
@pytest.mark.parametrize(
    "odd",
    [{}, [], [1], [1, None], {"e": None}, {"e": []}, {"arg": 5}, {"topic": None}, {"params": []}, {"channel": ["x"]}, {"table": {}}, [1, {}, "book-x", "A/B"], {"stream": 1, "data": {"e": "trade"}}, {"arg": {"channel": "books"}, "data": [5]}, {"topic": "orderbook.1.X", "data": 5}],
    ids=json.dumps,
)  # fmt: skip
def test_a_message_of_no_known_form_is_not_known_or_refused(exchange, odd):
    with contextlib.suppress(InvalidData):
        reading = read(exchange, odd)[0]
        assert reading is None or not reading.rows


def test_every_stream_of_a_proof_has_readers():
    assert {proof.exchange for proof in PROOFS} <= set(READERS)


def test_trades_and_books_of_every_module_have_a_proof():
    said = {(proof.exchange, proof.kind) for proof in PROOFS}
    readers = {exchange for exchange in READERS if importlib.util.find_spec(f"ticklake.sources.wire.{exchange}")}
    assert {(exchange, kind) for exchange in readers for kind in ("trades", "book")} <= said


class TestFormsOfOlderMessages:
    def test_a_trade_of_bybit_has_its_time_in_text_alone(self):
        entry = {"timestamp": "2019-12-01T01:02:03.000Z", "symbol": "BTCUSD", "side": "Buy", "size": 50, "price": 7000, "trade_id": "a"}  # fmt: skip
        (row,) = rows("bybit", {"topic": "trade.BTCUSD", "data": [entry]})
        assert (row["ts"], row["id"], row["amount"]) == (parse_time("2019-12-01T01:02:03Z"), "a", 50)

    def test_contracts_of_bybit_in_usdc_have_other_names(self):
        entry = {"symbol": "BTCPERP", "price": "20000.00", "size": 0.5, "tradeTimeMs": "1656633600500", "side": "Sell", "tradeId": "b"}  # fmt: skip
        (row,) = rows("bybit", {"topic": "trade.BTCPERP", "data": [entry]})
        assert (row["ts"], row["id"]) == (parse_time("2022-07-01T00:00:00.5Z"), "b")
        level = {"price": "20000.00", "symbol": "BTCPERP", "id": "1", "side": "Buy", "size": "0.5"}
        book = {"topic": "orderBookL2_25.BTCPERP", "type": "snapshot", "data": {"orderBook": [level]}, "crossSeq": "38", "timestampE6": "1656633600500600"}  # fmt: skip
        (row,) = rows("bybit", book)
        assert (row["seq"], row["side"], row["price"], row["is_snapshot"]) == (38, "bid", "20000.00", True)

    def test_a_liquidation_of_bybit_has_other_names(self):
        entry = {"symbol": "ETHUSD", "side": "Sell", "price": "3000.5", "qty": "70", "time": 1630454400250}
        (row,) = rows("bybit", {"topic": "liquidation.ETHUSD", "data": entry})
        assert (row["side"], row["amount"], row["ts"]) == ("buy", "70", parse_time("2021-09-01T00:00:00.25Z"))

    def test_the_tickers_of_okex_had_no_amounts(self):
        entry = {"instrument_id": "ETH-BTC", "last": "3", "best_bid": "1", "best_ask": "2", "timestamp": "2019-05-01T00:00:00.500Z"}  # fmt: skip
        (row,) = rows("okx", {"table": "spot/ticker", "data": [entry]})
        assert (row["bid_price"], row["bid_amount"], row["ask_price"]) == ("1", None, "2")
