"""Reading: from a list of segments to one sorted frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from ticklake.core.kinds import Kind
from ticklake.core.merge import Keying, collapse
from ticklake.core.readplan import Slice, plan_read
from ticklake.core.segment import Segment
from ticklake.core.span import Span
from ticklake.engine.place import Store, damaged
from ticklake.errors import MissingSegment, TicklakeError

__all__ = ["collect", "read_rows", "read_slice"]


def read_rows(
    store: Store, segments: Sequence[Segment], kind: Kind, keying: Keying, span: Span
) -> Iterator[pl.LazyFrame]:
    """Yield lazy frames that, one after the other, are the rows inside *span* in order."""
    for piece in plan_read(segments, span):
        yield read_slice(store, piece, kind, keying)


def read_slice(store: Store, piece: Slice, kind: Kind, keying: Keying) -> pl.LazyFrame:
    """Return the rows of one slice, merged by key where several segments meet."""
    if len(piece.segments) == 1:
        return store.scan(piece.segments[0], kind, None if piece.is_whole else piece.span)
    return collapse([store.scan(segment, kind, piece.span) for segment in piece.segments], kind, keying)


def collect(store: Store, frame: pl.LazyFrame, segments: Sequence[Segment]) -> pl.DataFrame:
    """Collect a frame that :func:`read_rows` made of *segments*.

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
