"""Phemex' messages, with scaled whole numbers and with decimal text."""

from __future__ import annotations

import pytest

from tests.sources.wire_reading import channel_of, levels_of, marks_of, reading_of, rows_of
from ticklake.sources.wire.reading import Mark

BOOK = {"book": {"asks": [[87705000, 1000000]], "bids": [[87700000, 2000000]]}, "depth": 30, "sequence": 455, "timestamp": 1583555482434235628, "symbol": "BTCUSD", "type": "snapshot"}  # fmt: skip
CHANGE = {**BOOK, "book": {"asks": [], "bids": [[87700000, 0]]}, "sequence": 459, "type": "incremental"}
SPOT_BOOK = {**BOOK, "book": {"asks": [[892697000000, 1781800]], "bids": []}, "symbol": "sBTCUSDT"}
PLAIN_BOOK = {"orderbook_p": {"asks": [["20702.9", "0.718"]], "bids": []}, "depth": 30, "sequence": 7, "symbol": "BTCUSDT", "timestamp": 1666854171201355264, "type": "incremental"}  # fmt: skip
TRADES = {
    "sequence": 11,
    "symbol": "BTCUSD",
    "trades": [[1573716998128563500, "Buy", 86735000, 56]],
    "type": "incremental",
}
SPOT_TRADES = {**TRADES, "symbol": "sBTCUSDT", "trades": [[1573716998128563500, "Sell", 892697000000, 1781800]]}
PLAIN_TRADES = {
    "sequence": 12,
    "symbol": "BTCUSDT",
    "trades_p": [[1573716998128563500, "Sell", "20700.9", "0.214"]],
    "type": "snapshot",
}
CANDLES = {"kline": [[1590119880, 60, 1, 1, 3, 0, 2, 5, 9]], "sequence": 13, "symbol": "BTCUSD", "type": "incremental"}
DAY = {"market24h": {"close": 87425000, "fundingRate": 10000, "markPrice": 87450000, "openInterest": 120, "symbol": "BTCUSD", "timestamp": 1583646442444219017}}  # fmt: skip
PACKED = {"data": [["BTCUSDT", "40", "0.0001", "20731"]], "fields": ["symbol", "openInterestRv", "fundingRateRr", "markRp"], "method": "perp_market24h_pack_p.update", "timestamp": 1666862556850547000, "type": "snapshot"}  # fmt: skip
MESSAGES = (BOOK, CHANGE, SPOT_BOOK, PLAIN_BOOK, TRADES, SPOT_TRADES, PLAIN_TRADES, CANDLES, DAY, PACKED)


def test_prices_of_contracts_are_scaled_by_four_digits():
    assert levels_of("phemex", BOOK) == [("bid", "8770.0000", 2000000, True), ("ask", "8770.5000", 1000000, True)]


def test_the_spot_market_is_scaled_by_eight_digits():
    assert levels_of("phemex", SPOT_BOOK) == [("ask", "8926.97000000", "0.01781800", True)]
    (row,) = rows_of("phemex", SPOT_TRADES)
    assert (row["price"], row["amount"], row["side"]) == ("8926.97000000", "0.01781800", "sell")


def test_contracts_in_usdt_are_text():
    assert levels_of("phemex", PLAIN_BOOK) == [("ask", "20702.9", "0.718", False)]
    (row,) = rows_of("phemex", PLAIN_TRADES)
    assert (row["price"], row["amount"], row["side"]) == ("20700.9", "0.214", "sell")


def test_a_trade_counts_contracts():
    (row,) = rows_of("phemex", TRADES)
    assert row == {
        "kind": "trades",
        "native": "BTCUSD",
        "ts": "2019-11-14T07:36:38.1285635Z",
        "price": "8673.5000",
        "amount": 56,
        "side": "buy",
    }


def test_a_book_begins_whole_and_is_changed():
    assert marks_of("phemex", BOOK) == [Mark("book", "BTCUSD", starts=True)]
    assert marks_of("phemex", CHANGE) == [Mark("book", "BTCUSD")]
    assert levels_of("phemex", CHANGE) == [("bid", "8770.0000", 0, False)]


def test_the_day_has_open_interest_and_funding():
    interest, funding = rows_of("phemex", DAY)
    assert (interest["native"], interest["open_interest"]) == ("BTCUSD", 120)
    assert (funding["predicted_rate"], funding["mark_price"]) == ("0.00010000", "8745.0000")


def test_the_day_of_contracts_in_usdt_names_its_columns():
    interest, funding = rows_of("phemex", PACKED)
    assert (interest["open_interest"], funding["predicted_rate"], funding["mark_price"]) == ("40", "0.0001", "20731")


def test_bars_are_not_known_to_be_over():
    assert reading_of("phemex", CANDLES).rows == []


@pytest.mark.parametrize(
    ("message", "channel"),
    [
        ({"error": None, "id": 1, "result": {"status": "success"}}, "control"),
        ({"error": {"code": 6001, "message": "invalid argument"}, "id": 1, "result": None}, "control"),
        (BOOK, "book"),
        (TRADES, "trades"),
        (CANDLES, "kline"),
        (PLAIN_BOOK, "orderbook_p"),
        ({"tick": {"last": 1, "scale": 4, "symbol": ".BTC", "timestamp": 1}}, "tick"),
    ],
)
def test_channels_are_named_by_the_data(message, channel):
    assert channel_of(message) == channel
