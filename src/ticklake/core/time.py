"""Times: integers, nanoseconds since 1970-01-01T00:00:00Z."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from ticklake.errors import InvalidTime

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = [
    "DAY",
    "HOUR",
    "MINUTE",
    "MS",
    "SECOND",
    "US",
    "TimeLike",
    "decimal_to_ns",
    "format_time",
    "parse_time",
    "parse_zone",
]

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

FIRST_PLAUSIBLE = 365 * DAY
"""An integer time inside 1970 is taken for one in seconds, milliseconds or microseconds."""

TimeLike = int | str | dt.datetime | dt.date

_ISO = re.compile(
    r"(?P<y>\d{4})(?:-(?P<mo>\d\d)(?:-(?P<d>\d\d)"
    r"(?:[T ](?P<h>\d\d)(?::(?P<mi>\d\d)(?::(?P<s>\d\d)(?:[.,](?P<f>\d{1,9}))?)?)?)?)?)?"
    r"\s*(?P<z>Z|z|UTC|[+-]\d\d:?\d\d)?"
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LAST = 2**63 - 1


def parse_time(value: TimeLike) -> int:
    """Read a time as nanoseconds UTC.

    Parameters
    ----------
    value
        ISO 8601 text (``2024``, ``2024-01``, ``2024-01-31``, ``2024-01-31T12:00:00.123456789+02:00``),
        a date (its midnight), a datetime, or an integer of nanoseconds. A naive time means UTC.

    Raises
    ------
    InvalidTime
        If it cannot be read, or if an integer lies in 1970: then it was meant in another unit.
    """
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, dt.datetime):
        return _inside(_from_datetime(value), value)
    if isinstance(value, dt.date):
        return _inside((value - _EPOCH.date()).days * DAY, value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _from_int(value)
    raise InvalidTime(f"{value!r} is not a time: pass ISO 8601 text, a date, a datetime or int nanoseconds")


def parse_zone(name: str) -> ZoneInfo:
    """Return the time zone of a name like ``Europe/Berlin``.

    Raises
    ------
    InvalidTime
        If there is none of that name.
    """
    # On use: every command reads times, and few of them name a zone.
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError, AttributeError) as error:
        raise InvalidTime(f"{name!r} is not a time zone: write it like Europe/Berlin or UTC") from error


def format_time(ns: int) -> str:
    """Write nanoseconds as ISO 8601 in UTC, with no more decimals than needed.

    >>> format_time(1704067200_000000000)
    '2024-01-01T00:00:00Z'
    """
    seconds, fraction = divmod(ns, SECOND)
    text = (_EPOCH + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    if fraction:
        text += "." + f"{fraction:09d}".rstrip("0")
    return f"{text}Z"


def decimal_to_ns(text: str | int | float, unit: int = SECOND) -> int:
    """Convert a decimal count of *unit* to integer nanoseconds without passing through floats.

    A float is read by its shortest decimal text, which is the text the exchange sent.

    >>> decimal_to_ns("1688669448.2439244")
    1688669448243924400
    """
    try:
        # Through decimals: a float times 10**9 is off by up to 100 ns.
        return int(Decimal(str(text)) * unit)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise InvalidTime(f"{text!r} is not a number of time units") from error


def _from_int(value: int) -> int:
    if 0 <= value < FIRST_PLAUSIBLE:
        raise InvalidTime(f"{value} is in 1970: integers are nanoseconds since the epoch (seconds x 10**9)")
    return _inside(value, value)


def _inside(ns: int, value: object) -> int:
    if not -_LAST <= ns <= _LAST:
        raise InvalidTime(f"{value!r} is outside 1677..2262, the range of 64-bit nanoseconds")
    return ns


def _from_datetime(value: dt.datetime) -> int:
    # NaT of pandas is a datetime that is not even equal to itself.
    if value != value:
        raise InvalidTime(f"{value!r} is not a time")
    aware = value
    if value.tzinfo is None:
        aware = value.replace(tzinfo=dt.UTC)
    delta = aware - _EPOCH
    # A pandas Timestamp is a datetime with nanoseconds of its own.
    nanosecond = int(getattr(value, "nanosecond", 0))
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds * US + nanosecond


def _from_text(text: str) -> int:
    match = _ISO.fullmatch(text.strip())
    if not match:
        raise InvalidTime(f"{text!r} is not a time: write it like 2024-01-31 or 2024-01-31T12:00:00Z")
    part = match.groupdict()
    try:
        moment = dt.datetime(
            int(part["y"]),
            int(part["mo"] or 1),
            int(part["d"] or 1),
            int(part["h"] or 0),
            int(part["mi"] or 0),
            int(part["s"] or 0),
            tzinfo=_zone(part["z"]),
        )
    except ValueError as error:
        raise InvalidTime(f"{text!r} is not a time: {error}") from error
    return _inside(_from_datetime(moment) + int((part["f"] or "").ljust(9, "0")), text)


def _zone(text: str | None) -> dt.timezone:
    if text is None or text in {"Z", "z", "UTC"}:
        return dt.UTC
    if int(text[-2:]) > 59:
        raise ValueError(f"the offset {text} has more than 59 minutes")
    offset = dt.timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    if text[0] == "-":
        offset = -offset
    return dt.timezone(offset)
