"""Bitstamp's messages."""

from __future__ import annotations

import pytest

from tests.sources.wire_reading import channel_of, levels_of, marks_of, rows_of
from ticklake.sources.wire.reading import Mark

TRADE = {"event": "trade", "channel": "live_trades_btcusd", "data": {"id": 77, "timestamp": "1633998512", "amount": 0.1, "amount_str": "0.10000000", "price": 57000.5, "price_str": "57000.50", "type": 1, "microtimestamp": "1633998512068001", "buy_order_id": 1, "sell_order_id": 2}}  # fmt: skip
BOOK = {"event": "data", "channel": "order_book_ethbtc", "data": {"timestamp": "1633998512", "microtimestamp": "1633998512068001", "bids": [["0.06", "1.5"]], "asks": [["0.07", "2"]]}}  # fmt: skip
CHANGE = {**BOOK, "channel": "diff_order_book_ethbtc"}
MESSAGES = (TRADE, BOOK, CHANGE)


def test_a_trade_is_read_from_its_texts():
    (row,) = rows_of("bitstamp", TRADE)
    assert row == {
        "kind": "trades",
        "native": "BTCUSD",
        "ts": "2021-10-12T00:28:32.068001Z",
        "id": "77",
        "price": "57000.50",
        "amount": "0.10000000",
        "side": "sell",
    }


def test_the_best_levels_are_a_whole_book():
    assert levels_of("bitstamp", BOOK) == [("bid", "0.06", "1.5", True), ("ask", "0.07", "2", True)]
    assert {row["seq"] for row in rows_of("bitstamp", BOOK)} == {1633998512068001}
    assert marks_of("bitstamp", BOOK) == [Mark("book", "ETHBTC", starts=True)]


def test_differences_are_changes():
    assert levels_of("bitstamp", CHANGE) == [("bid", "0.06", "1.5", False), ("ask", "0.07", "2", False)]
    assert {row["native"] for row in rows_of("bitstamp", CHANGE)} == {"ETHBTC"}


@pytest.mark.parametrize(
    ("message", "channel"),
    [
        (TRADE, "live_trades"),
        (BOOK, "order_book"),
        (CHANGE, "diff_order_book"),
        ({"event": "order_created", "channel": "live_orders_btcusd", "data": {"id": 1}}, "live_orders"),
        ({"event": "bts:subscription_succeeded", "channel": "order_book_btcusd", "data": {}}, "control"),
        (
            {"event": "bts:error", "channel": "", "data": {"code": None, "message": "Bad subscription string."}},
            "control",
        ),
    ],
)
def test_channels_are_counted_without_the_market(message, channel):
    assert channel_of(message) == channel
