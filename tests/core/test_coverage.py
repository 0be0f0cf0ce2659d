import itertools

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core import coverage as coverage_module
from ticklake.core.coverage import COMPLETE, LOOKED_AT, Coverage, Covered, Found, shown_spans
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE

LIMIT = 30
found = st.sampled_from(list(Found))
reasons = st.sampled_from(["", "why"])
spans = st.builds(lambda a, n: Span(a, a + n), st.integers(0, LIMIT), st.integers(1, 10))
looks = st.builds(lambda span, f, why: Covered(span, f, "" if f is Found.DATA else why), spans, found, reasons)
histories = st.lists(looks, max_size=10)
EVERYTHING = Span(-5, LIMIT + 20)


def naive(history):
    """What is known of each instant: the latest look, but data is never unlearned, and asking hides nothing."""
    known = {}
    for look in history:
        for ts in range(look.span.start, look.span.end):
            if look.found is Found.NOT_FETCHED:
                known.setdefault(ts, (look.found, look.reason))
            elif look.found is Found.DATA or known.get(ts, (None,))[0] is not Found.DATA:
                known[ts] = (look.found, look.reason)
    return known


def looked_at(history):
    return {ts for ts, (found, _) in naive(history).items() if found is not Found.NOT_FETCHED}


def instants(pieces):
    return {ts: (p.found, p.reason) for p in pieces for ts in range(p.span.start, p.span.end)}


def ticks(parts):
    return [ts for span in parts for ts in range(span.start, span.end)]


@given(histories)
def test_each_instant_holds_the_latest_look_but_data_is_never_unlearned(history):
    assert instants(Coverage.of(history).pieces) == naive(history)


@given(histories)
def test_pieces_are_sorted_disjoint_and_joined_where_they_say_the_same(history):
    pieces = Coverage.of(history).pieces
    for left, right in itertools.pairwise(pieces):
        assert left.span.end <= right.span.start
        same = (left.found, left.reason) == (right.found, right.reason)
        assert not (same and left.span.end == right.span.start)


@given(histories, looks)
def test_looking_twice_is_looking_once(history, look):
    once = Coverage.of(history).add(look)
    assert once.add(look) == once


@given(histories, spans)
def test_missing_is_what_was_never_looked_at_in_order(history, want):
    known = looked_at(history)
    missing = list(Coverage.of(history).missing(want))
    assert ticks(missing) == [ts for ts in range(want.start, want.end) if ts not in known]
    assert all(left.end < right.start for left, right in itertools.pairwise(missing))


@given(histories, spans)
def test_with_retry_what_was_unavailable_or_lost_is_missing_too(history, want):
    known = {ts for ts, (f, _) in naive(history).items() if f in {Found.DATA, *COMPLETE}}
    missing = list(Coverage.of(history).missing(want, retry=True))
    assert ticks(missing) == [ts for ts in range(want.start, want.end) if ts not in known]


@given(histories, spans)
def test_nothing_is_missing_after_looking_at_what_was_missing(history, want):
    coverage = Coverage.of(history)
    for span in coverage.missing(want):
        coverage = coverage.add(Covered(span))
    assert list(coverage.missing(want)) == []


@given(histories, spans)
def test_within_keeps_what_is_inside_and_without_keeps_the_rest(history, span):
    coverage, known = Coverage.of(history), naive(history)
    assert instants(coverage.within(span).pieces) == {ts: word for ts, word in known.items() if ts in span}
    assert instants(coverage.without(span).pieces) == {ts: word for ts, word in known.items() if ts not in span}


@given(histories, st.sets(found, max_size=4))
def test_spans_are_those_with_one_of_the_findings(history, wanted):
    known = naive(history)
    expected = sorted(ts for ts, (f, _) in known.items() if f in (wanted or LOOKED_AT))
    parts = Coverage.of(history).spans(*wanted)
    assert ticks(parts) == expected
    assert all(left.end < right.start for left, right in itertools.pairwise(parts))


@given(histories)
def test_the_reach_is_from_the_first_to_the_last_instant_that_anything_is_known_of(history):
    known, coverage = naive(history), Coverage.of(history)
    assert coverage.reach == (Span(min(known), max(known) + 1) if known else None)
    assert set(instants(coverage.looked_at)) == looked_at(history)


@given(histories, looks)
def test_adding_leaves_the_old_coverage_as_it_was(history, look):
    coverage = Coverage.of(history)
    before = coverage.pieces
    coverage.add(look)
    assert coverage.pieces is before


@pytest.mark.parametrize("word", [Found.UNAVAILABLE, Found.LOST, Found.UNLISTED])
def test_data_replaces_every_other_finding(word):
    coverage = Coverage.of([Covered(Span(0, 10), word, "why"), Covered(Span(3, 6))])
    assert coverage.spans(Found.DATA) == [Span(3, 6)]
    assert coverage.spans(word) == [Span(0, 3), Span(6, 10)]


def test_unavailable_does_not_replace_data():
    coverage = Coverage.of([Covered(Span(3, 6)), Covered(Span(0, 10), Found.UNAVAILABLE, "too old")])
    assert coverage.pieces == (
        Covered(Span(0, 3), Found.UNAVAILABLE, "too old"),
        Covered(Span(3, 6)),
        Covered(Span(6, 10), Found.UNAVAILABLE, "too old"),
    )


