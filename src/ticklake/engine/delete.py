"""Deleting a span of a dataset: the only way rows leave a lake."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import polars as pl

from ticklake.catalog.changes import Change
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.results import Deleted
from ticklake.core.segment import Segment, rows_in_all, size_of_all
from ticklake.core.span import ALL_TIME, Span, subtract
from ticklake.engine.append import write_file, write_segments
from ticklake.engine.read import count_rows, read_chunks
from ticklake.engine.store import DatasetView, Store, retried
from ticklake.errors import StorageError

__all__ = ["DELETED", "delete", "drop", "leaving", "would_delete"]

DELETED = "deleted"
"""The reason in the coverage of rows that were deleted: an update does not fetch them again."""


def delete(
    store: Store, dataset: Dataset, span: Span, coverage: Sequence[Covered] = (), operation: str = "delete"
) -> Deleted:
    """Remove the rows inside *span*, and replace its coverage by *coverage*, which is none by default.

    Older versions still have the rows until vacuum.
    """
    return retried(lambda: _attempt(store, dataset, span, tuple(coverage), operation))


def drop(store: Store, dataset: Dataset) -> Deleted:
    """Remove a dataset: its rows, its coverage and its name.

    Older versions still have it until vacuum.
    """
    return retried(lambda: _drop(store, dataset))


def would_delete(store: Store, dataset: Dataset, span: Span) -> Deleted:
    """Return what :func:`delete` would remove; the bytes of segments that it would cut are estimated by time."""
    view = store.view(dataset, span)
    if view.row is None:
        return Deleted()
    freed = 0.0
    for segment in view.segments:
        inside = segment.span.intersect(span)
        if inside is not None:
            # Writing the rest of the segment to measure it would cost as much as the deletion.
            freed += segment.size * (inside.length / segment.span.length)
    return _deleted(view, _count(store, view), int(freed))


def _attempt(store: Store, dataset: Dataset, span: Span, coverage: tuple[Covered, ...], operation: str) -> Deleted:
    view = store.view(dataset, span)
    if view.row is None:
        return Deleted()
    gone = _count(store, view)
    # Segments are immutable: one that the span cuts is replaced by what it holds outside of it.
    kept: list[Segment] = []
    with store.swept_if_it_fails(kept):
        for segment in view.segments:
            kept += _rest(store, view, segment)
    change = Change(
        dataset,
        view.keying,
        add=tuple(kept),
        remove=view.segments,
        forget=(span,),
        coverage=coverage,
        new_rows=-gone,
        read_version=view.version,
        read_span=span,
    )
    store.commit(operation, change)
    return _deleted(view, gone, size_of_all(view.segments) - size_of_all(kept))


def leaving(view: DatasetView, rows: int) -> Change:
    """Return the change that removes a dataset with all of its *rows*, as they were read."""
    return Change(
        view.dataset,
        view.keying,
        remove=view.segments,
        forget=(ALL_TIME,),
        new_rows=-rows,
        read_version=view.version,
        read_span=ALL_TIME,
        drop=True,
    )


def _drop(store: Store, dataset: Dataset) -> Deleted:
    view = store.view(dataset)
    if view.row is None:
        return Deleted()
    gone = _count(store, view)
    store.commit("drop", leaving(view, gone))
    return _deleted(view, gone, size_of_all(view.segments))


def _deleted(view: DatasetView, rows: int, freed: int) -> Deleted:
    whole = sum(segment.lies_in(view.span) for segment in view.segments)
    return Deleted(rows, freed, whole, len(view.segments) - whole)


def _count(store: Store, view: DatasetView) -> int:
    """Count the rows to remove; if a segment cannot be read, by the counts in the catalog."""
    try:
        # Where segments overlap, some rows are in two of them: the sum of their counts would be too high.
        return count_rows(store, view)
    except StorageError:
        return rows_in_all(segment for segment in view.segments if segment.lies_in(view.span))


def _rest(store: Store, view: DatasetView, segment: Segment) -> list[Segment]:
    """Write what a segment holds outside the view, as one segment in its own place in the order of contents."""
    if segment.lies_in(view.span):
        return []
    dataset, keying = view.dataset, view.keying
    outside = subtract(segment.span, [view.span])
    kept = chain.from_iterable(read_chunks(store, view.of([segment], part)) for part in outside)
    if segment.path is None:
        rows = pl.concat([dataset.spec.empty(), *kept])
        return write_segments(store, dataset, rows, segment.seq, keying, segment.observed_at)
    written = write_file(store, dataset, kept, segment.seq, keying, segment.period, observed_at=segment.observed_at)
    if written is None:
        return []
    return [written]
