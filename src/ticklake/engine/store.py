"""The store: access to the segments of a lake, shared by all operations of the engine."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import polars as pl

from ticklake.catalog.catalog import Catalog
from ticklake.catalog.changes import Change, DatasetRow, keying_of
from ticklake.catalog.removal import remove_unnamed, retired_segments
from ticklake.core.dataset import DERIVED, Dataset
from ticklake.core.kinds import BUILT_IN, Kind, KindRegistry
from ticklake.core.merge import Keying
from ticklake.core.segment import Block, Segment
from ticklake.core.span import ALL_TIME, Span
from ticklake.engine.block_cache import BlockCache
from ticklake.engine.counts import IngestCounts
from ticklake.engine.recent import Part, RecentRows
from ticklake.errors import CatalogError, Conflict, MissingSegment, StorageError, Unsupported
from ticklake.log import Log
from ticklake.storage.files import check_blocks, scan_file
from ticklake.storage.objects import ObjectStore
from ticklake.storage.segments import decode_inline

__all__ = ["LIVE_FOLDERS", "RETIRED", "HighestId", "Store", "DatasetView", "no_folder", "retired_path", "retried"]

RETIRED = "retired"
"""The folder for files that a newer version replaced: the Hive tree itself holds live files only."""
LIVE_FOLDERS = (*BUILT_IN, DERIVED)
"""The folders of live files: one for each kind, and one for all datasets with a variant, whatever kinds a lake declares."""
ATTEMPTS = 50
"""How often a change is computed because another writer committed first."""
VANISHED_ATTEMPTS = 5
"""How often it is computed because a file was moved meanwhile; after that the file counts as missing."""
T = TypeVar("T")
_LOG = Log("commits")


def retired_path(path: str) -> str:
    """Return the path to which the file of a replaced segment is moved until vacuum deletes it."""
    return f"{RETIRED}/{path}"


def retried(attempt: Callable[[], T]) -> T:
    """Call *attempt* again while another writer commits first, or moves the files that it reads."""
    conflicts = vanished = 0
    while True:
        try:
            return attempt()
        except Conflict:
            conflicts += 1
            if conflicts == ATTEMPTS:
                raise
        except MissingSegment:
            vanished += 1
            if vanished == VANISHED_ATTEMPTS:
                raise
        # A random wait, longer each time: writers that collided once would collide again in step.
        time.sleep(random.uniform(0, 0.01 * (conflicts + vanished)))  # noqa: S311


class HighestId(NamedTuple):
    """The highest id of a dataset's rows from the time *since* on, as of *version*, if all of those ids are whole numbers."""

    version: int
    since: int
    highest: int


@dataclass(frozen=True, slots=True)
class DatasetView:
    """What one version of the lake has of a dataset inside a span: all that is needed to read its rows.

    ``row`` is ``None`` if the lake does not have the dataset. ``segments`` are those that overlap the span.
    """

    dataset: Dataset
    span: Span
    version: int
    row: DatasetRow | None
    kind: Kind
    keying: Keying
    segments: tuple[Segment, ...]

    @classmethod
    def of_segment(cls, dataset: Dataset, segment: Segment) -> DatasetView:
        """Return a view of a single segment, committed or not; as it is alone, nothing is merged by key."""
        return cls(dataset, segment.span, 0, None, dataset.spec, keying_of(None), (segment,))

    def of(self, segments: Sequence[Segment], span: Span | None = None) -> DatasetView:
        """Return a view of other *segments* of the same dataset, inside *span* if there is one."""
        return replace(self, segments=tuple(segments), span=span or self.span)


def no_folder(folder: Path) -> ObjectStore:
    """Refuse to open a folder: the default of a store that was made without a way to do so."""
    raise Unsupported(f"{folder} cannot be opened: this lake was made without a way to open another folder")