def test_nothing_is_covered_at_first():
    assert list(Coverage().missing(EVERYTHING)) == [EVERYTHING]
    assert Coverage().spans() == []


def test_pieces_that_touch_and_say_the_same_become_one():
    assert Coverage.of([Covered(Span(5, 9)), Covered(Span(0, 5))]).pieces == (Covered(Span(0, 9)),)


def test_pieces_with_other_reasons_stay_apart():
    pieces = (Covered(Span(0, 5), Found.LOST, "a"), Covered(Span(5, 9), Found.LOST, "b"))
    assert Coverage.of(pieces).pieces == pieces


class TestWhatAFileShows:
    MONTH = Span(0, 30 * DAY)

    def shown(self, times, bar=MINUTE, named=MONTH):
        rows = pl.Series(times, dtype=pl.Int64)
        return shown_spans(rows, Span(times[0], times[-1] + max(bar, 1)), named, bar)

    def test_a_whole_file_stands_for_the_time_it_names(self):
        assert self.shown(range(0, 30 * DAY, MINUTE)) == [self.MONTH]

    def test_a_hole_of_weeks_is_not_shown(self):
        times = [*range(0, 5 * DAY, MINUTE), *range(20 * DAY, 30 * DAY, MINUTE)]
        assert self.shown(times) == [Span(0, 5 * DAY), Span(20 * DAY, 30 * DAY)]

    def test_a_quiet_hour_is_shown(self):
        times = [*range(0, 5 * DAY, MINUTE), *range(5 * DAY + 60 * MINUTE, 30 * DAY, MINUTE)]
        assert self.shown(times) == [self.MONTH]

    @pytest.mark.parametrize("bar", [MINUTE, 0])
    def test_an_edge_without_rows_is_not_shown(self, bar):
        times = range(10 * DAY, 28 * DAY, MINUTE)
        assert self.shown(times, bar) == [Span(10 * DAY, 28 * DAY - MINUTE + max(bar, 1))]

    def test_an_edge_is_shown_as_far_as_the_rows_are_apart(self):
        assert self.shown(range(0, 30 * DAY, 8 * HOUR), 0) == [self.MONTH]
        thin = [n * MINUTE for n in range(30 * 1440) if n % 7 == 3]
        assert self.shown(thin) == [self.MONTH]
        assert self.shown([*range(3 * MINUTE, 30 * DAY, MINUTE)]) == [Span(3 * MINUTE, 30 * DAY)]

    def test_what_is_rare_by_nature_is_shown(self):
        assert self.shown(range(0, 300 * DAY, 5 * DAY), 0, Span(0, 300 * DAY)) == [Span(0, 300 * DAY)]

    @pytest.mark.parametrize("bar", [0, MINUTE])
    def test_two_rows_of_an_unnamed_file_show_their_own_time_only(self, bar):
        times = [0, 23 * HOUR]
        length = max(bar, 1)
        unnamed = Span(0, 23 * HOUR + length)
        assert self.shown(times, bar, unnamed) == [Span(0, length), Span(23 * HOUR, 23 * HOUR + length)]

    def test_two_rows_of_a_file_that_is_named_by_its_day_show_the_day(self):
        assert self.shown([0, 23 * HOUR], 0, Span(0, DAY)) == [Span(0, DAY)]

    def test_bars_that_touch_are_one_piece_however_few(self):
        assert self.shown([0, MINUTE], MINUTE, Span(0, 2 * MINUTE)) == [Span(0, 2 * MINUTE)]
        assert self.shown([0], MINUTE, Span(0, MINUTE)) == [Span(0, MINUTE)]

    def test_few_rows_show_what_their_other_steps_make_likely(self):
        assert self.shown([0, MINUTE, 23 * HOUR], 0, Span(0, 23 * HOUR + 1)) == [
            Span(0, MINUTE + 1),
            Span(23 * HOUR, 23 * HOUR + 1),
        ]
        whole = Span(0, 3 * HOUR + 1)
        assert self.shown([0, HOUR, 3 * HOUR], 0, whole) == [whole]

    @pytest.mark.parametrize("times", [[0, 200 * DAY], [0, 2 * DAY, 300 * DAY], [0, MINUTE, 200 * DAY]])
    def test_a_long_hole_does_not_vouch_for_itself(self, times):
        *before, last = times
        whole = Span(0, last + 1)
        assert self.shown(times, 0, whole)[-1] == Span(last, last + 1)
        assert self.shown(times, 0, whole)[-2].end == before[-1] + 1


@given(st.lists(looks, max_size=60))
def test_many_looks_at_once_are_the_same_looks_one_after_the_other(history):
    coverage = Coverage()
    for look in history:
        coverage = coverage.add(look)
    assert Coverage.of(history) == coverage


def test_many_pieces_are_put_together_in_few_steps(monkeypatch):
    """One by one it was quadratic: 4,000 pieces made 16 million."""
    joined = 0
    original = coverage_module._join

    def counted(pieces):
        nonlocal joined
        listed = list(pieces)
        joined += len(listed)
        return original(listed)

    monkeypatch.setattr(coverage_module, "_join", counted)
    pieces = [Covered(Span(3 * n, 3 * n + 2), Found.LOST if n % 3 else Found.DATA) for n in range(4000)]
    assert len(Coverage.of(pieces).pieces) == 4000
    assert joined < 4000 * 20
