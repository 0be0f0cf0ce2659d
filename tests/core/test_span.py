import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.span import ALL_TIME, Span, hull_of, normalise, subtract, total_length
from ticklake.core.time import DAY, parse_time
from ticklake.errors import InvalidTime

LIMIT = 40
small_spans = st.builds(lambda a, n: Span(a, a + n), st.integers(0, LIMIT), st.integers(1, 12))


def instants(spans):
    return {ts for span in spans for ts in range(span.start, span.end)}


@pytest.mark.parametrize(("start", "end"), [(5, 5), (6, 5)])
def test_a_span_that_is_empty_or_reversed_is_refused(start, end):
    with pytest.raises(InvalidTime):
        Span(start, end)


def test_the_start_belongs_to_a_span_and_the_end_does_not():
    span = Span(5, 10)
    assert [ts in span for ts in (4, 5, 9, 10)] == [False, True, True, False]


def test_times_among_a_span_keep_their_order():
    assert Span(5, 10).among([9, 4, 5, 10, 7]) == [9, 5, 7]


@given(st.lists(small_spans, min_size=1))
def test_the_hull_of_spans_reaches_from_the_first_instant_to_the_last(spans):
    hull = hull_of(spans)
    assert (hull.start, hull.end - 1) == (min(instants(spans)), max(instants(spans)))


def test_lengths_add_up_and_what_is_shared_counts_twice():
    assert total_length([Span(0, 5), Span(3, 10)]) == 12
    assert total_length([]) == 0


def test_its_length_is_in_nanoseconds():
    assert Span(5, 12).length == 7


def test_texts_are_parsed_and_none_means_all_time():
    assert Span.parse("2024-01-01", dt.date(2024, 1, 2)).length == DAY
    assert Span.parse(None, None) == ALL_TIME
    assert Span.parse(None, "2024").start == ALL_TIME.start
    assert Span.parse("2024", None).end == ALL_TIME.end


def test_a_parsed_span_that_is_reversed_is_refused():
    with pytest.raises(InvalidTime, match=r"2024-01-02T00:00:00Z .. 2024-01-01T00:00:00Z"):
        Span.parse("2024-01-02", "2024-01-01")


def test_its_text_names_both_bounds_and_leaves_open_ends_open():
    assert str(Span.parse("2024-01-01", "2024-01-02")) == "[2024-01-01T00:00:00Z .. 2024-01-02T00:00:00Z)"
    assert str(Span.parse(None, "2024")) == "[- .. 2024-01-01T00:00:00Z)"
    assert str(Span.parse("2024", None)) == "[2024-01-01T00:00:00Z .. -)"


def test_widening_stays_inside_all_time():
    assert Span(10, 20).widen(3, 4) == Span(7, 24)
    assert ALL_TIME.widen(1, 1) == ALL_TIME


@given(small_spans, small_spans)
def test_overlap_is_sharing_an_instant(one, other):
    shared = instants([one]) & instants([other])
    assert one.overlaps(other) == bool(shared)
    cut = one.intersect(other)
    assert instants([cut] if cut else []) == shared


@given(small_spans, small_spans)
def test_touching_is_leaving_no_instant_between(one, other):
    assert one.touches(other) == (len(normalise([one, other])) == 1)


@given(st.lists(small_spans, max_size=8))
def test_normalise_keeps_the_instants_and_is_sorted_disjoint_and_not_touching(spans):
    merged = normalise(spans)
    assert instants(merged) == instants(spans)
    assert all(left.end < right.start for left, right in itertools.pairwise(merged))


@given(st.lists(small_spans, max_size=8))
def test_normalise_is_idempotent_and_ignores_order(spans):
    merged = normalise(spans)
    assert normalise(merged) == merged
    assert normalise(reversed(spans)) == merged


@given(small_spans, st.lists(small_spans, max_size=8))
def test_subtract_and_intersect_part_a_span_in_two(span, others):
    covered = normalise(others)
    outside = list(subtract(span, covered))
    inside = [cut for piece in covered if (cut := span.intersect(piece))]
    assert instants(outside) | instants(inside) == instants([span])
    assert not instants(outside) & instants(inside)
    assert outside == normalise(outside)


def test_subtracting_nothing_leaves_the_span():
    assert list(subtract(Span(1, 5), [])) == [Span(1, 5)]


def test_subtracting_everything_leaves_nothing():
    assert list(subtract(Span(1, 5), [ALL_TIME])) == []


def test_every_time_that_can_be_parsed_lies_inside_all_time():
    assert parse_time("1677-09-22") in ALL_TIME
    assert parse_time("2262-04-11") in ALL_TIME


def test_a_span_unpacks_into_its_bounds():
    start, end = Span(3, 9)
    assert (start, end) == (3, 9)
    assert 5 in Span(3, 9)
    assert 9 not in Span(3, 9)


def test_a_span_shows_its_times_as_text():
    assert repr(Span.parse("2024-01-01", "2024-02-01T12:00")) == "Span(2024-01-01T00:00:00Z .. 2024-02-01T12:00:00Z)"
    assert repr(ALL_TIME) == "Span(- .. -)"
