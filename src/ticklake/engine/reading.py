"""Reading: from a list of segments to sorted frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import polars as pl

from ticklake.core.kinds import Kind
from ticklake.core.merge import Keying, collapse
from ticklake.core.readplan import Slice, cut, plan_read
from ticklake.core.segment import Segment
from ticklake.core.span import Span
from ticklake.engine.place import Store, damaged
from ticklake.errors import MissingSegment, TicklakeError

__all__ = ["collect", "count_rows", "read_chunks", "read_rows", "read_slice"]


def read_rows(
    store: Store, segments: Sequence[Segment], kind: Kind, keying: Keying, span: Span
) -> Iterator[pl.LazyFrame]:
    """Yield lazy frames that, one after the other, are the rows inside *span* in order."""
    for inline, pieces in groupby(plan_read(segments, span), _is_inline):
        if inline:
            yield pl.concat([store.rows(piece.segments[0], kind, piece.span) for piece in pieces]).lazy()
        else:
            yield from (read_slice(store, piece, kind, keying) for piece in pieces)


def read_chunks(
    store: Store,
    segments: Sequence[Segment],
    kind: Kind,
    keying: Keying,
    span: Span,
    columns: Sequence[str] | None = None,
) -> Iterator[pl.DataFrame]:
    """Yield the rows inside *span* in order, as frames that together never need much memory."""
    names = list(kind.stored_schema) if columns is None else list(columns)
    for piece in plan_read(segments, span):
        for part in cut(piece):
            frame = collect(store, read_slice(store, part, kind, keying).select(names), part.segments)
            if frame.height:
                yield frame


def read_slice(store: Store, piece: Slice, kind: Kind, keying: Keying) -> pl.LazyFrame:
    """Return the rows of one slice, merged by key where several segments meet."""
    if len(piece.segments) == 1:
        return store.scan(piece.segments[0], kind, None if piece.is_whole else piece.span)
    return collapse([store.scan(segment, kind, piece.span) for segment in piece.segments], kind, keying)


def count_rows(store: Store, segments: Sequence[Segment], kind: Kind, keying: Keying) -> int:
    """Count the rows of segments, reading only where they meet."""
    if not segments:
        return 0
    span = Span(min(s.min_ts for s in segments), max(s.max_ts for s in segments) + 1)
    total = 0
    for piece in plan_read(segments, span):
        if piece.is_whole:
            total += piece.segments[0].rows
        else:
            lazy = (read_slice(store, part, kind, keying).select(pl.len()) for part in cut(piece))
            total += sum(int(collect(store, counted, piece.segments).item()) for counted in lazy)
    return total


def collect(store: Store, frame: pl.LazyFrame, segments: Sequence[Segment]) -> pl.DataFrame:
    """Collect a frame that was made of *segments*.

    Raises
    ------
    MissingSegment
        If a file went away meanwhile: plan again from a newer version.
    CorruptSegment
        If a file is damaged; it is named.
    """
    try:
        return frame.collect()
    except TicklakeError:
        raise
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _blame(store, segments, error) from error


def _is_inline(piece: Slice) -> bool:
    return len(piece.segments) == 1 and piece.segments[0].path is None


def _blame(store: Store, segments: Sequence[Segment], error: Exception) -> TicklakeError:
    """Find which segment cannot be read."""
    for segment in segments:
        if segment.path is None:
            continue
        try:
            source = store.source(segment)
            pl.scan_parquet(source, glob=False, hive_partitioning=False).collect()
        except MissingSegment as missing:
            return missing
        except (pl.exceptions.PolarsError, OSError) as own:
            return damaged(segment, own)
    return MissingSegment(f"a segment went away while it was read ({error}): read again")
