"""dYdX' messages: of its exchange (v3) and of the indexer of its chain (v4)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sources.wire_reading import HEARD, channel_of, levels_of, marks_of, reading_of, rows_of
from ticklake.sources.wire.messages import read_message
from ticklake.sources.wire.reading import Mark


def message(channel: str, contents: Any, sort: str = "channel_data") -> dict:
    return {
        "type": sort,
        "connection_id": "c",
        "message_id": 21,
        "id": "ETH-USD",
        "channel": channel,
        "contents": contents,
    }


WHOLE = message("v3_orderbook", {"bids": [{"price": "4216", "offset": "90", "size": "6.2"}, {"price": "1", "offset": "95", "size": "0"}], "asks": [{"price": "4217", "offset": "93", "size": "1"}]}, "subscribed")  # fmt: skip
CHANGE = message("v3_orderbook", {"offset": "96", "bids": [], "asks": [["4217", "0"]]})
TRADES = message(
    "v3_trades",
    {
        "trades": [
            {
                "size": "0.1",
                "side": "BUY",
                "price": "4215.6",
                "createdAt": "2021-10-28T18:03:51.833Z",
                "liquidation": True,
            }
        ]
    },
)
MARKETS = message("v3_markets", {"markets": {"BTC-USD": {"openInterest": "2091", "nextFundingRate": "0.00002", "nextFundingAt": "2021-10-28T19:00:00.000Z"}}}, "subscribed")  # fmt: skip
NEW_WHOLE = message("v4_orderbook", {"bids": [{"price": "4216", "size": "6.2"}], "asks": []}, "subscribed")
NEW_CHANGES = message("v4_orderbook", [{"bids": [["4216", "0"]]}, {"asks": [["4217", "2"]]}], "channel_batch_data")
NEW_TRADES = message("v4_trades", [{"trades": [{"id": "02", "size": "0.1", "side": "SELL", "price": "4215.6", "createdAt": "2024-10-28T18:03:51.833Z", "type": "LIMIT"}]}], "channel_batch_data")  # fmt: skip
CANDLES = message("v4_candles", {"startedAt": "2024-10-28T18:03:00.000Z", "ticker": "ETH-USD", "resolution": "1MIN"})
NUMBER = Mark("", "", 21, 21, overtakes=True)
MESSAGES = (WHOLE, CHANGE, TRADES, MARKETS, NEW_WHOLE, NEW_CHANGES, NEW_TRADES, CANDLES)


def test_a_whole_book_has_the_number_of_its_last_change_and_no_empty_level():
    assert levels_of("dydx", WHOLE) == [("bid", "4216", "6.2", True), ("ask", "4217", "1", True)]
    assert {row["seq"] for row in rows_of("dydx", WHOLE)} == {95}
    assert marks_of("dydx", WHOLE) == [Mark("book", "ETH-USD", starts=True), NUMBER]


def test_a_change_has_an_offset_and_the_time_of_receipt():
    assert levels_of("dydx", CHANGE) == [("ask", "4217", "0", False)]
    (row,) = reading_of("dydx", CHANGE).rows
    assert row.values[:3] == (HEARD, HEARD, 96)


def test_a_trade_that_is_a_liquidation_is_both():
    trade, forced = rows_of("dydx", TRADES)
    assert (trade["kind"], forced["kind"]) == ("trades", "liquidations")
    assert (trade["ts"], trade["side"], trade["price"]) == ("2021-10-28T18:03:51.833Z", "buy", "4215.6")


def test_markets_have_open_interest_and_funding():
    interest, funding = rows_of("dydx", MARKETS)
    assert (interest["native"], interest["open_interest"]) == ("BTC-USD", "2091")
    assert (funding["predicted_rate"], funding["next_ts"]) == ("0.00002", "2021-10-28T19:00:00Z")


def test_the_indexer_sends_several_changes_at_once():
    assert levels_of("dydx", NEW_WHOLE) == [("bid", "4216", "6.2", True)]
    assert levels_of("dydx", NEW_CHANGES) == [("bid", "4216", "0", False), ("ask", "4217", "2", False)]
    assert marks_of("dydx", NEW_CHANGES) == [Mark("book", "ETH-USD"), Mark("book", "ETH-USD"), NUMBER]


@pytest.mark.parametrize("message", [TRADES, MARKETS, CANDLES, {"type": "unsubscribed", "connection_id": "c", "message_id": 21, "channel": "v4_trades", "id": "ETH-USD"}])  # fmt: skip
def test_every_message_of_a_connection_is_numbered(message):
    reading = read_message(message, HEARD, exchange="dydx")
    assert reading is not None
    assert reading.marks == [NUMBER]


def test_the_numbers_begin_with_the_connection():
    reading = read_message({"type": "connected", "connection_id": "c", "message_id": 0}, HEARD, exchange="dydx")
    assert reading is not None
    assert reading.marks == [Mark("", "", 0, 0, starts=True, overtakes=True)]


def test_trades_of_the_indexer_have_ids():
    (row,) = rows_of("dydx", NEW_TRADES)
    assert (row["id"], row["side"]) == ("02", "sell")


@pytest.mark.parametrize(
    ("message", "channel"),
    [
        ({"type": "connected", "connection_id": "c", "message_id": 0}, "control"),
        (
            {"type": "unsubscribed", "connection_id": "c", "message_id": 9, "channel": "v4_trades", "id": "ETH-USD"},
            "control",
        ),
        ({"type": "error", "message": "Invalid subscription", "connection_id": "c", "message_id": 2}, "control"),
        (WHOLE, "v3_orderbook"),
        (NEW_CHANGES, "v4_orderbook"),
    ],
)
def test_channels(message, channel):
    assert channel_of(message) == channel
