"""Hyperliquid's messages."""

from __future__ import annotations

import pytest

from tests.sources.wire_reading import HEARD, channel_of, levels_of, marks_of, reading_of, rows_of
from ticklake.sources.wire.reading import Mark

TRADE = {
    "channel": "trades",
    "data": [
        {"coin": "BTC", "side": "A", "px": "105056.0", "sz": "0.002", "hash": "0x", "time": 1737918794873, "tid": 121}
    ],
}
BOOK = {"channel": "l2Book", "data": {"coin": "BTC", "time": 1737918794873, "levels": [[{"px": "10", "sz": "4", "n": 2}], [{"px": "11", "sz": "3", "n": 1}]]}}  # fmt: skip
BEST = {
    "channel": "bbo",
    "data": {"coin": "BTC", "time": 1737918794873, "bbo": [{"px": "10", "sz": "4", "n": 2}, None]},
}
CONTEXT = {"channel": "activeAssetCtx", "data": {"coin": "BTC", "ctx": {"funding": "0.0000125", "openInterest": "688.11", "markPx": "14.3161", "midPx": "14.314", "oraclePx": "14.32"}}}  # fmt: skip
CANDLE = {"channel": "candle", "data": {"t": 1681923600000, "T": 1681924499999, "s": "BTC", "i": "15m", "o": "1", "c": "2", "h": "3", "l": "0", "v": "5", "n": 9}}  # fmt: skip
MESSAGES = (TRADE, BOOK, BEST, CONTEXT, CANDLE)


def test_a_trade():
    (row,) = rows_of("hyperliquid", TRADE)
    assert (row["native"], row["id"], row["side"], row["ts"]) == ("BTC", "121", "sell", "2025-01-26T19:13:14.873Z")


def test_a_book_is_whole_each_time():
    assert levels_of("hyperliquid", BOOK) == [("bid", "10", "4", True), ("ask", "11", "3", True)]
    assert marks_of("hyperliquid", BOOK) == [Mark("book", "BTC", starts=True)]


def test_a_side_without_orders_is_null():
    (row,) = rows_of("hyperliquid", BEST)
    assert (row["bid_price"], row.get("ask_price")) == ("10", None)


def test_the_context_has_the_time_of_receipt():
    interest, funding = reading_of("hyperliquid", CONTEXT).rows
    assert interest.values == (HEARD, "688.11", None)
    assert funding.values == (HEARD, HEARD, "0.0000125", None, "14.3161", None)


def test_bars_are_not_known_to_be_over():
    assert reading_of("hyperliquid", CANDLE).rows == []


@pytest.mark.parametrize("control", [{"channel": "subscriptionResponse", "data": {"method": "subscribe", "subscription": {"type": "trades", "coin": "BTC"}}}, {"channel": "pong"}])  # fmt: skip
def test_answers_to_subscriptions_are_control_messages(control):
    assert channel_of(control) == "control"
