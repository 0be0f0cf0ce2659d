"""The clock is set back or ahead: versions by time stay sensible, and nothing is hidden."""

import pytest
from damage_lakes import BARS, MINUTE, full, lake_in, minutes_of

from ticklake.testing.rows import bars

HOUR = 60 * MINUTE
DAY = 24 * HOUR


@pytest.fixture
def jumped(root, clock):
    """A lake to which was saved now, then an hour earlier, then two hours earlier, then later than ever."""
    with lake_in(root, clock) as lake:
        for number, ahead in enumerate((0, -HOUR, -2 * HOUR, HOUR)):
            clock.ahead = ahead
            lake.save(BARS, bars(number, number + 1))
        yield lake


def test_a_batch_saved_after_the_clock_went_back_is_seen_at_once(jumped):
    assert minutes_of(jumped.load(BARS)) == [0, 1, 2, 3]


def test_a_later_time_never_shows_less(jumped, clock):
    times = [clock() + step * HOUR // 4 for step in range(-16, 8)]
    heights = [jumped.at(when).load(BARS).height for when in times]
    assert heights == sorted(heights)
    assert heights[-1] == 4


def test_now_shows_what_was_saved_just_now_although_older_commits_claim_to_be_younger(root, clock):
    with lake_in(root, clock) as lake:
        lake.save(BARS, bars(0, 1))
        clock.ahead = -DAY
        lake.save(BARS, bars(1, 2))
        assert minutes_of(lake.at(clock()).load(BARS)) == [0, 1]


def test_versions_go_on_counting(jumped, clock):
    clock.ahead = -30 * DAY
    before = jumped.save(BARS, []).version
    assert jumped.save(BARS, bars(9, 10)).version == before + 1


def test_vacuum_keeps_what_is_live_whatever_the_clock_says(jumped, clock):
    jumped.compact()
    for ahead in (-400 * DAY, 400 * DAY, 0):
        clock.ahead = ahead
        jumped.vacuum(0)
        assert jumped.load(BARS).equals(full(bars(0, 4)))
        assert jumped.verify(deep=True) == []


def test_vacuum_with_a_clock_set_back_removes_nothing_early(root, clock):
    with lake_in(root, clock) as lake:
        version = lake.save(BARS, bars(0, 5)).version
        lake.save(BARS, bars(5, 9))
        clock.ahead = -30 * DAY
        lake.compact()
        lake.vacuum(keep=DAY)
        assert lake.at(version).load(BARS).equals(full(bars(0, 5)))


def test_rows_that_are_in_the_future_now_are_told_not_dropped(root, clock):
    with lake_in(root, clock) as lake:
        clock.ahead = -10 * 366 * DAY
        receipt = lake.save(BARS, bars(0, 3))
        assert (receipt.new, receipt.quarantined) == (0, 3)
        assert {row["reason"] for row in lake.quarantine(BARS)} == {"time_in_future"}


def test_rows_refused_while_the_clock_was_wrong_can_be_saved_afterwards(root, clock):
    with lake_in(root, clock) as lake:
        clock.ahead = -10 * 366 * DAY
        lake.save(BARS, bars(0, 3))
        clock.ahead = 0
        assert lake.save(BARS, bars(0, 3)).new == 3
