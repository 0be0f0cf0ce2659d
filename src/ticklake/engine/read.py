"""Reads of one version: its sorted rows at once, in chunks, or as a lazy frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby

import polars as pl
from polars.io.plugins import register_io_source

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import PROVENANCE, Kind
from ticklake.core.merge import Keying, collapse
from ticklake.core.read_plan import CHUNK_ROWS, Slice, cut, plan_read
from ticklake.core.segment import Segment
from ticklake.core.span import Span
from ticklake.engine.store import DatasetView, Store, retried
from ticklake.errors import MissingSegment, TicklakeError
from ticklake.storage.segments import corrupt

__all__ = ["chunks", "chunks_of", "count_rows", "load", "most_rows", "read_chunks", "read_rows", "scan"]

_REACHES = (8, 128, 2048)
"""How many of the newest segments are considered, in turn, to find the newest rows."""
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""What Polars raises at a damaged file; some footers make it panic, which is no ``Exception``."""


def scan(store: Store, dataset: Dataset, span: Span, *, provenance: bool = False) -> pl.LazyFrame:
    """Return the rows inside *span*, sorted, as a lazy frame that always shows this version.

    Files are opened when the frame is collected, even if compaction has moved them by then.
    """
    view = store.view(dataset, span)
    schema = dict(view.kind.schema)
    if provenance:
        schema[PROVENANCE] = pl.Int32()

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch: int | None
    ) -> Iterator[pl.DataFrame]:
        yield from _frames(store, view, columns or list(schema), predicate, n_rows)

    # A version never changes, so Polars may collect it once for several uses.
    return register_io_source(source, schema=schema, is_pure=True)


def chunks(
    store: Store, dataset: Dataset, span: Span, *, columns: Sequence[str] | None = None
) -> Iterator[pl.DataFrame]:
    """Yield the rows inside *span* of one version in order, as frames of bounded size that never split an instant."""
    view = store.view(dataset, span)
    names = list(view.kind.names)
    if columns is not None:
        names = list(columns)
    yield from chunks_of(store, view, names)


def chunks_of(
    store: Store, view: DatasetView, columns: Sequence[str], rows: int = CHUNK_ROWS
) -> Iterator[pl.DataFrame]:
    """Yield the rows of a view like :func:`chunks`, about *rows* in each; files that are moved meanwhile are found again."""
    for frame in _frames(store, view, list(columns), None, None, rows):
        if frame.height:
            yield frame


def load(
    store: Store,
    dataset: Dataset,
    span: Span,
    *,
    columns: Sequence[str] | None = None,
    last: int | None = None,
    provenance: bool = False,
) -> pl.DataFrame:
    """Return the rows inside *span*, sorted, as a frame; with *last*, only that many from the end."""
    if columns is not None:
        names = list(columns)
    else:
        names = list(store.catalog.with_kind(dataset).spec.names)
        if provenance:
            names.append(PROVENANCE)
    if last is not None:
        return _load_last(store, dataset, span, names, last)
    return _load(store, dataset, span, names)


def _load(store: Store, dataset: Dataset, span: Span, names: Sequence[str]) -> pl.DataFrame:
    return retried(lambda: read_rows(store, store.view(dataset, span), names))


def _load_last(store: Store, dataset: Dataset, span: Span, names: Sequence[str], last: int) -> pl.DataFrame:
    """Read the newest segments only, more of them until there are enough rows."""
    for reach in _REACHES:
        ends = store.catalog.newest(dataset, span, reach)
        start = _start_of(ends, last)
        if start is not None and start > span.start:
            rows = _load(store, dataset, Span(start, span.end), names)
            if rows.height >= last:
                return rows.tail(last)
        # These were all segments of the span: considering more of them finds no more rows.
        if len(ends) < reach:
            break
    return _load(store, dataset, span, names).tail(last)


