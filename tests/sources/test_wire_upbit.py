"""Upbit's messages, with short and with long keys."""

from __future__ import annotations

import pytest

from tests.sources.wire_reading import channel_of, levels_of, marks_of, rows_of
from ticklake.sources.wire.messages import read_message
from ticklake.sources.wire.reading import Mark

SHORT_TRADE = {"ty": "trade", "cd": "KRW-BTC", "tms": 1730336862082, "ttms": 1730336862047, "tp": 100473000.0, "tv": 0.002, "ab": "BID", "sid": 17303368620470000, "st": "REALTIME"}  # fmt: skip
TRADE = {"type": "trade", "code": "KRW-BTC", "timestamp": 1730336862082, "trade_timestamp": 1730336862047, "trade_price": 100473000.0, "trade_volume": 0.002, "ask_bid": "BID", "sequential_id": 17303368620470000}  # fmt: skip
SHORT_BOOK = {"ty": "orderbook", "cd": "KRW-BTC", "tms": 1746601573804, "tas": 4.7, "tbs": 2.6, "obu": [{"ap": 137002000, "bp": 137001000, "as": 0.1, "bs": 0.03}, {"ap": 0, "bp": 136999000, "as": 0, "bs": 0.5}], "st": "REALTIME"}  # fmt: skip
BOOK = {"type": "orderbook", "code": "KRW-BTC", "timestamp": 1746601573804, "orderbook_units": [{"ask_price": 137002000, "bid_price": 137001000, "ask_size": 0.1, "bid_size": 0.03}, {"ask_price": 0, "bid_price": 136999000, "ask_size": 0, "bid_size": 0.5}], "level": 0}  # fmt: skip
MESSAGES = (SHORT_TRADE, TRADE, SHORT_BOOK, BOOK, {"type": "candle.1s", "code": "KRW-BTC", "opening_price": 1})


@pytest.mark.parametrize("message", [SHORT_TRADE, TRADE])
def test_a_trade(message):
    (row,) = rows_of("upbit", message)
    assert row == {
        "kind": "trades",
        "native": "BTC-KRW",
        "ts": "2024-10-31T01:07:42.047Z",
        "id": "17303368620470000",
        "price": 100473000.0,
        "amount": 0.002,
        "side": "buy",
    }


@pytest.mark.parametrize("message", [SHORT_BOOK, BOOK])
def test_a_book_is_whole_each_time_and_a_price_of_0_is_no_level(message):
    assert levels_of("upbit", message) == [
        ("bid", 137001000, 0.03, True),
        ("bid", 136999000, 0.5, True),
        ("ask", 137002000, 0.1, True),
    ]
    assert marks_of("upbit", message) == [Mark("book", "BTC-KRW", starts=True)]


def test_levels_that_are_summed_up_are_not_read():
    assert read_message({**BOOK, "level": 10000}, None, exchange="upbit") is None
    assert read_message({**SHORT_BOOK, "lv": 10000}, None, exchange="upbit") is None


@pytest.mark.parametrize("control", [{"status": "UP"}, {"error": {"name": "INVALID_AUTH", "message": "x"}}])
def test_states_are_control_messages(control):
    assert channel_of(control) == "control"


def test_a_time_in_microseconds_is_the_same_time():
    """Upbit sent some markets' books so for some days of 2023."""
    (short,) = {row["ts"] for row in rows_of("upbit", BOOK)}
    assert {row["ts"] for row in rows_of("upbit", {**BOOK, "timestamp": BOOK["timestamp"] * 1000})} == {short}
