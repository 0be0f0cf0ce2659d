"""Kraken Futures' messages."""

from __future__ import annotations

import pytest

from tests.sources.wire_reading import HEARD, channel_of, levels_of, marks_of, reading_of, rows_of
from ticklake.sources.wire.proof import Prover
from ticklake.sources.wire.reading import Mark

TRADE = {"feed": "trade", "product_id": "PI_XBTUSD", "uid": "u1", "side": "sell", "type": "fill", "seq": 653, "time": 1612266317519, "qty": 440, "price": 34893}  # fmt: skip
FORCED = {**TRADE, "type": "liquidation", "uid": "u2"}
OLD_TRADES = {
    "feed": "trade_snapshot",
    "product_id": "PI_XBTUSD",
    "trades": [TRADE, {**TRADE, "uid": "u0", "seq": 652}],
}
BOOK = {"feed": "book_snapshot", "product_id": "PF_XBTUSD", "timestamp": 1612269825817, "seq": 326, "tickSize": None, "bids": [{"price": 34892.5, "qty": 6385}], "asks": [{"price": 34911.5, "qty": 20598}]}  # fmt: skip
CHANGE = {
    "feed": "book",
    "product_id": "PF_XBTUSD",
    "side": "sell",
    "seq": 327,
    "price": 34911.5,
    "qty": 0,
    "timestamp": 1612269953629,
}
TICKER = {"feed": "ticker", "product_id": "PI_XBTUSD", "time": 1612270825253, "bid": 34832.5, "ask": 34847.5, "bid_size": 42864, "ask_size": 2300, "openInterest": 107706940, "markPrice": 34844.25, "funding_rate": 3.8e-09, "relative_funding_rate": 0.00013, "next_funding_rate_time": 1612281600000}  # fmt: skip
SMALL = {"feed": "ticker_lite", "product_id": "PI_XBTUSD", "bid": 34832.5, "ask": 34847.5}
MESSAGES = (TRADE, FORCED, OLD_TRADES, BOOK, CHANGE, TICKER, SMALL)


def test_a_trade():
    (row,) = rows_of("krakenfutures", TRADE)
    assert row == {
        "kind": "trades",
        "native": "PI_XBTUSD",
        "ts": "2021-02-02T11:45:17.519Z",
        "id": "u1",
        "price": 34893,
        "amount": 440,
        "side": "sell",
    }


def test_a_liquidation_is_a_trade_too():
    assert [row["kind"] for row in rows_of("krakenfutures", FORCED)] == ["trades", "liquidations"]


def test_the_trades_of_a_market_are_numbered():
    prover = Prover("krakenfutures")
    later = [{**TRADE, "seq": number, "uid": f"u{number}"} for number in (654, 656)]
    for message in (OLD_TRADES, *later):
        prover.check(reading_of("krakenfutures", message))
    assert marks_of("krakenfutures", OLD_TRADES) == [Mark("trades", "PI_XBTUSD", 652, 653, starts=True)]
    assert prover.counts["PI_XBTUSD"] == {"chain followed": 1, "chain broken": 1}
    prover.check(reading_of("krakenfutures", OLD_TRADES))
    prover.check(reading_of("krakenfutures", later[0]))
    assert prover.counts["PI_XBTUSD"] == {"chain followed": 2, "chain broken": 1}


def test_trades_before_the_subscription_are_read():
    assert [row["id"] for row in rows_of("krakenfutures", OLD_TRADES)] == ["u1", "u0"]


def test_a_book_begins_whole_and_is_changed_by_number():
    assert levels_of("krakenfutures", BOOK) == [("bid", 34892.5, 6385, True), ("ask", 34911.5, 20598, True)]
    assert levels_of("krakenfutures", CHANGE) == [("ask", 34911.5, 0, False)]
    assert marks_of("krakenfutures", BOOK) == [Mark("book", "PF_XBTUSD", 326, 326, starts=True)]
    assert marks_of("krakenfutures", CHANGE) == [Mark("book", "PF_XBTUSD", 327, 327)]


def test_a_ticker_has_three_kinds():
    quote, interest, funding = rows_of("krakenfutures", TICKER)
    assert (quote["bid_price"], quote["bid_amount"], quote["ask_price"], quote["ask_amount"]) == (
        34832.5,
        42864,
        34847.5,
        2300,
    )
    assert interest["open_interest"] == 107706940
    assert (funding["predicted_rate"], funding["next_ts"]) == (0.00013, "2021-02-02T16:00:00Z")


def test_the_small_ticker_is_a_quote():
    assert [row["kind"] for row in rows_of("krakenfutures", SMALL)] == ["quotes"]


@pytest.mark.parametrize(
    "control",
    [
        {"event": "info", "version": 1},
        {"event": "subscribed", "feed": "book", "product_ids": ["PI_XBTUSD"]},
        {"event": "alert", "message": "Bad websocket message"},
        {"feed": "heartbeat", "time": 1534262350627},
    ],
)
def test_answers_to_subscriptions_are_control_messages(control):
    assert channel_of(control) == "control"


@pytest.mark.parametrize("message", [BOOK, CHANGE])
def test_a_book_without_a_time_has_that_of_receipt(message):
    old = {name: value for name, value in message.items() if name != "timestamp"}
    assert {row.values[0] for row in reading_of("krakenfutures", old).rows} == {HEARD}
