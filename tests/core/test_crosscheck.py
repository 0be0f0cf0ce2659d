"""What two witnesses say of the same rows."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.crosscheck import DIFFERENCES, compare, rows_in, without_untraded
from ticklake.core.kinds import KINDS, TIME
from ticklake.core.span import Span, common, normalise
from ticklake.core.time import MINUTE, MS, parse_time
from ticklake.core.timeframe import Timeframe

T = parse_time("2024-01-01")
OHLCV, TRADES = KINDS["ohlcv"], KINDS["trades"]


def bars(*rows):
    names = ["ts", "open", "high", "low", "close", "volume", "quote_volume", "trades"]
    frame = pl.DataFrame([(T + n * MINUTE, *values) for n, *values in rows], schema=names, orient="row")
    return frame.cast({"ts": TIME, "trades": pl.Int64})


def trades(*rows):
    names = ["ts", "id", "price", "amount", "side"]
    frame = pl.DataFrame([(T + at, *values) for at, *values in rows], schema=names, orient="row")
    return frame.cast({"ts": TIME})


ONE = (0, 1.0, 2.0, 0.5, 1.5, 10.0, 15.0, 7)


def changed(**values):
    return bars(ONE).with_columns(**{name: pl.lit(value) for name, value in values.items()})


def differences(ours, theirs, *options, **named):
    found = compare(ours, theirs, *options, **named)[1]
    assert dict(found.schema) == DIFFERENCES
    return [row[1:] for row in found.rows()]


def test_equal_bars_have_no_difference():
    assert compare(bars(ONE), bars(ONE), OHLCV)[0] == 1
    assert differences(bars(ONE), bars(ONE), OHLCV) == []


@pytest.mark.parametrize("name", ["open", "high", "low", "close"])
def test_prices_must_be_equal_to_the_last_bit(name):
    value = bars(ONE)[name][0]
    ((column, ours, theirs, difference),) = differences(bars(ONE), changed(**{name: value * (1 + 1e-15)}), OHLCV)
    assert (column, ours) == (name, value)
    assert difference == ours - theirs != 0


def test_volumes_may_differ_by_the_order_of_adding():
    assert differences(bars(ONE), changed(volume=10.0 * (1 + 9e-7)), OHLCV) == []
    assert [row[0] for row in differences(bars(ONE), changed(volume=10.0 * (1 + 2e-6)), OHLCV)] == ["volume"]
    assert differences(bars(ONE), changed(volume=10.5), OHLCV, tolerance=0.1) == []
    assert differences(bars(ONE), changed(volume=0.0), OHLCV) == [("volume", 10.0, 0.0, 10.0)]


def test_what_one_side_does_not_know_is_not_compared():
    assert differences(bars(ONE), changed(quote_volume=None, trades=None), OHLCV) == []
    assert differences(bars(ONE), changed(trades=8), OHLCV) == [("trades", 7.0, 8.0, -1.0)]
    assert differences(bars(ONE), changed(trades=8), OHLCV, without=["trades"]) == []


def test_rows_that_one_side_lacks_are_told():
    two = bars(ONE, (1, *ONE[1:]))
    assert differences(two, bars(ONE), OHLCV) == [("row", 1.0, None, None)]
    assert differences(bars(ONE), two, OHLCV) == [("row", None, 1.0, None)]
    assert compare(bars(ONE), two, OHLCV)[1]["ts"].to_physical().to_list() == [T + MINUTE]


def test_quiet_bars_may_be_left_out():
    """Field note: some exchanges emit zero-volume bars, some omit them."""
    quiet = (1, 1.5, 1.5, 1.5, 1.5, 0.0, 0.0, 0)
    both = bars(ONE, quiet)
    assert without_untraded(both, bars(ONE)).height == 1
    assert without_untraded(both, both).height == 2
    assert without_untraded(both.with_columns(volume=pl.lit(None, pl.Float64)), bars(ONE)).height == 2


def test_trades_are_the_same_by_their_id_and_equal_within_a_millisecond():
    """Field note: REST and files tell times with another precision."""
    ours = trades((0, "7", 1.0, 2.0, "buy"), (5 * MS, "8", 1.0, 2.0, None))
    theirs = trades((123_456, "7", 1.0, 2.0, "buy"), (5 * MS, "8", 1.0, 2.5, "sell"))
    assert differences(ours, theirs, TRADES, "id") == [("amount", 2.0, 2.5, -0.5)]
    late = trades((3 * MS, "7", 1.0, 2.0, "sell"), (5 * MS, "8", 1.0, 2.0, None))
    assert differences(ours, late, TRADES, "id") == [
        ("ts", float(T), float(T + 3 * MS), -3.0 * MS),
        ("side", 1.0, -1.0, 2.0),
    ]


def test_only_bars_that_lie_wholly_inside_are_compared():
    five = Timeframe.parse("5m")
    spans = [
        Span(T + MINUTE, T + 14 * MINUTE),
        Span(T + 15 * MINUTE, T + 16 * MINUTE),
        Span(T + 20 * MINUTE, T + 30 * MINUTE),
    ]
    whole = five.whole_bars(spans)
    assert whole == [Span(T + 5 * MINUTE, T + 10 * MINUTE), Span(T + 20 * MINUTE, T + 30 * MINUTE)]
    rows = bars(*[(n, *ONE[1:]) for n in range(0, 40, 5)])
    assert ((rows_in(rows, whole)["ts"].to_physical() - T) // MINUTE).to_list() == [5, 20, 25]
    assert rows_in(rows, []).height == 0


spans = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=8).map(
    lambda pairs: normalise(Span(start, start + length) for start, length in pairs)
)


@given(spans, spans)
def test_what_is_common_is_what_lies_in_both(one, other):
    shared = common(one, other)
    instants = [{n for span in some for n in range(span.start, span.end)} for some in (one, other, shared)]
    assert instants[2] == instants[0] & instants[1]
    assert shared == common(other, one) == sorted(shared)
