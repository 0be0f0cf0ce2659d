"""Events that come at intervals which change, and those that are missing in between.

Funding is settled every 8, 4 or 1 hours; the interval of a market changes, and times jitter by milliseconds. So the
interval is not assumed: it is what the neighbours keep.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low

from ticklake.core.span import Span
from ticklake.core.time import MINUTE, SECOND

__all__ = ["Missed", "missed_events"]

NEIGHBOURS = 3
"""How many intervals on each side say how long one is: their median."""
TOO_LONG = 1.5
"""From how many intervals on something is missing: where 8 hours become 4, one event may be missing in 12."""
JITTER = 5 * SECOND
"""Events come this much late or early."""


@dataclass(frozen=True, slots=True, order=True)
class Missed:
    """Events that should have come: from the first of them up to the next that came, and how many at least.

    ``interval`` is the time between two, in nanoseconds.
    """

    span: Span
    count: int
    interval: int


def missed_events(times: Sequence[int]) -> Iterator[Missed]:
    """Yield what is missing between sorted event *times*.

    Where the interval changes just there, the longer one counts: no more is claimed than must be missing.

    Examples
    --------
    >>> from ticklake.core.time import HOUR
    >>> [missed.count for missed in missed_events([0, 8 * HOUR, 24 * HOUR, 32 * HOUR, 36 * HOUR, 40 * HOUR])]
    [1]
    """
    steps = [later - earlier for earlier, later in pairwise(times)]
    for place, step in enumerate(steps):
        sides = (steps[max(place - NEIGHBOURS, 0) : place], steps[place + 1 : place + 1 + NEIGHBOURS])
        interval = max((median_low(side) for side in sides if side), default=step)
        interval = max(round(interval / MINUTE) * MINUTE, MINUTE)
        count = -(-(step - 2 * JITTER) // interval) - 1
        if count > 0 and step + 2 * JITTER >= TOO_LONG * interval:
            first = round(times[place] / MINUTE) * MINUTE + interval
            yield Missed(Span(first, times[place + 1]), count, interval)
