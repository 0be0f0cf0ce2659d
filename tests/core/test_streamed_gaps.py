"""Holes found piece by piece are those that are found among all rows at once."""

from itertools import pairwise

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.coverage import COMPLETE, Coverage, Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.gaps import bar_holes, gaps_of
from ticklake.core.span import Span, normalise, outside, subtract
from ticklake.core.time import DAY, HOUR, MINUTE, parse_time

T = parse_time("2024-01-03")
FRAMES = {"1h": HOUR, "1d": DAY, "3d": 3 * DAY, "1w": 7 * DAY, "1M": 31 * DAY}
MANY = 40


def whole_frame_holes(dataset, want, times, coverage, closed):
    """Hold every bar of the calendar against all rows: the rule that needs the memory of both."""
    frame, anchor = dataset.timeframe, dataset.anchor
    last = frame.floor(want.end, anchor)
    if last <= want.start:
        return []
    absent = []
    for ts in frame.opens(Span(want.start, last), anchor).to_list():
        bar = Span(ts, frame.next(ts, anchor))
        if ts not in times and not any(shut.start <= bar.start and bar.end <= shut.end for shut in closed):
            absent.append(bar)
    complete = coverage.spans(*COMPLETE)
    return [rest for hole in normalise(absent) for rest in subtract(hole, complete)]


def spans_of(cuts, scale):
    """Return sorted, disjoint spans between every other of some places."""
    places = sorted(cuts)
    return [Span(T + a * scale // 4, T + b * scale // 4) for a, b in zip(places[::2], places[1::2], strict=False)]


places = st.integers(0, 4 * MANY)
frames = st.sampled_from(sorted(FRAMES))


@st.composite
def worlds(draw):
    text = draw(frames)
    dataset, scale = Dataset.parse(f"kraken:ohlcv:{text}:BTC/USD"), FRAMES[text]
    first, last = sorted(draw(st.lists(places, min_size=2, max_size=2, unique=True)))
    want = Span(T + first * scale // 4, T + last * scale // 4)
    opens = dataset.timeframe.opens(want, dataset.anchor).to_list()
    present = [ts for ts in opens if draw(st.booleans())]
    off_grid = draw(st.lists(st.integers(want.start, want.end - 1), max_size=3))
    times = sorted({*present, *off_grid})
    cuts = sorted(draw(st.lists(st.integers(0, len(times)), max_size=4)))
    bounds = [0, *cuts, len(times)]
    pieces = [pl.Series("ts", times[a:b], dtype=pl.Int64) for a, b in pairwise(bounds)]
    looks = [
        Covered(span, draw(st.sampled_from(list(Found))), "because")
        for span in spans_of(draw(st.sets(places, max_size=8)), scale)
    ]
    closed = spans_of(draw(st.sets(places, max_size=8)), scale)
    return dataset, want, times, pieces, Coverage.of(looks), closed


@given(worlds())
def test_holes_do_not_depend_on_how_the_rows_come(world):
    dataset, want, times, pieces, coverage, closed = world
    expected = whole_frame_holes(dataset, want, set(times), coverage, closed)
    assert bar_holes(dataset, want, pieces, coverage, closed) == expected


@given(worlds(), st.lists(places, max_size=6))
def test_reasons_do_not_depend_on_how_the_rows_come(world, refused):
    dataset, want, times, pieces, coverage, closed = world
    invalid = [T + place * FRAMES[str(dataset.timeframe)] // 4 + MINUTE for place in refused]
    whole = gaps_of(
        dataset, want, coverage, [pl.Series(times, dtype=pl.Int64)], [pl.Series(invalid, dtype=pl.Int64)], closed
    )
    one_by_one = [pl.Series([ts], dtype=pl.Int64) for ts in reversed(invalid)]
    assert gaps_of(dataset, want, coverage, pieces, one_by_one, closed) == whole
    assert whole == sorted(whole, key=lambda gap: gap.span)


@given(st.sets(places, max_size=20), st.sets(places, max_size=20))
def test_many_spans_are_held_against_many(some, others):
    spans, covered = spans_of(some, HOUR), spans_of(others, HOUR)
    expected = [rest for span in spans for rest in subtract(span, iter(covered))]
    assert list(outside(spans, covered)) == expected
    assert [rest for span in spans for rest in subtract(span, covered)] == expected


@given(st.sets(places, max_size=20), st.integers(0, 4 * MANY), st.integers(1, 40))
def test_coverage_inside_a_span_is_what_a_look_at_every_piece_finds(cuts, start, length):
    coverage = Coverage.of([Covered(span) for span in spans_of(cuts, HOUR)])
    want = Span(T + start * HOUR // 4, T + (start + length) * HOUR // 4)
    met = [cut for piece in coverage.pieces if (cut := piece.span.intersect(want))]
    assert [piece.span for piece in coverage.within(want).pieces] == met
    assert list(coverage.missing(want)) == list(subtract(want, iter(met)))
