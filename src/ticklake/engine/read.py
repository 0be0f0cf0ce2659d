"""Reading: from a list of segments to sorted frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, groupby

import polars as pl

from ticklake.core.kinds import Kind
from ticklake.core.merge import Keying, collapse
from ticklake.core.read_plan import CHUNK_ROWS, Slice, cut, plan_read
from ticklake.core.segment import Segment, span_of
from ticklake.core.span import Span
from ticklake.engine.store import Store
from ticklake.errors import MissingSegment, TicklakeError
from ticklake.storage.segments import corrupt

__all__ = ["collect", "count_rows", "read_chunks", "read_rows", "read_slice"]


_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""What Polars raises at a damaged file; some footers make it panic, which is no ``Exception``."""


def read_rows(
    store: Store,
    segments: Sequence[Segment],
    kind: Kind,
    keying: Keying,
    span: Span,
    columns: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Return the rows inside *span* in order, with all stored columns unless some are named.

    Raises
    ------
    MissingSegment, CorruptSegment
    """
    names = list(kind.stored_schema if columns is None else columns)
    parts: list[pl.LazyFrame] = []
    for inline, pieces in groupby(plan_read(segments, span), _is_inline):
        if inline:
            rows = pl.concat([store.rows(piece.segments[0], kind, piece.span) for piece in pieces])
            parts.append(rows[names].lazy())
        else:
            parts += [read_slice(store, piece, kind, keying, names) for piece in pieces]
    if not parts:
        return kind.empty()[names]
    frame = parts[0] if len(parts) == 1 else pl.concat(parts)
    return collect(store, frame, segments)


def read_chunks(
    store: Store,
    segments: Sequence[Segment],
    kind: Kind,
    keying: Keying,
    span: Span,
    columns: Sequence[str] | None = None,
) -> Iterator[pl.DataFrame]:
    """Yield the rows inside *span* in order, as frames that together never need much memory.

    The next frame is read while the one before it is worked on.
    """
    names = list(kind.stored_schema if columns is None else columns)
    parts = chain.from_iterable(map(cut, plan_read(segments, span)))
    frames = (_read_group(store, group, kind, keying, names) for group in _grouped(parts))
    return _ahead(frame for frame in frames if frame.height)


def _grouped(parts: Iterator[Slice]) -> Iterator[list[Slice]]:
    """Put inline segments that follow one another together: each frame costs more than its few rows."""
    group: list[Slice] = []
    rows = 0
    for part in parts:
        if group and not (_is_inline(group[-1]) and _is_inline(part) and rows < CHUNK_ROWS):
            yield group
            group, rows = [], 0
        group.append(part)
        rows += part.segments[0].rows
    if group:
        yield group


def _read_group(store: Store, group: Sequence[Slice], kind: Kind, keying: Keying, names: Sequence[str]) -> pl.DataFrame:
    if _is_inline(group[0]):
        return pl.concat([store.rows(part.segments[0], kind, part.span) for part in group])[list(names)]
    return collect(store, read_slice(store, group[0], kind, keying, names), group[0].segments)


def _ahead(items: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield *items*, each computed in a thread of its own while the one before is used."""
    with ThreadPoolExecutor(1, "ticklake-read") as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def read_slice(
    store: Store, piece: Slice, kind: Kind, keying: Keying, columns: Sequence[str] | None = None
) -> pl.LazyFrame:
    """Return the rows of one slice, merged by key where several segments meet; all stored *columns* by default."""
    if len(piece.segments) == 1:
        # Without a span Polars need not compare the times of a segment that lies inside it as a whole.
        span = None if piece.is_whole else piece.span
        return store.scan(piece.segments[0], kind, span, columns)
    merged = collapse([store.scan(segment, kind, piece.span) for segment in piece.segments], kind, keying)
    if columns is None:
        return merged
    return merged.select(columns)


def count_rows(store: Store, segments: Sequence[Segment], kind: Kind, keying: Keying, span: Span | None = None) -> int:
    """Count the rows of segments (those inside *span*), reading only where they meet or *span* cuts them."""
    if not segments:
        return 0
    total = 0
    for piece in plan_read(segments, span or span_of(segments)):
        if piece.is_whole:
            total += piece.segments[0].rows
        else:
            for part in cut(piece):
                counted = read_slice(store, part, kind, keying).select(pl.len())
                total += int(collect(store, counted, piece.segments).item())
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
    except _UNREADABLE as error:
        raise _blame(store, segments, error) from error


def _is_inline(piece: Slice) -> bool:
    return len(piece.segments) == 1 and piece.segments[0].path is None


def _blame(store: Store, segments: Sequence[Segment], error: BaseException) -> TicklakeError:
    """Find which segment cannot be read: Polars' errors do not name the file."""
    files = [segment for segment in segments if segment.path is not None]
    for segment in files:
        try:
            pl.scan_parquet(store.source(segment), glob=False, hive_partitioning=False).collect()
        except MissingSegment as missing:
            return missing
        except _UNREADABLE as own:
            return corrupt(segment.name, own)
    if len(files) == 1 and not isinstance(error, FileNotFoundError):
        return corrupt(files[0].name, error)
    return MissingSegment(f"a segment went away while it was read ({str(error).partition(chr(10))[0]}): read again")
