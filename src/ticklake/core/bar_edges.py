"""Edges: where time bars open and close, on a plain grid or anew with each day of sessions."""

from __future__ import annotations

from abc import ABC, abstractmethod

import polars as pl

from ticklake.core.sessions import SessionDay
from ticklake.core.span import Span
from ticklake.core.time import DAY, MINUTE
from ticklake.core.timeframe import Timeframe

__all__ = ["BarEdges", "GridEdges", "SessionEdges"]

_TS = "ts"


class BarEdges(ABC):
    """Where bars of a timeframe open. Times are nanoseconds, in series as ``Int64``."""

    @abstractmethod
    def floor(self, ts: int) -> int:
        """Return the open time of the bar that contains *ts*."""

    @abstractmethod
    def next(self, ts: int) -> int:
        """Return the open time of the bar after the one that contains *ts*."""

    @abstractmethod
    def open_times(self, ts: pl.Series) -> pl.Series:
        """Return the open time of the bar of each of sorted times."""

    @abstractmethod
    def close_times(self, opens: pl.Series) -> pl.Series:
        """Return when the bars that open at these sorted times close."""

    @abstractmethod
    def sub_bars(self) -> BarEdges | None:
        """Return the edges of minutes that the bars are made of, or ``None`` if they are not made of whole minutes or not longer."""

    def ceil(self, ts: int) -> int:
        """Return the first open time that is not before *ts*."""
        floor = self.floor(ts)
        if floor == ts:
            return ts
        return self.next(ts)

    def opening_in(self, span: Span) -> Span | None:
        """Return the span of the whole bars that open inside *span*; ``None`` if none does."""
        start, end = self.ceil(span.start), self.ceil(span.end)
        if start >= end:
            return None
        return Span(start, end)

    def inside(self, span: Span) -> Span | None:
        """Return the span of the bars that lie wholly in *span*; ``None`` if none does."""
        start, end = self.ceil(span.start), self.floor(span.end)
        if start >= end:
            return None
        return Span(start, end)

    def around(self, span: Span) -> Span:
        """Return the span of the bars that *span* touches."""
        return Span(self.floor(span.start), self.ceil(span.end))

    def opens(self, span: Span) -> pl.Series:
        """Return the open times inside *span*."""
        opens: list[int] = []
        ts = self.ceil(span.start)
        while ts < span.end:
            opens.append(ts)
            ts = self.next(ts)
        return pl.Series(_TS, opens, dtype=pl.Int64)


class GridEdges(BarEdges):
    """Bars at multiples of their length since *origin*, or since the *anchor* of the exchange for this timeframe; calendar months."""

    def __init__(self, timeframe: Timeframe, anchor: int | None = None, origin: int | None = None) -> None:
        self._frame = timeframe
        self._anchor = anchor
        self._origin = origin

    @property
    def _offset(self) -> int:
        if self._origin is not None:
            return self._origin
        return self._frame.offset(self._anchor)

    def floor(self, ts: int) -> int:
        """Return the open time of the bar that contains *ts*."""
        if self._origin is None:
            return self._frame.floor(ts, self._anchor)
        return (ts - self._origin) // self._frame.length * self._frame.length + self._origin

    def next(self, ts: int) -> int:
        """Return the open time of the bar after the one that contains *ts*."""
        if self._origin is None:
            return self._frame.next(ts, self._anchor)
        return self.floor(ts) + self._frame.length

    def open_times(self, ts: pl.Series) -> pl.Series:
        """Return the open time of the bar of each of sorted times."""
        if self._frame.is_month:
            return _truncated(ts, f"{self._frame.count}mo")
        since = ts - self._offset
        return ts - since % self._frame.length

    def close_times(self, opens: pl.Series) -> pl.Series:
        """Return when the bars that open at these sorted times close."""
        if self._frame.is_month:
            return opens.cast(pl.Datetime("ns")).dt.offset_by(f"{self._frame.count}mo").cast(pl.Int64)
        return opens + self._frame.length

    def opens(self, span: Span) -> pl.Series:
        """Return the open times inside *span*."""
        if self._frame.is_month:
            return super().opens(span)
        return pl.int_range(
            self.ceil(span.start), self.ceil(span.end), self._frame.length, dtype=pl.Int64, eager=True
        ).alias(_TS)

    def sub_bars(self) -> BarEdges | None:
        """Return the edges of minutes that the bars are made of."""
        if self._frame.length <= MINUTE or self._frame.length % MINUTE:
            return None
        origin = None
        # An origin may lie inside a minute: the minutes begin where the bars do.
        if not self._frame.is_month:
            origin = self._offset % MINUTE
        return GridEdges(Timeframe(1, "m"), origin=origin)


