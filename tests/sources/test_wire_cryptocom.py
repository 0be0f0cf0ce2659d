"""Crypto.com's messages, of its exchange's API and the one before it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sources.wire_reading import channel_of, levels_of, marks_of, reading_of, rows_of
from ticklake.sources.wire.reading import Mark


def message(channel: str, data: list[Any], native: str = "BTCUSD-PERP") -> dict:
    result = {"instrument_name": native, "subscription": f"{channel}.{native}", "channel": channel, "data": data}
    return {"id": -1, "code": 0, "method": "subscribe", "result": result}


OLD_BOOK = message("book", [{"bids": [[45.3, 0.386, 1]], "asks": [[45.4, 2.5, 3]], "t": 1637709517473}], "HNT_USDT")
BOOK = message(
    "book",
    [
        {
            "asks": [["30082.5", "0.1689", "1"]],
            "bids": [],
            "tt": 1674638089000,
            "t": 1674638089879,
            "u": 542048017824,
            "cs": 5,
        }
    ],
)
CHANGE = message("book.update", [{"update": {"asks": [["50126.0", "0", "0"]], "bids": []}, "t": 1647917463003, "tt": 1647917463000, "u": 7845460002, "pu": 7845460001}])  # fmt: skip
TICKER = message("ticker", [{"h": "1", "l": "1", "a": "9", "c": "0", "b": "10", "bs": "4", "k": "11", "ks": "3", "i": "BTCUSD-PERP", "v": "1", "vv": "1", "oi": "12.31", "t": 1613580710768}])  # fmt: skip
OLD_TICKER = message(
    "ticker",
    [{"i": "HNT_USDT", "b": 7.5, "k": 7.6, "a": 7.5, "t": 1637709517473, "v": 1, "h": 1, "l": 1, "c": 1}],
    "HNT_USDT",
)
TRADE = message(
    "trade", [{"d": "2030407068", "t": 1613581138462, "p": "51327.5", "q": "0.0001", "s": "SELL", "i": "BTCUSD-PERP"}]
)
BAR = message(
    "candlestick", [{"o": "1", "h": "3", "l": "0", "c": "2", "v": "5", "t": 1651766400000, "ut": 1651766400123}]
)
FUNDING = message("estimatedfunding", [{"v": "0.000039", "t": 1613547600000}])
MESSAGES = (OLD_BOOK, BOOK, CHANGE, TICKER, OLD_TICKER, TRADE, BAR, FUNDING)


def test_an_old_book_has_no_number():
    assert levels_of("cryptocom", OLD_BOOK) == [("bid", 45.3, 0.386, True), ("ask", 45.4, 2.5, True)]
    assert [row["count"] for row in rows_of("cryptocom", OLD_BOOK)] == [1, 3]
    assert {row.space for row in reading_of("cryptocom", OLD_BOOK).rows} == {"time"}


def test_books_and_changes_are_numbered():
    assert levels_of("cryptocom", CHANGE) == [("ask", "50126.0", "0", False)]
    assert marks_of("cryptocom", BOOK) == [Mark("book", "BTCUSD-PERP", 542048017824, 542048017824, starts=True)]
    assert marks_of("cryptocom", CHANGE) == [Mark("book", "BTCUSD-PERP", 7845460002, 7845460002, 7845460001)]


def test_a_ticker_has_the_open_interest_of_contracts():
    quote, interest = rows_of("cryptocom", TICKER)
    assert (quote["bid_price"], quote["bid_amount"], quote["ask_price"], quote["ask_amount"]) == ("10", "4", "11", "3")
    assert interest["open_interest"] == "12.31"
    assert [row["kind"] for row in rows_of("cryptocom", OLD_TICKER)] == ["quotes"]


def test_a_trade():
    (row,) = rows_of("cryptocom", TRADE)
    assert (row["native"], row["id"], row["side"], row["price"]) == ("BTCUSD-PERP", "2030407068", "sell", "51327.5")


def test_the_estimated_funding():
    (row,) = rows_of("cryptocom", FUNDING)
    assert (row["kind"], row["predicted_rate"], row["ts"]) == ("predicted_funding", "0.000039", "2021-02-17T07:40:00Z")


def test_bars_are_not_known_to_be_over():
    assert reading_of("cryptocom", BAR).rows == []


@pytest.mark.parametrize(
    "control", [{"id": 1, "method": "public/heartbeat", "code": 0}, {"id": 1, "code": 0, "method": "subscribe"}]
)
def test_heartbeats_are_control_messages(control):
    assert channel_of(control) == "control"


def test_the_first_changes_have_no_numbers():
    change = message("book.update", [{"update": {"asks": [["9.5", "2", "1"]], "bids": []}, "t": 1656633600500, "s": 7}])
    assert levels_of("cryptocom", change) == [("ask", "9.5", "2", False)]
    assert marks_of("cryptocom", change) == [Mark("book", "BTCUSD-PERP")]
