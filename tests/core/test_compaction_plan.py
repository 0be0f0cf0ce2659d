import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.compaction_plan import TARGET_ROWS, period_of, periods, plan_compaction
from ticklake.core.segment import Segment
from ticklake.core.time import HOUR, format_time, parse_time

START = parse_time("2023-11-20")
GRAINS = ["year", "month", "day"]


def segment(seq, min_ts, max_ts, rows=1, path=None):
    return Segment(f"s{seq}", seq, rows=rows, min_ts=min_ts, max_ts=max_ts, size=1, digest="", path=path)


def file(seq, first, last, rows=1):
    return segment(seq, parse_time(first), parse_time(last), rows, f"f{seq}.parquet")


def inline(seq, first, last, rows=1):
    return segment(seq, parse_time(first), parse_time(last), rows)


class Model:
    """Segments with real rows (distinct times), compacted as the engine does."""

    def __init__(self, batches):
        self.rows = {}
        for number, times in enumerate(batches, 1):
            self._add(number, sorted(set(times)), "")

    def _add(self, seq, times, period):
        name = f"{period}-{seq}-{times[0]}-{len(self.rows)}"
        path = f"{name}.parquet" if period else None
        held = Segment(name, seq, len(times), times[0], times[-1], 1, "", path=path, period=period)
        self.rows[held] = times

    def compact(self, target):
        plan = plan_compaction(self.rows, target)
        for rewrite in plan:
            merged = sorted({ts for held in rewrite.segments for ts in self.rows.pop(held)})
            for period in rewrite.periods:
                times = [ts for ts in merged if ts in period.span]
                if times:
                    self._add(rewrite.seq, times, period.label)
        return plan

    def times(self):
        return {ts for times in self.rows.values() for ts in times}


hours = st.integers(0, 24 * 500).map(lambda hour: START + hour * HOUR)
batches = st.lists(st.lists(hours, min_size=1, max_size=20), max_size=8)
targets = st.sampled_from([1, 3, 10, 10**6])


@st.composite
def segment_lists(draw):
    found = []
    for seq in range(1, draw(st.integers(0, 8)) + 1):
        start = draw(hours)
        end = start + draw(st.integers(0, 60 * 24)) * HOUR
        path = draw(st.sampled_from([None, f"f{seq}.parquet"]))
        found.append(segment(seq, start, end, draw(st.integers(1, 50)), path))
    return found


@pytest.mark.parametrize(
    ("grain", "label", "start", "end"),
    [
        ("year", "2024", "2024-01-01", "2025-01-01"),
        ("month", "2024-02", "2024-02-01", "2024-03-01"),
        ("day", "2024-02-29", "2024-02-29", "2024-03-01"),
    ],
)
def test_a_period_is_a_calendar_day_month_or_year(grain, label, start, end):
    period = period_of(parse_time("2024-02-29T13:00"), grain)
    assert (period.label, period.span.start, period.span.end) == (label, parse_time(start), parse_time(end))


def test_december_ends_with_the_year():
    assert period_of(parse_time("2023-12-31T23:59:59"), "month").span.end == parse_time("2024-01-01")


@given(st.integers(parse_time("1700-01-01"), parse_time("2260-01-01")), st.sampled_from(GRAINS))
def test_a_period_holds_its_instant_and_its_label_begins_its_start(ts, grain):
    period = period_of(ts, grain)
    assert ts in period.span
    assert format_time(period.span.start).startswith(period.label)
    assert period_of(period.span.start, grain) == period_of(period.span.end - 1, grain) == period
    assert period_of(period.span.end, grain) != period


def test_a_quiet_symbol_has_one_file_a_year():
    found = [
        inline(1, "2022-03-01", "2022-03-02"),
        inline(2, "2022-11-01", "2022-11-02"),
        inline(3, "2023-05-01", "2023-05-02"),
    ]
    assert [period.label for period in periods(found)] == ["2022", "2023"]


def test_a_busy_symbol_has_one_file_a_day():
    found = [inline(1, "2024-01-01", "2024-01-02T23:59:59", rows=5 * TARGET_ROWS)]
    assert [period.label for period in periods(found)] == ["2024-01-01", "2024-01-02"]


def test_only_the_months_that_are_too_full_are_cut_into_days():
    found = [inline(1, "2024-01-01", "2024-01-02T23:00", rows=100), inline(2, "2024-02-10", "2024-02-12", rows=5)]
    assert [period.label for period in periods(found, 50)] == ["2024-01-01", "2024-01-02", "2024-02"]


@pytest.mark.parametrize(("rows", "labels"), [(50, ["2024"]), (51, ["2024-01", "2024-03"])])
def test_a_period_may_hold_exactly_the_target(rows, labels):
    found = [inline(1, "2024-01-01", "2024-01-02", rows=rows - 10), inline(2, "2024-03-01", "2024-03-02", rows=10)]
    assert [period.label for period in periods(found, 50)] == labels


