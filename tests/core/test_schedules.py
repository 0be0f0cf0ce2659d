"""Lengths of time and weekdays of cron, as people write them."""

import pytest

from ticklake.core.schedules import Rhythm, format_every, parse_every, weekdays
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND
from ticklake.errors import BadInput


@pytest.mark.parametrize(
    ("text", "length"), [("90s", 90 * SECOND), ("15m", 15 * MINUTE), ("1h", HOUR), ("1d", DAY), ("2w", 14 * DAY)]
)
def test_lengths_are_read_and_written(text, length):
    assert parse_every(text) == length
    assert format_every(length) == text


@pytest.mark.parametrize("text", ["", "m", "0m", "-1h", "1.5h", "1y", "15 minutes"])
def test_what_is_no_length_is_refused(text):
    with pytest.raises(BadInput, match="write it like"):
        parse_every(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("*", "*"),
        ("0", "sun"),
        ("7", "sun"),
        ("1-5", "mon,tue,wed,thu,fri"),
        ("5-7", "sun,fri,sat"),
        ("MON-wed,sat", "mon,tue,wed,sat"),
        ("1-5/2", "mon,wed,fri"),
        ("*/3", "sun,wed,sat"),
    ],
)
def test_weekdays_in_numbers_begin_with_sunday(text, names):
    """APScheduler 3 counts from Monday: '1-5' would be Tuesday to Saturday."""
    assert weekdays(text) == names


@pytest.mark.parametrize("text", ["8", "fri-mon", "5-1", "1/0", "funday", "1-", "", ","])
def test_what_is_no_weekday_is_refused(text):
    with pytest.raises(BadInput, match="write"):
        weekdays(text)


def test_a_rhythm_says_when():
    assert str(Rhythm(every=15 * MINUTE)) == "every 15m"
    assert str(Rhythm("5 * * * *", zone="Asia/Tokyo")) == "5 * * * * Asia/Tokyo"
