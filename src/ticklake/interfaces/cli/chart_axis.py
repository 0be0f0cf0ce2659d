"""What a chart is of, and its time axis: columns, and labels at round times, as many as there is room for."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.gaps import Gap
from ticklake.core.span import Span
from ticklake.core.time import DAY, MINUTE, SECOND
from ticklake.core.timeframe import Timeframe

if TYPE_CHECKING:
    from ticklake.core.bars import Bars

__all__ = ["Axis", "Grid", "Subject", "axis_of_bars", "axis_of_time", "time_labels"]

_STEPS = [
    *("1s", "5s", "15s", "30s", "1m", "5m", "15m", "30m", "1h", "3h", "6h", "12h"),
    *("1d", "2d", "1w", "2w", "1M", "3M", "6M", "12M", "60M", "120M"),
]
_ROOM = 2
"""Blanks between two labels, at least."""
_WIDEST_STEP = 3


@dataclass(frozen=True, slots=True)
class Grid:
    """When bars are due."""

    timeframe: Timeframe
    anchor: int | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """What is drawn: its name, and when its bars are due, if they are bars with a grid."""

    name: str
    grid: Grid | None = None

    @classmethod
    def of(cls, dataset: Dataset) -> Subject:
        """Return the subject of a chart of a dataset's rows."""
        if dataset.timeframe is None:
            return cls(str(dataset))
        return cls(str(dataset), Grid(dataset.timeframe, dataset.anchor))

    @classmethod
    def made_of(cls, dataset: Dataset, bars: Bars, rule: str) -> Subject:
        """Return the subject of a chart of bars that are made of a dataset's rows by a *rule*, as it was written."""
        name = f"{dataset} in bars of {rule}"
        if bars.timeframe is None:
            return cls(name)
        return cls(name, Grid(bars.timeframe))


@dataclass(frozen=True, slots=True)
class Axis:
    """When each column begins, how many characters it is from one to the next, and how many bars a column shows, if any."""

    starts: list[int]
    step: int
    bars: int = 0

    def column_of(self, ts: int) -> int:
        """Return the column that *ts* is in."""
        return max(bisect_right(self.starts, ts) - 1, 0)


def axis_of_time(span: Span, width: int) -> Axis:
    """Return the columns of a time, all equally long."""
    length = max(ceil(span.length / width), 1)
    return Axis(list(range(span.start, span.end, length)), 1)


def axis_of_bars(opens: pl.Series, holes: Sequence[Gap], grid: Grid | None, width: int) -> Axis:
    """Return the columns of bars, as many in each as must be.

    Bars that are missing take their place beside those that are there. Nights and weekends, in which none is due, take none. A
    hole in bars without a grid, of which nobody knows how many are missing, takes one column.
    """
    pieces = [opens.rename("ts")]
    for hole in holes:
        if grid is None:
            pieces.append(pl.Series("ts", [hole.span.start], dtype=pl.Int64))
        else:
            pieces.append(grid.timeframe.opens(hole.span, grid.anchor))
    opens = pl.concat(pieces).unique().sort()
    in_each = ceil(opens.len() / width)
    starts = opens.gather_every(in_each).to_list()
    return Axis(starts, min(width // len(starts), _WIDEST_STEP), in_each)


def time_labels(axis: Axis, room: int) -> tuple[str, str]:
    """Return the ruler below a chart, and below it the times of its ticks: round ones, as many as there is room for."""
    for name in _STEPS:
        placed = _placed(axis, Timeframe.parse(name), room)
        if placed is not None:
            break
    else:
        placed = []
    ruler, labels = ["─"] * (len(axis.starts) * axis.step), [" "] * room
    for place, label in placed:
        ruler[place] = "┴"
        labels[place : place + len(label)] = label
    return "".join(ruler), "".join(labels).rstrip()


def _placed(axis: Axis, unit: Timeframe, room: int) -> list[tuple[int, str]] | None:
    """Return the labels at the columns in which a new *unit* begins, or ``None`` if they are too near to each other."""
    with_year = _moment(axis.starts[0]).year != _moment(axis.starts[-1]).year
    placed: list[tuple[int, str]] = []
    free = 0
    before: int | None = None
    for column, start in enumerate(axis.starts):
        opened = unit.floor(start)
        # The first column may begin in the middle of a unit.
        if opened != before and (before is not None or opened == start):
            place = column * axis.step
            label = _label(opened, unit, with_year=with_year)
            if place < free:
                return None
            if place + len(label) <= room:
                placed.append((place, label))
            free = place + len(label) + _ROOM
        before = opened
    return placed


def _label(ts: int, unit: Timeframe, *, with_year: bool) -> str:
    form = "%H:%M:%S"
    if unit.is_month and unit.count >= 12:
        form = "%Y"
    elif unit.is_month:
        form = "%Y-%m"
    elif ts % DAY == 0 and with_year:
        form = "%Y-%m-%d"
    elif ts % DAY == 0:
        form = "%m-%d"
    elif ts % MINUTE == 0:
        form = "%H:%M"
    return _moment(ts).strftime(form)


def _moment(ts: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1) + dt.timedelta(seconds=ts // SECOND)
