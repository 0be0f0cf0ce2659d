"""Events that come at intervals which change, and those that are missing between, before and after them.

Funding is settled every 8, 4 or 1 hours; the interval of a market changes, and times jitter by milliseconds. So the
interval is not assumed: it is what the neighbours keep.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, pairwise
from operator import sub
from statistics import median_low

from ticklake.core.span import Span
from ticklake.core.time import MINUTE, SECOND

__all__ = ["JITTER", "Missed", "intervals_of", "missed_events", "missed_within"]

NEIGHBOURS = 3
"""How many intervals on each side say how long one is: their median."""
TOO_LONG = 1.5
"""From how many intervals on something is missing: where 8 hours become 4, one event may be missing in 12."""
JITTER = 5 * SECOND
"""Events come this much late or early."""
LATE = 2 * JITTER
"""So long after it was due, an event is missing: the instant decides which stretch of coverage answers for it."""


@dataclass(frozen=True, slots=True, order=True)
class Missed:
    """Events that should have come: from when the first of them was due up to the next that came, and how many at least.

    ``interval`` is the time between two of them, in nanoseconds.
    """

    span: Span
    count: int
    interval: int

    def within(self, span: Span) -> Missed | None:
        """Return those of the events that *span* answers for, if any: each event belongs to one of adjoining spans."""
        part = self._part(self._place(span.start), self._place(span.end))
        if part is None:
            return None
        return replace(part, span=Span(part.span.start, min(part.span.end, span.end)))

    def without(self, times: Iterable[int]) -> Iterator[Missed]:
        """Yield what is left without the events that were due at one of *times*."""
        explained: set[int] = set()
        for ts in times:
            place = round((ts - self.span.start) / self.interval)
            is_due = abs(ts - self.span.start - place * self.interval) <= JITTER
            if is_due and 0 <= place < self.count:
                explained.add(place)
        for before, after in pairwise([-1, *sorted(explained), self.count]):
            part = self._part(before + 1, after)
            if part is not None:
                yield part

    def _place(self, ts: int) -> int:
        """Return how many of the events were missing before *ts*."""
        return min(max(-((self.span.start + LATE - ts) // self.interval), 0), self.count)

    def _part(self, first: int, last: int) -> Missed | None:
        if first >= last:
            return None
        start = self.span.start + first * self.interval
        end = self.span.start + last * self.interval
        if last == self.count:
            end = self.span.end
        return Missed(Span(start, end), last - first, self.interval)


def missed_events(times: Sequence[int], want: Span | None = None) -> Iterator[Missed]:
    """Yield what is missing between sorted event *times*, in order; with *want* inside it, also before and after them.

    Where the interval changes just there, the longer one counts: no more is claimed than must be missing. Before the
    first event and after the last one the interval is that of the events beside it; two of them are needed.

    Examples
    --------
    >>> from ticklake.core.time import HOUR
    >>> [missed.count for missed in missed_events([0, 8 * HOUR, 24 * HOUR, 32 * HOUR, 36 * HOUR, 40 * HOUR])]
    [1]
    >>> [missed.count for missed in missed_events([16 * HOUR, 24 * HOUR], Span(0, 48 * HOUR))]
    [2, 2]
    """
    missed = _between(times)
    if want is not None:
        missed = chain(_before(times, want), missed, _after(times, want))
    for events in missed:
        part: Missed | None = events
        if want is not None:
            part = events.within(want)
        if part is not None:
            yield part


def missed_within(missed: Sequence[Missed], span: Span) -> Iterator[Missed]:
    """Yield those of sorted, disjoint *missed* events that *span* answers for, in order."""
    first = bisect_right(missed, span.start, key=lambda events: events.span.end)
    for events in islice(missed, first, None):
        if events.span.start >= span.end:
            break
        part = events.within(span)
        if part is not None:
            yield part


def _between(times: Sequence[int]) -> Iterator[Missed]:
    steps = intervals_of(times)
    for place, step in enumerate(steps):
        before, after = steps[max(place - NEIGHBOURS, 0) : place], steps[place + 1 : place + 1 + NEIGHBOURS]
        # The longer one where the interval changes just here: no more is claimed than must be missing.
        interval = _whole(max((median_low(side) for side in (before, after) if side), default=step))
        # The event before may have come late and the one after early: at least this much time lies between them.
        count = -(-(step - 2 * JITTER) // interval) - 1
        if count > 0 and step + 2 * JITTER >= TOO_LONG * interval:
            yield Missed(Span(_nominal(times[place]) + interval, times[place + 1]), count, interval)


def _before(times: Sequence[int], want: Span) -> Iterator[Missed]:
    """Yield the events that were due inside *want* before the first that came, if there are any."""
    if len(times) < 2 or times[0] <= want.start:
        return
    interval = _whole(median_low(intervals_of(times[: NEIGHBOURS + 1])))
    count = (_nominal(times[0]) - want.start) // interval
    if count > 0:
        yield Missed(Span(_nominal(times[0]) - count * interval, times[0]), count, interval)


def _after(times: Sequence[int], want: Span) -> Iterator[Missed]:
    """Yield the events that were due inside *want* after the last that came, if there are any."""
    if len(times) < 2 or times[-1] >= want.end:
        return
    interval = _whole(median_low(intervals_of(times[-NEIGHBOURS - 1 :])))
    first = _nominal(times[-1]) + interval
    count = -((first - want.end) // interval)
    if count > 0:
        yield Missed(Span(first, want.end), count, interval)


def intervals_of(times: Sequence[int]) -> list[int]:
    """Return the time from each of *times* to the next one."""
    return list(map(sub, times[1:], times))


def _nominal(ts: int) -> int:
    """Return when an event was due that came at *ts*."""
    return round(ts / MINUTE) * MINUTE


def _whole(interval: int) -> int:
    return max(_nominal(interval), MINUTE)
