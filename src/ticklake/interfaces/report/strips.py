"""Strips: the completeness of days, side by side, as the rectangles of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from ticklake.core.metrics import format_share
from ticklake.core.quality import DayQuality, total
from ticklake.core.time import DAY, format_time

__all__ = ["CELLS", "Cell", "Strip", "shade", "strip_of"]

CELLS = 366
"""A strip has at most so many cells; longer histories have several days in one."""


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
    steps = ((1.0, "whole"), (0.99, "nearly"), (0.9, "most"), (0.5, "half"))
    return next((word for least, word in steps if ratio >= least), "little" if ratio > 0 else "none")


def strip_of(days: Sequence[DayQuality]) -> Strip:
    """Return the strip of consecutive days."""
    step = -(-len(days) // CELLS)
    bins = [days[start : start + step] for start in range(0, len(days), step)] if days else []
    cells: list[Cell] = []
    for _, alike in groupby(enumerate(bins), key=lambda one: _look(one[1])):
        run = list(alike)
        inside = [day for _, group in run for day in group]
        cells.append(Cell(run[0][0], len(run), _look(inside)[0], _title(inside)))
    return Strip(max(len(bins), 1), tuple(cells), _marks(days))


def _look(days: Sequence[DayQuality]) -> tuple[str, str]:
    """Return the shade of some days, and how complete they are in words."""
    sums = total(days)
    ratio, rows = sums.completeness_ratio, sums.present_records
    if ratio is None:
        return shade(ratio, rows=rows), "nobody said what was looked at" if rows else "nothing is expected"
    word = "complete" if ratio == 1 else format_share(ratio)
    return shade(ratio, rows=rows), word


def _title(days: Sequence[DayQuality]) -> str:
    first, last = days[0].day, days[-1].day
    when = _date(first) if first == last else f"{_date(first)} to {_date(last)}"
    missing = total(days).missing_records
    return f"{when}: {_look(days)[1]}{f', {missing:,} records missing' if missing else ''}"


def _marks(days: Sequence[DayQuality]) -> tuple[tuple[float, str], ...]:
    if not days:
        return ()
    first, last = days[0].day, days[-1].day
    if last - first < 8 * DAY:
        return ((0.0, _date(first)),) if first == last else ((0.0, _date(first)), (100.0, _date(last)))
    return (0.0, _date(first)), (50.0, _date((first + last) // 2)), (100.0, _date(last))


def _date(ns: int) -> str:
    return format_time(ns)[:10]
