"""Chains of numbers and checksums of books: what they prove, and what they find missing."""

from __future__ import annotations

from zlib import crc32

import pytest

from ticklake.sources.wire.proof import Finding, Prover
from ticklake.sources.wire.reading import Mark, Reading
from ticklake.sources.wire.rows import Row


def rows(*levels: tuple[str, str, str], native: str = "M", whole: bool = False) -> list[Row]:
    return [Row("book", native, (1, 1, 1, side, price, amount, None, whole)) for side, price, amount in levels]


def reading(first: int | None, last: int | None, *levels: tuple[str, str, str], **mark: object) -> Reading:
    native = str(mark.get("native", "M"))
    marks = [Mark(**{"kind": "book", "native": native, "first": first, "last": last, **mark})]  # type: ignore[arg-type]
    return Reading(rows(*levels, native=native), marks)


def book(number: int, *levels: tuple[str, str, str], **mark: object) -> Reading:
    return reading(number, number, *levels, starts=True, **mark)


def found(findings: list[Finding]) -> list[str]:
    return [finding.found for finding in findings]


class TestChains:
    def test_numbers_that_follow_one_another_prove_that_nothing_is_missing(self):
        prover = Prover("bybit")
        assert prover.check(book(5)) == []
        assert found(prover.check(reading(6, 6))) == ["chain followed"]
        assert found(prover.check(reading(7, 9))) == ["chain followed"]
        assert prover.counts["M"] == {"chain followed": 2}

    @pytest.mark.parametrize("next_number", [7, 5, 4])
    def test_a_number_that_is_missing_or_repeated_breaks_the_chain(self, next_number):
        prover = Prover("bybit")
        prover.check(book(5))
        assert prover.check(reading(next_number, next_number)) == [Finding("chain broken", "book", "M", 5, next_number)]

    def test_the_same_message_twice_is_no_break(self):
        prover = Prover("bybit")
        for check in (book(5), reading(6, 8), reading(6, 8), reading(9, 9)):
            findings = prover.check(check)
        assert found(findings) == ["chain followed"]
        assert prover.counts["M"] == {"chain followed": 2}
        assert prover.ladder("M") is not None

    def test_the_same_message_of_a_connection_twice_is_no_break(self):
        prover = Prover("coinbase")
        for number in (5, 6, 6, 7):
            prover.check(Reading(marks=[Mark("", "", number, number)]))
        assert prover.counts[""] == {"chain followed": 2}

    def test_after_a_break_only_a_new_book_goes_on(self):
        prover = Prover("bybit")
        prover.check(book(5, ("bid", "10", "1")))
        prover.check(reading(7, 7))
        assert prover.ladder("M") is None
        assert found(prover.check(reading(8, 8))) == ["not proven"]
        assert prover.check(book(20, ("bid", "11", "1"))) == []
        assert found(prover.check(reading(21, 21, ("bid", "12", "1")))) == ["chain followed"]
        ladder = prover.ladder("M")
        assert ladder is not None
        assert ladder.top("bid", 5) == [("12", "1"), ("11", "1")]

    def test_the_number_of_the_message_before_decides_where_it_is_sent(self):
        prover = Prover("okx")
        prover.check(book(100))
        assert found(prover.check(reading(140, 140, previous=100))) == ["chain followed"]
        # OKX repeats the number when nothing changed, and begins anew with lower ones after maintenance.
        assert found(prover.check(reading(140, 140, previous=140))) == ["chain followed"]
        assert found(prover.check(reading(3, 3, previous=140))) == ["chain followed"]
        assert prover.check(reading(9, 9, previous=7)) == [Finding("chain broken", "book", "M", 3, 9)]

    def test_markets_channels_and_connections_are_numbered_each_for_itself(self):
        prover = Prover("bybit")
        for mark in ({"native": "A"}, {"native": "B"}, {"channel": "orderbook.1"}):
            prover.check(book(5, **mark))
        prover.check(book(5), "spot")
        for mark in ({"native": "A"}, {"native": "B"}, {"channel": "orderbook.1"}):
            assert found(prover.check(reading(6, 6, **mark))) == ["chain followed"]
        assert found(prover.check(reading(6, 6), "spot")) == ["chain followed"]

    def test_a_chain_without_a_book_is_followed_too(self):
        prover = Prover("deribit")
        assert prover.check(reading(1, 3, kind="trades")) == []
        assert found(prover.check(reading(4, 4, kind="trades"))) == ["chain followed"]
        assert found(prover.check(reading(6, 6, kind="trades"))) == ["chain broken"]


