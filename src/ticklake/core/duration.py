"""Durations: lengths of time that a caller passes."""

from __future__ import annotations

import datetime as dt
import re

from ticklake.core.schedules import parse_every
from ticklake.core.time import HOUR, MS, US
from ticklake.errors import BadInput

__all__ = ["DurationLike", "parse_duration"]

DurationLike = str | int | dt.timedelta

_SMALLEST = HOUR
"""An integer below it was meant in hours, days, seconds or milliseconds: 30 days are 2,592,000,000 ms."""
_MILLISECONDS = re.compile(r"(\d+)ms")
_NONE = ("0", "0s", "0m", "0h", "0d", "0w")


def parse_duration(value: DurationLike) -> int:
    """Read a length of time as nanoseconds.

    Parameters
    ----------
    value
        Text like ``"7d"``, ``"24h"``, ``"90s"`` or ``"250ms"``, a timedelta, 0, or an integer of nanoseconds of at least an hour.

    Raises
    ------
    BadInput
        If it is negative or cannot be read, or if an integer is so small that it was meant in another unit.
    """
    if isinstance(value, str):
        if value.strip() in _NONE:
            return 0
        milliseconds = _MILLISECONDS.fullmatch(value.strip())
        if milliseconds is not None:
            return int(milliseconds[1]) * MS
        return parse_every(value)
    if isinstance(value, dt.timedelta):
        return _not_negative(_nanoseconds(value), value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _from_int(value)
    raise BadInput(f"{value!r} is not a length of time: write it like '7d' or '24h', or pass a timedelta")


def _from_int(value: int) -> int:
    if 0 < abs(value) < _SMALLEST:
        raise BadInput(
            f"{value} has no unit, and as nanoseconds it is next to nothing: write '{abs(value)}d' or '{abs(value)}h', "
            "or pass a timedelta"
        )
    return _not_negative(value, value)


def _nanoseconds(value: dt.timedelta) -> int:
    # A pandas Timedelta is a timedelta with nanoseconds of its own.
    return value // dt.timedelta(microseconds=1) * US + int(getattr(value, "nanoseconds", 0))


def _not_negative(length: int, value: object) -> int:
    if length < 0:
        raise BadInput(f"{value!r} is negative: a length of time is not; write it like '7d' or '24h'")
    return length
