"""Repair: replace damaged segments by copies, or by the rows that can be read of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import polars as pl

from ticklake.catalog.catalog import Catalog
from ticklake.catalog.changes import Change
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.merge import Keying
from ticklake.core.results import Mended
from ticklake.core.segment import Block, Segment, rows_in_all, span_of
from ticklake.core.span import Span, normalise
from ticklake.engine.append import write_file
from ticklake.engine.read import count_rows
from ticklake.engine.store import Store, retired_path, retried
from ticklake.engine.verify import problems_of
from ticklake.errors import StorageError
from ticklake.storage.files import check_blocks, scan_file
from ticklake.storage.objects import ObjectStore
from ticklake.storage.segments import digest

__all__ = ["Copy", "mend"]


@dataclass(frozen=True, slots=True)
class Copy:
    """An older copy of the lake, from which segments can be taken."""

    catalog: Catalog
    objects: ObjectStore

    def data(self, dataset: Dataset, segment: Segment) -> bytes | None:
        """Return the bytes of the same segment, if the copy has them undamaged."""
        for data in self._candidates(dataset, segment):
            if digest(data) == segment.digest:
                return data
        return None

    def _candidates(self, dataset: Dataset, segment: Segment) -> Iterator[bytes]:
        if segment.path is None:
            _, _, copies = self.catalog.snapshot(dataset, segment.span)
            for copy in copies:
                if copy.id == segment.id and copy.data:
                    yield copy.data
            return
        # The backup may have been used as a lake since, and have compacted it away.
        for path in (segment.path, retired_path(segment.path)):
            with suppress(StorageError):
                yield self.objects.get(path)


def mend(store: Store, dataset: Dataset, copy: Copy | None = None) -> Mended:
    """Restore damaged segments from *copy* if it has them, and replace the others by what can be read of them."""
    view = store.view(dataset)
    restored = 0
    broken = set[str]()
    # All segments are checked before the first is restored.
    for segment in [segment for segment in view.segments if problems_of(store, dataset, segment, view.keying)]:
        if copy is not None and _restore(store, copy, dataset, segment):
            restored += 1
        else:
            broken.add(segment.id)
    if restored and not broken:
        retried(lambda: _recount(store, dataset))
    if not broken:
        return Mended(dataset, restored)
    salvaged, lost = retried(lambda: _replace(store, dataset, view.keying, broken))
    return Mended(dataset, restored, len(broken), salvaged, tuple(lost))


def _restore(store: Store, copy: Copy, dataset: Dataset, segment: Segment) -> bool:
    data = copy.data(dataset, segment)
    if data is None:
        return False
    if segment.path is None:
        store.catalog.restore_data(segment.id, data)
    else:
        # Stores never overwrite an object.
        store.objects.delete(segment.path)
        store.objects.put(segment.path, data)
    return True


def _recount(store: Store, dataset: Dataset) -> None:
    """Count the rows of a dataset again: rows appended while a segment was damaged were all counted as new."""
    view = store.view(dataset)
    if view.row is not None:
        grown = count_rows(store, view) - view.row.rows
        read_span = span_of(view.segments)
        change = Change(dataset, view.keying, new_rows=grown, read_version=view.version, read_span=read_span)
        if grown:
            store.commit("repair", change)


def _replace(store: Store, dataset: Dataset, keying: Keying, broken: set[str]) -> tuple[int, list[Span]]:
    """Commit the salvaged rows in place of the broken segments; return their number and the spans that are lost."""
    view = store.view(dataset)
    row = view.row
    removed: list[Segment] = []
    kept: list[Segment] = []
    for segment in view.segments:
        if segment.id in broken:
            removed.append(segment)
        else:
            kept.append(segment)
    if row is None or not removed:
        return 0, []
    lost: list[Span] = []
    saved: list[Segment] = []
    with store.swept_if_it_fails(saved):
        for segment in removed:
            frames, holes = _salvage(store, dataset, segment)
            lost += holes
            period = segment.period or "salvaged"
            written = write_file(store, dataset, frames, segment.seq, keying, period, observed_at=segment.observed_at)
            if written is not None:
                saved.append(written)
        lost = normalise(lost)
        reason = f"{', '.join(segment.name for segment in removed)} was damaged"
        change = Change(
            dataset,
            keying,
            add=tuple(saved),
            remove=tuple(removed),
            forget=tuple(lost),
            coverage=tuple(Covered(span, Found.LOST, reason) for span in lost),
            new_rows=count_rows(store, view.of([*kept, *saved])) - row.rows,
            read_version=view.version,
            read_span=span_of(view.segments),
        )
    store.commit("repair", change)
    return rows_in_all(saved), lost


def _salvage(store: Store, dataset: Dataset, segment: Segment) -> tuple[list[pl.DataFrame], list[Span]]:
    """Return what can still be read of a segment, and the spans of the rest."""
    frames: list[pl.DataFrame] = []
    lost: list[Span] = []
    offset = 0
    # Inline segments have a single checksum: it does not show which of their rows are sound.
    if len(segment.blocks) < 2:
        return [], [Span(segment.min_ts, dataset.row_end(segment.max_ts))]
    # The last block is the footer: it holds no rows.
    for block in segment.blocks[:-1]:
        frame = _read_block(store, dataset, segment, block, offset)
        offset += block.rows
        if frame is not None:
            frames.append(frame)
        else:
            lost.append(Span(block.min_ts, dataset.row_end(block.max_ts)))
    return frames, lost


def _read_block(store: Store, dataset: Dataset, segment: Segment, block: Block, offset: int) -> pl.DataFrame | None:
    try:
        source = store.source(segment)
        check_blocks(source, segment, [segment.blocks[-1], block])
        return scan_file(source, dataset.spec).slice(offset, block.rows).collect()
    except (StorageError, pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return None
