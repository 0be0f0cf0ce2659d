"""Bithumb's messages, of its two APIs."""

from __future__ import annotations

import pytest

from tests.sources.wire_reading import channel_of, levels_of, rows_of

TRADES = {"type": "transaction", "content": {"list": [{"buySellGb": "1", "contPrice": "10579000", "contQty": "0.01", "contAmt": "105790.00", "contDtm": "2020-01-29 12:24:18.830039", "updn": "dn", "symbol": "BTC_KRW"}]}}  # fmt: skip
CHANGES = {"type": "orderbookdepth", "content": {"list": [{"symbol": "BTC_KRW", "orderType": "ask", "price": "10593000", "quantity": "1.1", "total": "3"}, {"symbol": "ETH_KRW", "orderType": "bid", "price": "207000", "quantity": "0", "total": "0"}], "datetime": "1580268255864325"}}  # fmt: skip
WHOLE = {"type": "orderbooksnapshot", "content": {"symbol": "BTC_KRW", "datetime": "1698306036000", "asks": [["46300000", "0.5"]], "bids": [["46200000", "2"]]}}  # fmt: skip
NEW_TRADE = {"type": "trade", "code": "KRW-BTC", "trade_price": 489700, "trade_volume": 0.2, "ask_bid": "ASK", "trade_timestamp": 1725927377456, "sequential_id": 17259273774560000, "stream_type": "REALTIME"}  # fmt: skip
NEW_BOOK = {"type": "orderbook", "code": "KRW-BTC", "timestamp": 1725927377820, "orderbook_units": [{"ask_price": 478800, "bid_price": 478300, "ask_size": 4.3, "bid_size": 5.7}], "level": 1}  # fmt: skip
MESSAGES = (TRADES, CHANGES, WHOLE, NEW_TRADE, NEW_BOOK)


def test_times_of_trades_are_those_of_seoul():
    (row,) = rows_of("bithumb", TRADES)
    assert row == {
        "kind": "trades",
        "native": "BTC_KRW",
        "ts": "2020-01-29T03:24:18.830039Z",
        "price": "10579000",
        "amount": "0.01",
        "side": "sell",
    }


def test_a_message_has_changes_of_several_markets():
    ask, bid = rows_of("bithumb", CHANGES)
    assert (ask["native"], ask["side"], ask["amount"], ask["count"], ask["is_snapshot"]) == (
        "BTC_KRW",
        "ask",
        "1.1",
        3,
        False,
    )
    assert (bid["native"], bid["side"], bid["amount"], bid["ts"]) == (
        "ETH_KRW",
        "bid",
        "0",
        "2020-01-29T03:24:15.864325Z",
    )


def test_a_whole_book_counts_milliseconds():
    assert levels_of("bithumb", WHOLE) == [("bid", "46200000", "2", True), ("ask", "46300000", "0.5", True)]
    assert {row["ts"] for row in rows_of("bithumb", WHOLE)} == {"2023-10-26T07:40:36Z"}


def test_the_second_api_has_the_form_of_upbit():
    (row,) = rows_of("bithumb", NEW_TRADE)
    assert (row["native"], row["price"], row["side"], row["id"]) == ("BTC-KRW", 489700, "sell", "17259273774560000")


def test_levels_of_the_second_api():
    assert levels_of("bithumb", NEW_BOOK) == [("bid", 478300, 5.7, True), ("ask", 478800, 4.3, True)]


@pytest.mark.parametrize("control", [{"status": "0000", "resmsg": "Connected Successfully"}, {"status": "UP"}])
def test_greetings_are_control_messages(control):
    assert channel_of(control) == "control"
