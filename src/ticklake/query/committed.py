"""Committed rows: what appends added to a lake, version by version, whichever process committed it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby

import polars as pl

from ticklake.catalog.change_feed import changes_since, segments_of
from ticklake.core.dataset import Dataset
from ticklake.core.results import DatasetChange
from ticklake.core.segment import Segment
from ticklake.engine.read import chunks_of
from ticklake.engine.store import DatasetView, Store
from ticklake.errors import CatalogError

__all__ = ["CommittedReader", "CommittedRows"]

_VERSIONS_AT_ONCE = 20
_APPEND = "append"
"""The operation that brings rows; all others move, remove or restore what was there."""


@dataclass(frozen=True, slots=True)
class CommittedRows:
    """Rows of one dataset that a version added, with all stored columns.

    ``version`` is the one that added them, and ``whole`` the newest version of which everything has been read with these rows.
    """

    dataset: Dataset
    frame: pl.DataFrame
    committed_at: int
    version: int
    whole: int


class CommittedReader:
    """Reads the rows of each version after another, in the order of commits.

    Nothing of it stays in memory: what nobody has read yet waits in the lake.

    Parameters
    ----------
    wanted
        Whether the rows of a change are read.
    version
        The version after which it begins.
    """

    def __init__(self, store: Store, wanted: Callable[[DatasetChange], bool], version: int) -> None:
        self._store = store
        self._wanted = wanted
        self._rows: Iterator[CommittedRows] = iter(())
        self.version = version
        """The newest version of which everything has been read."""

    def next(self) -> CommittedRows | None:
        """Return the next rows; ``None`` if there are none yet, which takes one small query.

        Raises
        ------
        CatalogError
            If what comes next was vacuumed, or the lake is older than what was read of it.
        """
        while True:
            rows = next(self._rows, None)
            if rows is not None:
                return rows
            if not self._find_more():
                return None

    def _find_more(self) -> bool:
        newest = self._store.catalog.version()
        if newest < self.version:
            raise CatalogError(
                f"the newest version of the lake is {newest}, and {self.version} was read before: it was rebuilt or "
                "restored; read it anew, and subscribe from its newest version"
            )
        if newest == self.version:
            return False
        changes = changes_since(self._store.catalog.database, self.version, _VERSIONS_AT_ONCE)
        if not changes:
            self.version = newest
            return False
        known = self._store.catalog.with_kind
        self._rows = self._read([replace(change, dataset=known(change.dataset)) for change in changes])
        return True

    def _read(self, changes: Sequence[DatasetChange]) -> Iterator[CommittedRows]:
        for version, of_version in groupby(changes, lambda change: change.version):
            wanted = [change for change in of_version if change.operation == _APPEND and self._wanted(change)]
            last: CommittedRows | None = None
            for rows in self._frames(wanted):
                if last is not None:
                    yield last
                last = rows
            if last is not None:
                yield replace(last, whole=version)
            self.version = version

    def _frames(self, changes: Sequence[DatasetChange]) -> Iterator[CommittedRows]:
        recent: dict[str, pl.DataFrame] = {}
        added = chain.from_iterable(change.added for change in changes)
        inline = [segment for segment in added if segment.path is None]
        for segment in inline:
            frame = self._store.recent.get(segment.id)
            if frame is not None:
                recent[segment.id] = frame
        read = segments_of(self._store.catalog.database, [segment.id for segment in inline if segment.id not in recent])
        for change in changes:
            for segment in change.added:
                frames: Iterable[pl.DataFrame]
                if segment.id in recent:
                    frames = [recent[segment.id]]
                else:
                    frames = self._frames_of(change, read.get(segment.id, segment))
                for frame in frames:
                    yield CommittedRows(change.dataset, frame, change.committed_at, change.version, self.version)

    def _frames_of(self, change: DatasetChange, segment: Segment) -> Iterator[pl.DataFrame]:
        if segment.path is None and segment.data is None:
            raise CatalogError(
                f"version {change.version} was vacuumed while it was read: read the lake, and subscribe from its newest version"
            )
        view = DatasetView.of_segment(change.dataset, segment)
        return chunks_of(self._store, view, list(view.kind.stored_schema))
