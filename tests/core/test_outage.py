from itertools import pairwise

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.outage import Quiet, Silence, SilentBars, inside, shortest_silence, witnessed
from ticklake.core.span import Span
from ticklake.core.time import DAY, MINUTE, SECOND

ALL = [Span(0, 10**6)]


def ints(values):
    return pl.Series(sorted(values), dtype=pl.Int64)


def outages(own, *others, share=0.0, expected=1000):
    bars = SilentBars(ints(own), share, expected)
    for present, looked_at in others:
        bars.ask(ints(present), looked_at, share)
    return list(bars.outages(1))


@given(st.sets(st.integers(0, 99), max_size=12), st.sets(st.integers(0, 99)))
def test_times_are_inside_spans_or_not(starts, times):
    spans = [Span(start, start + 1) for start in sorted(starts)]
    assert inside(ints(times), spans).to_list() == [ts in starts for ts in sorted(times)]


def test_bars_that_all_lack_are_an_outage():
    assert outages(range(10, 20), (set(range(100)) - {12, 13, 14}, ALL)) == [(Span(12, 15), 1)]


def test_one_symbol_that_trades_ends_it():
    assert outages(range(10, 20), ([], ALL), (range(10, 20), ALL)) == []


def test_where_nobody_else_was_looked_at_nothing_is_told():
    assert outages(range(10, 20)) == []
    assert outages(range(10, 20), ([], [Span(0, 14)])) == [(Span(10, 14), 1)]


def test_those_who_are_often_silent_are_silent_together_by_chance():
    """Two symbols that lack half of their bars lack many at once."""
    assert outages(range(10, 12), ([], ALL), share=0.5) == []
    assert outages(range(10, 30), ([], ALL), share=0.5) == [(Span(10, 30), 1)]
    assert outages(range(10, 12), ([], ALL), share=0.0) == [(Span(10, 12), 1)]


@given(st.sets(st.integers(0, 199), max_size=30), st.integers(1, 40), st.integers(1, 5))
def test_quiet_stretches_are_those_without_rows(times, shortest, pieces):
    rows, quiet = sorted(times), Quiet(Span(0, 200), shortest)
    size = -(-len(rows) // pieces) or 1
    for start in range(0, len(rows), size):
        quiet.feed(ints(rows[start : start + size]))
    edges = [-1, *rows, 200]
    gaps = [(a + 1, b) for a, b in pairwise(edges) if b - a - 1 >= max(shortest, 1)]
    assert [(span.start, span.end) for span in quiet.finish()] == gaps


def test_a_silence_is_broken_by_another_symbols_trades():
    whole = Silence(Span(0, 100), 2)
    assert list(witnessed(whole, [Span(0, 40), Span(60, 64), Span(70, 100)], ALL, 10)) == [
        Silence(Span(0, 40), 3),
        Silence(Span(70, 100), 3),
    ]
    assert list(witnessed(whole, [Span(0, 100)], [Span(50, 60)], 10)) == [whole]


def test_a_busy_exchange_is_out_sooner_than_a_sleepy_one():
    busy, sleepy = (shortest_silence(rate / MINUTE, DAY) for rate in (1000, 2))
    assert busy == MINUTE
    assert 20 * MINUTE < sleepy < 60 * MINUTE
    assert shortest_silence(0.0, DAY) == DAY
    assert shortest_silence(14 / MINUTE, DAY) > 60 * SECOND
