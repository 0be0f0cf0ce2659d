"""Durations: lengths of time that a caller passes."""

from __future__ import annotations

import datetime as dt
import re

from ticklake.core.schedules import format_every, parse_every
from ticklake.core.time import HOUR, MS, SECOND, US
from ticklake.errors import BadInput

__all__ = ["DurationLike", "format_offset", "parse_duration", "parse_length", "parse_offset"]

DurationLike = str | int | dt.timedelta

_SMALLEST = HOUR
"""An integer below it was meant in hours, days, seconds or milliseconds: 30 days are 2,592,000,000 ms."""
_SHORT = re.compile(r"(\d{1,18})\s*(ns|us|ms)")
_SHORT_UNITS = {"ns": 1, "us": US, "ms": MS}
_NONE = ("0", "0s", "0m", "0h", "0d", "0w")


def parse_duration(value: DurationLike) -> int:
    """Read a length of time as nanoseconds.

    Parameters
    ----------
    value
        Text like ``"7d"``, ``"24h"`` or ``"90s"``, a timedelta, 0, or an integer of nanoseconds of at least an hour.

    Raises
    ------
    BadInput
        If it is negative or cannot be read, or if an integer is so small that it was meant in another unit.
    """
    if isinstance(value, str):
        if value.strip() in _NONE:
            return 0
        return parse_every(value)
    if isinstance(value, dt.timedelta):
        return _not_negative(_nanoseconds(value), value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _from_int(value)
    raise BadInput(f"{value!r} is not a length of time: write it like '7d' or '24h', or pass a timedelta")


def parse_length(value: DurationLike) -> int:
    """Read a length of time like :func:`parse_duration`, also one in ``ms``, ``us`` or ``ns``, as markets need it.

    >>> parse_length("250ms")
    250000000

    Raises
    ------
    BadInput
        As :func:`parse_duration` does.
    """
    if isinstance(value, str):
        short = _SHORT.fullmatch(value.strip())
        if short:
            return int(short[1]) * _SHORT_UNITS[short[2]]
    return parse_duration(value)


def parse_offset(value: DurationLike) -> int:
    """Read a length of time like :func:`parse_length`; one that begins with ``-`` lies before.

    >>> parse_offset("-5s")
    -5000000000

    Raises
    ------
    BadInput
        As :func:`parse_duration` does.
    """
    if isinstance(value, str) and value.strip()[:1] in ("-", "+"):
        length = parse_length(value.strip()[1:])
        if value.strip().startswith("-"):
            return -length
        return length
    if isinstance(value, dt.timedelta) and value < dt.timedelta():
        return -parse_length(-value)
    if isinstance(value, int) and not isinstance(value, bool) and value < 0:
        return -parse_length(-value)
    return parse_length(value)


def format_offset(ns: int) -> str:
    """Write an offset the short way, as :func:`parse_offset` reads it.

    >>> format_offset(-1_500_000_000)
    '-1500ms'
    """
    if ns < 0:
        return f"-{format_offset(-ns)}"
    if ns == 0:
        return "0s"
    if ns % SECOND == 0:
        return format_every(ns)
    unit = next(unit for unit in reversed(_SHORT_UNITS) if ns % _SHORT_UNITS[unit] == 0)
    return f"{ns // _SHORT_UNITS[unit]}{unit}"


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
