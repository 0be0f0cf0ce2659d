"""Bitflyer's messages."""

from __future__ import annotations

import pytest

from tests.sources.wire_reading import HEARD, channel_of, levels_of, marks_of, reading_of, rows_of
from ticklake.sources.wire.reading import Mark


def message(channel: str, content: object) -> dict:
    return {"jsonrpc": "2.0", "method": "channelMessage", "params": {"channel": channel, "message": content}}


TRADES = message("lightning_executions_FX_BTC_JPY", [{"id": 39361, "side": "SELL", "price": 35100, "size": 0.01, "exec_date": "2015-07-07T10:44:33.5473921Z", "buy_child_order_acceptance_id": "a", "sell_child_order_acceptance_id": "b"}])  # fmt: skip
AUCTION = message(
    "lightning_executions_BTC_JPY",
    [{"id": 1, "side": "", "price": 35100, "size": 0.01, "exec_date": "2015-07-07T10:44:33Z"}],
)
WHOLE = message(
    "lightning_board_snapshot_BTC_JPY",
    {"mid_price": 35625, "bids": [{"price": 33350, "size": 1}], "asks": [{"price": 35950, "size": 3}]},
)
CHANGE = message(
    "lightning_board_BTC_JPY",
    {"mid_price": 35625, "bids": [], "asks": [{"price": 35950, "size": 0}, {"price": 0, "size": 5}]},
)
TICKER = message("lightning_ticker_BTC_JPY", {"product_code": "BTC_JPY", "state": "RUNNING", "timestamp": "2019-04-11T05:14:12.3739915Z", "tick_id": 25965446, "best_bid": 580006, "best_ask": 580771, "best_bid_size": 2.5, "best_ask_size": 0.4})  # fmt: skip
MESSAGES = (TRADES, AUCTION, WHOLE, CHANGE, TICKER)


def test_a_trade():
    (row,) = rows_of("bitflyer", TRADES)
    assert row == {
        "kind": "trades",
        "native": "FX_BTC_JPY",
        "ts": "2015-07-07T10:44:33.5473921Z",
        "id": "39361",
        "price": 35100,
        "amount": 0.01,
        "side": "sell",
    }


def test_trades_of_an_auction_have_no_side():
    (row,) = rows_of("bitflyer", AUCTION)
    assert "side" not in row


def test_a_book_has_the_time_of_receipt():
    assert levels_of("bitflyer", WHOLE) == [("bid", 33350, 1, True), ("ask", 35950, 3, True)]
    assert {row.values[0] for row in reading_of("bitflyer", WHOLE).rows} == {HEARD}
    assert {row.native for row in reading_of("bitflyer", WHOLE).rows} == {"BTC_JPY"}
    assert marks_of("bitflyer", WHOLE) == [Mark("book", "BTC_JPY", starts=True)]


def test_orders_at_any_price_are_no_level():
    assert levels_of("bitflyer", CHANGE) == [("ask", 35950, 0, False)]


def test_a_ticker_is_the_best_quote():
    (row,) = rows_of("bitflyer", TICKER)
    assert (row["bid_price"], row["bid_amount"], row["ask_price"], row["ask_amount"]) == (580006, 2.5, 580771, 0.4)
    assert (row["ts"], row["seq"]) == ("2019-04-11T05:14:12.3739915Z", 25965446)


@pytest.mark.parametrize(
    ("message", "channel"),
    [
        ({"jsonrpc": "2.0", "id": 1, "result": True}, "control"),
        (TRADES, "lightning_executions"),
        (WHOLE, "lightning_board_snapshot"),
        (CHANGE, "lightning_board"),
        (TICKER, "lightning_ticker"),
    ],
)
def test_channels_are_counted_without_the_market(message, channel):
    assert channel_of(message) == channel
