"""Gate's messages, of its spot market and its futures."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sources.wire_reading import HEARD, channel_of, levels_of, marks_of, reading_of, rows_of
from ticklake.sources.wire.reading import Mark


def message(channel: str, result: Any, event: str = "update") -> dict:
    return {"time": 1606294781, "time_ms": 1606294781236, "channel": channel, "event": event, "result": result}


CHANGE = message("spot.order_book_update", {"t": 1606294781123, "e": "depthUpdate", "E": 1606294781, "s": "BTC_USDT", "U": 48776301, "u": 48776306, "b": [["19137.74", "0.0001"]], "a": [["19137.75", "0"]]})  # fmt: skip
FULL = message(
    "spot.obu",
    {"t": 1606294781123, "full": True, "s": "ob.BTC_USDT.400", "u": 48776306, "b": [["19137.74", "1"]], "a": []},
)
WHOLE = message("spot.order_book", {"t": 1606295412123, "lastUpdateId": 48791820, "s": "BTC_USDT", "bids": [["19079.55", "0.0195"]], "asks": [["19080.24", "0.1638"]]})  # fmt: skip
TRADE = message("spot.trades", {"id": 309143071, "create_time": 1606292218, "create_time_ms": "1606292218213.4578", "side": "sell", "currency_pair": "BTC_USDT", "amount": "16.47", "price": "0.4705"})  # fmt: skip
QUOTE = message(
    "spot.book_ticker",
    {"t": 1606293275123, "u": 48733182, "s": "BTC_USDT", "b": "19177.79", "B": "0.03", "a": "19179.38", "A": "0.09"},
)
TICKER = message("spot.tickers", {"currency_pair": "BTC_USDT", "last": "9", "lowest_ask": "11", "highest_bid": "10"})
OPEN_BAR = message("spot.candlesticks", {"t": "1606292580", "v": "2362.32", "c": "2", "h": "3", "l": "0.5", "o": "1", "n": "1m_BTC_USDT", "a": "3.8", "w": False})  # fmt: skip
BAR = message("spot.candlesticks", {**OPEN_BAR["result"], "w": True})
OLD_BAR = message("spot.candlesticks", {name: value for name, value in BAR["result"].items() if name != "w"})
FUTURES_TRADES = message("futures.trades", [{"size": -108, "id": 27753479, "create_time": 1545136464, "create_time_ms": 1545136464123, "price": "96.4", "contract": "BTC_USD"}])  # fmt: skip
FUTURES_CHANGE = message("futures.order_book_update", {"t": 1615366381417, "s": "BTC_USDT", "U": 2517661101, "u": 2517661113, "b": [{"p": "54672.1", "s": 0}], "a": [{"p": "54743.6", "s": 95}]})  # fmt: skip
FUTURES_WHOLE = message("futures.order_book", {"t": 1541500161123, "contract": "BTC_USDT", "id": 93973511, "asks": [{"p": "97.1", "s": 2245}], "bids": []}, "all")  # fmt: skip
FUTURES_QUOTE = message("futures.book_ticker", {"t": 1615366379123, "u": 2517661076, "s": "BTC_USDT", "b": "54696.6", "B": 37000, "a": "54696.7", "A": 47061})  # fmt: skip
FUTURES_TICKER = message("futures.tickers", [{"contract": "BTC_USDT", "last": "9", "funding_rate": "-0.000114", "mark_price": "118.35", "total_size": "73648"}])  # fmt: skip
FORCED = message(
    "futures.public_liquidates", [{"price": 215.1, "size": -124, "time": 1541486601123, "contract": "BTC_USDT"}]
)
FUTURES_BAR = message("futures.candlesticks", [{"t": 1545129300, "v": 27525555, "c": "2", "h": "3", "l": "0.5", "o": "1", "n": "1m_BTC_USDT", "a": "9", "w": True}])  # fmt: skip
OLD_WHOLE = {"method": "depth.update", "params": [True, {"asks": [["8000.1", "9.6"]], "bids": [["7999", "2"]], "id": 9}, "ETH_BTC"], "id": None}  # fmt: skip
OLD_CHANGE = {"method": "depth.update", "params": [False, {"asks": [["8000.1", "0"]]}, "ETH_BTC"], "id": None}
OLD_TRADES = {"method": "trades.update", "params": ["ETH_BTC", [{"id": 7172173, "time": "1523339279.761838", "price": "398.59", "amount": "0.027", "type": "buy"}]], "id": None}  # fmt: skip
OLD_DAY = {"method": "ticker.update", "params": ["ETH_BTC", {"period": 86400, "open": "0", "last": "0.2844"}], "id": None}  # fmt: skip
OLD = (OLD_WHOLE, OLD_CHANGE, OLD_TRADES, OLD_DAY)
MESSAGES = (
    *OLD,
    *(CHANGE, FULL, WHOLE, TRADE, QUOTE, TICKER, OPEN_BAR, BAR, OLD_BAR, FUTURES_TRADES, FUTURES_CHANGE),
    *(FUTURES_WHOLE, FUTURES_QUOTE, FUTURES_TICKER, FORCED, FUTURES_BAR),
)


def test_changes_are_numbered_from_one_to_the_other():
    assert levels_of("gate", CHANGE) == [("bid", "19137.74", "0.0001", False), ("ask", "19137.75", "0", False)]
    assert marks_of("gate", CHANGE) == [Mark("book", "BTC_USDT", 48776301, 48776306)]


@pytest.mark.parametrize(("message", "number"), [(FULL, 48776306), (WHOLE, 48791820)])
def test_whole_books(message, number):
    assert {level[-1] for level in levels_of("gate", message)} == {True}
    assert marks_of("gate", message) == [Mark("book", "BTC_USDT", number, number, starts=True)]


def test_a_book_of_the_third_api_has_neither_time_nor_number():
    assert levels_of("gate", OLD_WHOLE) == [("bid", "7999", "2", True), ("ask", "8000.1", "9.6", True)]
    assert levels_of("gate", OLD_CHANGE) == [("ask", "8000.1", "0", False)]
    assert marks_of("gate", OLD_WHOLE) == [Mark("book", "ETH_BTC", starts=True)]
    assert marks_of("gate", OLD_CHANGE) == [Mark("book", "ETH_BTC")]
    assert {(row.values[0], row.space) for row in reading_of("gate", OLD_CHANGE).rows} == {(HEARD, "time")}


def test_a_trade_of_the_third_api_has_its_time_in_seconds():
    (row,) = rows_of("gate", OLD_TRADES)
    assert (row["native"], row["ts"], row["id"]) == ("ETH_BTC", "2018-04-10T05:47:59.761838Z", "7172173")
    assert (row["price"], row["amount"], row["side"]) == ("398.59", "0.027", "buy")


def test_a_day_of_the_third_api_has_no_rows():
    assert reading_of("gate", OLD_DAY).rows == []


def test_calls_of_the_third_api_are_named_by_their_method():
    assert [channel_of(message) for message in OLD] == ["depth", "depth", "trades", "ticker"]


def test_a_trade_keeps_parts_of_a_millisecond():
    (row,) = rows_of("gate", TRADE)
    assert (row["ts"], row["id"], row["side"]) == ("2020-11-25T08:16:58.2134578Z", "309143071", "sell")


def test_quotes():
    (row,) = rows_of("gate", QUOTE)
    assert (row["bid_price"], row["bid_amount"], row["ask_price"], row["ask_amount"]) == (
        "19177.79",
        "0.03",
        "19179.38",
        "0.09",
    )
    (row,) = rows_of("gate", TICKER)
    assert (row["ts"], row["bid_price"], row["ask_price"]) == ("2020-11-25T08:59:41.236Z", "10", "11")


def test_a_bar_that_is_over_says_so():
    (row,) = rows_of("gate", BAR)
    assert (row["native"], row["timeframe"], row["ts"]) == ("BTC_USDT", "1m", "2020-11-25T08:23:00Z")
    assert (row["open"], row["high"], row["low"], row["close"]) == ("1", "3", "0.5", "2")
    assert (row["volume"], row["quote_volume"]) == ("3.8", "2362.32")
    (row,) = rows_of("gate", FUTURES_BAR)
    assert (row["market"], row["volume"]) == ("linear", 27525555)


@pytest.mark.parametrize("message", [OPEN_BAR, OLD_BAR])
def test_a_bar_that_does_not_say_that_it_is_over_is_not_taken(message):
    assert reading_of("gate", message).rows == []


def test_the_sign_of_a_contracts_amount_is_the_takers_side():
    (row,) = rows_of("gate", FUTURES_TRADES)
    assert (row["market"], row["amount"], row["side"], row["ts"]) == (
        "inverse",
        "108",
        "sell",
        "2018-12-18T12:34:24.123Z",
    )
    (row,) = rows_of("gate", FORCED)
    assert (row["kind"], row["amount"], row["side"]) == ("liquidations", "124", "sell")


def test_books_of_contracts():
    assert levels_of("gate", FUTURES_CHANGE) == [("bid", "54672.1", 0, False), ("ask", "54743.6", 95, False)]
    assert marks_of("gate", FUTURES_CHANGE) == [Mark("book", "BTC_USDT", 2517661101, 2517661113)]
    assert levels_of("gate", FUTURES_WHOLE) == [("ask", "97.1", 2245, True)]
    assert {row["market"] for row in rows_of("gate", FUTURES_CHANGE)} == {"linear"}


def test_a_contracts_ticker_has_open_interest_and_funding():
    interest, funding = rows_of("gate", FUTURES_TICKER)
    assert (interest["open_interest"], funding["predicted_rate"], funding["mark_price"]) == (
        "73648",
        "-0.000114",
        "118.35",
    )


def test_answers_to_subscriptions_are_control_messages():
    assert channel_of(message("spot.trades", {"status": "success"}, "subscribe")) == "control"
    assert channel_of({"time": 1, "channel": "spot.pong", "event": "", "result": None}) == "control"


def test_tickers_may_be_in_a_list_in_a_list():
    nested = {**FUTURES_TICKER, "result": [FUTURES_TICKER["result"]]}
    assert rows_of("gate", nested) == rows_of("gate", FUTURES_TICKER)


def test_a_whole_book_of_contracts_may_have_neither_time_nor_number():
    result = {name: value for name, value in FUTURES_WHOLE["result"].items() if name not in {"id", "t"}}
    old = {"time": 1577836800, "channel": "futures.order_book", "event": "all", "error": None, "result": result}
    (row,) = rows_of("gate", old)
    assert (row["ts"], row["market"], row["is_snapshot"]) == ("2020-01-01T00:00:00Z", "linear", True)
    assert marks_of("gate", old) == [Mark("book", "BTC_USDT", starts=True)]
