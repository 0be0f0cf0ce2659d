"""Gemini's messages, of its two market data APIs."""

from __future__ import annotations

import pytest

from tests.sources.wire_reading import HEARD, channel_of, levels_of, marks_of, reading_of, rows_of
from ticklake.sources.wire.reading import Mark

OLD_TRADE = {"type": "trade", "symbol": "BTCUSD", "event_id": 7, "timestamp": 1560976400428, "price": "9122.04", "quantity": "0.07", "side": "sell"}  # fmt: skip
FIRST = {"type": "l2_updates", "symbol": "BTCUSD", "changes": [["buy", "9122", "1.2"], ["sell", "9123", "0.5"]], "trades": [OLD_TRADE], "auction_events": []}  # fmt: skip
CHANGE = {"type": "l2_updates", "symbol": "BTCUSD", "changes": [["sell", "9123", "0"]]}
CANDLES = {"type": "candles_1m_updates", "symbol": "BTCUSD", "changes": [[1561054500000, 1, 3, 0, 2, 5]]}
BEGIN = {"type": "update", "eventId": 5, "socket_sequence": 0, "events": [{"type": "change", "side": "bid", "price": "10", "remaining": "4", "delta": "4", "reason": "initial"}]}  # fmt: skip
UPDATE = {"type": "update", "eventId": 6, "timestamp": 1547760289, "timestampms": 1547760289001, "socket_sequence": 3, "events": [{"type": "trade", "tid": 6, "price": "10", "amount": "1", "makerSide": "bid"}, {"type": "change", "side": "bid", "price": "10", "remaining": "3", "delta": "-1", "reason": "trade"}]}  # fmt: skip
MESSAGES = (FIRST, CHANGE, OLD_TRADE, CANDLES, BEGIN, UPDATE)


def test_the_first_message_has_the_whole_book_and_trades():
    assert levels_of("gemini", FIRST) == [("bid", "9122", "1.2", True), ("ask", "9123", "0.5", True)]
    assert marks_of("gemini", FIRST) == [Mark("book", "BTCUSD", starts=True)]
    (row,) = [row for row in rows_of("gemini", FIRST) if row["kind"] == "trades"]
    assert (row["id"], row["price"], row["amount"], row["side"]) == ("7", "9122.04", "0.07", "sell")
    assert row["ts"] == "2019-06-19T20:33:20.428Z"


def test_a_change_has_the_time_of_receipt():
    assert levels_of("gemini", CHANGE) == [("ask", "9123", "0", False)]
    assert [row.values[0] for row in reading_of("gemini", CHANGE).rows] == [HEARD]


def test_a_first_message_may_have_no_trades():
    first = {name: value for name, value in FIRST.items() if name != "trades"}
    assert marks_of("gemini", first) == [Mark("book", "BTCUSD", starts=True)]


def test_nobody_takes_in_a_block_trade():
    (row,) = rows_of("gemini", {**OLD_TRADE, "side": "block"})
    assert "side" not in row


def test_a_trade_comes_alone_later():
    assert [row["kind"] for row in rows_of("gemini", OLD_TRADE)] == ["trades"]


def test_trades_of_one_order_have_ids_of_their_own():
    """An order that takes several levels is one event: as ids their event would make one trade of them."""
    fills = [{**OLD_TRADE, "tid": ident} for ident in (11, 12)]
    rows = reading_of("gemini", {**FIRST, "trades": fills}).rows
    assert [(row.values[2], row.space) for row in rows if row.kind == "trades"] == [("11", ""), ("12", "")]


def test_the_number_of_an_event_is_no_id_of_a_trade():
    (row,) = reading_of("gemini", OLD_TRADE).rows
    assert (row.values[2], row.space) == ("7", "event")


def test_the_first_api_begins_with_the_whole_book():
    assert levels_of("gemini", BEGIN) == [("bid", "10", "4", True)]
    assert marks_of("gemini", BEGIN) == [Mark("", "", 0, 0, starts=True)]


def test_the_first_api_names_the_makers_side():
    trade, change = rows_of("gemini", UPDATE)
    assert (trade["side"], trade["id"], trade["ts"]) == ("sell", "6", "2019-01-17T21:24:49.001Z")
    assert (change["amount"], change["is_snapshot"]) == ("3", False)
    assert marks_of("gemini", UPDATE) == [Mark("", "", 3, 3)]


def test_bars_are_not_known_to_be_over():
    assert reading_of("gemini", CANDLES).rows == []


@pytest.mark.parametrize("control", [{"type": "heartbeat", "timestamp": 1547742998508}, {"result": "error", "reason": "InvalidJson"}])  # fmt: skip
def test_heartbeats_are_control_messages(control):
    assert channel_of(control) == "control"