def test_no_segments_have_no_periods():
    assert periods([]) == []


@given(segment_lists(), targets)
def test_periods_are_in_order_and_disjoint(segments, target):
    cuts = periods(segments, target)
    assert all(left.span.end <= right.span.start for left, right in itertools.pairwise(cuts))


@given(segment_lists(), targets)
def test_periods_hold_every_row_there_can_be(segments, target):
    cuts = periods(segments, target)
    for held in segments:
        covered = sum(cut.length for period in cuts if (cut := period.span.intersect(held.span)))
        assert covered == held.span.length


@given(segment_lists(), targets)
def test_a_segment_appears_in_at_most_one_rewrite(segments, target):
    seen = Counter(held.id for rewrite in plan_compaction(segments, target) for held in rewrite.segments)
    assert all(count == 1 for count in seen.values())


@given(segment_lists(), targets)
def test_a_period_is_written_by_at_most_one_rewrite(segments, target):
    seen = Counter(period.label for rewrite in plan_compaction(segments, target) for period in rewrite.periods)
    assert all(count == 1 for count in seen.values())


@given(segment_lists(), targets)
def test_every_inline_segment_is_rewritten(segments, target):
    rewritten = {held for rewrite in plan_compaction(segments, target) for held in rewrite.segments}
    assert {held for held in segments if held.path is None} <= rewritten


@given(segment_lists(), targets)
def test_a_rewrite_has_periods_for_all_that_its_segments_hold(segments, target):
    for rewrite in plan_compaction(segments, target):
        for held in rewrite.segments:
            inside = sum(cut.length for period in rewrite.periods if (cut := period.span.intersect(held.span)))
            assert inside == held.span.length


@given(segment_lists(), targets)
def test_nothing_that_shares_an_instant_with_a_rewrite_is_left_out_of_it(segments, target):
    for rewrite in plan_compaction(segments, target):
        outside = [held for held in segments if held not in rewrite.segments]
        assert not [1 for held in outside for inside in rewrite.segments if held.span.overlaps(inside.span)]


@given(segment_lists(), targets)
def test_a_rewrite_takes_the_newest_sequence_and_merges_oldest_first(segments, target):
    for rewrite in plan_compaction(segments, target):
        seqs = [held.seq for held in rewrite.segments]
        assert seqs == sorted(seqs)
        assert rewrite.seq == seqs[-1]


@given(segment_lists(), targets)
def test_the_order_of_the_segments_does_not_matter(segments, target):
    assert plan_compaction(reversed(segments), target) == plan_compaction(segments, target)


@given(batches, targets)
def test_compaction_keeps_every_row(batches, target):
    model = Model(batches)
    before = model.times()
    model.compact(target)
    assert model.times() == before


@given(batches)
def test_a_second_plan_of_a_quiet_symbol_is_empty(batches):
    model = Model(batches)
    model.compact(TARGET_ROWS)
    assert model.compact(TARGET_ROWS) == []


@given(batches, targets)
def test_compacting_again_and_again_comes_to_rest(batches, target):
    model = Model(batches)
    for _ in range(6):
        if not model.compact(target):
            return
    assert model.compact(target) == []


def test_one_file_in_its_period_is_left_alone():
    assert plan_compaction([file(1, "2024-01-01", "2024-06-01")]) == []


def test_one_inline_segment_becomes_a_file():
    [rewrite] = plan_compaction([inline(1, "2024-01-01", "2024-06-01")])
    assert [period.label for period in rewrite.periods] == ["2024"]


def test_small_segments_of_a_year_become_one_file():
    found = [inline(2, "2024-01-01", "2024-01-02"), inline(1, "2024-09-01", "2024-09-02")]
    [rewrite] = plan_compaction(found)
    assert [held.seq for held in rewrite.segments] == [1, 2]
    assert [period.label for period in rewrite.periods] == ["2024"]


def test_years_that_nothing_links_are_rewritten_apart():
    found = [inline(1, "2023-01-01", "2023-01-02"), inline(2, "2024-01-01", "2024-01-02")]
    assert [[held.seq for held in rewrite.segments] for rewrite in plan_compaction(found)] == [[1], [2]]


def test_a_segment_that_crosses_a_bound_links_its_periods():
    found = [
        inline(1, "2023-01-01", "2023-01-02"),
        inline(2, "2023-12-31", "2024-01-01"),
        file(3, "2024-09-01", "2024-09-02"),
    ]
    [rewrite] = plan_compaction(found)
    assert len(rewrite.segments) == 3
    assert [period.label for period in rewrite.periods] == ["2023", "2024"]


def test_a_full_year_leaves_the_file_of_the_year_before_alone():
    found = [
        file(1, "2023-01-01", "2023-12-31", rows=100),
        inline(2, "2024-01-01", "2024-01-02"),
        inline(3, "2024-01-03", "2024-01-04"),
    ]
    [rewrite] = plan_compaction(found)
    assert [held.seq for held in rewrite.segments] == [2, 3]
