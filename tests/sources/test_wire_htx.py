"""HTX's messages, of its spot market and its contracts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sources.wire_reading import channel_of, levels_of, marks_of, reading_of, rows_of
from ticklake.sources.wire.messages import read_message
from ticklake.sources.wire.reading import Mark


def message(channel: str, tick: dict[str, Any]) -> dict:
    return {"ch": channel, "ts": 1630994963175, "tick": tick}


TRADE = message("market.btcusdt.trade.detail", {"id": 1, "ts": 1630994963173, "data": [{"id": 137005445109359286410323766, "ts": 1630994963173, "tradeId": 102523573486, "amount": 0.006754, "price": 52648.62, "direction": "buy"}]})  # fmt: skip
DEPTH = message(
    "market.htxusdt.depth.step0",
    {"bids": [[9.1e-07, 10]], "asks": [[9.2e-07, 20]], "version": 31615842081, "ts": 1630994963100},
)
SUMMED = {**DEPTH, "ch": "market.htxusdt.depth.step3"}
CHANGE = message(
    "market.btcusdt.mbp.150",
    {"seqNum": 100020142010, "prevSeqNum": 100020142007, "asks": [[645.14, 26.75]], "bids": []},
)
REQUESTED = {"id": "1", "rep": "market.btcusdt.mbp.150", "status": "ok", "ts": 1630994963000, "data": {"seqNum": 100020142005, "bids": [[618.37, 71.5]], "asks": []}}  # fmt: skip
REFRESHED = message("market.btcusdt.mbp.refresh.20", {"seqNum": 100020142010, "bids": [[618.37, 71.5]], "asks": []})
BEST = message("market.btcusdt.bbo", {"seqId": 161499562790, "ask": 52665.02, "askSize": 1.5, "bid": 52665, "bidSize": 4, "quoteTime": 1630994555540, "symbol": "btcusdt"})  # fmt: skip
TICKER = message(
    "market.btcusdt.ticker",
    {"open": 1, "bid": 52732.88, "bidSize": 0.03, "ask": 52732.89, "askSize": 0.5, "lastPrice": 1},
)
BAR = message(
    "market.ethbtc.kline.1min",
    {"id": 1489464480, "amount": 0, "count": 0, "open": 7, "close": 7, "low": 7, "high": 7, "vol": 0},
)
CONTRACT_TRADE = message("market.BTC-USDT.trade.detail", {"id": 7, "ts": 1603708208346, "data": [{"amount": 2, "ts": 1603708208335, "id": 1316022650000, "price": 13073.3, "direction": "sell"}]})  # fmt: skip
CONTRACT_CHANGE = message("market.BTC-USD.depth.size_20.high_freq", {"mrid": 1, "id": 1, "bids": [[13084, 0]], "asks": [], "ts": 1603707934525, "version": 13, "event": "update"})  # fmt: skip
FORCED = {"op": "notify", "topic": "public.BTC-USDT.liquidation_orders", "ts": 1639122193214, "data": [{"contract_code": "BTC-USDT", "symbol": "BTC", "direction": "buy", "offset": "close", "volume": 26, "price": 48011.5, "created_at": 1639122193172}]}  # fmt: skip
FUNDING = {"op": "notify", "topic": "public.BTC-USDT.funding_rate", "ts": 1603778748166, "data": [{"symbol": "BTC", "contract_code": "BTC-USDT", "funding_time": "1603778700000", "funding_rate": "-0.000220", "settlement_time": "1603785600000"}]}  # fmt: skip
MESSAGES = (
    *(TRADE, DEPTH, CHANGE, REQUESTED, REFRESHED, BEST, TICKER, BAR, CONTRACT_TRADE, CONTRACT_CHANGE, FORCED, FUNDING),
)


def test_a_trade():
    (row,) = rows_of("htx", TRADE)
    assert (row["native"], row["id"], row["price"], row["side"]) == ("BTCUSDT", "102523573486", 52648.62, "buy")
    assert "market" not in row


def test_a_book_is_whole_each_time():
    assert levels_of("htx", DEPTH) == [("bid", 9.1e-07, 10, True), ("ask", 9.2e-07, 20, True)]
    assert marks_of("htx", DEPTH) == [Mark("book", "HTXUSDT", 31615842081, 31615842081, starts=True)]


def test_levels_that_are_summed_up_are_not_read():
    assert read_message(SUMMED, None, exchange="htx") is None


def test_changes_name_the_number_before():
    assert levels_of("htx", CHANGE) == [("ask", 645.14, 26.75, False)]
    assert marks_of("htx", CHANGE) == [Mark("book", "BTCUSDT", 100020142010, 100020142010, 100020142007)]


@pytest.mark.parametrize("message", [REQUESTED, REFRESHED])
def test_the_book_that_changes_begin_at_is_requested_or_refreshed(message):
    assert levels_of("htx", message) == [("bid", 618.37, 71.5, True)]
    assert [mark.starts for mark in marks_of("htx", message)] == [True]


def test_best_quotes():
    (row,) = rows_of("htx", BEST)
    assert (row["seq"], row["bid_amount"], row["ask_price"], row["ts"]) == (
        161499562790,
        4,
        52665.02,
        "2021-09-07T06:02:35.54Z",
    )
    (row,) = rows_of("htx", TICKER)
    assert (row["bid_price"], row["ask_price"], row["ts"]) == (52732.88, 52732.89, "2021-09-07T06:09:23.175Z")


def test_bars_are_not_known_to_be_over():
    assert reading_of("htx", BAR).rows == []


def test_names_of_contracts_say_in_what_they_are_settled():
    (row,) = rows_of("htx", CONTRACT_TRADE)
    assert (row["native"], row["market"], row["amount"], row["id"]) == ("BTC-USDT", "linear", 2, "1316022650000")
    (row,) = rows_of("htx", CONTRACT_CHANGE)
    assert (row["native"], row["market"], row["is_snapshot"]) == ("BTC-USD", "inverse", False)


def test_notices_of_contracts():
    (row,) = rows_of("htx", FORCED)
    assert (row["kind"], row["side"], row["amount"], row["price"]) == ("liquidations", "buy", 26, 48011.5)
    (row,) = rows_of("htx", FUNDING)
    assert (row["kind"], row["predicted_rate"], row["next_ts"]) == (
        "predicted_funding",
        "-0.000220",
        "2020-10-27T08:00:00Z",
    )


@pytest.mark.parametrize(
    ("message", "channel"),
    [
        ({"ping": 1492420473027}, "control"),
        ({"id": "1", "status": "ok", "subbed": "market.btcusdt.bbo", "ts": 1}, "control"),
        ({"status": "error", "ts": 1, "err-code": "bad-request", "err-msg": "invalid topic"}, "control"),
        ({"op": "sub", "cid": "1", "topic": "public.BTC-USDT.funding_rate", "ts": 1, "err-code": 0}, "control"),
        (REQUESTED, "mbp"),
        (FUNDING, "funding_rate"),
    ],
)
def test_channels(message, channel):
    assert channel_of(message) == channel