class SessionEdges(BarEdges):
    """Bars that begin anew with each day of sessions, so that the last bar of a day may be shorter: where clocks change, too.

    Days, weeks and months are those of the sessions: 23 to 25 hours, or multiples of these.
    """

    def __init__(self, timeframe: Timeframe, day: SessionDay, anchor: int | None = None) -> None:
        self._frame = timeframe
        self._day = day
        self._anchor = anchor
        self._is_intraday = timeframe.unit in ("s", "m", "h")

    def floor(self, ts: int) -> int:
        """Return the open time of the bar that contains *ts*."""
        first = self._first_day(self._day.day(ts))
        start = self._day.start(first)
        if self._is_intraday:
            return start + (ts - start) // self._frame.length * self._frame.length
        return start

    def next(self, ts: int) -> int:
        """Return the open time of the bar after the one that contains *ts*."""
        day = self._day.day(ts)
        after = self._day.start(self._day_after(day))
        if self._is_intraday:
            return min(self.floor(ts) + self._frame.length, after)
        return after

    def open_times(self, ts: pl.Series) -> pl.Series:
        """Return the open time of the bar of each of sorted times."""
        if ts.is_empty():
            return ts
        starts = self._starts(Span(ts[0], ts[-1] + 1))
        opened = starts.gather(starts.search_sorted(ts, side="right") - 1).alias(ts.name)
        if self._is_intraday:
            return opened + (ts - opened) // self._frame.length * self._frame.length
        return opened

    def close_times(self, opens: pl.Series) -> pl.Series:
        """Return when the bars that open at these sorted times close."""
        if opens.is_empty():
            return opens
        starts = self._starts(Span(opens[0], opens[-1] + 1))
        after = starts.gather(starts.search_sorted(opens, side="right")).alias(opens.name)
        if not self._is_intraday:
            return after
        # The last bar of a day ends with it, however short that makes it.
        ends = pl.DataFrame({"whole": opens + self._frame.length, "cut": after})
        return ends.select(pl.min_horizontal("whole", "cut").alias(opens.name)).to_series()

    def sub_bars(self) -> BarEdges | None:
        """Return the edges of minutes that the bars are made of; the last one of a day is cut where that has no whole minutes."""
        if self._frame.length <= MINUTE or self._frame.length % MINUTE:
            return None
        return SessionEdges(Timeframe(1, "m"), self._day)

    def _starts(self, span: Span) -> pl.Series:
        """Return the beginnings of the periods of days that *span* touches, and of the next one."""
        day = self._first_day(self._day.day(span.start))
        # By the calendar, and not by adding 24 hours: clocks change.
        starts = [self._day.start(day)]
        while starts[-1] < span.end:
            day = self._day_after(day)
            starts.append(self._day.start(day))
        return pl.Series(starts, dtype=pl.Int64)

    def _first_day(self, day: int) -> int:
        """Return the first day of the bar that contains a day; of bars shorter than a day, the day itself."""
        if self._is_intraday:
            return day
        return self._frame.floor(day * DAY, self._anchor) // DAY

    def _day_after(self, day: int) -> int:
        """Return the first day after the bar that contains a day."""
        if self._is_intraday:
            return day + 1
        return self._frame.next(day * DAY, self._anchor) // DAY


def _truncated(ts: pl.Series, every: str) -> pl.Series:
    return ts.cast(pl.Datetime("ns")).dt.truncate(every).cast(pl.Int64)
