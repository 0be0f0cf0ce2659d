"""Reading: sorted frames of what one version has, at once, in chunks, or as a lazy frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, groupby

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

__all__ = ["chunks", "count_rows", "load", "read_chunks", "read_rows", "scan"]

_REACHES = (8, 128, 2048)
"""How many segments are looked at, in turn, to find the newest rows."""
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""What Polars raises at a damaged file; some footers make it panic, which is no ``Exception``."""


def scan(
    store: Store, dataset: Dataset, span: Span, *, version: int | None = None, provenance: bool = False
) -> pl.LazyFrame:
    """Return the rows inside *span*, sorted, as a lazy frame that always shows this version.

    Files are opened when the frame is collected, wherever compaction has put them by then.
    """
    view = store.view(dataset, span, version)
    schema = dict(view.kind.schema)
    if provenance:
        schema[PROVENANCE] = pl.Int32()

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch: int | None
    ) -> Iterator[pl.DataFrame]:
        yield from _frames(store, view, columns or list(schema), predicate, n_rows)

    return register_io_source(source, schema=schema, is_pure=True)


def chunks(
    store: Store, dataset: Dataset, span: Span, *, columns: Sequence[str] | None = None, version: int | None = None
) -> Iterator[pl.DataFrame]:
    """Yield the rows inside *span* of one version in order, as frames that never cut an instant nor need much memory."""
    names = dataset.spec.names if columns is None else list(columns)
    frames = _frames(store, store.view(dataset, span, version), names, None, None)
    yield from (frame for frame in frames if frame.height)


def load(
    store: Store,
    dataset: Dataset,
    span: Span,
    *,
    columns: Sequence[str] | None = None,
    last: int | None = None,
    version: int | None = None,
    provenance: bool = False,
) -> pl.DataFrame:
    """Return the rows inside *span*, sorted, as a frame; with *last*, only that many from the end."""
    names = list(dataset.spec.names if columns is None else columns)
    if columns is None and provenance:
        names.append(PROVENANCE)
    if last is not None:
        return _load_last(store, dataset, span, names, last, version)
    return _load(store, dataset, span, names, version)


def _load(store: Store, dataset: Dataset, span: Span, names: Sequence[str], version: int | None) -> pl.DataFrame:
    return retried(lambda: read_rows(store, store.view(dataset, span, version), names))


def _load_last(
    store: Store, dataset: Dataset, span: Span, names: Sequence[str], last: int, version: int | None
) -> pl.DataFrame:
    """Read back from the end, only as far as it takes."""
    for reach in _REACHES:
        ends = store.catalog.newest(dataset, span, reach, version=version)
        start = _start_of(ends, last)
        if start is not None and start > span.start:
            rows = _load(store, dataset, Span(start, span.end), names, version)
            if rows.height >= last:
                return rows.tail(last)
        if len(ends) < reach:
            break
    return _load(store, dataset, span, names, version).tail(last)


def _start_of(ends: Sequence[tuple[int, int]], last: int) -> int | None:
    """Return the start of the newest segments that together hold *last* rows; ``None`` if all hold fewer."""
    total = 0
    for place, (_, rows) in enumerate(ends):
        total += rows
        if total >= last:
            return min(start for start, _ in ends[: place + 1])
    return None


def read_rows(store: Store, view: DatasetView, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Return the rows of a view in order, with all stored columns unless some are named.

    Raises
    ------
    MissingSegment, CorruptSegment
    """
    kind = view.kind
    names = list(kind.stored_schema if columns is None else columns)
    parts: list[pl.LazyFrame] = []
    for inline, pieces in groupby(plan_read(view.segments, view.span), _is_inline):
        if inline:
            rows = pl.concat([store.rows(piece.segments[0], kind, piece.span) for piece in pieces])
            parts.append(rows[names].lazy())
        else:
            parts += [_read_slice(store, piece, kind, view.keying, names) for piece in pieces]
    if not parts:
        return kind.empty()[names]
    frame = parts[0] if len(parts) == 1 else pl.concat(parts)
    return _collect(store, frame, view.segments)


def read_chunks(store: Store, view: DatasetView, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
    """Yield the rows of a view in order, as frames that together never need much memory.

    The next frame is read while the one before it is worked on.
    """
    names = list(view.kind.stored_schema if columns is None else columns)
    parts = chain.from_iterable(map(cut, plan_read(view.segments, view.span)))
    frames = (_read_group(store, group, view.kind, view.keying, names) for group in _grouped(parts))
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
    return _collect(store, _read_slice(store, group[0], kind, keying, names), group[0].segments)


def _ahead(items: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield *items*, each computed in a thread of its own while the one before is used."""
    with ThreadPoolExecutor(1, "ticklake-read") as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def _read_slice(
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


def count_rows(store: Store, view: DatasetView) -> int:
    """Count the rows of a view, reading only where segments meet or the span cuts them."""
    total = 0
    for piece in plan_read(view.segments, view.span):
        if piece.is_whole:
            total += piece.segments[0].rows
        else:
            for part in cut(piece):
                counted = _read_slice(store, part, view.kind, view.keying).select(pl.len())
                total += int(_collect(store, counted, piece.segments).item())
    return total


def _collect(store: Store, frame: pl.LazyFrame, segments: Sequence[Segment]) -> pl.DataFrame:
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


def _frames(
    store: Store, view: DatasetView, columns: list[str], predicate: pl.Expr | None, n_rows: int | None
) -> Iterator[pl.DataFrame]:
    """Yield the rows slice by slice; *n_rows* counts rows before the predicate, as Polars asks for them."""
    left = n_rows
    yield view.kind.empty().select(columns)
    for piece in chain.from_iterable(map(cut, plan_read(view.segments, view.span))):
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
    if left is not None:
        return _collect(store, lazy.head(left), piece.segments)
    if predicate is not None:
        lazy = lazy.filter(predicate)
    return _collect(store, lazy.select(columns), piece.segments)


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
