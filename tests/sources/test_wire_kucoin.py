"""KuCoin's messages, of its spot market and its futures."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sources.wire_reading import channel_of, levels_of, marks_of, reading_of, rows_of
from ticklake.sources.wire.reading import Mark


def message(topic: str, subject: str, data: dict[str, Any]) -> dict:
    return {"type": "message", "topic": topic, "subject": subject, "data": data}


CHANGES = message("/market/level2:BTC-USDT", "trade.l2update", {"changes": {"asks": [["18906", "0.3", "14103845"], ["0", "0", "14103846"]], "bids": [["18891.9", "0", "14103847"]]}, "sequenceStart": 14103844, "sequenceEnd": 14103847, "symbol": "BTC-USDT", "time": 1663747970273})  # fmt: skip
DEPTH = message(
    "/spotMarket/level2Depth5:BTC-USDT",
    "level2",
    {"asks": [["9989", "8"]], "bids": [["9988", "56"]], "timestamp": 1586948108193},
)
TOP = message(
    "/spotMarket/level1:BTC-USDT",
    "level1",
    {"asks": ["51908", "0.2"], "bids": ["51907.9", "0.5"], "timestamp": 1704873323416},
)
TRADE = message("/market/match:BTC-USDT", "trade.l3match", {"sequence": "1545896669145", "symbol": "BTC-USDT", "side": "buy", "size": "0.01", "price": "0.08", "tradeId": "5c24c5da03aa", "time": "1545913818099033203"})  # fmt: skip
ALL = message("/market/ticker:all", "ETH-BTC", {"bestAsk": "11", "bestAskSize": "3", "bestBid": "10", "bestBidSize": "4", "sequence": "9", "time": 1663747970273})  # fmt: skip
CANDLES = message("/market/candles:BTC-USDT_1hour", "trade.candles.add", {"symbol": "BTC-USDT", "candles": ["1589968800", "9", "9", "9", "9", "0", "0"], "time": 1})  # fmt: skip
FUTURES_TRADE = message("/contractMarket/execution:XBTUSDTM", "match", {"symbol": "XBTUSDTM", "sequence": 36, "side": "buy", "matchSize": 1, "size": 1, "price": "3200.0", "ts": 1553846281766256031, "tradeId": "5c9dcf4170744d6f5a3d32fb"})  # fmt: skip
FUTURES_CHANGE = message(
    "/contractMarket/level2:XBTUSDTM",
    "level2",
    {"sequence": 18, "change": "5000.0,sell,83", "timestamp": 1551770400000},
)
FUTURES_QUOTE = message("/contractMarket/tickerV2:XBTUSDTM", "tickerV2", {"symbol": "XBTUSDTM", "sequence": 3, "bestBidSize": 795, "bestBidPrice": "3200.0", "bestAskPrice": "3600.0", "bestAskSize": 284, "ts": 1553846081210004941})  # fmt: skip
FUTURES_DEPTH = message(
    "/contractMarket/level2Depth50:XBTUSDTM",
    "level2",
    {"sequence": 7, "asks": [["9993", 3]], "bids": [], "ts": 1553846081210},
)
FUNDING = message(
    "/contract/instrument:XBTUSDTM",
    "funding.rate",
    {"granularity": 60000, "fundingRate": -0.002966, "timestamp": 1551770400000},
)
MESSAGES = (
    CHANGES,
    DEPTH,
    TOP,
    TRADE,
    ALL,
    CANDLES,
    FUTURES_TRADE,
    FUTURES_CHANGE,
    FUTURES_QUOTE,
    FUTURES_DEPTH,
    FUNDING,
)


def test_a_change_keeps_its_own_number():
    assert [(row["side"], row["price"], row["amount"], row["seq"]) for row in rows_of("kucoin", CHANGES)] == [
        ("ask", "18906", "0.3", 14103845),
        ("bid", "18891.9", "0", 14103847),
    ]
    assert marks_of("kucoin", CHANGES) == [Mark("book", "BTC-USDT", 14103844, 14103847)]


@pytest.mark.parametrize("message", [DEPTH, FUTURES_DEPTH])
def test_the_best_levels_are_a_whole_book(message):
    assert {level[-1] for level in levels_of("kucoin", message)} == {True}


def test_best_quotes():
    (row,) = rows_of("kucoin", TOP)
    assert (row["bid_price"], row["bid_amount"], row["ask_price"], row["ask_amount"]) == (
        "51907.9",
        "0.5",
        "51908",
        "0.2",
    )


def test_the_ticker_of_all_markets_names_them_in_the_subject():
    assert [row["native"] for row in rows_of("kucoin", ALL)] == ["ETH-BTC"]


def test_a_trade():
    (row,) = rows_of("kucoin", TRADE)
    assert (row["ts"], row["id"], row["amount"]) == ("2018-12-27T12:30:18.099033203Z", "5c24c5da03aa", "0.01")


def test_bars_are_not_known_to_be_over():
    assert reading_of("kucoin", CANDLES).rows == []


def test_futures():
    (trade,) = rows_of("kucoinfutures", FUTURES_TRADE)
    assert (trade["native"], trade["ts"], trade["amount"]) == ("XBTUSDTM", "2019-03-29T07:58:01.766256031Z", 1)
    assert levels_of("kucoinfutures", FUTURES_CHANGE) == [("ask", "5000.0", "83", False)]
    assert marks_of("kucoinfutures", FUTURES_CHANGE) == [Mark("book", "XBTUSDTM", 18, 18)]
    (quote,) = rows_of("kucoinfutures", FUTURES_QUOTE)
    assert (quote["bid_price"], quote["ask_amount"], quote["seq"]) == ("3200.0", 284, 3)
    (funding,) = rows_of("kucoinfutures", FUNDING)
    assert (funding["kind"], funding["predicted_rate"]) == ("predicted_funding", -0.002966)


@pytest.mark.parametrize(("message", "channel"), [(CHANGES, "level2"), (DEPTH, "level2Depth5"), (CANDLES, "candles"), (FUTURES_CHANGE, "level2"), ({"id": "1", "type": "ack"}, "control")])  # fmt: skip
def test_channels(message, channel):
    assert channel_of(message) == channel
