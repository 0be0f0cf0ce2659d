"""Field note: funding comes as events, not on a grid; intervals change, times jitter by milliseconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.events import missed_events
from ticklake.core.span import Span
from ticklake.core.time import HOUR, MS, SECOND, parse_time

T = parse_time("2024-01-01")


def at(*hours):
    return [T + hour * HOUR for hour in hours]


def told(times):
    return [((m.span.start - T) / HOUR, (m.span.end - T) / HOUR, m.count) for m in missed_events(times)]


@given(st.integers(4, 12), st.integers(4, 12), st.sampled_from([(8, 4), (4, 8), (8, 1), (1, 8), (4, 1)]), st.data())
def test_a_changed_interval_misses_nothing(before, after, steps, data):
    hours = [steps[0] * place for place in range(before)]
    hours += [hours[-1] + steps[1] * place for place in range(1, after)]
    jitter = data.draw(st.lists(st.integers(-900, 900), min_size=len(hours), max_size=len(hours)))
    times = [T + hour * HOUR + late * MS for hour, late in zip(hours, jitter, strict=True)]
    assert told(times) == []


@given(st.sampled_from([1, 4, 8]), st.sets(st.integers(4, 25), min_size=1, max_size=2))
def test_missing_events_are_counted_by_what_the_neighbours_keep(step, gone):
    kept = [place for place in range(30) if place not in gone]
    missed = list(missed_events(at(*(step * place for place in kept))))
    assert sum(one.count for one in missed) == len(gone)
    due = {T + place * step * HOUR for place in gone}
    assert {one.span.start for one in missed} <= due
    assert all(any(ts in one.span for one in missed) for ts in due)


def test_a_missing_event_has_bounds_from_when_it_was_due_to_the_next():
    assert told([*at(0, 8), *(ts + 3 * MS for ts in at(24)), *at(32)]) == [(16.0, 24 + 3e-3 / 3600, 1)]


def test_where_the_interval_changes_no_more_is_claimed_than_must_be():
    assert told(at(0, 8, 16, 32, 36, 40)) == [(24.0, 32.0, 1)]


@pytest.mark.parametrize("times", [[], at(0), at(0, 8), at(0, 24, 48)])
def test_few_events_prove_nothing(times):
    assert told(times) == []


def test_an_event_too_many_misses_nothing():
    assert told(at(0, 8, 8.5, 16, 24, 32)) == []


def test_spans_stand_in_order_and_apart():
    missed = list(missed_events(at(0, 8, 24, 48, 56, 64)))
    assert [one.span for one in missed] == [Span(*at(16, 24)), Span(*at(32, 48))]


class TestEdges:
    @given(
        st.sampled_from([1, 4, 8]),
        st.integers(0, 40),
        st.integers(0, 40),
        st.sampled_from([0, 3 * MS, 900 * MS, -4 * MS]),
    )
    def test_what_was_due_before_the_first_event_and_after_the_last_is_missing(self, step, first, last, late):
        whole = [T + place * step * HOUR for place in range(first + 5 + last)]
        kept = [ts + late for ts in whole[first : first + 5]]
        want = Span(T, T + len(whole) * step * HOUR)
        missed = list(missed_events(kept, want))
        assert sum(one.count for one in missed) == first + last
        assert all(one.span.start in whole for one in missed)

    def test_each_event_belongs_to_one_of_adjoining_spans(self):
        (missed,) = missed_events([*at(0, 8), *at(48, 56, 64)])
        cut = T + 16 * HOUR + 5 * SECOND
        parts = [missed.within(Span(T, cut)), missed.within(Span(cut, T + 30 * HOUR)), missed.within(Span(*at(30, 50)))]
        assert [part and part.count for part in parts] == [None, 2, 2]

    def test_an_event_that_is_explained_leaves_the_others(self):
        (missed,) = missed_events([*at(0, 8), *at(48, 56, 64)])
        left = [*missed.without([T + 24 * HOUR + 3 * MS, T + 33 * HOUR])]
        assert [((one.span.start - T) // HOUR, one.count) for one in left] == [(16, 1), (32, 2)]

    def test_one_event_has_no_interval(self):
        assert list(missed_events(at(8), Span(*at(0, 48)))) == []
