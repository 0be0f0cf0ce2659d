"""Rows make a book, as a simple model of dictionaries says."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.book_state import Base, BookColumns, Levels, kept_depth

Row = tuple[int, int, str, float, float, bool]
NAMES = ["ts", "seq", "side", "price", "amount", "is_snapshot"]


def frame(rows: list[Row]) -> pl.DataFrame:
    types = {"ts": pl.Int64, "seq": pl.Int64, "side": pl.String, "price": pl.Float64, "amount": pl.Float64}
    return pl.DataFrame(rows, schema={**types, "is_snapshot": pl.Boolean}, orient="row")


def model(rows: list[Row], depth: int | None = None) -> list[list[tuple[float, float]]]:
    """Return both sides, best first, after rows in their order."""
    sides: dict[str, dict[float, float]] = {"bid": {}, "ask": {}}
    number: int | None = None
    is_passed = False
    for key, message in groupby(rows, key=lambda row: row[:2]):
        part = list(message)
        if any(row[5] for row in part):
            first = next(place for place, row in enumerate(part) if row[5])
            part, number, is_passed = part[first:], key[1], False
            sides = {"bid": {}, "ask": {}}
        if number is None:
            continue
        is_passed |= key[1] > number
        if not is_passed and number // 2 < key[1] < number:
            continue
        for _, _, side, price, amount, _ in part:
            sides[side].pop(price, None)
            if amount:
                sides[side][price] = amount
        if depth is not None:
            for side, sign in (("bid", -1), ("ask", 1)):
                for price in sorted(sides[side], key=lambda price, sign=sign: sign * price)[depth:]:
                    del sides[side][price]
    return [sorted(sides["bid"].items(), reverse=True), sorted(sides["ask"].items())]


def levels_of(levels: Levels, depth: int | None = None) -> list[list[tuple[float, float]]]:
    return [list(zip(side.price.tolist(), side.amount.tolist(), strict=True)) for side in levels.sides(depth)]


@st.composite
def rows_of_a_book(draw: st.DrawFn) -> list[Row]:
    keys = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40)), max_size=12, unique=True))
    rows: list[Row] = []
    for ts, seq in sorted(keys):
        is_snapshot = draw(st.sampled_from([True, False, False]))
        for _ in range(draw(st.integers(1, 4))):
            side = draw(st.sampled_from(["bid", "ask"]))
            amount = float(draw(st.integers(0, 3)))
            mark = is_snapshot and draw(st.sampled_from([True, True, False]))
            rows.append((ts, seq, side, float(draw(st.integers(1, 6))), amount, mark))
    return rows


@given(rows_of_a_book(), st.lists(st.integers(0, 60), max_size=4), st.lists(st.integers(0, 60), max_size=3))
def test_a_book_is_that_of_the_model_however_its_rows_are_cut(rows, stops, cuts):
    columns = BookColumns.of(frame(rows))
    ends = [0, *columns.message_ends().tolist()] if rows else [0]
    levels = Levels("x")
    start = 0
    # Pieces split no message, but may be advanced to in any steps.
    for cut in sorted({ends[cut % len(ends)] for cut in cuts} | {len(rows)}):
        levels.take(BookColumns.of(frame(rows[start:cut])))
        for stop in sorted(stop for stop in stops if start <= stop < cut):
            levels.advance(stop - start)
        levels.advance(cut - start)
        assert levels_of(levels) == model(rows[:cut])
        start = cut


@given(rows_of_a_book())
def test_a_book_of_some_depth_drops_what_falls_out_of_it_after_each_message(rows):
    levels = Levels("kraken", Base(0, 0, depth=2))
    levels.take(BookColumns.of(frame([row for row in rows if not row[5]])))
    levels.advance(sum(not row[5] for row in rows))
    begun = [(-1, 0, "bid", 1.0, 0.0, True)]
    assert levels_of(levels) == model(begun + [row for row in rows if not row[5]], depth=2)


@given(rows_of_a_book(), st.data())
def test_rows_that_are_known_before_others_count_without_them(rows, data):
    # Numbers that ascend: no snapshot has changes that come after it.
    rows = [(ts, 10 * ts + seq // 5, *rest) for ts, seq, *rest in rows]
    columns = BookColumns.of(frame(rows))
    late = st.integers(0, 12)
    known = columns.known_at(pl.Series([data.draw(late) for _ in rows], dtype=pl.Int64))
    levels = Levels("x")
    levels.take(columns)
    for at in range(13):
        until = int(np.searchsorted(np.maximum.accumulate(known), at, side="right"))
        levels.advance(until)
        extra = [place for place in range(until, len(rows)) if known[place] <= at]
        sides = levels.sides(None, extra)
        seen = [list(zip(side.price.tolist(), side.amount.tolist(), strict=True)) for side in sides]
        assert seen == model([row for row, time in zip(rows, known, strict=True) if time <= at])


def test_a_level_that_is_not_there_is_removed_without_effect():
    levels = Levels("x")
    levels.take(BookColumns.of(frame([(0, 1, "bid", 5.0, 1.0, True), (1, 2, "ask", 7.0, 0.0, False)])))
    levels.advance(2)
    assert levels_of(levels) == [[(5.0, 1.0)], []]


def test_numbers_that_begin_anew_count_and_those_that_the_snapshot_has_do_not():
    snapshot = (0, 1000, "bid", 5.0, 1.0, True)
    older, newer = (1, 999, "bid", 6.0, 1.0, False), (2, 1001, "bid", 7.0, 1.0, False)
    anew = (1, 1, "bid", 6.0, 1.0, False)
    for change, prices in ((older, [7.0, 5.0]), (anew, [7.0, 6.0, 5.0])):
        levels = Levels("x")
        levels.take(BookColumns.of(frame([snapshot, change, newer])))
        levels.advance(3)
        assert [price for price, _ in levels_of(levels)[0]] == prices


@pytest.mark.parametrize(("count", "depth"), [(1, 10), (10, 10), (11, 25), (1000, 1000), (1200, 1200)])
def test_krakens_books_keep_the_least_depth_that_holds_the_snapshot(count, depth):
    assert kept_depth("kraken", count) == depth
