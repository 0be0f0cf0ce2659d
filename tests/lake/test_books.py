"""The order book at an instant."""

from __future__ import annotations

import random
from typing import Any

import polars as pl
import pytest

from ticklake import Book
from ticklake.app import memory_lake
from ticklake.config import Settings
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance, depth_note
from ticklake.core.span import Span
from ticklake.core.time import DAY, MS, SECOND, parse_time
from ticklake.errors import TicklakeWarning
from ticklake.lake import Lake

START = parse_time("2024-05-01")
BOOK = Dataset.parse("binance:book:BTC/USDT")


@pytest.fixture
def lake():
    with memory_lake(clock=lambda: START + DAY) as lake:
        yield lake


def row(
    ts: int, seq: int, side: str, price: float, amount: float, *, whole: bool = False, **more: Any
) -> dict[str, Any]:
    return {
        "ts": START + ts,
        "seq": seq,
        "side": side,
        "price": price,
        "amount": amount,
        "is_snapshot": whole,
        **more,
    }


def whole(ts: int, seq: int, bid: float = 99.0, ask: float = 101.0, **more: Any) -> list[dict[str, Any]]:
    return [
        row(ts, seq, "bid", bid, 1.0, whole=True, **more),
        row(ts, seq, "bid", bid - 1, 2.0, whole=True, **more),
        row(ts, seq, "ask", ask, 3.0, whole=True, **more),
    ]


def book_at(lake: Lake, ts: int | None = None, **options: Any) -> Book:
    return lake.book("binance", "BTC/USDT", None if ts is None else START + ts, **options)


def sides(book: Book) -> tuple[list[float], list[float]]:
    return book.bids["price"].to_list(), book.asks["price"].to_list()


def test_an_instant_has_every_message_up_to_it_whole(lake):
    message = [row(5, 11, "bid", 99.0, 0.0), row(5, 11, "bid", 98.5, 4.0), row(5, 11, "ask", 100.0, 1.0)]
    lake.save(BOOK, [*whole(0, 10), *message])
    assert sides(book_at(lake, 4)) == ([99.0, 98.0], [101.0])
    assert sides(book_at(lake, 5)) == ([98.5, 98.0], [100.0, 101.0])
    assert (book_at(lake, 5).ts, book_at(lake, 5).seq, book_at(lake, 6).at) == (START + 5, 11, START + 6)


def test_a_book_says_its_prices_and_shares(lake):
    lake.save(BOOK, whole(0, 10))
    book = book_at(lake)
    assert (book.spread, book.mid, book.microprice) == (2.0, 100.0, (99.0 * 3 + 101.0 * 1) / 4)
    assert (book.imbalance(), book.imbalance(1)) == (0.0, -0.5)
    assert book_at(lake, columns="ts", depth=1).imbalance() == 0.0
    assert book_at(lake, depth=1).height == 2


def test_a_side_without_levels_has_neither_spread_nor_mid(lake):
    lake.save(BOOK, [*whole(0, 10), row(1, 11, "ask", 101.0, 0.0)])
    book = book_at(lake)
    assert (book.spread, book.mid, book.microprice, book.imbalance()) == (None, None, None, 1.0)


def test_a_book_without_any_level_says_so(lake):
    lake.save(BOOK, [row(0, 1, "bid", 99.0, 1.0, whole=True), row(1, 2, "bid", 99.0, 0.0)])
    assert book_at(lake).reason == "binance:book:BTC/USDT has no levels: all of them were removed"


def test_a_crossed_book_is_marked_and_stays_as_it_is(lake):
    lake.save(BOOK, [*whole(0, 10), row(1, 11, "bid", 102.0, 1.0)])
    assert book_at(lake, 0).flags == ()
    assert book_at(lake, 1).flags == ("crossed",)
    assert sides(book_at(lake, 1)) == ([102.0, 99.0, 98.0], [101.0])


def test_what_was_received_later_is_not_known_yet(lake):
    received = START + 50 * MS
    late = row(10 * MS, 11, "bid", 99.5, 1.0, received_at=received)
    lake.save(BOOK, [*whole(0, 10, received_at=START), late, row(20 * MS, 12, "bid", 99.7, 1.0, received_at=START)])
    assert sides(book_at(lake, 10 * MS))[0] == [99.0, 98.0]
    assert sides(book_at(lake, 20 * MS))[0] == [99.7, 99.0, 98.0]
    assert sides(book_at(lake, 50 * MS))[0] == [99.7, 99.5, 99.0, 98.0]
    assert sides(book_at(lake, 10 * MS, knowledge="event"))[0] == [99.5, 99.0, 98.0]


def test_rows_without_a_time_of_receipt_are_never_received(lake):
    lake.save(BOOK, [*whole(0, 10), row(1, 11, "bid", 99.5, 1.0)])
    assert "no snapshot among them was known then" in book_at(lake, knowledge="received").reason
    assert sides(book_at(lake))[0] == [99.5, 99.0, 98.0]


def test_a_snapshot_that_retention_removed_is_named_as_the_reason(lake):
    lake.save(BOOK, [*whole(-3 * DAY, 10), row(0, 11, "bid", 99.5, 1.0)])
    assert sides(book_at(lake))[0] == [99.5, 99.0, 98.0]
    lake.cleanup(1)
    assert book_at(lake).reason == (
        "binance:book:BTC/USDT has 1 changes, and no snapshot that they change; "
        "rows before 2024-05-01T00:00:00Z were removed (removed on purpose: 1 days are kept)"
    )
    lake.save(BOOK, whole(5, 12))
    assert book_at(lake).reason == ""


