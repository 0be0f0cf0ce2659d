"""Coverage: which spans were really looked at, and what was found out there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from ticklake.core.span import Span, normalise, subtract

__all__ = ["COMPLETE", "Coverage", "Covered", "Found"]


class Found(StrEnum):
    """What looking at a span brought.

    ``data``: whatever rows the lake holds there are all there are. ``unavailable``: the source no longer
    serves it. ``lost``: it was served, but not whole (one instant with more rows than a page).
    ``unlisted``: the market did not exist yet, or no longer, so nothing can be missing. ``expired``: its rows were removed on
    purpose because of their age, so nothing is missing and nothing is asked for again.
    """

    DATA = "data"
    UNAVAILABLE = "unavailable"
    LOST = "lost"
    UNLISTED = "unlisted"
    EXPIRED = "expired"


COMPLETE = (Found.UNLISTED, Found.EXPIRED)
"""Where nothing is missing although there are no rows."""


@dataclass(frozen=True, slots=True, order=True)
class Covered:
    """One looked-at span, what was found there, and why if it was not the data."""

    span: Span
    found: Found = Found.DATA
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Coverage:
    """All the looked-at spans of one dataset: sorted and disjoint; the latest look wins.

    Examples
    --------
    >>> coverage = Coverage().add(Covered(Span(0, 10)))
    >>> list(coverage.missing(Span(0, 15)))
    [Span(start=10, end=15)]
    """

    pieces: tuple[Covered, ...] = field(default=())

    @classmethod
    def of(cls, pieces: Iterable[Covered]) -> Coverage:
        """Build from pieces in the order they were looked at."""
        coverage = cls()
        for piece in pieces:
            coverage = coverage.add(piece)
        return coverage

    def add(self, new: Covered) -> Coverage:
        """Return the coverage after one more look.

        What is known to be there is never unlearned: ``unavailable`` does not replace ``data``.
        """
        if new.found is Found.DATA:
            return Coverage(_join([*self._outside(new.span), new]))
        known = normalise(piece.span for piece in self.pieces if piece.found is Found.DATA)
        fresh = [Covered(span, new.found, new.reason) for span in subtract(new.span, known)]
        kept = [piece for piece in self.pieces if piece.found is Found.DATA]
        others = [piece for piece in self._outside(new.span) if piece.found is not Found.DATA]
        return Coverage(_join([*kept, *others, *fresh]))

    def spans(self, *found: Found) -> list[Span]:
        """Return the spans with one of these findings (all of them by default), normalised."""
        return normalise(piece.span for piece in self.pieces if not found or piece.found in found)

    def missing(self, want: Span, *, retry: bool = False) -> Iterator[Span]:
        """Yield the parts of *want* that were never looked at, in order.

        With *retry*, parts that were ``unavailable`` or ``lost`` count as missing too.
        """
        return subtract(want, self.spans(Found.DATA, *COMPLETE) if retry else self.spans())

    def within(self, span: Span) -> Coverage:
        """Return what falls inside *span*."""
        clipped = ((piece.span.intersect(span), piece) for piece in self.pieces)
        return Coverage(tuple(Covered(cut, piece.found, piece.reason) for cut, piece in clipped if cut))

    def without(self, span: Span) -> Coverage:
        """Return the coverage with *span* forgotten."""
        return Coverage(tuple(self._outside(span)))

    def _outside(self, span: Span) -> list[Covered]:
        return [
            Covered(rest, piece.found, piece.reason) for piece in self.pieces for rest in subtract(piece.span, [span])
        ]


def _join(pieces: Iterable[Covered]) -> tuple[Covered, ...]:
    joined: list[Covered] = []
    for piece in sorted(pieces):
        last = joined[-1] if joined else None
        if last and last.span.end == piece.span.start and (last.found, last.reason) == (piece.found, piece.reason):
            joined[-1] = Covered(Span(last.span.start, piece.span.end), piece.found, piece.reason)
        else:
            joined.append(piece)
    return tuple(joined)
