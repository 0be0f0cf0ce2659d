"""Spans: half-open stretches of time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import islice

from ticklake.core.time import TimeLike, format_time, parse_time
from ticklake.errors import InvalidTime

__all__ = ["ALL_TIME", "Span", "common", "hull_of", "normalise", "outside", "subtract", "total_length"]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open stretch ``[start, end)`` of time, in nanoseconds UTC; never empty.

    Raises
    ------
    InvalidTime
        If the end does not come after the start.
    """

    start: int
    end: int

    def __post_init__(self) -> None:
        if not (isinstance(self.start, int) and isinstance(self.end, int)):
            raise InvalidTime(
                f"{self.start!r} .. {self.end!r} are no integers of nanoseconds: Span.parse('2024-01', '2024-02') reads times"
            )
        if self.end <= self.start:
            raise InvalidTime(
                f"a span ends after it starts: {format_time(self.start)} .. {format_time(self.end)} does not"
            )

    @classmethod
    def parse(cls, start: TimeLike | None, end: TimeLike | None) -> Span:
        """Read two times; ``None`` is the beginning or the end of all time."""
        first, last = ALL_TIME
        if start is not None:
            first = parse_time(start)
        if end is not None:
            last = parse_time(end)
        return cls(first, last)

    @property
    def length(self) -> int:
        """Its length in nanoseconds."""
        return self.end - self.start

    def __iter__(self) -> Iterator[int]:
        """Yield start and end, so that ``start, end = span``."""
        return iter((self.start, self.end))

    def __contains__(self, ts: int) -> bool:
        return self.start <= ts < self.end

    def among(self, times: Iterable[int]) -> list[int]:
        """Return those of *times* that lie in it, in their order."""
        return [ts for ts in times if ts in self]

    def overlaps(self, other: Span) -> bool:
        """Whether the two share an instant."""
        return self.start < other.end and other.start < self.end

    def touches(self, other: Span) -> bool:
        """Whether the two share an instant or a bound."""
        return self.start <= other.end and other.start <= self.end

    def intersect(self, other: Span) -> Span | None:
        """Return what the two share, or ``None``."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        if start >= end:
            return None
        return Span(start, end)

    def hull(self, other: Span) -> Span:
        """Return the span from the earlier start to the later end."""
        return Span(min(self.start, other.start), max(self.end, other.end))

    def widen(self, before: int, after: int) -> Span:
        """Return the span with its bounds moved outwards, kept inside all time."""
        return Span(max(self.start - before, ALL_TIME.start), min(self.end + after, ALL_TIME.end))

    def __repr__(self) -> str:
        return f"Span({str(self)[1:-1]})"

    def __str__(self) -> str:
        start = end = "-"
        if self.start != ALL_TIME.start:
            start = format_time(self.start)
        if self.end != ALL_TIME.end:
            end = format_time(self.end)
        return f"[{start} .. {end})"


ALL_TIME = Span(-(2**63) + 1, 2**63 - 1)


def hull_of(spans: Iterable[Span]) -> Span:
    """Return the span from the earliest start of *spans*, of which there are some, to the latest end."""
    return reduce(Span.hull, spans)


def total_length(spans: Iterable[Span]) -> int:
    """Return how long *spans* are together; what several of them share counts several times."""
    return sum(span.length for span in spans)


def normalise(spans: Iterable[Span]) -> list[Span]:
    """Return the same instants as sorted, disjoint, non-touching spans."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


def subtract(span: Span, covered: Iterable[Span]) -> Iterator[Span]:
    """Yield the parts of *span* outside *covered* (sorted and disjoint), in order.

    Where *covered* is a sequence, the first piece that matters is looked up, so that subtracting many spans takes no time in
    proportion to all; an iterator is walked through.
    """
    cursor = span.start
    if isinstance(covered, Sequence):
        covered = islice(covered, bisect_right(covered, span.start, key=_end), None)
    for piece in covered:
        if piece.end <= cursor:
            continue
        if piece.start >= span.end:
            break
        if piece.start > cursor:
            yield Span(cursor, piece.start)
        cursor = piece.end
    if cursor < span.end:
        yield Span(cursor, span.end)


def outside(spans: Iterable[Span], covered: Sequence[Span]) -> Iterator[Span]:
    """Yield the parts of all *spans* outside *covered* (sorted and disjoint)."""
    if not covered:
        yield from spans
        return
    for span in spans:
        yield from subtract(span, covered)


def common(left: Sequence[Span], right: Sequence[Span]) -> list[Span]:
    """Return the instants that lie in both; each sorted and disjoint."""
    shared: list[Span] = []
    first = second = 0
    while first < len(left) and second < len(right):
        span = left[first].intersect(right[second])
        if span is not None:
            shared.append(span)
        if left[first].end < right[second].end:
            first += 1
        else:
            second += 1
    return shared


def _end(span: Span) -> int:
    return span.end
