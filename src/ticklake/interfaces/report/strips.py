"""Strips: the completeness of days, side by side, as the rectangles of a picture."""

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
"""The least share of rows that earns each word."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Neighbouring days that look alike: from which cell on, over how many, in which shade, and what to say of them."""

    start: int
    width: int
    shade: str
    title: str


@dataclass(frozen=True, slots=True)
class Strip:
    """A picture *width* cells wide; ``marks`` are the dates under it, each with its place from 0 to 100."""

    width: int
    cells: tuple[Cell, ...]
    marks: tuple[tuple[float, str], ...]


def shade(ratio: float | None, *, rows: int) -> str:
    """Return the word for how complete something is."""
    if ratio is None:
        return "unknown" if rows else "nothing"
    for least, word in _SHADES:
        if ratio >= least:
            return word
    return "little" if ratio > 0 else "none"


def strip_of(days: Sequence[DayQuality]) -> Strip:
    """Return the strip of consecutive days."""
    step = max(1, math.ceil(len(days) / CELLS))
    bins = [days[start : start + step] for start in range(0, len(days), step)]
    cells: list[Cell] = []
    start = 0
    for _, alike in groupby(bins, key=_look):
        neighbours = list(alike)
        inside = list(chain.from_iterable(neighbours))
        cells.append(Cell(start, len(neighbours), _look(inside)[0], _title(inside)))
        start += len(neighbours)
    return Strip(max(len(bins), 1), tuple(cells), _marks(days))


def _look(days: Sequence[DayQuality]) -> tuple[str, str]:
    """Return the shade of some days, and how complete they are in words."""
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
