"""Compaction: many small segments become few large ones, which are read back and compared before the swap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from ticklake.catalog.changes import Change
from ticklake.core.compaction_plan import TARGET_ROWS, Rewrite, plan_compaction
from ticklake.core.coverage import Coverage
from ticklake.core.dataset import Dataset
from ticklake.core.results import Compaction
from ticklake.core.segment import Segment, size_of_all
from ticklake.engine.append import write_file
from ticklake.engine.read import read_chunks
from ticklake.engine.store import DatasetView, Store, retried
from ticklake.errors import CorruptSegment, MissingSegment, StorageError

__all__ = ["compact", "compact_all"]


def compact(store: Store, dataset: Dataset, target_rows: int = TARGET_ROWS) -> Compaction:
    """Rewrite a dataset's small segments as one file per period. It can be repeated, and killed at any time.

    Raises
    ------
    CorruptSegment
        If a segment is damaged; its period is left as it is, all others are compacted.
    """
    # An earlier compaction may have been killed after its commit, before it moved the replaced files.
    store.settle(dataset)
    before = store.view(dataset, data=False).segments
    retried(lambda: _round(store, dataset, target_rows))
    view = store.view(dataset, data=False)
    after = view.segments
    rows = 0
    if view.row is not None:
        rows = view.row.rows
    return Compaction(str(dataset), len(before), len(after), rows, size_of_all(before), size_of_all(after))


def compact_all(store: Store, datasets: Iterable[Dataset]) -> list[Compaction]:
    """Compact one dataset after the other; damaged segments are left as they are and reported at the end.

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
            # Another compaction has moved it: this round is planned again.
            if not _is_live(store, dataset, rewrite):
                raise
            bad.append(str(error))
    if bad:
        raise CorruptSegment("; ".join(bad))


def _is_live(store: Store, dataset: Dataset, rewrite: Rewrite) -> bool:
    """Whether every segment of a rewrite is still live: then its file is missing, and not only moved by a compaction."""
    live = {segment.id for segment in store.view(dataset, data=False).segments}
    return all(segment.id in live for segment in rewrite.segments)


def _rewrite(store: Store, view: DatasetView, rewrite: Rewrite, coverage: Coverage) -> None:
    dataset, keying = view.dataset, view.keying
    written: list[Segment] = []
    with store.swept_if_it_fails(written):
        for period, segments in rewrite.by_period():
            count = _Count()
            chunks = read_chunks(store, view.of(segments, period.span))
            # For a rebuild without a catalog. Files do not say what was only asked for (docs/adr/0031).
            covered = coverage.within(period.span).looked_at
            segment = write_file(
                store, dataset, chunks, rewrite.seq, keying, period.label, covered, count.add, rewrite.observed_at
            )
            if segment is not None:
                written.append(segment)
                _prove(store, dataset, segment, count)
    store.commit("compact", Change(dataset, keying, add=tuple(written), remove=rewrite.segments))


@dataclass
class _Count:
    """The number of rows, and a checksum that does not depend on their order."""

    rows: int = 0
    total: int = 0

    def add(self, frame: pl.DataFrame) -> None:
        """Count the rows of *frame* too."""
        self.rows += frame.height
        # A sum: when the file is read back, the rows come in other chunks.
        self.total = (self.total + int(frame.hash_rows().sum())) % 2**64


def _prove(store: Store, dataset: Dataset, segment: Segment, expected: _Count) -> None:
    """Read the file back and compare it with the rows that were to be written."""
    actual = _Count()
    try:
        for frame in read_chunks(store, DatasetView.of_segment(dataset, segment)):
            actual.add(frame)
    except StorageError as error:
        store.check_there(segment)
        raise StorageError(f"{segment.name} cannot be read back, nothing was replaced: {error}") from error
    if actual != expected:
        raise StorageError(f"{segment.name} does not read back as it was written: nothing was replaced")
