"""Decoded blocks of files: what is read again and again is decoded once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

import polars as pl

from ticklake.core.lookup import absent
from ticklake.core.read_plan import CACHE_SIZE
from ticklake.core.segment import Segment
from ticklake.core.span import Span

__all__ = ["BlockCache", "Decode"]

_MOST_SEEN = 65_536
"""Blocks that are remembered as read once."""
_LARGE = 4
"""An answer that would take more than this part of the budget is not kept: it would push out what is read often."""
_CELL = 8
"""Bytes of a cell, about: before a block is decoded, nothing else is known."""

Decode = Callable[[int, int, Sequence[str]], pl.DataFrame]
"""Reads rows of a file, from an offset on and so many, with columns."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A block of a segment: its number, and its rows in the file."""

    key: tuple[str, int]
    offset: int
    rows: int


@dataclass(slots=True)
class _Decoded:
    """Columns of a block."""

    columns: dict[str, pl.Series] = field(default_factory=dict)
    size: int = 0

    def add(self, frame: pl.DataFrame) -> int:
        """Add columns that are not there, and return by how many bytes it grew."""
        before = self.size
        for column in frame.get_columns():
            if column.name not in self.columns:
                self.columns[column.name] = column
                self.size += int(column.estimated_size())
        return self.size - before


class BlockCache:
    """Keeps blocks of files that were read more than once, up to *budget* bytes; those used longest ago go first.

    A segment never changes, so nothing in here is ever out of date. A block is kept from its second reading on: one pass over years of
    rows pushes nothing out. All methods may be called from any thread.
    """

    def __init__(self, budget: int = CACHE_SIZE) -> None:
        self._budget = budget
        self._size = 0
        self._decoded: OrderedDict[tuple[str, int], _Decoded] = OrderedDict()
        self._seen: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._lock = threading.Lock()
        self.hits = self.misses = 0
        """Reads that were answered from blocks, and those that were not."""

    @property
    def size(self) -> int:
        """Bytes of all blocks."""
        return self._size

    def fits(self, segments: Sequence[Segment], span: Span, columns: Sequence[str]) -> bool:
        """Whether the rows of segments inside *span* are few enough to be kept all at once."""
        rows = sum(sum(place.rows for place in _places(segment, span)) for segment in segments)
        return self._is_small(rows, columns)

    def _is_small(self, rows: int, columns: Sequence[str]) -> bool:
        return rows * len(columns) * _CELL <= self._budget // _LARGE

    def rows(self, segment: Segment, span: Span | None, columns: Sequence[str], decode: Decode) -> pl.DataFrame | None:
        """Return the rows of a file inside *span* (all for ``None``); ``None`` if they are to be read from the file.

        Parameters
        ----------
        decode
            Is called for blocks that are read a second time.
        """
        places = list(_places(segment, span))
        rows = sum(place.rows for place in places)
        if not places or not self._is_small(rows, columns) or not self._are_worth_it(places):
            self.misses += 1
            return None
        self.hits += 1
        names = list(dict.fromkeys(["ts", *columns]))
        frames: list[pl.DataFrame] = []
        # Blocks that lack the same columns are read at once.
        for missing, group in groupby(places, partial(self._absent, names)):
            frames += self._blocks(list(group), names, missing, decode)
        if span is not None:
            frames[0] = _after(frames[0], span.start)
            frames[-1] = _before(frames[-1], span.end)
        return pl.concat(frames)[list(columns)]

    def _are_worth_it(self, places: Sequence[_Place]) -> bool:
        """Whether all blocks are here or were read before; those that were not are noted as read."""
        with self._lock:
            new = [place.key for place in places if place.key not in self._decoded and place.key not in self._seen]
            for key in new:
                self._seen[key] = None
            while len(self._seen) > _MOST_SEEN:
                self._seen.popitem(last=False)
        return not new

    def _absent(self, names: Sequence[str], place: _Place) -> tuple[str, ...]:
        """Return which columns of a block are not here."""
        with self._lock:
            decoded = self._decoded.get(place.key)
            if decoded is None:
                return tuple(names)
            self._decoded.move_to_end(place.key)
            return tuple(absent(names, decoded.columns))

    def _blocks(
        self, places: Sequence[_Place], names: Sequence[str], missing: Sequence[str], decode: Decode
    ) -> list[pl.DataFrame]:
        """Return blocks that follow one another and lack the same columns."""
        if missing:
            # Outside the lock: others read meanwhile. If two decode the same block, the columns of the first one stay.
            self._keep(places, decode(places[0].offset, sum(place.rows for place in places), missing))
        frames: list[pl.DataFrame] = []
        for place in places:
            with self._lock:
                decoded = self._decoded.get(place.key, _Decoded())
            if absent(names, decoded.columns):
                # Others needed the room meanwhile.
                frames.append(decode(place.offset, place.rows, names))
            else:
                frames.append(pl.DataFrame([decoded.columns[name] for name in names]))
        return frames

    def _keep(self, places: Sequence[_Place], frame: pl.DataFrame) -> None:
        first = places[0].offset
        for place in places:
            # Copied: a slice would keep all blocks that were read with it.
            block = frame.slice(place.offset - first, place.rows).clone().rechunk()
            with self._lock:
                decoded = self._decoded.setdefault(place.key, _Decoded())
                self._size += decoded.add(block)
        with self._lock:
            self._keep_budget()

    def _keep_budget(self) -> None:
        while self._size > self._budget and self._decoded:
            _, dropped = self._decoded.popitem(last=False)
            self._size -= dropped.size


def _places(segment: Segment, span: Span | None) -> Iterator[_Place]:
    """Yield the blocks of a file that may hold rows inside *span*."""
    offset = 0
    for number, block in enumerate(segment.blocks):
        if block.rows and (span is None or block.meets(span)):
            yield _Place((segment.id, number), offset, block.rows)
        offset += block.rows


def _after(block: pl.DataFrame, start: int) -> pl.DataFrame:
    ts = block["ts"].to_physical()
    return block.slice(int(ts.search_sorted(start, side="left")))


def _before(block: pl.DataFrame, end: int) -> pl.DataFrame:
    ts = block["ts"].to_physical()
    return block.head(int(ts.search_sorted(end, side="left")))