def _start_of(ends: Sequence[tuple[int, int]], last: int) -> int | None:
    """Return the start of the newest segments that together hold *last* rows; ``None`` if all hold fewer."""
    total = 0
    earliest: int | None = None
    for start, rows in ends:
        total += rows
        if earliest is None or start < earliest:
            earliest = start
        if total >= last:
            return earliest
    return None


def read_rows(store: Store, view: DatasetView, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Return the rows of a view in order, with all stored columns unless some are named.

    Raises
    ------
    MissingSegment, CorruptSegment
    """
    kind = view.kind
    names = _names(kind, columns)
    frames: list[pl.LazyFrame] = []
    for inline, slices in groupby(plan_read(view.segments, view.span), _is_inline):
        # Inline segments in a row become one frame: a lazy frame for each would cost more than its rows.
        if inline:
            frames.append(_inline_rows(store, slices, kind, names).lazy())
        else:
            frames += [_read_slice(store, part, kind, view.keying, names) for part in slices]
    if not frames:
        return kind.empty()[names]
    frame = frames[0]
    if len(frames) > 1:
        frame = pl.concat(frames)
    return _collect(store, frame, view.segments)


def _names(kind: Kind, columns: Sequence[str] | None) -> list[str]:
    if columns is None:
        return list(kind.stored_schema)
    return list(columns)


def _inline_rows(store: Store, slices: Iterable[Slice], kind: Kind, names: Sequence[str]) -> pl.DataFrame:
    return pl.concat([store.rows(part.segments[0], kind, part.span) for part in slices])[list(names)]


def read_chunks(store: Store, view: DatasetView, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
    """Yield the rows of a view in order, as frames of bounded size.

    The next frame is read while the one before it is used.
    """
    return _ahead(_read_groups(store, view, _names(view.kind, columns)))


def _read_groups(store: Store, view: DatasetView, names: Sequence[str]) -> Iterator[pl.DataFrame]:
    # What is too large for the cache as a whole would push itself out, piece by piece: each time that it is read, and for nothing.
    uses_cache = store.blocks.fits(view.segments, view.span, names)
    for group in _grouped(_slices(view)):
        frame = _read_group(store, group, view, names, uses_cache=uses_cache)
        if frame.height:
            yield frame


def _slices(view: DatasetView, rows: int = CHUNK_ROWS) -> Iterator[Slice]:
    """Yield the slices of a view, cut to bounded size."""
    for part in plan_read(view.segments, view.span):
        yield from cut(part, rows)


def _grouped(slices: Iterator[Slice]) -> Iterator[list[Slice]]:
    """Put consecutive inline segments together: a frame costs more than the few rows of one of them."""
    group: list[Slice] = []
    rows = 0
    for part in slices:
        if group and not (_is_inline(group[-1]) and _is_inline(part) and rows < CHUNK_ROWS):
            yield group
            group, rows = [], 0
        group.append(part)
        rows += part.segments[0].rows
    if group:
        yield group


def _read_group(
    store: Store, group: Sequence[Slice], view: DatasetView, names: Sequence[str], *, uses_cache: bool
) -> pl.DataFrame:
    if _is_inline(group[0]):
        return _inline_rows(store, group, view.kind, names)
    rows = _read_slice(store, group[0], view.kind, view.keying, names, uses_cache=uses_cache)
    return _collect(store, rows, group[0].segments)


def _ahead(items: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield *items*; each is computed in a thread while the one before is used."""
    with ThreadPoolExecutor(1, "ticklake-read") as pool:
        pending = pool.submit(next, items, None)
        while (item := pending.result()) is not None:
            pending = pool.submit(next, items, None)
            yield item


def _read_slice(
    store: Store,
    piece: Slice,
    kind: Kind,
    keying: Keying,
    columns: Sequence[str] | None = None,
    *,
    uses_cache: bool = True,
) -> pl.LazyFrame:
    """Return the rows of one slice, merged by key where segments overlap; all stored *columns* by default."""
    if len(piece.segments) == 1:
        span: Span | None = piece.span
        if piece.is_whole:
            # Without a span, Polars does not compare the time of every row.
            span = None
        return store.scan(piece.segments[0], kind, span, columns, uses_cache=uses_cache)
    # All columns: those of the key decide which row stays.
    stored = list(kind.stored_schema)
    merged = collapse([store.scan(segment, kind, piece.span, stored) for segment in piece.segments], kind, keying)
    if columns is None:
        return merged
    return merged.select(columns)


def most_rows(view: DatasetView) -> int:
    """Return how many rows a view can have at most, without reading one."""
    most = 0
    for segment in view.segments:
        blocks = [block.rows for block in segment.blocks if block.rows and block.meets(view.span)]
        most += sum(blocks)
        if not segment.blocks:
            most += segment.rows
    frame = view.dataset.timeframe
    if frame is not None and view.kind.bars and not frame.is_month:
        # Files of bars have large blocks, and most reads want a small part of one.
        most = min(most, view.span.length // frame.length + 1)
    return most


def count_rows(store: Store, view: DatasetView, rows: int = CHUNK_ROWS) -> int:
    """Count the rows of a view; only segments that overlap or that the span cuts are read, about *rows* at a time."""
    total = 0
    for piece in plan_read(view.segments, view.span):
        if piece.is_whole:
            total += piece.segments[0].rows
        else:
            for part in cut(piece, rows):
                counted = _read_slice(store, part, view.kind, view.keying).select(pl.len())
                total += int(_collect(store, counted, piece.segments).item())
    return total


def _collect(store: Store, frame: pl.LazyFrame, segments: Sequence[Segment]) -> pl.DataFrame:
    """Collect a frame that reads *segments*.

    Raises
    ------
    MissingSegment
        If a file was removed meanwhile: plan again from a newer version.
    CorruptSegment
        If a file is damaged; it is named.
    """
    try:
        return frame.collect()
    except TicklakeError:
        raise
    except _UNREADABLE as error:
        raise _blame(store, segments, error) from error


def _frames(
    store: Store,
    view: DatasetView,
    columns: list[str],
    predicate: pl.Expr | None,
    n_rows: int | None,
    chunk_rows: int = CHUNK_ROWS,
) -> Iterator[pl.DataFrame]:
    """Yield the rows slice by slice; *n_rows* counts rows before the predicate, as Polars asks for them."""
    left = n_rows
    yield view.kind.empty().select(columns)
    for piece in _slices(view, chunk_rows):
        frame = retried(partial(_read_part, store, piece, view, columns, predicate, left))
        if left is None:
            yield frame
            continue
        left -= frame.height
        if predicate is not None:
            frame = frame.filter(predicate)
        yield frame.select(columns)
        if left == 0:
            return


def _read_part(
    store: Store, piece: Slice, view: DatasetView, columns: list[str], predicate: pl.Expr | None, left: int | None
) -> pl.DataFrame:
    lazy = _read_slice(store, piece, view.kind, view.keying)
    # The caller filters: the rows that the predicate drops count, too.
    if left is not None:
        return _collect(store, lazy.head(left), piece.segments)
    if predicate is not None:
        lazy = lazy.filter(predicate)
    return _collect(store, lazy.select(columns), piece.segments)


def _is_inline(piece: Slice) -> bool:
    return len(piece.segments) == 1 and piece.segments[0].path is None


def _blame(store: Store, segments: Sequence[Segment], error: BaseException) -> TicklakeError:
    """Return the error for the segment that cannot be read: Polars' errors do not name the file."""
    files = [segment for segment in segments if segment.path is not None]
    for segment in files:
        try:
            # No globbing: the name of the folder may contain brackets.
            pl.scan_parquet(store.source(segment), glob=False, hive_partitioning=False).collect()
        except MissingSegment as missing:
            return missing
        except _UNREADABLE as own:
            return corrupt(segment.name, own)
    # It can be read as a whole, but only this file can have failed.
    if len(files) == 1 and not isinstance(error, FileNotFoundError):
        return corrupt(files[0].name, error)
    return MissingSegment(f"a segment went away while it was read ({str(error).partition(chr(10))[0]}): read again")
