"""HitBTC's messages, of its second and third API."""

from __future__ import annotations

import pytest

from tests.sources.wire_reading import channel_of, levels_of, marks_of, reading_of, rows_of
from ticklake.sources.wire.reading import Mark

TRADES = {
    "ch": "trades",
    "update": {"BTCUSDT": [{"t": 1626861123552, "i": 77, "p": "30877.68", "q": "0.006", "s": "sell"}]},
}
WHOLE = {"ch": "orderbook/full", "snapshot": {"ETHBTC": {"t": 1626866578796, "s": 27617207, "a": [["0.0606", "3"]], "b": [["0.06", "1"]]}}}  # fmt: skip
CHANGE = {
    "ch": "orderbook/full",
    "update": {"ETHBTC": {"t": 1626866578902, "s": 27617208, "a": [["0.0606", "0"]], "b": []}},
}
BEST = {
    "ch": "orderbook/D5/100ms",
    "data": {"ETHBTC": {"t": 1626866578902, "s": 27617209, "a": [["0.0606", "2"]], "b": []}},
}
TICKER = {
    "ch": "ticker/1s",
    "data": {"ETHBTC": {"t": 1614815872000, "a": "0.0601", "A": "1.4", "b": "0.06", "B": "2.5", "o": "1", "c": "1"}},
}
TOP = {
    "ch": "orderbook/top/100ms",
    "data": {"ETHBTC": {"t": 1614815872030, "a": "0.0601", "A": "1.4", "b": "0.06", "B": "2.5"}},
}
CANDLES = {
    "ch": "candles/M1",
    "update": {"BTCUSDT": [{"t": 1626860880000, "o": "1", "c": "2", "h": "3", "l": "0", "v": "5", "q": "9"}]},
}
OLD_TRADES = {"jsonrpc": "2.0", "method": "updateTrades", "params": {"data": [{"id": 42, "price": "0.0546", "quantity": "0.18", "side": "buy", "timestamp": "2017-10-19T16:34:25.041Z"}], "symbol": "ETHBTC"}}  # fmt: skip
OLD_BOOK = {"jsonrpc": "2.0", "method": "snapshotOrderbook", "params": {"ask": [{"price": "0.0546", "size": "0.2"}], "bid": [{"price": "0.0545", "size": "1"}], "symbol": "ETHBTC", "sequence": 8073827, "timestamp": "2018-11-19T05:00:28.193Z"}}  # fmt: skip
OLD_CHANGE = {"jsonrpc": "2.0", "method": "updateOrderbook", "params": {"ask": [], "bid": [{"price": "0.0545", "size": "0.00"}], "symbol": "ETHBTC", "sequence": 8073830, "timestamp": "2018-11-19T05:00:28.700Z"}}  # fmt: skip
OLD_TICKER = {"jsonrpc": "2.0", "method": "ticker", "params": {"ask": "0.0546", "bid": "0.0545", "last": "0.0545", "timestamp": "2017-10-19T15:45:44.941Z", "symbol": "ETHBTC"}}  # fmt: skip
OLD_CANDLES = {"jsonrpc": "2.0", "method": "updateCandles", "params": {"data": [{"timestamp": "2017-10-19T16:30:00.000Z", "open": "1"}], "symbol": "ETHBTC", "period": "M30"}}  # fmt: skip
MESSAGES = (
    TRADES,
    WHOLE,
    CHANGE,
    BEST,
    TICKER,
    TOP,
    CANDLES,
    OLD_TRADES,
    OLD_BOOK,
    OLD_CHANGE,
    OLD_TICKER,
    OLD_CANDLES,
)


def test_a_trade():
    (row,) = rows_of("hitbtc", TRADES)
    assert row == {
        "kind": "trades",
        "native": "BTCUSDT",
        "ts": "2021-07-21T09:52:03.552Z",
        "id": "77",
        "price": "30877.68",
        "amount": "0.006",
        "side": "sell",
    }


@pytest.mark.parametrize(
    ("message", "levels", "mark"),
    [
        (WHOLE, [("bid", "0.06", "1", True), ("ask", "0.0606", "3", True)], Mark("book", "ETHBTC", 27617207, 27617207, starts=True)),
        (CHANGE, [("ask", "0.0606", "0", False)], Mark("book", "ETHBTC", 27617208, 27617208)),
        (BEST, [("ask", "0.0606", "2", True)], Mark("book", "ETHBTC", 27617209, 27617209, starts=True)),
        (OLD_BOOK, [("bid", "0.0545", "1", True), ("ask", "0.0546", "0.2", True)], Mark("book", "ETHBTC", 8073827, 8073827, starts=True)),
        (OLD_CHANGE, [("bid", "0.0545", "0.00", False)], Mark("book", "ETHBTC", 8073830, 8073830)),
    ],
)  # fmt: skip
def test_books_are_numbered(message, levels, mark):
    assert levels_of("hitbtc", message) == levels
    assert marks_of("hitbtc", message) == [mark]


@pytest.mark.parametrize("message", [TICKER, TOP])
def test_best_quotes(message):
    (row,) = rows_of("hitbtc", message)
    assert (row["bid_price"], row["bid_amount"], row["ask_price"], row["ask_amount"]) == (
        "0.06",
        "2.5",
        "0.0601",
        "1.4",
    )


def test_the_second_api():
    (trade,) = rows_of("hitbtc", OLD_TRADES)
    assert (trade["id"], trade["side"], trade["ts"]) == ("42", "buy", "2017-10-19T16:34:25.041Z")
    (quote,) = rows_of("hitbtc", OLD_TICKER)
    assert (quote["bid_price"], quote["ask_price"]) == ("0.0545", "0.0546")


@pytest.mark.parametrize("message", [CANDLES, OLD_CANDLES])
def test_bars_are_not_known_to_be_over(message):
    assert reading_of("hitbtc", message).rows == []


@pytest.mark.parametrize(
    ("message", "channel"),
    [
        ({"jsonrpc": "2.0", "result": True, "id": 123}, "control"),
        ({"result": {"ch": "trades", "subscriptions": ["BTCUSDT"]}, "id": 1}, "control"),
        (TRADES, "trades"),
        (WHOLE, "orderbook/full"),
        (OLD_BOOK, "snapshotOrderbook"),
        (OLD_TICKER, "ticker"),
    ],
)
def test_channels(message, channel):
    assert channel_of(message) == channel
