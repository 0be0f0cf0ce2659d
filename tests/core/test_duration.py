"""Lengths of time as users write them."""

from __future__ import annotations

import datetime as dt

import pytest

from ticklake.core.duration import format_offset, parse_length, parse_offset
from ticklake.core.time import HOUR, MINUTE, MS, SECOND, US
from ticklake.errors import BadInput


@pytest.mark.parametrize(
    ("text", "length"),
    [("250ms", 250 * MS), ("10us", 10 * US), ("7ns", 7), (" 5 ms ", 5 * MS), ("5m", 5 * MINUTE), ("0s", 0), (0, 0)],
)
def test_lengths_of_less_than_a_second(text, length):
    assert parse_length(text) == length


@pytest.mark.parametrize(
    ("value", "offset"),
    [
        ("-5s", -5 * SECOND),
        ("+250ms", 250 * MS),
        ("- 1m", -MINUTE),
        (dt.timedelta(seconds=-2), -2 * SECOND),
        (-HOUR, -HOUR),
    ],
)
def test_an_offset_may_lie_before(value, offset):
    assert parse_offset(value) == offset


@pytest.mark.parametrize("value", ["--5s", "-", "5", "ms", "1.5s", "-5", -5, True, None, "9" * 40 + "ms"])
def test_what_is_no_offset_is_refused(value):
    with pytest.raises(BadInput):
        parse_offset(value)


@pytest.mark.parametrize("text", ["0s", "-5s", "250ms", "-10us", "7ns", "5m", "2h", "1500ms"])
def test_an_offset_is_written_as_it_is_read(text):
    assert format_offset(parse_offset(text)) == text
