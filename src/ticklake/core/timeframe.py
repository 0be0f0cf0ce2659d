"""Timeframes: how long a bar lasts, and where on the calendar bars open."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND
from ticklake.errors import UnknownTimeframe

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MONDAY", "THURSDAY", "Timeframe", "normal_timeframe"]

_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_LARGER = {"s": (60, "m"), "m": (60, "h"), "h": (24, "d")}
_TEXT = re.compile(r"([1-9]\d{0,3})([smhdwM])")

_LAST = 2**63 - 1
_MOST_YEARS = 300
"""64 bits of nanoseconds reach 292 years before and after 1970."""
MONDAY = 4 * DAY
"""The first Monday after the epoch, 1970-01-05: where most exchanges anchor their weeks."""
THURSDAY = 0
"""The epoch itself was a Thursday: where exchanges anchor weeks that count in multiples of seven days."""


@dataclass(frozen=True, slots=True)
class Timeframe:
    """The length of a bar, in CCXT's spelling: ``1s 1m 5m 1h 1d 1w 1M``.

    Bars of up to a day open at multiples of their length since the epoch. Weeks, and bars of several days,
    count from *anchor*: Monday and the epoch unless the exchange says otherwise. Months open on their first day.

    One length has one spelling, the shortest one that CCXT uses: ``60m`` is ``1h`` and ``24h`` is ``1d``. Days never become weeks,
    nor months years: they count from elsewhere.

    Raises
    ------
    UnknownTimeframe
        If it is none.
    """

    count: int
    unit: str

    def __post_init__(self) -> None:
        if not _TEXT.fullmatch(str(self)):
            raise UnknownTimeframe(f"{str(self)!r} is not a timeframe: write it like 1m, 5m, 1h, 1d, 1w or 1M")
        # One spelling each, so that a dataset of 60m is the dataset of 1h.
        while self.unit in _LARGER and self.count % _LARGER[self.unit][0] == 0:
            times, unit = _LARGER[self.unit]
            object.__setattr__(self, "count", self.count // times)
            object.__setattr__(self, "unit", unit)

    @classmethod
    def parse(cls, text: str | Timeframe) -> Timeframe:
        """Read ``5m``, ``1d``, ``1M`` and so on."""
        if isinstance(text, Timeframe):
            return text
        if isinstance(text, str):
            match = _TEXT.fullmatch(text)
            if match:
                return cls(int(match[1]), match[2])
        raise UnknownTimeframe(f"{text!r} is not a timeframe: write it like 1m, 5m, 1h, 1d, 1w or 1M")

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"

    @property
    def is_month(self) -> bool:
        """Whether bars differ in length because months do."""
        return self.unit == "M"

    @property
    def length(self) -> int:
        """Length in nanoseconds; for months the longest possible one."""
        if self.is_month:
            return self.count * 31 * DAY
        return self.count * _UNITS[self.unit]

    def offset(self, anchor: int | None = None) -> int:
        """Return by how much open times are shifted from multiples of the length since the epoch."""
        if self.unit == "w":
            if anchor is None:
                return MONDAY
            return anchor

        if self.unit == "d" and self.count > 1:
            return anchor or 0
        return 0

    def floor(self, ts: int, anchor: int | None = None) -> int:
        """Return the open time of the bar that contains *ts*."""
        if self.is_month:
            return _month_start(_month_index(ts) // self.count * self.count)
        offset = self.offset(anchor)
        return (ts - offset) // self.length * self.length + offset

    def next(self, ts: int, anchor: int | None = None) -> int:
        """Return the open time of the bar after the one that contains *ts*: that bar's close."""
        if self.is_month:
            return _month_start((_month_index(ts) // self.count + 1) * self.count)
        return self.floor(ts, anchor) + self.length

    def is_over(self, bar: int, at: int, anchor: int | None = None) -> bool:
        """Whether the bar that holds *bar* is over at *at*."""
        return self.next(bar, anchor) <= at

    def unfinished_from(
        self, now: int, anchor: int | None = None, *, last: int | None = None, written: int | None = None
    ) -> int:
        """Return the first bar that is not over: of *now*, or *last* if it was *written* down before it was over.

        This is the only definition: what is fetched, read from files and brought in from other lakes ends there.
        """
        if last is not None and written is not None and last <= written and not self.is_over(last, written, anchor):
            return last
        return self.floor(now, anchor)

    def ceil(self, ts: int, anchor: int | None = None) -> int:
        """Return the first open time that is not before *ts*."""
        floor = self.floor(ts, anchor)
        if floor == ts:
            return ts
        return self.next(ts, anchor)

    def inner(self, span: Span, anchor: int | None = None) -> Span | None:
        """Return the span of whole bars that open inside *span*, or ``None``."""
        start, end = self.ceil(span.start, anchor), self.ceil(span.end, anchor)
        if start == end:
            return None
        return Span(start, end)

    def whole_bars(self, spans: Iterable[Span], anchor: int | None = None) -> list[Span]:
        """Return the spans of the bars that lie wholly in one of *spans*, in order."""
        whole: list[Span] = []
        for span in spans:
            start, end = self.ceil(span.start, anchor), self.floor(span.end, anchor)
            if start < end:
                whole.append(Span(start, end))
        return whole

    def count_in(self, span: Span, anchor: int | None = None) -> int:
        """Return how many bars open inside *span*."""
        if self.is_month:
            return len(list(self._months(span)))
        start, end = self.ceil(span.start, anchor), min(self.ceil(span.end, anchor), _LAST)
        return max(-((start - end) // self.length), 0)

    def opens(self, span: Span, anchor: int | None = None) -> pl.Series:
        """Return the open times inside *span* as an ``Int64`` series named ``ts``."""
        # On use: timeframes are parsed by commands that need no rows.
        import polars as pl

        if self.is_month:
            return pl.Series("ts", list(self._months(span)), dtype=pl.Int64)
        start, end = self.ceil(span.start, anchor), min(self.ceil(span.end, anchor), _LAST)
        return pl.int_range(start, end, self.length, dtype=pl.Int64, eager=True).alias("ts")

    def advance(self, ts: int, bars: int, anchor: int | None = None) -> int:
        """Return the open time *bars* bars after the one that contains *ts* (before it, if negative).

        Beyond the times that 64 bits can hold it is the last of them (or the first).
        """
        if self.is_month:
            return _month_start((_month_index(ts) // self.count + bars) * self.count)
        return min(max(self.floor(ts, anchor) + bars * self.length, -_LAST), _LAST)

    def _months(self, span: Span) -> Iterator[int]:
        ts = self.ceil(span.start)
        while ts < min(span.end, _LAST):
            yield ts
            ts = self.next(ts)


def normal_timeframe(text: str | None) -> str | None:
    """Return a timeframe in the one spelling that names of datasets have, ``1h`` for ``60m``; ``None`` if there is none."""
    if text is None:
        return None
    return str(Timeframe.parse(text))


def _month_index(ts: int) -> int:
    moment = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=ts // SECOND)
    return (moment.year - 1970) * 12 + moment.month - 1


def _month_start(index: int) -> int:
    year, month = divmod(index, 12)
    if year > _MOST_YEARS:
        return _LAST
    if year < -_MOST_YEARS:
        return -_LAST
    start = (dt.date(1970 + year, month + 1, 1) - dt.date(1970, 1, 1)).days * DAY
    return min(max(start, -_LAST), _LAST)
