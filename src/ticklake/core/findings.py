"""Findings: what a walk over a span has learned so far from the answers of a source."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ticklake.core.blocks import NEAR, Times, shortest_interval
from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.questions import Grid
from ticklake.core.span import Span, normalise, subtract
from ticklake.core.time import MINUTE, MS

__all__ = ["Findings"]


@dataclass(slots=True)
class Findings:
    """Spans that are proven or settled otherwise, and the rows at the edges of blocks (:mod:`ticklake.core.blocks`).

    Attributes
    ----------
    edges
        The first and the last two rows of every block, sorted. That is enough to ask beside it, and memory does not grow with rows.
    largest
        How many rows the largest block has.
    widest
        The longest time between the first and the last row of a block.
    """

    grid: Grid
    edges: list[int] = field(default_factory=list)
    largest: int = 0
    widest: int = 0
    _proven: list[Span] = field(default_factory=list)
    _other: Coverage = field(default_factory=Coverage)
    _intervals: dict[int, int] = field(default_factory=dict)

    @property
    def newest(self) -> int | None:
        """The newest row."""
        if not self.edges:
            return None
        return self.edges[-1]

    def row_before(self, ts: int) -> int | None:
        """Return the last edge of a block before *ts*."""
        place = bisect_left(self.edges, ts)
        if not place:
            return None
        return self.edges[place - 1]

    def row_after(self, ts: int) -> int | None:
        """Return the first edge of a block at or after *ts*."""
        place = bisect_left(self.edges, ts)
        if place == len(self.edges):
            return None
        return self.edges[place]

    def interval_at(self, row: int, default: int = 0) -> int:
        """Return the time between scheduled events near an edge of a block, if it is known."""
        return self._intervals.get(row, default)

    def first_unknown(self, span: Span) -> Span | None:
        """Return the first part of *span* of which nothing is known."""
        known = normalise([*self._proven, *self._other.spans(*Found)])
        return next(subtract(span, known), None)

    def knows(self, ts: int) -> bool:
        """Whether *ts* is in a span that is proven or settled otherwise."""
        return any(ts in span for span in self._proven) or any(ts in piece.span for piece in self._other.pieces)

    def proven_in(self, span: Span) -> Iterator[Span]:
        """Yield the parts of *span* that are proven."""
        for piece in self._proven:
            part = piece.intersect(span)
            if part is not None:
                yield part

    def not_proven_in(self, span: Span) -> Iterator[Span]:
        """Yield the parts of *span* that are not proven."""
        return subtract(span, self._proven)

    def settled_in(self, span: Span) -> tuple[Covered, ...]:
        """Return all that is known of *span*."""
        settled = self._other.within(span)
        for part in self.proven_in(span):
            settled = settled.add(Covered(part))
        return settled.pieces

    def prove(self, span: Span) -> None:
        """Remember that whatever rows came of a span are all there are."""
        self._proven = normalise([*self._proven, span])

    def settle(self, span: Span, found: Found, reason: str) -> None:
        """Remember that a span is to be called otherwise than data."""
        self._other = self._other.add(Covered(span, found, reason))

    def forget(self, span: Span, keep: Iterable[Span] = ()) -> None:
        """Take back that a span is proven, but for the spans to *keep*."""
        remaining = list(keep)
        for piece in self._proven:
            remaining += subtract(piece, [span])
        self._proven = normalise(remaining)

    def drop_before(self, ts: int) -> None:
        """Drop proven spans that end by *ts*: they have been handed on."""
        self._proven = [span for span in self._proven if span.end > ts]

    def take(self, block: Times) -> None:
        """Remember a block: it is one answer, so all rows between its first and its last are in it."""
        first, last = block[0], block[-1]
        self.prove(Span(first, self.grid.close(last)))
        for edge in {first, last, *block[-2:]} - set(self.edges):
            insort(self.edges, edge)
        self.largest = max(self.largest, len(block))
        self.widest = max(self.widest, last - first)
        if self.grid.scheduled and len(block) > 1:
            self._intervals[first] = shortest_interval(block[:NEAR])
            self._intervals[last] = shortest_interval(block[-NEAR:])

    def learn_interval(self, times: Times, window: Span) -> None:
        """Take the shortest time between the events of an answer for their interval where no block tells it."""
        if not self.grid.scheduled:
            return
        events = window.among(times)
        if len(events) < 2:
            return
        interval = shortest_interval(events)
        for edge in (events[0], *events[-2:]):
            self._intervals.setdefault(edge, interval)

    def expects_nothing_in(self, gap: Span) -> bool:
        """Whether the schedule says that nothing comes in a gap."""
        row = self.row_before(gap.start)
        if row is None:
            return False
        return gap.end <= row // MINUTE * MINUTE + self.interval_at(row)

    def window_for(self, gap: Span, rows: int) -> Span:
        """Return the window to ask for a gap: from the row before it, if that is near, to a row after it."""
        start = self.grid.step(gap.start, -1)
        row = self.row_before(gap.start)
        if row is not None and self._is_near(row, gap, rows):
            # With the row before that one, too: a first row that stands alone in an answer may be sent along from anywhere.
            earlier = self.row_before(row)
            if earlier is not None and self._is_near(earlier, gap, rows):
                row = earlier
            start = min(row, gap.start - 1)
        return Span(start, min(self.grid.step(start, rows), self.grid.step(gap.end, 1)))

    def _is_near(self, row: int, gap: Span, rows: int) -> bool:
        """Whether at least half of a window of so many rows from *row* on is left for the gap."""
        return self.grid.step(row, rows // 2) >= gap.start

    def window_around(self, row: int) -> Span:
        """Return a narrow window around a row: bounds may be exclusive, and a longer one could be cut."""
        return Span(self.grid.step(row, -1), self.grid.step(row, 2))

    def window_inside(self, quiet: Span, later: int) -> Span:
        """Return a window of a silence without the rows beside it, whether bounds are inclusive or exclusive."""
        start, end = quiet.start, quiet.end
        row = self.row_before(start)
        if row is None or row + MS < start:
            start -= MS
        if later == end:
            end -= MS
        return Span(start, max(end, start + MS))
