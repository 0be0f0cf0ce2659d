"""Poloniex' messages: of its spot market and contracts, and of the first API, which numbered markets."""

from __future__ import annotations

import pytest

from tests.sources.wire_reading import HEARD, channel_of, levels_of, marks_of, reading_of, rows_of
from ticklake.sources.wire.reading import Mark

TRADES = {"channel": "trades", "data": [{"symbol": "BTC_USDT", "amount": "416", "takerSide": "buy", "quantity": "4", "createTime": 1648059516810, "price": "104", "id": "77", "ts": 1648059516832}]}  # fmt: skip
BOOK = {"channel": "book", "data": [{"symbol": "BTC_USDT", "createTime": 1648052239156, "asks": [["2", "50"]], "bids": [["1", "16"]], "id": 4, "ts": 1648052239192}]}  # fmt: skip
CHANGE = {"channel": "book_lv2", "data": [{"symbol": "BTC_USDT", "createTime": 1648052239156, "asks": [], "bids": [["1", "0"]], "lastId": 4, "id": 5, "ts": 1648052239192}], "action": "update"}  # fmt: skip
WHOLE = {**CHANGE, "action": "snapshot"}
CONTRACT_TRADES = {"channel": "trades", "data": [{"id": 291, "ts": 1718871802553, "s": "BTC_USDT_PERP", "px": "46100", "qty": "1", "amt": "461", "side": "sell", "cT": 1718871802534}]}  # fmt: skip
CONTRACT_BOOK = {"channel": "book_lv2", "data": [{"asks": [["46100", "9284"]], "bids": [], "lid": 953, "id": 954, "ts": 1718870001418, "s": "BTC_USDT_PERP", "cT": 1718869676555}], "action": "update"}  # fmt: skip
CANDLES = {
    "channel": "candles_minute_1",
    "data": [{"symbol": "BTC_USDT", "open": "1", "startTime": 1648057140000, "ts": 1648057192020}],
}
OLD_BOOK = [
    148,
    394818,
    [["i", {"currencyPair": "BTC_ETH", "orderBook": [{"0.07": "1.5"}, {"0.06": "2"}]}, "1580384000123"]],
]
OLD_CHANGES = [148, 394819, [["o", 1, "0.06", "0.5", "1580384001123"], ["o", 0, "0.07", "0", "1580384001123"], ["t", "42", 0, "0.06", "1.5", 1580384001, "1580384001456"]]]  # fmt: skip
OLD_TICKER = [1002, None, [148, "0.065", "0.07", "0.06", "0.01", "1", "2", 0, "3", "4"]]
MESSAGES = (TRADES, BOOK, CHANGE, WHOLE, CONTRACT_TRADES, CONTRACT_BOOK, CANDLES)
NUMBERED = (OLD_BOOK, OLD_CHANGES, OLD_TICKER)


def test_a_trade_has_the_takers_side():
    (row,) = rows_of("poloniex", TRADES)
    assert row == {
        "kind": "trades",
        "native": "BTC_USDT",
        "ts": "2022-03-23T18:18:36.81Z",
        "id": "77",
        "price": "104",
        "amount": "4",
        "side": "buy",
    }


def test_the_best_levels_are_a_whole_book():
    assert levels_of("poloniex", BOOK) == [("bid", "1", "16", True), ("ask", "2", "50", True)]


def test_changes_name_the_number_before():
    assert levels_of("poloniex", CHANGE) == [("bid", "1", "0", False)]
    assert marks_of("poloniex", CHANGE) == [Mark("book", "BTC_USDT", 5, 5, 4)]
    assert marks_of("poloniex", WHOLE) == [Mark("book", "BTC_USDT", 5, 5, 4, starts=True)]


def test_contracts_have_short_keys():
    (row,) = rows_of("poloniex", CONTRACT_TRADES)
    assert (row["native"], row["price"], row["amount"], row["side"]) == ("BTC_USDT_PERP", "46100", "1", "sell")
    assert marks_of("poloniex", CONTRACT_BOOK) == [Mark("book", "BTC_USDT_PERP", 954, 954, 953)]


def test_bars_are_not_known_to_be_over():
    assert reading_of("poloniex", CANDLES).rows == []


def test_the_first_api_names_the_market_once():
    assert levels_of("poloniex", OLD_BOOK) == [("bid", "0.06", "2", True), ("ask", "0.07", "1.5", True)]
    bid, ask, trade = rows_of("poloniex", OLD_BOOK, OLD_CHANGES)
    assert (bid["native"], bid["side"], bid["amount"], bid["is_snapshot"]) == ("BTC_ETH", "bid", "0.5", False)
    assert (ask["side"], ask["amount"]) == ("ask", "0")
    assert (trade["id"], trade["side"], trade["ts"]) == ("42", "sell", "2020-01-30T11:33:21.456Z")
    assert marks_of("poloniex", OLD_BOOK, OLD_CHANGES) == [Mark("book", "BTC_ETH", 394819, 394819)]


def test_a_ticker_of_the_first_api_names_the_market_by_the_same_number():
    (row,) = reading_of("poloniex", OLD_BOOK, OLD_TICKER).rows
    assert (row.native, row.values) == ("BTC_ETH", (HEARD, HEARD, None, "0.06", None, "0.07", None))


@pytest.mark.parametrize(
    ("message", "channel"),
    [
        ({"channel": "book_lv2", "event": "subscribe", "symbols": ["BTC_USDT"]}, "control"),
        ({"event": "pong"}, "control"),
        ([1010], "control"),
        ([1002, 1], "control"),
        ([148, 1], "control"),
        (OLD_BOOK, "book"),
        (OLD_TICKER, "ticker"),
        (TRADES, "trades"),
    ],
)
def test_channels(message, channel):
    assert channel_of(message) == channel
