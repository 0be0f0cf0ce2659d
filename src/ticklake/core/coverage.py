"""Coverage: which spans were asked for and really looked at, and what was found out there."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

from ticklake.core.span import Span, normalise, subtract
from ticklake.core.time import DAY

if TYPE_CHECKING:
    import polars as pl

__all__ = ["COMPLETE", "LOOKED_AT", "Coverage", "Covered", "Found", "reasons_of", "shown_spans", "spans_of"]


class Found(StrEnum):
    """What looking at a span brought, or that nobody has looked yet.

    ``data``: whatever rows the lake holds there are all there are. ``unavailable``: the source no longer
    serves it. ``lost``: it was served, but not whole (one instant with more rows than a page).
    ``unlisted``: the market did not exist yet, or no longer, so nothing can be missing. ``expired``: its rows were removed on
    purpose because of their age, so nothing is missing and nothing is asked for again. ``not_fetched``: it was asked for, and
    no source has answered yet, or its rows were deleted since; it never hides what looking brought.
    """

    DATA = "data"
    UNAVAILABLE = "unavailable"
    LOST = "lost"
    UNLISTED = "unlisted"
    EXPIRED = "expired"
    NOT_FETCHED = "not_fetched"


_FEW = 8
"""So many pieces are added one by one."""
COMPLETE = (Found.UNLISTED, Found.EXPIRED)
"""Where nothing is missing although there are no rows."""
LOOKED_AT = tuple(found for found in Found if found is not Found.NOT_FETCHED)
"""What only looking can bring."""


@dataclass(frozen=True, slots=True, order=True)
class Covered:
    """One span that was looked at or asked for, what was found there, and why if it was not the data."""

    span: Span
    found: Found = Found.DATA
    reason: str = ""

    @classmethod
    def each_of(cls, spans: Iterable[Span], found: Found = Found.DATA, reason: str = "") -> list[Covered]:
        """Return one piece for each span, all with the same finding."""
        return [cls(span, found, reason) for span in spans]


def spans_of(pieces: Iterable[Covered]) -> list[Span]:
    """Return the spans of *pieces*, in their order."""
    return [piece.span for piece in pieces]


def reasons_of(pieces: Iterable[Covered]) -> tuple[str, ...]:
    """Return the reasons of *pieces*, in their order."""
    return tuple(piece.reason for piece in pieces)


@dataclass(frozen=True, slots=True)
class Coverage:
    """All the spans of one dataset that were looked at or asked for: sorted and disjoint; the latest look wins.

    Examples
    --------
    >>> coverage = Coverage().add(Covered(Span(0, 10)))
    >>> [tuple(span) for span in coverage.missing(Span(0, 15))]
    [(10, 15)]
    """

    pieces: tuple[Covered, ...] = field(default=())

    @classmethod
    def of(cls, pieces: Iterable[Covered]) -> Coverage:
        """Build from pieces in the order they were looked at.

        Adding one takes time in proportion to all, so many are added as halves: what a later half knows comes over what
        an earlier one does by the same rule as one look over another.
        """
        listed = list(pieces)
        if len(listed) <= _FEW:
            coverage = cls()
            for piece in listed:
                coverage = coverage.add(piece)
            return coverage
        middle = len(listed) // 2
        return cls.of(listed[:middle])._after(cls.of(listed[middle:]))

    def add(self, new: Covered) -> Coverage:
        """Return the coverage after one more look.

        What is known to be there is never unlearned: ``unavailable`` does not replace ``data``, and ``not_fetched`` replaces
        nothing.
        """
        if new.found is Found.DATA:
            return Coverage(_join([*self._outside(new.span), new]))
        if new.found is Found.NOT_FETCHED:
            return Coverage(_join([*self.pieces, *_rests(new, self.spans(*Found))]))
        kept: list[Covered] = []
        for piece in self.pieces:
            if piece.found is Found.DATA:
                kept.append(piece)
            else:
                kept += _rests(piece, [new.span])
        return Coverage(_join([*kept, *_rests(new, self.spans(Found.DATA))]))

    def _after(self, later: Coverage) -> Coverage:
        """Return the coverage after all looks of *later*."""
        joined: list[Covered] = []
        later_looks, later_data = later.spans(), later.spans(Found.DATA)
        for piece in self.pieces:
            if piece.found is Found.DATA:
                joined += _rests(piece, later_data)
            else:
                joined += _rests(piece, later_looks)
        # What a later look does not replace, as in add: data replaces all, a request nothing, the rest all but data.
        kept: dict[Found, Sequence[Span]] = {Found.DATA: (), Found.NOT_FETCHED: self.spans(*Found)}
        data = self.spans(Found.DATA)
        for piece in later.pieces:
            joined += _rests(piece, kept.get(piece.found, data))
        return Coverage(_join(joined))

    @property
    def looked_at(self) -> tuple[Covered, ...]:
        """The pieces that were looked at."""
        return tuple(self.pieces_with(*LOOKED_AT))

    def pieces_with(self, *found: Found) -> list[Covered]:
        """Return the pieces with one of these findings."""
        return [piece for piece in self.pieces if piece.found in found]

    @property
    def reach(self) -> Span | None:
        """From the first to the last instant that was looked at or asked for; ``None`` if there is none."""
        if not self.pieces:
            return None
        return Span(self.pieces[0].span.start, self.pieces[-1].span.end)

    def spans(self, *found: Found) -> list[Span]:
        """Return the spans with one of these findings (all that were looked at by default), normalised."""
        return normalise(spans_of(self.pieces_with(*(found or LOOKED_AT))))

    def missing(self, want: Span, *, retry: bool = False) -> Iterator[Span]:
        """Yield the parts of *want* that were never looked at, in order.

        With *retry*, parts that were ``unavailable`` or ``lost`` count as missing too.
        """
        near = self.within(want)
        if retry:
            return subtract(want, near.spans(Found.DATA, *COMPLETE))
        return subtract(want, near.spans())

    def within(self, span: Span) -> Coverage:
        """Return what falls inside *span*."""
        inside: list[Covered] = []
        first = bisect_right(self.pieces, span.start, key=_end)
        for piece in islice(self.pieces, first, None):
            if piece.span.start >= span.end:
                break
            part = Span(max(piece.span.start, span.start), min(piece.span.end, span.end))
            inside.append(Covered(part, piece.found, piece.reason))
        return Coverage(tuple(inside))

    def without(self, span: Span) -> Coverage:
        """Return the coverage with *span* forgotten."""
        return Coverage(tuple(self._outside(span)))

    def _outside(self, span: Span) -> list[Covered]:
        outside: list[Covered] = []
        for piece in self.pieces:
            outside += _rests(piece, [span])
        return outside


_FEW_ROWS = 10
"""Fewer rows do not show that nothing happened in most of a day between two of them."""


def shown_spans(times: pl.Series, span: Span, named: Span, bar: int) -> Sequence[Span]:
    """Return the parts of *named* of which a file shows that it holds what there is.

    A file says for which time it stands (*named*), and is cut short or has holes all the same: dump sites have published
    months without the middle. So it stands for no stretch without rows that is longer than a day, three bars and
    a hundred usual steps, which its other rows tell; and before its first bar and after its last only for as long as the longest hole between bars.

    A file of few rows that no name says the time of may be a handful of rows of any history: the day and the three bars do not count then, only
    the steps of its other rows. Two rows have no other steps: of them only their own time is covered.

    Parameters
    ----------
    times
        The times of its rows, sorted ``Int64`` without repeats; at least one.
    span
        From its first row to the end of its last.
    bar
        How long a bar lasts; 0 where there are none.
    """
    steps = times.diff().drop_nulls()
    if named == span and times.len() < _FEW_ROWS:
        longest_shown = longest_edge = 100 * _usual_step(steps)
    elif bar:
        longest_shown = max(DAY, 3 * bar)
        longest_hole = max(int(steps.max() or 0), bar) - bar  # type: ignore[arg-type]
        longest_edge = min(longest_hole, longest_shown)
    else:
        longest_shown = max(DAY, 100 * _usual_step(steps))
        longest_edge = longest_shown
    start, end = named
    if span.start - named.start > longest_edge:
        start = span.start
    if named.end - span.end > longest_edge:
        end = span.end
    before_holes = (steps - bar > longest_shown).arg_true()
    holes = [Span(times[place] + max(bar, 1), times[place + 1]) for place in before_holes]
    return list(subtract(Span(start, end), holes))


def _usual_step(steps: pl.Series) -> int:
    """Return the median of the steps between rows; the longest does not count, as it would vouch for itself in a short file."""
    shorter = steps.sort()[:-1]
    if not shorter.len():
        return 0
    return int(shorter[(shorter.len() - 1) // 2])


def _rests(piece: Covered, known: Sequence[Span]) -> Iterator[Covered]:
    """Yield the parts of a piece outside *known*, which is sorted and disjoint."""
    # Looked up: walking through all spans for each piece took time in proportion to their product.
    near = bisect_right(known, piece.span.start, key=lambda span: span.end)
    for rest in subtract(piece.span, islice(known, near, None)):
        yield Covered(rest, piece.found, piece.reason)


def _join(pieces: Iterable[Covered]) -> tuple[Covered, ...]:
    """Return pieces in order, those that touch and say the same as one."""
    joined: list[Covered] = []
    for piece in sorted(pieces):
        if joined and _continues(joined[-1], piece):
            joined[-1] = Covered(Span(joined[-1].span.start, piece.span.end), piece.found, piece.reason)
        else:
            joined.append(piece)
    return tuple(joined)


def _continues(last: Covered, piece: Covered) -> bool:
    return last.span.end == piece.span.start and (last.found, last.reason) == (piece.found, piece.reason)


def _end(piece: Covered) -> int:
    return piece.span.end
