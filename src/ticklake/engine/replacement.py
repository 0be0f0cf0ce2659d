"""Replacing the rows of spans by others, where only what differs is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import polars as pl

from ticklake.catalog.changes import Change
from ticklake.core.coverage import Coverage
from ticklake.core.dataset import Dataset
from ticklake.core.merge import difference, is_in, key_of
from ticklake.core.segment import Segment
from ticklake.core.span import ALL_TIME, Span
from ticklake.engine.append import write_file, write_segments
from ticklake.engine.incoming import next_seq
from ticklake.engine.read import read_chunks, read_rows
from ticklake.engine.store import DatasetView, Store

__all__ = ["Replaced", "replace_rows"]

_AT_ONCE = 1 << 18
"""So many new rows are written at a time."""
Pieces = Iterable[tuple[Span, pl.DataFrame]]
"""Spans in order, each with all the rows that are to be inside it."""


@dataclass(slots=True)
class Replaced:
    """The change that a replacement is, and how many rows are new, have other values, or are gone."""

    change: Change
    new: int = 0
    changed: int = 0
    removed: int = 0


@dataclass
class _Rows:
    """The rows that are to be written, and those that are gone."""

    waiting: list[pl.DataFrame] = field(default_factory=list)
    gone: list[pl.Series] = field(default_factory=list)
    waiting_rows: int = 0
    new: int = 0
    changed: int = 0
    removed: int = 0


def replace_rows(
    store: Store,
    dataset: Dataset,
    reach: Span,
    pieces: Pieces,
    coverage: Coverage,
    written: list[Segment],
) -> Replaced:
    """Return the change after which the spans of *pieces*, all inside *reach*, hold their rows and no others.

    Parameters
    ----------
    coverage
        The coverage of the dataset from then on.
    written
        Gets the segments that were written, so that the caller can remove them if nothing is committed.
    """
    view = store.view(dataset, reach)
    rows = _Rows()
    add: list[Segment] = []

    def flush() -> None:
        frame = pl.concat([dataset.spec.empty(), *rows.waiting])
        rows.waiting.clear()
        rows.waiting_rows = 0
        made = write_segments(store, dataset, frame, next_seq(view.row), view.keying)
        add.extend(made)
        written.extend(made)

    for span, frame in pieces:
        _compare(store, view, span, frame, rows)
        if rows.waiting_rows >= _AT_ONCE:
            flush()
    flush()
    # Last: only now is it known which rows are gone, and so which segments have to be written without them.
    removed = _holding(view, rows.gone)
    for segment in removed:
        made = list(_without(store, view, segment, pl.concat(rows.gone)))
        add.extend(made)
        written.extend(made)
    change = Change(
        dataset,
        view.keying,
        add=tuple(add),
        remove=tuple(removed),
        new_rows=rows.new - rows.removed,
        read_version=view.version,
        read_span=reach,
    )
    change = _covering(change, coverage, store.catalog.coverage(dataset))
    return Replaced(change, rows.new, rows.changed, rows.removed)


def _covering(change: Change, coverage: Coverage, before: Coverage) -> Change:
    """Return a change that leaves its dataset with *coverage*."""
    if coverage == before:
        return change
    forget: tuple[Span, ...] = ()
    if before.pieces:
        forget = (ALL_TIME,)
    return replace(change, forget=forget, coverage=tuple(coverage.pieces))


def _compare(store: Store, view: DatasetView, span: Span, frame: pl.DataFrame, rows: _Rows) -> None:
    """Note what is different inside *span*, where *frame* is to be."""
    kind = view.kind
    inside = [segment for segment in view.segments if segment.span.overlaps(span)]
    existing = read_rows(store, view.of(inside, span))
    key = key_of(kind, view.keying)
    gone = existing.filter(~is_in(existing, frame.select(key)))
    difference_ = difference(frame, existing, kind, view.keying)
    rows.new += difference_.new
    rows.changed += difference_.changed
    rows.removed += gone.height
    add = difference_.add
    if gone.height:
        # Segments lose all rows of these instants: those that stay are written again.
        instants = gone["ts"].unique(maintain_order=True)
        rows.gone.append(instants)
        staying = frame.filter(pl.col("ts").is_in(instants.implode()))
        again = staying.filter(~is_in(staying, difference_.add.select(key)))
        add = pl.concat([add, again]).sort(list(kind.order), maintain_order=True)
    if add.height:
        rows.waiting.append(add)
        rows.waiting_rows += add.height


def _holding(view: DatasetView, gone: list[pl.Series]) -> list[Segment]:
    """Return the segments that hold rows of these instants."""
    if not gone:
        return []
    instants = pl.concat(gone).to_physical().sort()
    holding: list[Segment] = []
    for segment in view.segments:
        first = instants.search_sorted(segment.min_ts, side="left")
        if first < instants.len() and instants[first] <= segment.max_ts:
            holding.append(segment)
    return holding


def _without(store: Store, view: DatasetView, segment: Segment, instants: pl.Series) -> Iterator[Segment]:
    """Write what a segment holds besides the rows of some instants, in its own place in the order of contents."""
    dataset, keying = view.dataset, view.keying
    gone = instants.implode()
    chunks = read_chunks(store, view.of([segment], ALL_TIME))
    kept = (chunk.filter(~pl.col("ts").is_in(gone)) for chunk in chunks)
    if segment.path is None:
        rows = pl.concat([dataset.spec.empty(), *kept])
        yield from write_segments(store, dataset, rows, segment.seq, keying, segment.observed_at)
        return
    made = write_file(store, dataset, kept, segment.seq, keying, segment.period, observed_at=segment.observed_at)
    if made is not None:
        yield made
