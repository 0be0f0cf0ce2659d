"""Bitget's messages, of its three APIs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sources.wire_reading import channel_of, levels_of, marks_of, reading_of, rows_of
from ticklake.sources.wire.reading import Mark


def message(channel: str, data: list[Any], part: str = "mc", native: str = "BTCUSDT", action: str = "snapshot") -> dict:
    return {"action": action, "arg": {"instType": part, "channel": channel, "instId": native}, "data": data}


BOOK = message(
    "books", [{"asks": [["27001", "8.7"]], "bids": [["27000.5", "2.7"]], "checksum": -19, "ts": "1695716059516"}]
)
CHANGE = message("books", [{"asks": [["27001", "0"]], "bids": [], "checksum": 7, "seq": "12", "ts": "1695716059600"}], "SPOT", action="update")  # fmt: skip
BEST = message("books5", [{"asks": [["27001", "8.7"]], "bids": [], "ts": "1695716059516"}], "sp")
TRADES = message("trade", [["1632470889087", "10411.21", "0.0042", "sell"]], "sp")
NEW_TRADES = message("trade", [{"ts": "1695709835822", "price": "26293.4", "size": "0.0013", "side": "buy", "tradeId": "77"}], "USDT-FUTURES")  # fmt: skip
TICKER = message("ticker", [{"instId": "BTCUSD", "last": "9", "bestAsk": "11", "bestBid": "10", "askSz": "3", "bidSz": "4", "capitalRate": "0.0001", "nextSettleTime": 1632499200000, "systemTime": 1632470889087, "marketPrice": "10.5", "holding": "700"}], native="BTCUSD")  # fmt: skip
NEW_TICKER = message("ticker", [{"instId": "BTCUSDT", "lastPr": "9", "bidPr": "10", "askPr": "11", "bidSz": "4", "askSz": "3", "ts": "1695702438018", "fundingRate": "", "holdingAmount": ""}], "SPOT")  # fmt: skip
CANDLE = message("candle1m", [["1695685500000", "1", "3", "0", "2", "5", "9", "9"]], "SPOT")
UNIFIED_BOOK = {"action": "update", "arg": {"instType": "usdt-futures", "topic": "books", "symbol": "BTCUSDT"}, "data": [{"a": [["11", "1"]], "b": [], "pseq": 8, "seq": 9, "ts": "1695716059600"}], "ts": 1}  # fmt: skip
UNIFIED_TRADES = {"action": "snapshot", "arg": {"instType": "spot", "topic": "publicTrade", "symbol": "BTCUSDT"}, "data": [{"i": "5", "p": "9", "v": "2", "S": "buy", "T": "1736371753156"}], "ts": 1}  # fmt: skip
MESSAGES = (BOOK, CHANGE, BEST, TRADES, NEW_TRADES, TICKER, NEW_TICKER, CANDLE, UNIFIED_BOOK, UNIFIED_TRADES)


def test_trades_of_the_first_api_are_lists():
    (row,) = rows_of("bitget", TRADES)
    assert row == {
        "kind": "trades",
        "native": "BTCUSDT",
        "market": "spot",
        "ts": "2021-09-24T08:08:09.087Z",
        "price": "10411.21",
        "amount": "0.0042",
        "side": "sell",
    }


def test_trades_of_the_second_api_have_ids():
    (row,) = rows_of("bitget", NEW_TRADES)
    assert (row["market"], row["id"], row["price"], row["amount"], row["side"]) == (
        "linear",
        "77",
        "26293.4",
        "0.0013",
        "buy",
    )


def test_trades_of_the_third_api_have_short_keys():
    (row,) = rows_of("bitget", UNIFIED_TRADES)
    assert (row["market"], row["id"], row["price"], row["amount"], row["side"]) == ("spot", "5", "9", "2", "buy")


def test_a_whole_book_has_a_checksum():
    assert levels_of("bitget", BOOK) == [("bid", "27000.5", "2.7", True), ("ask", "27001", "8.7", True)]
    assert marks_of("bitget", BOOK) == [Mark("book", "BTCUSDT", starts=True, checksum=-19)]


def test_numbers_without_the_one_before_prove_nothing():
    assert levels_of("bitget", CHANGE) == [("ask", "27001", "0", False)]
    assert marks_of("bitget", CHANGE) == [Mark("book", "BTCUSDT", checksum=7)]


def test_changes_of_the_third_api_name_the_number_before():
    assert marks_of("bitget", UNIFIED_BOOK) == [Mark("book", "BTCUSDT", 9, 9, 8)]


def test_the_best_levels_are_a_whole_book():
    assert levels_of("bitget", BEST) == [("ask", "27001", "8.7", True)]


def test_a_ticker_of_a_contract_has_open_interest_and_funding():
    quote, interest, funding = rows_of("bitget", TICKER)
    assert (quote["bid_price"], quote["bid_amount"], quote["ask_price"], quote["ask_amount"]) == ("10", "4", "11", "3")
    assert interest["open_interest"] == "700"
    assert (funding["predicted_rate"], funding["next_ts"]) == ("0.0001", "2021-09-24T16:00:00Z")
    assert {row["market"] for row in (quote, interest, funding)} == {"inverse"}


def test_a_ticker_of_the_spot_market_is_a_quote_alone():
    assert [row["kind"] for row in rows_of("bitget", NEW_TICKER)] == ["quotes"]


def test_bars_are_not_known_to_be_over():
    assert reading_of("bitget", CANDLE).rows == []


@pytest.mark.parametrize(
    "control",
    [
        {"event": "subscribe", "arg": {"instType": "sp", "channel": "books", "instId": "BTCUSDT"}},
        {"event": "error", "code": 30001, "msg": "no such channel", "op": "subscribe"},
        "pong",
    ],
)
def test_answers_to_subscriptions_are_control_messages(control):
    assert channel_of(control) == "control"


def test_liquidations_of_a_part_name_their_markets():
    entry = {"symbol": "XRPUSDT", "side": "buy", "price": "2.5", "amount": "40", "ts": "1767225600123"}
    message = {
        "action": "update",
        "arg": {"instType": "usdt-futures", "topic": "liquidation"},
        "data": [entry],
        "ts": 1,
    }
    (row,) = rows_of("bitget", message)
    assert (row["kind"], row["native"], row["market"]) == ("liquidations", "XRPUSDT", "linear")
    assert (row["price"], row["amount"], row["side"], row["ts"]) == (
        "2.5",
        "40",
        "buy",
        "2026-01-01T00:00:00.123Z",
    )