def test_a_snapshot_that_was_deleted_leaves_changes_alone(lake):
    lake.save(BOOK, [*whole(0, 10), row(20 * SECOND, 11, "bid", 99.5, 1.0)])
    lake.delete(BOOK, START, START + SECOND)
    assert book_at(lake).reason == "binance:book:BTC/USDT has 1 changes, and no snapshot that they change"


def test_rows_that_were_not_received_live_are_known_after_the_lag_of_books():
    settings = Settings(knowledge={"lag": {"book": "2s"}})
    with memory_lake(settings, clock=lambda: START + DAY) as lake:
        lake.save(BOOK, whole(0, 10))
        assert book_at(lake, SECOND).is_empty()
        assert book_at(lake, 2 * SECOND).bids.height == 2


def test_a_hole_since_the_snapshot_is_flagged_with_its_reason_until_the_next_one(lake):
    origin = Provenance("live", "binance socket")
    rows = [*whole(0, 10), row(1 * SECOND, 11, "bid", 99.5, 1.0), *whole(5 * SECOND, 20)]
    hole = Covered(Span(START + SECOND, START + 5 * SECOND), Found.LOST, "the book's numbers jump: numbers 12 to 19")
    seen = [Covered(Span(START, START + SECOND)), hole, Covered(Span(START + 5 * SECOND, START + 9 * SECOND))]
    lake.engine.append(BOOK, rows, origin, seen)
    assert (book_at(lake, 0).proof, book_at(lake, 0).flags) == ("proven", ())
    broken = book_at(lake, 3 * SECOND)
    assert (broken.proof, broken.flags) == ("unproven", ("gap", "unproven"))
    assert [(stretch.span.start - START, stretch.reason) for stretch in broken.stretches] == [(SECOND, hole.reason)]
    assert (book_at(lake, 5 * SECOND).proof, book_at(lake, 5 * SECOND).flags) == ("proven", ())


def test_rows_that_nobody_checked_have_no_proof(lake):
    lake.save(BOOK, whole(0, 10))
    assert book_at(lake).proof == "not offered"


def test_a_book_long_after_its_last_change_is_stale_unless_it_was_watched(lake):
    lake.save(BOOK, whole(0, 10))
    assert book_at(lake, 30 * SECOND).flags == ()
    assert book_at(lake, 90 * SECOND).flags == ("stale",)
    lake.engine.append(BOOK, [], Provenance("user"), [Covered(Span(START, START + 80 * SECOND))])
    assert book_at(lake, 90 * SECOND).flags == ()


def test_a_version_of_the_lake_has_its_own_book(lake):
    lake.save(BOOK, whole(0, 10))
    version = book_at(lake).version
    lake.save(BOOK, [row(1, 11, "bid", 99.5, 1.0)])
    assert book_at(lake).version == version + 1
    old = lake.at(version).book("binance", "BTC/USDT")
    assert (sides(old)[0], old.version) == ([99.0, 98.0], version)


def test_duplicates_and_the_order_of_saving_change_no_book(lake):
    rows = whole(0, 10)
    for number in range(1, 200):
        rows.append(row(number // 3 * SECOND, 10 + number, "bid", 90.0 + number % 9, float(number % 4)))
    lake.save(BOOK, rows)
    shuffled = [*rows, *rows[50:90]]
    random.Random(1).shuffle(shuffled)
    with memory_lake(clock=lambda: START + DAY) as other:
        for place in range(0, len(shuffled), 40):
            other.save(BOOK, shuffled[place : place + 40])
        for second in (0, 7, 30, 66):
            assert book_at(other, second * SECOND).equals(book_at(lake, second * SECOND))


def test_a_book_is_found_however_far_back_its_snapshot_lies(lake):
    lake.save(BOOK, whole(-400 * DAY, 10))
    lake.save(BOOK, [row(0, 11, "bid", 99.5, 1.0)])
    assert sides(book_at(lake, 1))[0] == [99.5, 99.0, 98.0]
    assert book_at(lake, -401 * DAY).reason.startswith("binance:book:BTC/USDT has no rows at or before 2023")


def test_a_price_that_is_no_number_is_refused(lake):
    lake.save(BOOK, whole(0, 10))
    with pytest.warns(TicklakeWarning, match="2 of 2 rows were refused"):
        lake.save(BOOK, [row(1, 11, "bid", float("nan"), 1.0), row(1, 11, "bid", 98.0, float("inf"))])
    assert sides(book_at(lake)) == ([99.0, 98.0], [101.0])


def test_a_book_of_few_levels_keeps_the_depth_of_its_subscription(lake):
    """Kraken says nothing of levels that fall out: five levels may be all there are, or the first of a thousand."""
    book = Dataset.parse("kraken:book:BTC/USD")
    rows = [row(0, START, "bid", 99.0, 1.0, whole=True), row(0, START, "ask", 101.0, 1.0, whole=True)]
    rows += [row(number, START + number, "bid", 50.0 + number, 1.0) for number in range(1, 31)]
    lake.save(book, rows)
    assert lake.book("kraken", "BTC/USD").bids.height == 10
    lake.drop(book)
    for depth, levels in ((25, 25), (100, 31)):
        lake.engine.append(book, rows, Provenance("live", "kraken socket", note=depth_note(depth)))
        assert lake.book("kraken", "BTC/USD").bids.height == levels
        series = lake.books("kraken", "BTC/USD", START + 40, START + 41, depth=None).collect()
        after = lake.books("kraken", "BTC/USD", every=None, depth=None).collect()
        assert series.filter(pl.col("side").cast(pl.String) == "bid").height == levels
        assert after.filter(seq=START + 30).filter(pl.col("side").cast(pl.String) == "bid").height == levels
        lake.drop(book)