class TestFetchedBooks:
    """Binance: changes come over the stream, the whole book from a call, at any time."""

    def test_changes_before_the_book_are_dropped_or_bridge_it(self):
        prover = Prover("binance")
        prover.check(reading(90, 99, ("bid", "9", "5")), "w")
        assert found(prover.check(reading(100, 104, ("bid", "10", "1"), ("bid", "9", "0")), "w")) == ["chain followed"]
        assert found(prover.check(book(101, ("bid", "9", "7"), ("ask", "12", "1"), fetched=True))) == ["chain followed"]
        assert found(prover.check(reading(105, 106, ("ask", "11", "1")), "w")) == ["chain followed"]
        ladder = prover.ladder("M", connection="w")
        assert ladder is not None
        assert (ladder.top("bid", 9), ladder.top("ask", 9)) == ([("10", "1")], [("11", "1"), ("12", "1")])

    def test_a_book_that_comes_first_waits_for_the_change_that_bridges_it(self):
        prover = Prover("binance")
        prover.check(book(101, fetched=True))
        assert prover.check(reading(90, 101), "w") == []
        assert found(prover.check(reading(102, 104), "w")) == ["chain followed"]

    def test_a_change_that_begins_after_the_book_does_not_bridge_it(self):
        prover = Prover("binance")
        prover.check(book(101, fetched=True))
        assert prover.check(reading(103, 104), "w") == [Finding("chain broken", "book", "M", 101, 103)]

    def test_the_first_change_of_futures_names_another_number_before_it(self):
        prover = Prover("binance")
        prover.check(book(101, fetched=True))
        assert found(prover.check(reading(95, 104, previous=94), "w")) == ["chain followed"]
        assert found(prover.check(reading(107, 109, previous=104), "w")) == ["chain followed"]
        assert found(prover.check(reading(110, 112, previous=108), "w")) == ["chain broken"]

    def test_a_book_without_a_name_is_that_of_the_only_market(self):
        prover = Prover("binance")
        prover.check(reading(90, 99))
        assert prover.check(book(99, ("bid", "9", "7"), native="", fetched=True)) == []
        assert prover.ladder("M") is not None

    def test_a_book_without_a_name_may_come_first(self):
        prover = Prover("binance")
        prover.check(book(99, ("bid", "9", "7"), native="", fetched=True))
        assert found(prover.check(reading(98, 100), "w")) == ["chain followed"]
        assert prover.ladder("M") is not None

    def test_an_older_book_does_not_replace_a_newer_one(self):
        prover = Prover("binance")
        prover.check(book(101, ("bid", "9", "7"), fetched=True))
        prover.check(reading(102, 104))
        prover.check(book(103, fetched=True))
        assert found(prover.check(reading(105, 105))) == ["chain followed"]


class TestConnections:
    def test_all_messages_of_a_connection_are_counted(self):
        prover = Prover("coinbase")
        numbers = [Reading(marks=[Mark("", "", number, number, starts=number == 0)]) for number in (0, 1, 3)]
        results = [prover.check(message, "w") for message in numbers]
        assert results == [[], [Finding("chain followed", "", "")], [Finding("chain broken", "", "", 1, 3)]]
        assert prover.check(numbers[0], "another") == []

    def test_a_break_makes_all_books_of_the_connection_unproven(self):
        prover = Prover("coinbase")
        prover.check(Reading(marks=[Mark("book", "M", starts=True), Mark("", "", 0, 0, starts=True)]), "w")
        assert prover.ladder("M", connection="w") is not None
        prover.check(Reading(marks=[Mark("", "", 2, 2)]), "w")
        assert prover.ladder("M", connection="w") is None
        assert found(prover.check(Reading(marks=[Mark("book", "M")]), "w")) == ["not proven"]


