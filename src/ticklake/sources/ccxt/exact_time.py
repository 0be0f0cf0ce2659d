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
_UNITS = ((11, SECOND), (14, MS), (17, US), (20, 1))
"""How many digits before the point a time of today has at most, in which unit."""
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
    # ccxt rounds, or multiplies floats and cuts, so that its millisecond may be the next or the one before.
    finer = (found for found in _times(trade.get("info")) if found % MS and -MS < found - ts < 2 * MS)
    return next(finer, ts)


def event_time(row: dict[str, Any]) -> int | None:
    """Return the time of one of ccxt's structures in nanoseconds.

    Where ccxt reads it in the wrong unit (Bitstamp's funding rates come out in January 1970), that is told by a time
    before the first block, and the one time in the raw row counts.
    """
    ts = to_ns(row.get("timestamp"))
    if ts is None or ts >= BEFORE_ALL:
        return ts
    plausible = {found for found in _times(row.get("info")) if found >= BEFORE_ALL}
    return plausible.pop() if len(plausible) == 1 else ts


def _times(info: Any) -> Iterator[int]:
    """Yield what the fields of a raw row say if they are read as times."""
    if isinstance(info, dict):
        values = [value for name, value in info.items() if not NOT_A_TIME.search(str(name))]
    else:
        values = info if isinstance(info, list) else []
    for value in values:
        found = _read(value)
        if found is not None:
            yield found


def _read(value: Any) -> int | None:
    text = str(value)
    decimal = _DECIMAL.fullmatch(text)
    if decimal:
        digits = len(decimal[1])
        return decimal_to_ns(text, next(unit for most, unit in _UNITS if digits < most))
    if not isinstance(value, str) or text[4:5] != "-":
        return None
    try:
        return parse_time(value)
    except InvalidTime:
        return None
