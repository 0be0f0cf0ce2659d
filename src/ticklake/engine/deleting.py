"""Deleting a span of a dataset: the only way rows leave a lake."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ticklake.catalog.changes import Change
from ticklake.core.dataset import Dataset
from ticklake.core.merge import Keying
from ticklake.core.segment import Segment
from ticklake.core.span import Span
from ticklake.engine.appending import retried, write_segments
from ticklake.engine.place import Store
from ticklake.engine.reading import collect, read_rows

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
    parts = list(read_rows(store, segments, dataset.spec, keying, span))
    return int(collect(store, pl.concat(parts).select(pl.len()), segments).item()) if parts else 0


def _rest(store: Store, dataset: Dataset, keying: Keying, segment: Segment, span: Span) -> list[Segment]:
    """Write what a segment holds outside *span*, under its own place in the order of contents."""
    rows = collect(store, store.scan(segment, dataset.spec, None), [segment])
    ts = rows["ts"].to_physical()
    return write_segments(store, dataset, rows.filter((ts < span.start) | (ts >= span.end)), segment.seq, keying)
