"""Lengths of time, as people write them."""

import pytest

from ticklake.core.schedules import Rhythm, format_every, parse_every
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


def test_a_rhythm_says_when():
    assert str(Rhythm(every=15 * MINUTE)) == "every 15m"
    assert str(Rhythm("5 * * * *", zone="Asia/Tokyo")) == "5 * * * * Asia/Tokyo"
