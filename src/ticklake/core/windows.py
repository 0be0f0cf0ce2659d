"""Windows: stretches of time that hold about as many rows each, so that reading one after the other needs little memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from ticklake.core.span import Span

__all__ = ["Stretch", "windows"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A span and how many rows it has, which count as spread over it evenly."""

    span: Span
    rows: int


def windows(stretches: Iterable[Stretch], rows: int) -> Iterator[Span]:
    """Cut the time from the first stretch to the last into spans of about that many *rows*, in order and without a gap.

    A nanosecond is never cut. No window begins or ends where nothing is.

    Examples
    --------
    >>> [tuple(window) for window in windows([Stretch(Span(0, 100), 10), Stretch(Span(50, 100), 10)], 5)]
    [(0, 50), (50, 66), (66, 82), (82, 98), (98, 100)]
    """
    changes: dict[int, tuple[float, int]] = {}
    for stretch in stretches:
        density = stretch.rows / stretch.span.length
        for time, sign in zip(stretch.span, (1, -1), strict=True):
            more, count = changes.get(time, (0.0, 0))
            changes[time] = (more + sign * density, count + sign)
    times = sorted(changes)
    if not times:
        return
    start = times[0]
    gathered = density = 0.0
    open_stretches = 0
    for time, following in pairwise(times):
        more, count = changes[time]
        open_stretches += count
        density = max(density + more, 0.0)
        # Sums of floats leave something over where nothing is.
        if not open_stretches:
            density = 0.0
        while density and gathered + density * (following - time) > rows:
            cut = time + max(int((rows - gathered) / density), int(time == start))
            if cut >= following:
                break
            yield Span(start, cut)
            start = time = cut
            gathered = 0.0
        gathered += density * (following - time)
    yield Span(start, times[-1])
