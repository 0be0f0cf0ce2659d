from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.live_coverage import Advance, StreamCoverage
from ticklake.core.span import Span
from ticklake.core.time import HOUR, MINUTE, SECOND

NOW = 1_000 * HOUR


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


def test_what_came_first_is_where_a_stream_begins_though_its_time_was_doubted():
    stream = followed()
    assert not stream.row(30 * SECOND, 30 * SECOND, 30 * SECOND, received_at=-MINUTE)
    # Sent before, but overtaken: what came between the two may be missing.
    stream.row(20 * SECOND, 20 * SECOND, 20 * SECOND, received_at=MINUTE)
    stream.row(40 * SECOND, 40 * SECOND, 40 * SECOND, received_at=MINUTE)
    assert stream.take_covered() == [Span(30 * SECOND, 40 * SECOND)]


def test_a_stream_does_not_begin_at_a_doubted_time_far_from_all_others():
    stream = followed()
    assert not stream.row(9 * MINUTE, 9 * MINUTE, 9 * MINUTE, received_at=0)
    stream.row(0, 0, 0, received_at=0)
    stream.row(5, 5, 5, received_at=0)
    assert stream.take_covered() == [Span(0, 5)]


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


def spans(coverage: StreamCoverage) -> list[tuple[int, int]]:
    return [(span.start, span.end) for span in coverage.take_covered()]


def follow(*times: tuple[int, int]) -> list[bool]:
    """Say of each time, in seconds after now, whether it is believed; each is received at the other."""
    advance = Advance()
    return [advance.follows(NOW + ts * SECOND, NOW + at * SECOND) for ts, at in times]


def stream(*times: tuple[int, int]) -> StreamCoverage:
    coverage = StreamCoverage()
    coverage.subscribed()
    for ts, at in times:
        row = NOW + ts * SECOND
        coverage.row(row, row, row, received_at=NOW + at * SECOND)
    return coverage


def test_a_single_row_far_ahead_covers_nothing():
    coverage = stream((0, 0), (1, 1), (9 * 3600, 2), (3, 3))
    assert spans(coverage) == [(NOW, NOW + 3 * SECOND)]
    coverage.interrupted("lost")
    assert coverage.newest == NOW + 3 * SECOND


def test_an_exchange_that_is_hours_ahead_is_believed_with_its_second_row():
    ahead = 5 * 3600
    coverage = stream((ahead, 0), (ahead + 1, 1), (ahead + 2, 2))
    assert spans(coverage) == [(NOW + 5 * HOUR + SECOND, NOW + 5 * HOUR + 2 * SECOND)]


def test_a_clock_that_is_set_back_doubts_one_row_at_most():
    assert follow((0, 0), (1, 1), (2, -7200), (3, -7199), (300, -7198), (301, -7197)) == [True] * 4 + [False, True]


def test_a_quiet_market_and_one_that_is_behind_are_believed():
    assert follow((0, 0), (7200, 7200), (7300, 9000), (9000, 9001)) == [True] * 4


def test_a_bar_is_not_ahead_while_it_grows():
    advance = Advance()
    for minute in range(0, 50, 5):
        assert advance.follows(NOW + minute * MINUTE, NOW + minute * MINUTE - SECOND, 5 * MINUTE)