@dataclass(frozen=True, slots=True)
class Store:
    """The catalog and the files of a lake, its clock and its kinds.

    ``recent`` has the rows of inline segments that this process wrote, ``blocks`` those of files that it read often, ``highest_ids`` what it knows of datasets keyed by id;
    ``counts`` says how much it has committed.
    """

    catalog: Catalog
    objects: ObjectStore
    now: Callable[[], int]
    tool: str
    kinds: KindRegistry = BUILT_IN
    open_folder: Callable[[Path], ObjectStore] = no_folder
    recent: RecentRows = field(default_factory=RecentRows)
    blocks: BlockCache = field(default_factory=BlockCache)
    highest_ids: dict[Dataset, HighestId] = field(default_factory=dict)
    counts: IngestCounts = field(default_factory=IngestCounts)

    def __post_init__(self) -> None:
        self.catalog.check_files = self._refuse_vanished

    def view(self, dataset: Dataset, span: Span = ALL_TIME, *, data: bool = True) -> DatasetView:
        """Return what there is of *dataset* inside *span*, in the version that the catalog shows.

        With *data* the bytes of inline segments come along: without them only the catalog's facts can be used.

        Raises
        ------
        CatalogError
            If that version was vacuumed.
        """
        version, row, segments = self.catalog.snapshot(dataset, span, data=data)
        dataset = self.catalog.with_kind(dataset)
        kind = dataset.spec
        if dataset.variant is None:
            kind = self.kinds[dataset.kind]
        return DatasetView(dataset, span, version, row, kind, keying_of(row), tuple(segments))

    def remember(self, dataset: Dataset, segment: Segment, frame: pl.DataFrame) -> Segment:
        """Cache the rows of an inline segment that was just written: the next append often reads them."""
        self.recent.add(frame, [Part(dataset, segment.id, 0, frame.height)])
        return segment

    def note_highest_id(self, change: Change, highest: HighestId, version: int) -> None:
        """Note the highest id of a dataset after *change*, which is part of commit *version*."""
        # A change without segments leaves the dataset as it was read.
        if change.add:
            highest = highest._replace(version=version)
        self.highest_ids[change.dataset] = highest

    def source(self, segment: Segment) -> Path | bytes:
        """Return what a Parquet reader opens for a file segment, live or retired."""
        path = segment.path or ""
        try:
            return self.objects.source(path)
        except MissingSegment:
            if self.objects.exists(retired_path(path)):
                return self.objects.source(retired_path(path))
            # Between the two looks a repair may have put the file back.
            if self.objects.exists(path):
                return self.objects.source(path)
            raise

    def data(self, segment: Segment) -> bytes:
        """Return the bytes of a segment, live or retired."""
        if segment.path is None:
            return segment.data or b""
        try:
            return self.objects.get(segment.path)
        except MissingSegment:
            return self.objects.get(retired_path(segment.path))

    def scan(
        self,
        segment: Segment,
        kind: Kind,
        span: Span | None,
        columns: Sequence[str] | None = None,
        *,
        uses_cache: bool = True,
    ) -> pl.LazyFrame:
        """Return a segment's rows inside *span* (all of them for ``None``), lazily; all stored *columns* by default.

        Raises
        ------
        CorruptSegment
            If a checksum of what is needed differs.
        """
        if segment.path is None:
            rows = self.rows(segment, kind, span)
            if columns is not None:
                rows = rows[list(columns)]
            return rows.lazy()
        if columns is not None and uses_cache:
            # A file that was moved meanwhile, or is damaged, is read as all others are: then the error names it.
            with contextlib.suppress(pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
                known = self.blocks.rows(segment, span, columns, partial(self._decode, segment, kind))
                if known is not None:
                    return known.lazy()
        return scan_file(self.checked_source(segment, span), kind, span, segment.blocks, columns)

    def checked_source(self, segment: Segment, span: Span | None) -> Path | bytes:
        """Return what a Parquet reader opens for a file segment, once the checksums of the blocks that *span* needs are compared.

        Raises
        ------
        CorruptSegment
        """
        source = self.source(segment)
        if segment.packed:
            needed = [block for block in segment.blocks if span is None or block.meets(span)]
            check_blocks(source, segment, needed)
        return source

    def _decode(self, segment: Segment, kind: Kind, offset: int, rows: int, columns: Sequence[str]) -> pl.DataFrame:
        """Read the rows of blocks that follow one another: they are decoded once and used often."""
        source = self.source(segment)
        check_blocks(source, segment, _needed(segment.blocks, offset, rows))
        lazy = scan_file(source, kind, columns=columns)
        return lazy.slice(offset, rows).collect()

    def rows(self, segment: Segment, kind: Kind, span: Span | None) -> pl.DataFrame:
        """Return the rows of an inline segment inside *span* (all of them for ``None``)."""
        frame = self.recent.get(segment.id)
        if frame is None:
            frame = decode_inline(segment, kind)
        if span is None or segment.lies_in(span):
            return frame
        ts = frame["ts"].cast(pl.Int64)
        return frame.filter((ts >= span.start) & (ts < span.end))

    def retire(self, segments: Sequence[Segment]) -> None:
        """Move the files of replaced segments out of the tree."""
        for segment in segments:
            if segment.path is not None:
                self.objects.move(segment.path, retired_path(segment.path))

    def commit(self, operation: str, *changes: Change, also: Callable[[Any], None] | None = None) -> int:
        """Commit *changes* together and move replaced files out of the tree; if the commit fails, delete the new files.

        *also* writes to the catalog in the same transaction.
        """
        added: list[Segment] = []
        removed: list[Segment] = []
        for change in changes:
            added += change.add
            removed += change.remove
        with self.swept_if_it_fails(added):
            if also is None:
                version = self.catalog.commit(operation, changes)
            else:
                version = self.catalog.commit(operation, changes, also)
        # The commit is done: files that cannot be moved now are moved by the next compaction or vacuum.
        with contextlib.suppress(StorageError):
            self.retire(removed)
        self.counts.committed()
        if _LOG.is_on():
            datasets = [str(change.dataset) for change in changes]
            said = {"version": version, "operation": operation, "datasets": len(datasets), "first": min(datasets)}
            rows = sum(change.new_rows for change in changes)
            _LOG.debug("committed", **said, rows=rows, added=len(added), removed=len(removed))
        return version

    def _refuse_vanished(self, changes: Sequence[Change]) -> None:
        for change in changes:
            for segment in change.add:
                self.check_there(segment)

    def check_there(self, segment: Segment) -> None:
        """Refuse to use a new file that was removed: a vacuum whose clock is ahead takes it for garbage.

        Raises
        ------
        Conflict
        """
        if segment.path is not None and not self.objects.exists(segment.path):
            raise Conflict(f"{segment.path} was removed before its commit: write it again")

    def sweep(self, segments: Sequence[Segment]) -> None:
        """Delete the files of segments that were not committed.

        After an interrupt they may have been committed all the same, and a rebuild may have taken them in: such files are
        kept. Files that cannot be deleted now are garbage for vacuum.
        """
        paths = {segment.path: segment.path for segment in segments if segment.path is not None}
        if paths:
            with contextlib.suppress(CatalogError, StorageError):
                remove_unnamed(self.catalog.database, paths, self.objects.delete)

    @contextlib.contextmanager
    def swept_if_it_fails(self, written: list[Segment]) -> Iterator[None]:
        """Delete the files of the segments in *written* if the block raises; the block may add to the list."""
        try:
            yield
        except BaseException:
            self.sweep(written)
            raise

    def settle(self, dataset: Dataset | None = None) -> None:
        """Move files of replaced segments out of the tree that a process left there when it died after its commit."""
        for _, segment in retired_segments(self.catalog.database, dataset):
            if segment.path is not None and self.objects.exists(segment.path):
                self.retire([segment])


def _needed(blocks: Sequence[Block], offset: int, rows: int) -> list[Block]:
    """Return the blocks of the rows from *offset* on, and the tail, which is needed to read anything."""
    needed: list[Block] = []
    start = 0
    for block in blocks:
        if not block.rows or offset <= start < offset + rows:
            needed.append(block)
        start += block.rows
    return needed
