"""Compaction: many small segments become few large ones, proven equal before the swap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ticklake.catalog.changes import Change
from ticklake.core.compactplan import TARGET_ROWS, Rewrite, plan_compaction
from ticklake.core.coverage import Coverage
from ticklake.core.dataset import Dataset
from ticklake.core.merge import Keying
from ticklake.core.segment import Segment
from ticklake.core.span import Span
from ticklake.engine.appending import retried, write_file
from ticklake.engine.place import Store, damaged
from ticklake.engine.reading import collect, read_rows
from ticklake.errors import CorruptSegment
from ticklake.storage.segments import scan_file

__all__ = ["Compaction", "compact"]


@dataclass(frozen=True, slots=True)
class Compaction:
    """What a compaction did to one dataset."""

    dataset: str
    segments_before: int
    segments_after: int
    rows: int
    bytes_before: int
    bytes_after: int


def compact(store: Store, dataset: Dataset, target_rows: int = TARGET_ROWS) -> Compaction:
    """Rewrite a dataset's small segments as one file a period. Harmless to repeat and to kill."""
    store.settle(dataset)
    _, _, before = store.catalog.snapshot(dataset, data=False)
    retried(lambda: _round(store, dataset, target_rows))
    _, row, after = store.catalog.snapshot(dataset, data=False)
    return Compaction(
        str(dataset),
        len(before),
        len(after),
        row.rows if row else 0,
        sum(segment.size for segment in before),
        sum(segment.size for segment in after),
    )


def _round(store: Store, dataset: Dataset, target_rows: int) -> None:
    _, row, segments = store.catalog.snapshot(dataset)
    if row is None:
        return
    coverage = store.catalog.coverage(dataset)
    for rewrite in plan_compaction(segments, target_rows):
        _rewrite(store, dataset, row.keying, rewrite, coverage)


def _rewrite(store: Store, dataset: Dataset, keying: Keying, rewrite: Rewrite, coverage: Coverage) -> None:
    written: list[Segment] = []
    try:
        for period in rewrite.periods:
            frame = _merged(store, dataset, keying, rewrite.segments, period.span)
            if frame.height:
                known = coverage.within(period.span).pieces
                written.append(write_file(store, dataset, frame, rewrite.seq, keying, period.label, coverage=known))
                _prove(store, dataset, written[-1], frame)
    except BaseException:
        store.sweep(written)
        raise
    store.commit("compact", Change(dataset, keying, add=tuple(written), remove=rewrite.segments))


def _merged(store: Store, dataset: Dataset, keying: Keying, segments: Sequence[Segment], span: Span) -> pl.DataFrame:
    kind = dataset.spec
    parts = list(read_rows(store, segments, kind, keying, span))
    return collect(store, pl.concat(parts), segments) if parts else kind.empty()


def _prove(store: Store, dataset: Dataset, segment: Segment, frame: pl.DataFrame) -> None:
    """Read the file back and compare it with what was to be written."""
    try:
        back = scan_file(store.source(segment), dataset.spec).collect()
    except pl.exceptions.PolarsError as error:
        raise damaged(segment, error) from error
    if back.height != frame.height or back.hash_rows().sum() != frame.hash_rows().sum():
        raise CorruptSegment(f"{segment.name} does not read back as it was written: nothing was replaced")
