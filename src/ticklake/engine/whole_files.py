"""Whole files: which parts of a read a distant reader may take as they are stored, and which are to be read for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ticklake.core.kinds import KINDS
from ticklake.core.read_plan import Slice, plan_read
from ticklake.core.segment import Segment
from ticklake.core.span import Span
from ticklake.engine.store import DatasetView

__all__ = ["ReadPart", "parts_of"]

_FEWEST_ROWS = 16_384
"""Files of fewer rows are read with what is beside them: a request for each would cost more than their rows."""


@dataclass(frozen=True, slots=True)
class ReadPart:
    """A part of a read: all rows of a stored file, or, if there is no *segment*, the rows inside *span*."""

    span: Span
    segment: Segment | None = None


def parts_of(view: DatasetView) -> list[ReadPart]:
    """Return the parts of a view in order of time; they do not overlap, and together have all of its rows."""
    parts: list[ReadPart] = []
    for part in _parts(plan_read(view.segments, view.span), is_known=KINDS.get(view.kind.name) is view.kind):
        before = parts[-1:]
        if part.segment is None and before and before[0].segment is None:
            parts[-1] = ReadPart(before[0].span.hull(part.span))
        else:
            parts.append(part)
    return parts


def _parts(slices: Iterable[Slice], *, is_known: bool) -> Iterator[ReadPart]:
    """Yield a part for each slice. Files of a kind that only this lake knows are not for readers elsewhere."""
    for piece in slices:
        segment = piece.segments[0]
        if is_known and piece.is_whole and segment.path is not None and segment.rows >= _FEWEST_ROWS:
            yield ReadPart(segment.span, segment)
        else:
            yield ReadPart(piece.span)
