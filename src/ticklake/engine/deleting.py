"""Deleting a span of a dataset: the only way rows leave a lake."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ticklake.catalog.changes import Change
from ticklake.core.dataset import Dataset
from ticklake.core.merge import Keying
from ticklake.core.segment import Segment
from ticklake.core.span import Span, subtract
from ticklake.engine.appending import retried
from ticklake.engine.place import Store
from ticklake.engine.reading import read_chunks
from ticklake.engine.writing import write_file, write_segments
from ticklake.errors import StorageError

__all__ = ["delete"]


def delete(store: Store, dataset: Dataset, span: Span) -> int:
    """Remove the rows inside *span* and forget that it was covered; return how many rows went.

    Older versions still hold them until vacuum.
    """
    return retried(lambda: _attempt(store, dataset, span))


def _attempt(store: Store, dataset: Dataset, span: Span) -> int:
    version, row, segments = store.catalog.snapshot(dataset, span)
    if row is None:
        return 0
    gone = _count(store, dataset, row.keying, segments, span)
    kept: list[Segment] = []
    with store.swept_if_it_fails(kept):
        for segment in segments:
            kept += _rest(store, dataset, row.keying, segment, span)
    change = Change(
        dataset,
        row.keying,
        add=tuple(kept),
        remove=tuple(segments),
        forget=(span,),
        new_rows=-gone,
        read_version=version,
        read_span=span,
    )
    store.commit("delete", change)
    return gone


def _count(store: Store, dataset: Dataset, keying: Keying, segments: Sequence[Segment], span: Span) -> int:
    """Count the rows that go; those of a segment that cannot be read any more by what the catalog says of it."""
    try:
        return sum(frame.height for frame in read_chunks(store, segments, dataset.spec, keying, span))
    except StorageError:
        return sum(segment.rows for segment in segments if segment.lies_in(span))


def _rest(store: Store, dataset: Dataset, keying: Keying, segment: Segment, span: Span) -> list[Segment]:
    """Write what a segment holds outside *span*, as one segment in its own place in the order of contents."""
    kept = (
        frame
        for outside in subtract(segment.span, [span])
        for frame in read_chunks(store, [segment], dataset.spec, keying, outside)
    )
    if segment.path is None:
        rows = pl.concat([dataset.spec.empty(), *kept])
        return write_segments(store, dataset, rows, segment.seq, keying)
    written = write_file(store, dataset, kept, segment.seq, keying, segment.period)
    return [written] if written else []
