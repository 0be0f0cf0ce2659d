"""Field notes: ids may restart after a relisting, id spaces are kept apart, deltas must chain."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.dataset import Dataset
from ticklake.core.sequence import LATE, Jump, Numbering, Restart, has_numbers, spared
from ticklake.core.time import MS


def followed(numbers, times=None, anchors=None, pieces=1):
    numbering = Numbering()
    ts = pl.Series(list(times if times is not None else range(len(numbers))), dtype=pl.Int64)
    ids, marks = pl.Series(numbers, dtype=pl.Int64), None if anchors is None else pl.Series(anchors, dtype=pl.Boolean)
    size = -(-len(numbers) // pieces)
    for start in range(0, len(numbers), size):
        some = slice(start, start + size)
        numbering.feed(ts[some], ids[some], None if marks is None else marks[some])
    numbering.finish()
    return numbering


@given(st.sets(st.integers(1, 60), min_size=1), st.integers(1, 7))
def test_every_number_between_the_first_and_the_last_is_there_or_told(held, pieces):
    numbers = sorted(held)
    told = followed(numbers, [number * MS for number in numbers], pieces=pieces)
    missing = {number for jump in told.jumps for number in range(jump.first, jump.last + 1)}
    assert missing == set(range(numbers[0], numbers[-1])) - held
    assert sum(jump.count for jump in told.jumps) == len(missing)
    assert told.restarts == []
    for jump in told.jumps:
        assert (jump.before, jump.after) == ((jump.first - 1) * MS, (jump.last + 1) * MS)


@given(st.permutations(range(1, 9)), st.integers(1, 4))
def test_rows_of_one_instant_need_no_order(order, pieces):
    """Field note: same-millisecond trades."""
    told = followed([0, *order, 9], [0, *[5] * 8, 9], pieces=pieces)
    assert (told.jumps, told.restarts) == ([], [])


def test_a_row_out_of_turn_fills_the_hole_it_left():
    assert followed([1, 2, 4, 5, 3, 6]).jumps == []
    assert followed([1, 2, 5, 6, 3, 7]).jumps == [Jump(1, 2, 4, 4)]


def test_a_row_far_too_late_fills_nothing():
    told = followed([1, 2, 4, 5, 3, 6], [0, 1, 2, 3, 4 + LATE, 5 + LATE])
    assert told.jumps == [Jump(1, 2, 3, 3)]
    assert told.restarts == []


@pytest.mark.parametrize("pieces", [1, 2, 3, 6])
def test_ids_that_begin_anew_are_no_gap_but_said(pieces):
    told = followed([500, 501, 502, 1, 2, 3], pieces=pieces)
    assert told.jumps == []
    assert told.restarts == [Restart(3, 502, 1)]


def test_holes_on_both_sides_of_a_restart_are_told():
    told = followed([500, 502, 1, 2, 4])
    assert told.jumps == [Jump(0, 1, 501, 501), Jump(3, 4, 3, 3)]
    assert told.restarts == [Restart(2, 502, 1)]


def test_one_row_out_of_place_is_no_restart():
    told = followed([500, 501, 17, 502, 503])
    assert (told.jumps, told.restarts) == ([], [])


def test_a_jump_at_one_instant_still_has_a_span():
    (jump,) = followed([1, 3], [7, 7]).jumps
    assert (jump.span.start, jump.span.end) == (7, 8)


def test_levels_of_one_book_update_share_its_number():
    assert followed([7, 7, 7, 8, 8, 10, 10]).jumps == [Jump(4, 5, 9, 9)]


def test_a_snapshot_says_anew_where_a_book_stands():
    told = followed([7, 7, 90, 90, 91, 93], anchors=[True, True, True, True, False, False])
    assert told.jumps == [Jump(4, 5, 92, 92)]
    assert told.restarts == []


def test_numbers_with_holes_everywhere_are_no_numbering():
    numbering = Numbering()
    for start in range(0, 40_000, 1000):
        many = pl.Series(range(start, start + 1000), dtype=pl.Int64)
        numbering.feed(many, many * 7)
    numbering.finish()
    assert numbering.is_scattered


def test_rows_without_a_number_are_passed_over():
    assert followed([1, None, 2, None, 3]).jumps == []


def test_refused_rows_explain_their_numbers():
    jump = Jump(0, 9, 10, 20)
    assert list(spared([jump], {12, 13, 20, 99})) == [Jump(0, 9, 10, 11), Jump(0, 9, 14, 19)]
    assert list(spared([Jump(0, 9, 5, 6)], {5, 6})) == []


@pytest.mark.parametrize(
    ("dataset", "space", "known"),
    [
        ("binance:trades:BTC/USDT", "agg", True),
        ("binance:trades:BTC/USDT", "raw", True),
        ("binanceusdm:trades:BTC/USDT:USDT", "raw", False),
        ("binance:trades:BTC/USDT", "", False),
        ("kraken:trades:BTC/USD", "", True),
        ("okx:trades:BTC/USDT", "", False),
        ("bybit:book:BTC/USDT", "", True),
        ("binance:book:BTC/USDT", "", False),
        ("binance:funding:BTC/USDT:USDT", "agg", False),
    ],
)
def test_only_numbers_known_to_have_no_holes_prove_anything(dataset, space, known):
    """Field note: aggregated trades have another id space than raw ones."""
    assert has_numbers(Dataset.parse(dataset), space) is known
