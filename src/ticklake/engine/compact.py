"""Compaction: many small segments become few large ones, proven equal before the swap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from ticklake.catalog.changes import Change
from ticklake.core.compaction_plan import TARGET_ROWS, Rewrite, plan_compaction
from ticklake.core.coverage import Coverage
from ticklake.core.dataset import Dataset
from ticklake.core.results import Compaction
from ticklake.core.segment import Segment
from ticklake.engine.append import write_file
from ticklake.engine.read import read_chunks
from ticklake.engine.store import DatasetView, Store, retried
from ticklake.errors import CorruptSegment, MissingSegment, StorageError

__all__ = ["compact", "compact_all"]


def compact(store: Store, dataset: Dataset, target_rows: int = TARGET_ROWS) -> Compaction:
    """Rewrite a dataset's small segments as one file a period. Harmless to repeat and to kill.

    Raises
    ------
    CorruptSegment
        If a segment is damaged; its period is left as it is, all others are compacted.
    """
    # What an earlier compaction could not move after its commit leaves the tree first.
    store.settle(dataset)
    before = store.view(dataset, data=False).segments
    retried(lambda: _round(store, dataset, target_rows))
    after = store.view(dataset, data=False)
    return Compaction(
        str(dataset),
        len(before),
        len(after.segments),
        after.row.rows if after.row else 0,
        sum(segment.size for segment in before),
        sum(segment.size for segment in after.segments),
    )


def compact_all(store: Store, datasets: Iterable[Dataset]) -> list[Compaction]:
    """Compact one dataset after the other; what is damaged is left as it is, and told at the end.

    Raises
    ------
    CorruptSegment
        If segments are damaged; they are named, and everything else is compacted.
    """
    done: list[Compaction] = []
    bad: list[str] = []
    for dataset in datasets:
        try:
            done.append(compact(store, dataset))
        except CorruptSegment as error:
            bad.append(str(error))
    if bad:
        raise CorruptSegment("; ".join(bad))
    return done


def _round(store: Store, dataset: Dataset, target_rows: int) -> None:
    view = store.view(dataset)
    if view.row is None:
        return
    coverage = store.catalog.coverage(dataset)
    bad: list[str] = []
    for rewrite in plan_compaction(view.segments, target_rows):
        try:
            _rewrite(store, view, rewrite, coverage)
        except CorruptSegment as error:
            bad.append(str(error))
        except MissingSegment as error:
            if not _is_live(store, dataset, rewrite):
                raise
            bad.append(str(error))
    if bad:
        raise CorruptSegment("; ".join(bad))


def _is_live(store: Store, dataset: Dataset, rewrite: Rewrite) -> bool:
    """Whether the catalog still names every segment of a rewrite."""
    live = {segment.id for segment in store.view(dataset, data=False).segments}
    return all(segment.id in live for segment in rewrite.segments)


def _rewrite(store: Store, view: DatasetView, rewrite: Rewrite, coverage: Coverage) -> None:
    dataset, keying = view.dataset, view.keying
    written: list[Segment] = []
    with store.swept_if_it_fails(written):
        for period, segments in rewrite.by_period():
            count = _Count()
            chunks = read_chunks(store, view.of(segments, period.span))
            known = coverage.within(period.span).looked_at
            segment = write_file(
                store, dataset, chunks, rewrite.seq, keying, period.label, known, count.add, rewrite.observed_at
            )
            if segment is not None:
                written.append(segment)
                _prove(store, dataset, segment, count)
    store.commit("compact", Change(dataset, keying, add=tuple(written), remove=rewrite.segments))


@dataclass
class _Count:
    """How many rows there are, and a sum over them that does not depend on their order."""

    rows: int = 0
    total: int = 0

    def add(self, frame: pl.DataFrame) -> None:
        """Count the rows of *frame* too."""
        self.rows += frame.height
        self.total = (self.total + int(frame.hash_rows().sum())) % 2**64


def _prove(store: Store, dataset: Dataset, segment: Segment, wanted: _Count) -> None:
    """Read the file back and compare it with what was to be written."""
    found = _Count()
    try:
        for frame in read_chunks(store, DatasetView.of_segment(dataset, segment)):
            found.add(frame)
    except StorageError as error:
        store.check_there(segment)
        raise StorageError(f"{segment.name} cannot be read back, nothing was replaced: {error}") from error
    if found != wanted:
        raise StorageError(f"{segment.name} does not read back as it was written: nothing was replaced")
