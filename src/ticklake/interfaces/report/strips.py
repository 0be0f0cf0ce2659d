"""Strips: the completeness of days as a row of rectangles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, groupby

from ticklake.core.metrics import format_share
from ticklake.core.quality import DayQuality, total
from ticklake.core.time import DAY, format_time

__all__ = ["CELLS", "Cell", "Strip", "shade", "strip_of"]

CELLS = 366
"""A strip has at most so many cells; longer histories have several days in one."""
_SHADES = ((1.0, "whole"), (0.99, "nearly"), (0.9, "most"), (0.5, "half"))
"""The least completeness of each shade."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Neighbouring days of the same shade: where they begin, how many cells wide they are, and the text of their tooltip."""

    start: int
    width: int
    shade: str
    title: str


@dataclass(frozen=True, slots=True)
class Strip:
    """A row of cells, *width* cells wide; ``marks`` are the dates under it, each with its position from 0 to 100."""

    width: int
    cells: tuple[Cell, ...]
    marks: tuple[tuple[float, str], ...]


def shade(ratio: float | None, *, rows: int) -> str:
    """Return the name of the shade of a completeness ratio: a class in the style sheet of the page."""
    if ratio is None and rows:
        return "unknown"
    if ratio is None:
        return "nothing"
    for least, word in _SHADES:
        if ratio >= least:
            return word
    if ratio > 0:
        return "little"
    return "none"


def strip_of(days: Sequence[DayQuality]) -> Strip:
    """Return the strip of consecutive days."""
    step = max(1, math.ceil(len(days) / CELLS))
    bins = [days[start : start + step] for start in range(0, len(days), step)]
    cells: list[Cell] = []
    start = 0
    # Alike neighbours become one rectangle: a page of many datasets would hold hundreds of thousands of them.
    for _, alike in groupby(bins, key=_look):
        neighbours = list(alike)
        inside = list(chain.from_iterable(neighbours))
        cells.append(Cell(start, len(neighbours), _look(inside)[0], _title(inside)))
        start += len(neighbours)
    return Strip(max(len(bins), 1), tuple(cells), _marks(days))


def _look(days: Sequence[DayQuality]) -> tuple[str, str]:
    """Return the shade of days, and their completeness as text."""
    sums = total(days)
    ratio, rows = sums.completeness_ratio, sums.present_records
    if ratio == 1:
        words = "complete"
    elif ratio is not None:
        words = format_share(ratio)
    elif rows:
        words = "nobody said what was looked at"
    else:
        words = "nothing is expected"
    return shade(ratio, rows=rows), words


def _title(days: Sequence[DayQuality]) -> str:
    first, last = days[0].day, days[-1].day
    title = _date(first)
    if first != last:
        title += f" to {_date(last)}"
    title += f": {_look(days)[1]}"
    missing = total(days).missing_records
    if missing:
        title += f", {missing:,} records missing"
    return title


def _marks(days: Sequence[DayQuality]) -> tuple[tuple[float, str], ...]:
    if not days:
        return ()
    first, last = days[0].day, days[-1].day
    marks = [(0.0, _date(first))]
    if last - first >= 8 * DAY:
        marks.append((50.0, _date((first + last) // 2)))
    if last != first:
        marks.append((100.0, _date(last)))
    return tuple(marks)


def _date(ns: int) -> str:
    return format_time(ns)[:10]
