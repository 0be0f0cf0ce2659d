import itertools
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ticklake.core.read_plan import MOST_SLICES, Slice, cut, plan_read
from ticklake.core.segment import Block, Segment, pack_blocks
from ticklake.core.span import Span

LIMIT = 40


def segment(seq, min_ts, max_ts):
    return Segment(f"s{seq}", seq, rows=max_ts - min_ts + 1, min_ts=min_ts, max_ts=max_ts, size=1, digest="")


@st.composite
def segment_lists(draw):
    ranges = draw(st.lists(st.tuples(st.integers(0, LIMIT), st.integers(0, 12)), max_size=8))
    seqs = draw(st.permutations(range(1, len(ranges) + 1)))
    return [segment(seq, start, start + length) for seq, (start, length) in zip(seqs, ranges, strict=True)]


asked = st.builds(lambda a, n: Span(a, a + n), st.integers(-5, LIMIT + 10), st.integers(1, 60))


def ticks(span):
    return set(range(span.start, span.end))


@given(segment_lists(), asked)
def test_slices_are_in_order_and_disjoint(segments, span):
    plan = plan_read(segments, span)
    assert all(left.span.end <= right.span.start for left, right in itertools.pairwise(plan))


@given(segment_lists(), asked)
def test_slices_lie_inside_the_asked_span(segments, span):
    assert all(span.start <= piece.span.start and piece.span.end <= span.end for piece in plan_read(segments, span))


def stretches(piece):
    """How many stretches differ inside a piece in which segments reach them."""
    bounds = {bound for s in piece.segments for bound in (s.min_ts, s.max_ts + 1)}
    return 1 + sum(piece.span.start < bound < piece.span.end for bound in bounds)


@given(segment_lists(), asked)
def test_each_instant_that_a_segment_reaches_is_answered_and_no_other(segments, span):
    answered = [ts for piece in plan_read(segments, span) for ts in sorted(ticks(piece.span))]
    assert answered == [ts for ts in sorted(ticks(span)) if any(s.min_ts <= ts <= s.max_ts for s in segments)]


@given(segment_lists(), asked)
@example([segment(n + 1, 3 * n, 3 * n + 3) for n in range(MOST_SLICES)], Span(0, 30))
def test_each_slice_is_answered_by_exactly_the_segments_that_reach_it(segments, span):
    """Segments that hang together are merged as one where they would make too many slices, and only there."""
    for piece in plan_read(segments, span):
        assert set(piece.segments) == {s for s in segments if s.span.overlaps(piece.span)}
        assert stretches(piece) == 1 or stretches(piece) > MOST_SLICES


@given(segment_lists(), asked)
def test_the_newest_content_stands_last(segments, span):
    for piece in plan_read(segments, span):
        seqs = [s.seq for s in piece.segments]
        assert seqs == sorted(seqs)


@given(segment_lists(), asked)
def test_the_order_of_the_segments_does_not_matter(segments, span):
    assert plan_read(reversed(segments), span) == plan_read(segments, span)


@given(segment_lists(), asked)
def test_a_slice_is_whole_if_its_only_segment_has_no_row_outside(segments, span):
    for piece in plan_read(segments, span):
        only = piece.segments[0]
        inside = set(range(only.min_ts, only.max_ts + 1)) <= ticks(piece.span)
        assert piece.is_whole == (len(piece.segments) == 1 and inside)


@given(segment_lists(), asked)
def test_reading_by_the_plan_is_newest_wins(segments, span):
    newest = {}
    for piece in plan_read(segments, span):
        for ts in sorted(ticks(piece.span)):
            for held in piece.segments:
                if held.min_ts <= ts <= held.max_ts:
                    newest[ts] = held.seq
    expected = {ts: [s.seq for s in segments if s.min_ts <= ts <= s.max_ts] for ts in ticks(span)}
    assert newest == {ts: max(seqs) for ts, seqs in expected.items() if seqs}


def test_segments_apart_are_one_slice_each():
    early, late = segment(2, 0, 9), segment(1, 10, 19)
    assert plan_read([late, early], Span(0, 20)) == [Slice(Span(0, 10), (early,)), Slice(Span(10, 20), (late,))]


def test_a_single_instant_in_common_is_merged():
    early, late = segment(1, 0, 10), segment(2, 10, 19)
    assert [len(piece.segments) for piece in plan_read([early, late], Span(0, 20))] == [1, 2, 1]
    assert plan_read([early, late], Span(0, 20))[1].span == Span(10, 11)


@pytest.mark.parametrize("span", [Span(-10, 0), Span(10, 20)])
def test_nothing_is_read_where_nothing_lies(span):
    assert plan_read([segment(1, 0, 9)], span) == []


def test_no_segments_give_no_slices():
    assert plan_read([], Span(0, 10)) == []


def test_many_segments_that_hang_together_are_one_slice():
    """Each slice would open the large file anew."""
    large = segment(1, 0, 1_000)
    corrections = [segment(2 + n, 100 * n, 100 * n) for n in range(MOST_SLICES)]
    (piece,) = plan_read([large, *corrections], Span(0, 1_001))
    assert piece.segments == (large, *corrections)


@given(segment_lists(), asked, st.integers(1, 5))
def test_what_is_cut_tiles_the_slice_and_keeps_its_segments_in_order(segments, span, rows):
    for piece in plan_read(segments, span):
        parts = list(cut(piece, rows))
        assert parts[0].span.start == piece.span.start
        assert parts[-1].span.end == piece.span.end
        assert all(a.span.end == b.span.start for a, b in itertools.pairwise(parts))
        for part in parts:
            assert [s for s in piece.segments if s.span.overlaps(part.span)] == list(part.segments)


def test_a_slice_is_cut_between_blocks():
    blocks = [Block(n * 10, 10, 0, 100, n * 100, n * 100 + 99) for n in range(5)] + [Block(50, 5, 0, 0, 0, 0)]
    whole = replace(segment(1, 0, 499), rows=500, packed=pack_blocks(blocks))
    (piece,) = plan_read([whole], Span(0, 500))
    assert [part.span for part in cut(piece, 200)] == [Span(0, 200), Span(200, 400), Span(400, 500)]


def test_blocks_that_share_an_instant_are_cut_when_they_are_many():
    """A second in which a million trades fall must not hold everything together."""
    blocks = [Block(n * 10, 10, 0, 100, n, n + 1) for n in range(9)] + [Block(90, 5, 0, 0, 0, 0)]
    whole = replace(segment(1, 0, 9), rows=900, packed=pack_blocks(blocks))
    (piece,) = plan_read([whole], Span(0, 10))
    assert len(list(cut(piece, 100))) > 2
