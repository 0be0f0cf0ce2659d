"""Blocks: the rows of an answer between which surely none is left out.

Some sources send along rows from outside the asked window, like the first or the newest of all, and others cut a page at a limit
that is documented nowhere. So not every two neighbours of an answer prove that nothing stands between them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from ticklake.core.events import intervals_of
from ticklake.core.questions import Grid
from ticklake.core.span import Span
from ticklake.core.time import MINUTE, SECOND

__all__ = ["LATE_EVENT", "NEAR", "Times", "blocks_of", "shortest_interval"]

LATE_EVENT = 5 * SECOND
"""Scheduled events come up to this much after their minute."""
NEAR = 4
"""The interval at an edge of a block is told by so many rows of it, as it changes, and doubles where a row is missing."""

Times = list[int]


def blocks_of(times: Times, window: Span, grid: Grid, *, sends_end: bool) -> Iterator[Times]:
    """Yield the blocks of an answer, oldest first.

    Parameters
    ----------
    times
        The times of its rows: nanoseconds UTC, sorted, each once.
    window
        What was asked for. Rows on both sides of a bound are one block only if none can stand between them.
    sends_end
        Whether the source is told the end of a window: if not, rows after it are no stray ones.
    """
    first = bisect_left(times, window.start)
    last = len(times)
    if sends_end:
        last = bisect_right(times, window.end)
    if first == last:
        yield from _without_strays(times[:first], grid)
        yield from _without_strays(times[first:], grid)
        return
    while first > 0 and _adjoin(times, first - 1, grid):
        first -= 1
    while last < len(times) and _adjoin(times, last - 1, grid):
        last += 1
    yield from _without_strays(times[first:last], grid)


def shortest_interval(times: Sequence[int]) -> int:
    """Return the shortest time between neighbours in whole minutes, as events come a little early or late."""
    return max(round(min(intervals_of(times)) / MINUTE), 1) * MINUTE


def _without_strays(times: Times, grid: Grid) -> Iterator[Times]:
    """Yield rows of an answer, the first and the last only if they join the others: they may be sent along."""
    if len(times) > 1 and not _adjoin(times, 0, grid):
        yield times[:1]
        times = times[1:]
    if len(times) > 1 and not _adjoin(times, len(times) - 2, grid):
        times = times[:-1]
    if times:
        yield times


def _adjoin(times: Times, place: int, grid: Grid) -> bool:
    """Whether no row can stand between the one at a place of an answer and the next."""
    row, after = times[place], times[place + 1]
    if not grid.scheduled:
        return after <= grid.close(row)
    interval = grid.step(0, 1)
    before, behind = times[max(place + 1 - NEAR, 0) : place + 1], times[place + 1 : place + 1 + NEAR]
    intervals = [shortest_interval(side) for side in (before, behind) if len(side) == NEAR]
    if intervals:
        interval = min(intervals)
    return after - row <= interval + LATE_EVENT
