from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.live_coverage import StreamCoverage
from ticklake.core.span import Span


def followed(newest: int | None = None) -> StreamCoverage:
    """Return a stream that goes on after what another collector has stored."""
    stream = StreamCoverage()
    if newest is not None:
        stream.resume(newest, "nobody collected")
    stream.subscribed()
    return stream


def test_a_gap_before_what_the_lake_has_does_not_cover_the_time_up_to_there():
    stream = followed(newest=100)
    stream.row(10, 10, 10)
    stream.gap(Span(10, 30), "numbers are missing")
    stream.row(30, 30, 30)
    assert stream.take_covered() == []
    assert [hole.span for hole in stream.take_holes()] == [Span(10, 30)]


def test_a_gap_that_is_the_first_news_does_not_cover_the_time_up_to_what_the_lake_has():
    stream = followed(newest=100)
    stream.row(10, 10, 10)
    stream.interrupted("the connection was lost")
    stream.gap(Span(10, 30), "numbers are missing")
    stream.subscribed()
    stream.row(30, 30, 30)
    stream.interrupted("the connection was lost")
    assert stream.take_covered() == []


def test_rows_after_what_the_lake_has_are_covered_again():
    stream = followed(newest=100)
    stream.row(90, 90, 90)
    stream.gap(Span(90, 120), "numbers are missing")
    stream.row(120, 120, 120)
    stream.row(150, 150, 150)
    assert stream.take_covered() == [Span(120, 150)]


def test_a_gap_that_is_noticed_late_leaves_what_came_after_it():
    stream = followed()
    for ts in (10, 20, 60):
        stream.row(ts, ts, ts)
    stream.gap(Span(20, 30), "numbers are missing")
    assert stream.take_covered() == [Span(10, 20), Span(30, 60)]


@given(
    newest=st.none() | st.integers(0, 200),
    first=st.integers(0, 15),
    fates=st.lists(st.sampled_from(["come", "come", "come", "drop", "break", "commit"]), max_size=20),
)
def test_no_row_that_did_not_come_is_covered(newest, first, fates):
    """A row every ten, numbered; another collector may be ahead of this one."""
    stream, covered, missing = followed(newest), [], []
    before: int | None = None
    for ts in range(first * 10, (first + len(fates)) * 10, 10):
        fate = fates[ts // 10 - first]
        if fate == "drop":
            missing.append(ts)
            continue
        if fate == "break":
            stream.interrupted("the connection was lost")
            stream.subscribed()
        if before is not None and before < ts - 10:
            stream.gap(Span(before, ts), "numbers are missing")
        stream.row(ts, ts, ts)
        before = ts
        if fate == "commit":
            covered += stream.take_covered()
    stream.stopped()
    covered += stream.take_covered()
    newest_row = -1 if before is None else before
    assert [span for span in covered if span.end > newest_row] == []
    assert [ts for ts in missing if any(ts in span for span in covered)] == []
