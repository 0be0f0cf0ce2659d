"""Bars made of the rows that were known: whole ones, once they are over and their rows have been waited for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from ticklake.core.bar_edges import GridEdges
from ticklake.core.bars import Bars
from ticklake.core.kinds import KINDS
from ticklake.core.resample import make_bars
from ticklake.core.timeframe import Timeframe
from ticklake.core.timeline import NEVER, Timeline, Windows, nanoseconds

if TYPE_CHECKING:
    from ticklake.core.timeline import Times

__all__ = ["DerivedBars", "Edge"]

_NO_BARS = KINDS["ohlcv"].no_rows


class Edge(NamedTuple):
    """From when until when bars can be made of rows, whole ones.

    ``start`` is from when on the rows are known. Up to an instant, they are known up to the newest of them, and where somebody looked:
    in the sorted spans from ``looked_from`` to ``looked_until``. If ``is_clock``, nobody adds to the rows, and the clock says when a
    bar is over.
    """

    start: int
    looked_from: Times
    looked_until: Times
    is_clock: bool

    def looked(self, at: Times) -> Times:
        """Return up to where somebody had looked, of all that is before each instant."""
        if not self.looked_from.size:
            return np.full(len(at), -NEVER, dtype=np.int64)
        place = self.looked_from.searchsorted(at, side="left") - 1
        until = np.minimum(self.looked_until[np.maximum(place, 0)], at)
        return np.where(place >= 0, until, -NEVER)


class DerivedBars:
    """Bars made of the rows of another timeline: trades, or shorter bars.

    A bar is made of the rows that are known, once it is over and its rows have been waited for.
    """

    def __init__(self, base: Timeline, timeframe: Timeframe, edge: Edge, lag: int) -> None:
        self._base = base
        self.values: tuple[Any, dict[str, float | None]] | None = None
        self._timeframe = timeframe
        self._edge = edge
        self._anchor = base.dataset.anchor_of(timeframe)
        made = self._made(base.rows)
        opens = nanoseconds(made["ts"])
        # The first bar is cut if its rows begin after it does: indicators, too, must not see it.
        first_whole = int(opens.searchsorted(edge.start))
        self.rows = made.slice(first_whole)
        opens = opens[first_whole:]
        self.happened = self._closes(opens)
        self._available = self.happened + lag
        base_ts = nanoseconds(base.rows["ts"])
        self._begins = np.append(base_ts.searchsorted(opens), len(base_ts))
        self.known = self._available
        if opens.size:
            # A bar is known once the last of its rows is, and not before it is over.
            self.known = np.maximum(np.maximum.reduceat(base.known, self._begins[:-1]), self._available)

    def windows(self, since: Times, at: Times, *, keeps_newest: bool) -> Windows:
        """Return where the bars of windows are."""
        until = self._until(at)
        last = np.minimum(self.happened.searchsorted(until, side="right"), self._available.searchsorted(at, "right"))
        first = np.minimum(self.happened.searchsorted(since, side="right"), last)
        if keeps_newest:
            first = np.minimum(first, np.maximum(last - 1, 0))
        plain = np.ones(len(at), dtype=np.bool_)
        if self.known.size:
            newest = np.maximum(last - 1, 0)
            # Bars with a row that came late are made anew of those that had come.
            plain = (last == first) | (self._latest[newest] <= at)
        return Windows(first, last, plain)

    def known_rows(self, since: int, at: int, *, keeps_newest: bool, known_at: int | None = None) -> pl.DataFrame:
        """Return the bars of one window, made anew of the rows that were known."""
        if known_at is not None:
            at = known_at
        inside = int(self.happened.searchsorted(since, side="right"))
        last = self._last(at)
        bars = self._known_bars(inside, last, at)
        if not bars.height and keeps_newest:
            bars = self._known_bars(0, last, at).tail(1)
        return bars

    def newest_known(self, at: int, count: int) -> pl.DataFrame:
        """Return the newest *count* bars, made anew of the rows that were known."""
        last = self._last(at)
        bars = self._known_bars(last - count, last, at)
        if bars.height < count:
            # All rows of a bar may have come late: then it is not there, and one before it takes its place.
            bars = self._known_bars(0, last, at)
        return bars.tail(count)

    def _last(self, at: int) -> int:
        """Return up to which bar all are over and their rows waited for."""
        until = int(self._until(np.array([at], dtype=np.int64))[0])
        over = self.happened.searchsorted(until, side="right")
        return int(min(over, self._available.searchsorted(at, side="right")))

    def _known_bars(self, first: int, last: int, at: int) -> pl.DataFrame:
        first = max(first, 0)
        if last <= first:
            return self.rows.clear()
        return self._made(self._base.known_between(int(self._begins[first]), int(self._begins[last]), at))

    def _until(self, at: Times) -> Times:
        """Return up to where the rows are known at each instant."""
        if self._edge.is_clock:
            return at
        windows = self._base.windows(at, at, keeps_newest=True)
        newest = np.full(len(at), -NEVER, dtype=np.int64)
        some = windows.plain & (windows.last > windows.first)
        newest[some] = self._base.happened[windows.last[some] - 1]
        for place in np.flatnonzero(~windows.plain):
            happened = self._base.newest_happened(int(at[place]))
            if happened is not None:
                newest[place] = happened
        return np.maximum(newest, self._edge.looked(at))

    @cached_property
    def _latest(self) -> Times:
        return np.maximum.accumulate(self.known)

    def _made(self, rows: pl.DataFrame) -> pl.DataFrame:
        edges = GridEdges(self._timeframe, self._anchor)
        made = make_bars([rows], Bars("time", self._timeframe), edges, sides=False)
        return pl.concat([_NO_BARS, *(bars.select(_NO_BARS.columns) for bars in made)], rechunk=True)

    def _closes(self, opens: Times) -> Times:
        if not self._timeframe.is_month:
            return opens + self._timeframe.length
        return np.array([self._timeframe.next(ts, self._anchor) for ts in opens.tolist()], dtype=np.int64)
