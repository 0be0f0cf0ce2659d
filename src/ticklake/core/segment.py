"""Segments: immutable pieces of one dataset, as values."""

from __future__ import annotations

from dataclasses import dataclass

from ticklake.core.span import Span

__all__ = ["Segment"]


@dataclass(frozen=True, slots=True)
class Segment:
    """One immutable piece of a dataset.

    ``seq`` orders contents: where two segments hold the same key, the higher one wins. ``path`` is its
    place in the lake, or ``None`` for an inline segment, whose bytes are ``data``. ``min_ts`` and ``max_ts``
    are inclusive. ``digest`` is the BLAKE2b-128 of its bytes.
    """

    id: str
    seq: int
    rows: int
    min_ts: int
    max_ts: int
    size: int
    digest: str
    path: str | None = None
    data: bytes | None = None
    period: str = ""

    @property
    def span(self) -> Span:
        """The half-open span its rows lie in."""
        return Span(self.min_ts, self.max_ts + 1)

    def lies_in(self, span: Span) -> bool:
        """Whether all of its rows lie inside *span*."""
        return span.start <= self.min_ts and self.max_ts < span.end

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return self.path or f"inline segment {self.id}"
