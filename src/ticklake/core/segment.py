"""Segments: immutable pieces of one dataset, as values."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import starmap
from typing import NamedTuple

from ticklake.core.span import Span

__all__ = ["Block", "Segment", "pack_blocks", "rows_in_all", "size_of_all", "span_of", "unpack_blocks"]

_BLOCK = struct.Struct("<QIIIqq")


class Block(NamedTuple):
    """A stretch of a segment's file that is read as a whole: a row group, or the file's tail (no rows).

    ``crc`` is the CRC-32 (that of zlib) of its bytes; ``min_ts`` and ``max_ts`` are inclusive.
    """

    offset: int
    length: int
    crc: int
    rows: int
    min_ts: int
    max_ts: int

    def meets(self, span: Span) -> bool:
        """Whether it may hold rows inside *span*; the tail is needed to read anything."""
        return self.rows == 0 or (self.min_ts < span.end and self.max_ts >= span.start)


def pack_blocks(blocks: Iterable[Block]) -> bytes:
    """Return blocks as the catalog keeps them: 36 bytes each, little-endian."""
    return b"".join(starmap(_BLOCK.pack, blocks))


# Every read of a segment asks for its blocks, and a large file has hundreds of them.
@lru_cache(maxsize=4096)
def unpack_blocks(packed: bytes) -> tuple[Block, ...]:
    """Read what :func:`pack_blocks` wrote."""
    return tuple(map(Block._make, _BLOCK.iter_unpack(packed)))


@dataclass(frozen=True, slots=True)
class Segment:
    """One immutable piece of a dataset.

    ``seq`` orders contents: where two segments hold the same key, the higher one wins. ``path`` is its
    place in the lake, or ``None`` for an inline segment, whose bytes are ``data``. ``min_ts`` and ``max_ts``
    are inclusive. ``digest`` is the BLAKE2b-128 of its bytes, ``packed`` the checksums of its blocks.
    ``observed_at`` is when its newest row was observed, in nanoseconds; ``None`` if that is not known.
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
    packed: bytes = b""
    observed_at: int | None = None

    @property
    def span(self) -> Span:
        """The half-open span its rows lie in."""
        return Span(self.min_ts, self.max_ts + 1)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks of its file in order, the tail last; none if they are not known or it is inline."""
        return unpack_blocks(self.packed)

    def lies_in(self, span: Span) -> bool:
        """Whether all of its rows lie inside *span*."""
        return span.start <= self.min_ts and self.max_ts < span.end

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return self.path or f"inline segment {self.id}"


def rows_in_all(segments: Iterable[Segment]) -> int:
    """Return how many rows *segments* have together; rows that are in several of them count several times."""
    return sum(segment.rows for segment in segments)


def size_of_all(segments: Iterable[Segment]) -> int:
    """Return how many bytes *segments* have together."""
    return sum(segment.size for segment in segments)


def span_of(segments: Sequence[Segment]) -> Span:
    """Return the span from the first row of all *segments*, of which there are some, to the last."""
    return Span(min(segment.min_ts for segment in segments), max(segment.max_ts for segment in segments) + 1)
