from __future__ import annotations

from ticklake.core.live_coverage import Advance, StreamCoverage
from ticklake.core.time import HOUR, MINUTE, SECOND

NOW = 1_000 * HOUR


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
