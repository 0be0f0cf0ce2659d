"""One order book, and the checksums of it."""

from __future__ import annotations

import pytest

from ticklake.sources.wire.ladder import CHECKSUMS, Ladder


def ladder(bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> Ladder:
    book = Ladder()
    for side, levels in (("bid", bids), ("ask", asks)):
        for price, amount in levels:
            book.set(side, price, amount)
    return book


def test_levels_are_sorted_from_best_to_worst_and_keep_their_text():
    book = ladder([("9.50", "1"), ("10.00", "2"), ("9.90", "0.10")], [("11", "1"), ("10.5", "3.000")])
    assert book.top("bid", 2) == [("10.00", "2"), ("9.90", "0.10")]
    assert book.top("ask", 5) == [("10.5", "3.000"), ("11", "1")]


@pytest.mark.parametrize("nothing", ["0", "0.00000000", 0, 0.0])
def test_an_amount_of_nothing_removes_a_level(nothing):
    book = ladder([("10", "1"), ("9", "1")], [])
    book.set("bid", "10.0", nothing)
    book.set("bid", "8", nothing)
    assert book.top("bid", 5) == [("9", "1")]


def test_levels_beyond_the_depth_are_dropped_on_both_sides():
    book = ladder([("10", "1"), ("9", "1"), ("8", "1")], [("11", "1"), ("12", "1"), ("13", "1")])
    book.keep(2)
    assert [price for price, _ in book.top("bid", 9)] == ["10", "9"]
    assert [price for price, _ in book.top("ask", 9)] == ["11", "12"]


@pytest.mark.parametrize(("bid", "is_crossed"), [("9.9", False), ("10.0", True), ("10.1", True)])
def test_a_book_is_crossed_if_a_bid_meets_an_ask(bid, is_crossed):
    assert ladder([(bid, "1")], [("10", "1")]).is_crossed is is_crossed


def test_the_checksum_of_kraken_is_that_of_its_documentation():
    bids = [("45283.5", "0.10000000"), ("45283.4", "1.54582015"), ("45282.1", "0.10000000"), ("45281.0", "0.10000000"), ("45280.3", "1.54592586"), ("45279.0", "0.07990000"), ("45277.6", "0.03310103"), ("45277.5", "0.30000000"), ("45277.3", "1.54602737"), ("45276.6", "0.15445238")]  # fmt: skip
    asks = [("45285.2", "0.00100000"), ("45286.4", "1.54571953"), ("45286.6", "1.54571109"), ("45289.6", "1.54560911"), ("45290.2", "0.15890660"), ("45291.8", "1.54553491"), ("45294.7", "0.04454749"), ("45296.1", "0.35380000"), ("45297.5", "0.09945542"), ("45299.5", "0.18772827")]  # fmt: skip
    book = ladder(bids, asks)
    assert CHECKSUMS["kraken"](book) == 3310070434
    book.set("ask", "45299.6", "1.00000000")
    assert CHECKSUMS["kraken"](book) == 3310070434


@pytest.mark.parametrize("exchange", ["okx", "bitget"])
def test_the_checksum_is_that_of_the_documentation(exchange):
    """The example of the documentation: a bid and an ask by turns, then the levels that are left."""
    from zlib import crc32

    book = ladder([("3366.1", "7"), ("3366", "6")], [("3366.8", "9"), ("3368", "8"), ("3372", "8")])
    assert CHECKSUMS[exchange](book) == crc32(b"3366.1:7:3366.8:9:3366:6:3368:8:3372:8")


def test_the_checksum_of_bitfinex_has_negative_asks_and_no_exponents():
    from zlib import crc32

    book = ladder([(0.0000097, 2)], [("0.00001", "1.5")])
    assert CHECKSUMS["bitfinex"](book) == crc32(b"0.0000097:2:0.00001:-1.5")