class TestBooks:
    def test_a_checksum_is_compared_with_that_of_the_book(self):
        prover = Prover("okx")
        checksum = crc32(b"10:1:11:2")
        levels = (("bid", "10", "1"), ("ask", "11", "2"))
        assert found(prover.check(book(1, *levels, checksum=checksum - 2**32))) == ["checksum passed"]
        (failed,) = prover.check(book(2, ("bid", "10", "2"), checksum=checksum))
        assert (failed.found, failed.got) == ("checksum failed", checksum)
        assert prover.ladder("M") is None

    def test_a_checksum_before_the_book_proves_nothing(self):
        prover = Prover("okx")
        assert prover.check(reading(None, None, checksum=5)) == []

    def test_levels_beyond_the_depth_are_dropped(self):
        prover = Prover("kraken")
        prover.check(book(1, ("bid", "10", "1"), ("bid", "9", "1"), depth=2))
        prover.check(reading(None, None, ("bid", "11", "1"), depth=2))
        prover.check(reading(None, None, ("bid", "11", "0"), depth=2))
        ladder = prover.ladder("M")
        assert ladder is not None
        assert ladder.top("bid", 9) == [("10", "1")]

    def test_a_bid_that_meets_an_ask_is_found(self):
        prover = Prover("bitmex")
        prover.check(book(1, ("bid", "10", "1"), ("ask", "11", "1")))
        assert prover.check(reading(None, None, ("bid", "11", "1"))) == [Finding("crossed book", "book", "M")]

    def test_rows_of_a_message_go_to_the_book_of_their_market(self):
        prover = Prover("coinbase")
        both = [*rows(("bid", "10", "1"), native="A"), *rows(("ask", "5", "1"), native="B")]
        prover.check(Reading(both, [Mark("book", "A", starts=True), Mark("book", "B", starts=True)]))
        ladder = prover.ladder("A")
        assert ladder is not None
        assert (ladder.top("bid", 9), ladder.top("ask", 9)) == ([("10", "1")], [])


class TestMessagesThatOvertakeOthers:
    """The answers to subscriptions of dYdX come out of turn: what was overtaken comes soon after, or is missing."""

    def prove(self, *numbers: int) -> Prover:
        prover = Prover("dydx")
        prover.check(Reading(marks=[Mark("book", "M", starts=True)]))
        for number in numbers:
            prover.check(Reading(marks=[Mark("", "", number, number, overtakes=True)]))
        return prover

    def test_a_message_that_comes_late_is_not_missing(self):
        prover = self.prove(0, 3, 1, 2, 4)
        assert prover.finish() == []
        assert prover.counts[""] == {"chain followed": 4}

    def test_a_message_that_never_comes_is_missing(self):
        prover = self.prove(0, 1, 4, *range(5, 203))
        assert prover.total("chain broken") == 0
        assert found(prover.check(Reading(marks=[Mark("", "", 203, 203, overtakes=True)]))) == [
            "chain followed",
            "chain broken",
        ]
        assert prover.ladder("M") is None
        assert prover.finish() == []

    def test_at_the_end_nothing_can_come_any_more(self):
        prover = self.prove(0, 1, 4, 6)
        assert prover.finish() == [Finding("chain broken", "", "", 1, 4), Finding("chain broken", "", "", 4, 6)]
        assert prover.finish() == []

    def test_a_jump_that_is_too_long_is_a_break(self):
        assert self.prove(0, 1, 500, 501).counts[""] == {"chain followed": 2, "chain broken": 1}

    def test_a_message_twice_is_not_missing(self):
        assert self.prove(0, 1, 1, 2).counts[""] == {"chain followed": 2}
