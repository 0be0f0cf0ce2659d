"""Scanning: a lazy frame pinned to one version, and a frame read at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain

import polars as pl
from polars.io.plugins import register_io_source

from ticklake.catalog.changes import keying_of
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import PROVENANCE, Kind
from ticklake.core.merge import Keying
from ticklake.core.read_plan import Slice, cut, plan_read
from ticklake.core.segment import Segment
from ticklake.core.span import Span
from ticklake.engine.append import retried
from ticklake.engine.read import collect, read_rows, read_slice
from ticklake.engine.store import Store

__all__ = ["chunks", "load", "scan"]


def scan(
    store: Store, dataset: Dataset, span: Span, *, version: int | None = None, provenance: bool = False
) -> pl.LazyFrame:
    """Return the rows inside *span*, sorted, as a lazy frame that always shows this version.

    Files are opened when the frame is collected, wherever compaction has put them by then.
    """
    _, row, segments = store.catalog.snapshot(dataset, span, version=version)
    kind = dataset.spec
    schema = dict(kind.schema)
    if provenance:
        schema[PROVENANCE] = pl.Int32()
    keying = keying_of(row)

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch: int | None
    ) -> Iterator[pl.DataFrame]:
        yield from _frames(store, dataset, keying, segments, span, columns or list(schema), predicate, n_rows)

    return register_io_source(source, schema=schema, is_pure=True)


def chunks(
    store: Store, dataset: Dataset, span: Span, *, columns: Sequence[str] | None = None, version: int | None = None
) -> Iterator[pl.DataFrame]:
    """Yield the rows inside *span* of one version in order, as frames that never cut an instant nor need much memory."""
    _, row, segments = store.catalog.snapshot(dataset, span, version=version)
    keying = keying_of(row)
    names = dataset.spec.names if columns is None else list(columns)
    frames = _frames(store, dataset, keying, segments, span, names, None, None)
    yield from (frame for frame in frames if frame.height)


def load(
    store: Store,
    dataset: Dataset,
    span: Span,
    *,
    columns: Sequence[str] | None = None,
    version: int | None = None,
    provenance: bool = False,
) -> pl.DataFrame:
    """Return the rows inside *span*, sorted, as a frame."""
    kind = dataset.spec
    names = list(kind.names if columns is None else columns)
    if columns is None and provenance:
        names.append(PROVENANCE)

    def attempt() -> pl.DataFrame:
        _, row, segments = store.catalog.snapshot(dataset, span, version=version)
        return read_rows(store, segments, kind, keying_of(row), span, names)

    return retried(attempt)


def _frames(
    store: Store,
    dataset: Dataset,
    keying: Keying,
    segments: Sequence[Segment],
    span: Span,
    columns: list[str],
    predicate: pl.Expr | None,
    n_rows: int | None,
) -> Iterator[pl.DataFrame]:
    """Yield the rows slice by slice; *n_rows* counts rows before the predicate, as Polars asks for them."""
    kind = dataset.spec
    left = n_rows
    yield kind.empty().select(columns)
    for piece in chain.from_iterable(map(cut, plan_read(segments, span))):
        frame = retried(partial(_slice, store, piece, kind, keying, columns, predicate, left))
        if left is None:
            yield frame
            continue
        left -= frame.height
        if predicate is not None:
            frame = frame.filter(predicate)
        yield frame.select(columns)
        if left == 0:
            return


def _slice(
    store: Store,
    piece: Slice,
    kind: Kind,
    keying: Keying,
    columns: list[str],
    predicate: pl.Expr | None,
    left: int | None,
) -> pl.DataFrame:
    lazy = read_slice(store, piece, kind, keying)
    if left is not None:
        return collect(store, lazy.head(left), piece.segments)
    if predicate is not None:
        lazy = lazy.filter(predicate)
    return collect(store, lazy.select(columns), piece.segments)
