"""The exact time of a trade: ccxt cuts it to milliseconds, the exchange's own row often tells more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ticklake.core.time import MS, SECOND, US, decimal_to_ns, parse_time
from ticklake.errors import InvalidTime

__all__ = ["BEFORE_ALL", "LAST", "event_time", "exact_time", "to_ns"]

NOT_A_TIME = re.compile(r"id$|seq|price|amount|size|qty|quantity|volume|order|cost|fee", re.IGNORECASE)
"""Fields of a trade that hold no time of it, though their digits may look like one."""

_DECIMAL = re.compile(r"(\d{9,19})(?:\.\d+)?")
_UNITS = ((11, SECOND), (14, MS), (17, US))
"""A time of today with fewer digits before the point than this is in this unit; one with more is in nanoseconds."""
BEFORE_ALL = parse_time("2009-01-03")
"""No crypto market is older than the first block."""
LAST = 2**63 - 1
"""The last nanosecond that 64 bits hold; the first one is as far before 1970."""


def to_ns(ms: Any) -> int | None:
    """Return a time of ccxt's, in milliseconds, as nanoseconds; ``None`` if there is none or 64 bits do not hold it."""
    if not isinstance(ms, int | float) or not -LAST <= ms * MS <= LAST:
        return None
    return int(ms) * MS


def exact_time(trade: dict[str, Any]) -> int | None:
    """Return the time of one of ccxt's trades in nanoseconds, with all the digits that the exchange sent.

    That is the field of the raw row that says the same millisecond as ccxt and more. Numbers are read by their decimal
    text: floats are off by up to 100 ns.
    """
    ts = event_time(trade)
    if ts is None:
        return None
    for raw_time in _times(trade.get("info")):
        # ccxt rounds, or multiplies floats and cuts, so that its millisecond may be the next or the one before.
        is_same = -MS < raw_time - ts < 2 * MS
        is_finer = raw_time % MS != 0
        if is_same and is_finer:
            return raw_time
    return ts


def event_time(row: dict[str, Any]) -> int | None:
    """Return the time of one of ccxt's structures in nanoseconds.

    A time before the first block shows that ccxt read it in the wrong unit (Bitstamp's funding rates come out in January
    1970). Then the only time in the raw row counts, if there is just one.
    """
    ts = to_ns(row.get("timestamp"))
    if ts is None or ts >= BEFORE_ALL:
        return ts
    plausible = {raw_time for raw_time in _times(row.get("info")) if raw_time >= BEFORE_ALL}
    if len(plausible) == 1:
        return plausible.pop()
    return ts


def _times(info: Any) -> Iterator[int]:
    """Yield the fields of a raw row that can be read as times, in nanoseconds."""
    for value in _candidates(info):
        raw_time = _read(value)
        if raw_time is not None:
            yield raw_time


def _candidates(info: Any) -> Iterator[Any]:
    """Yield the fields of a raw row, but for those whose name says that they are no times."""
    if isinstance(info, list):
        yield from info
    elif isinstance(info, dict):
        for name, value in info.items():
            if not NOT_A_TIME.search(str(name)):
                yield value


def _read(value: Any) -> int | None:
    text = str(value)
    decimal = _DECIMAL.fullmatch(text)
    if decimal:
        return decimal_to_ns(text, _unit(len(decimal[1])))
    if not isinstance(value, str) or text[4:5] != "-":
        return None
    try:
        return parse_time(value)
    except InvalidTime:
        return None


def _unit(digits: int) -> int:
    for too_many, unit in _UNITS:
        if digits < too_many:
            return unit
    return 1
