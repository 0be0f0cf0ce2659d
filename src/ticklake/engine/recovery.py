"""Recovery: fill a new catalog with the readable rows of the old one, and with the files that these do not name."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace

import polars as pl

from ticklake.catalog.changes import Change, DatasetRow
from ticklake.catalog.feature_sets import FeatureSetTable
from ticklake.catalog.file_header import change_number
from ticklake.catalog.removal import forget_history, known_paths
from ticklake.catalog.restore import correct_segments, go_on_after, mark_changed, restore_summary
from ticklake.catalog.salvage import TableRead, copy_readable
from ticklake.catalog.witness import Witness
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.features import FeatureSet
from ticklake.core.kinds import KINDS, PROVENANCE
from ticklake.core.knowledge import KNOWN_AT
from ticklake.core.merge import Keying, key_of_batch
from ticklake.core.provenance import Provenance
from ticklake.core.segment import Segment, rows_in_all
from ticklake.core.span import ALL_TIME, Span, normalise, outside, subtract
from ticklake.core.time import MS
from ticklake.engine.read import count_rows, read_chunks
from ticklake.engine.store import LIVE_FOLDERS, DatasetView, Store, retired_path
from ticklake.engine.verify import FRESH
from ticklake.errors import StorageError, TicklakeError
from ticklake.storage.encoding import read_footer
from ticklake.storage.files import file_digest, read_blocks
from ticklake.storage.objects import ObjectStore, StoredObject
from ticklake.storage.segments import Footer, corrupt, decode_inline, inline_schema

__all__ = ["Filled", "Tree", "complete_until", "fill", "is_segment", "is_uncommitted"]

_TICK = 100 * MS
"""The time of a file is that of the last tick of the kernel's clock, which is up to some milliseconds earlier."""


class Tree:
    """The files of a lake as their footers describe them. Each file is read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.found: dict[str, tuple[Footer, Segment]] = {}
        self.unreadable: dict[str, StoredObject] = {}
        self._listed: dict[str, StoredObject] = {}

    def look(self) -> None:
        """Read the files that are new since the last look, and forget those that were removed."""
        self._listed = {}
        for folder in LIVE_FOLDERS:
            for item in self._store.objects.list(folder):
                self._listed[item.key] = item
                if item.key not in self.found and self.unreadable.get(item.key) != item:
                    self._read(item)
        for key in self.found.keys() - self._listed:
            del self.found[key]
        for key in self.unreadable.keys() - self._listed:
            del self.unreadable[key]

    def forget_uncommitted(self, named: Set[str], catalog_complete_until: int | None) -> list[str]:
        """Forget the files that are not *named* and were never committed; return them."""
        uncommitted: list[str] = []
        for key, item in self._listed.items():
            if key not in named and is_uncommitted(item, catalog_complete_until):
                self.found.pop(key, None)
                self.unreadable.pop(key, None)
                uncommitted.append(key)
        return uncommitted

    def _read(self, item: StoredObject) -> None:
        self.unreadable.pop(item.key, None)
        try:
            footer, segment = _described(self._store.objects, item)
        except StorageError:
            self.unreadable[item.key] = item
            return
        if _is_whole(self._store, footer, segment):
            self.found[item.key] = footer, segment
        else:
            self.unreadable[item.key] = item


def _described(objects: ObjectStore, item: StoredObject) -> tuple[Footer, Segment]:
    source = objects.source(item.key)
    footer = _footer_of(objects, item.key)
    segment = Segment(
        id=footer.id,
        seq=footer.seq,
        rows=footer.rows,
        min_ts=footer.min_ts,
        max_ts=footer.max_ts,
        size=item.size,
        digest=file_digest(source),
        path=item.key,
        period=footer.period,
        packed=read_blocks(source, footer),
        observed_at=footer.observed_at,
    )
    return footer, segment


def _footer_of(objects: ObjectStore, key: str) -> Footer:
    footer = read_footer(objects.source(key), key)
    if key != f"{footer.dataset.path}/{footer.period}-{footer.id}.parquet":
        raise corrupt(key, "its footer belongs to another place")
    return footer


def is_segment(objects: ObjectStore, key: str) -> bool:
    """Whether a file is a segment in its place: others, which no Ticklake wrote there, cannot be taken into a catalog."""
    try:
        _footer_of(objects, key)
    except StorageError:
        return False
    return True


def _is_whole(store: Store, footer: Footer, segment: Segment) -> bool:
    """Whether all rows of a file can be read."""
    rows = 0
    try:
        for frame in read_chunks(store, DatasetView.of_segment(footer.dataset, segment)):
            rows += frame.height
    except TicklakeError:
        return False
    return rows == footer.rows


@dataclass(frozen=True, slots=True)
class Filled:
    """The content of the new catalog: datasets with rows, their files, inline segments and rows.

    ``unreadable`` are damaged or missing segments, ``lost`` names the tables of which some rows could not be copied,
    ``uncommitted`` are files that no commit names although no commit is missing: they are left to vacuum.
    """

    datasets: int
    files: int
    inline: int
    rows: int
    unreadable: tuple[str, ...]
    lost: tuple[str, ...]
    uncommitted: tuple[str, ...]


def fill(old: sqlite3.Connection | None, store: Store, tree: Tree, witness: Witness) -> Filled:
    """Fill the empty catalog of *store*; return what it holds then.

    The old catalog takes precedence over the footers of files: it says which files are live, and what was covered and
    expired. Files that it does not name are taken in, because it may have lost their commits. But if it and the *witness*
    show that no commit is missing, unnamed files from before the newest commit are not: a killed writer left them, and
    rows that were deleted since would come back with them. New versions come after the one that was acknowledged last, so
    that no number is used for two versions.
    """
    tables = _copy_tables(old, store)
    complete: int | None = None
    if old is not None and all(table.is_whole for table in tables):
        complete = complete_until(store, change_number(old), witness)
    go_on_after(store.catalog.database, witness.newest_of_any())
    is_whole = {table.name: table.is_whole for table in tables}
    tree.look()
    uncommitted = tree.forget_uncommitted(known_paths(store.catalog.database), complete)
    _restore_feature_sets(store, tree)
    if not is_whole.get("provenance", False):
        _restore_origins(store, tree)
    before = {row.dataset: row for row in store.catalog.datasets()}
    bad = _check_files(store, tree)
    added = _take_in(store, tree, before)
    version = store.catalog.commit("rebuild", added)
    if tables and not (is_whole["coverage"] and is_whole["meta"]):
        # Older coverage is computed from the newest one and the log: if one of them is incomplete, it would be wrong.
        forget_history(store.catalog.database, version)
    is_certain = is_whole.get("segments", False) and is_whole.get("datasets", False)
    extended = {change.dataset for change in added}
    for row in store.catalog.datasets():
        if not is_certain or row.dataset in extended:
            _settle(store, row, before.get(row.dataset), version)
    mark_changed(store.catalog.database, version)
    strange = _strange(store, tree, passing_young=is_whole.get("segments", False))
    return Filled(
        **_figures(store),
        unreadable=tuple(sorted(bad + strange)),
        lost=tuple(_losses(tables)),
        uncommitted=tuple(sorted(uncommitted)),
    )


def complete_until(store: Store, change: int, witness: Witness) -> int | None:
    """Return up to which time a catalog at *change* names every committed file; ``None`` if it may have lost commits.

    The time is by the machine's clock, like the times of files.
    """
    lake, version = store.catalog.database.lake(), store.catalog.version()
    is_current = witness.acknowledged(lake).missing_in(version, change) is None
    if not is_current or not store.catalog.names_all_bytes():
        return None
    return witness.acknowledged_at(lake)


def is_uncommitted(item: StoredObject, catalog_complete_until: int | None) -> bool:
    """Whether a file that no commit names was never committed: the catalog is complete up to a later time."""
    return catalog_complete_until is not None and item.arrived < catalog_complete_until - _TICK


def _strange(store: Store, tree: Tree, *, passing_young: bool) -> list[str]:
    """Return the files that cannot be read and that the catalog does not name.

    With *passing_young*, new ones are left out: a writer may be writing them.
    """
    strange: list[str] = []
    named = known_paths(store.catalog.database)
    recent = store.now() - FRESH
    for key, item in tree.unreadable.items():
        is_young = item.modified >= recent
        if key not in named and not (passing_young and is_young):
            strange.append(key)
    return strange


def _copy_tables(old: sqlite3.Connection | None, store: Store) -> list[TableRead]:
    if old is None:
        return []
    with store.catalog.database.write() as connection:
        return copy_readable(old, connection)


def _restore_origins(store: Store, tree: Tree) -> None:
    """Restore lost origins: those of files from their footers; inline rows get an origin that says it was lost."""
    # If the numbers stayed unused, they would be given to new origins, and these rows would seem to be theirs.
    for footer, _ in tree.found.values():
        store.catalog.restore_provenance(footer.provenance)
    lost: dict[int, Provenance] = {}
    for row in store.catalog.datasets():
        for segment in _segments(store, row.dataset):
            if segment.path is None and _can_be_decoded(segment, row.dataset):
                for number in decode_inline(segment, row.dataset.spec)[PROVENANCE].unique():
                    lost[number] = Provenance("unknown", note=f"lost with a damaged catalog [{number}]")
    store.catalog.restore_provenance(lost)


def _restore_feature_sets(store: Store, tree: Tree) -> None:
    """Restore the definitions of feature sets that were lost: without them no row of their values can be read.

    Files carry them. Where all values are inline, their columns are taken from these, and units and descriptions stay lost.
    """
    known = FeatureSetTable(store.catalog.database, store.now)
    for footer, _ in tree.found.values():
        if footer.dataset.variant is not None and footer.dataset.spec.definition:
            features = FeatureSet.from_json(footer.dataset.spec.definition)
            if known.find(features.name, features.version) is None:
                known.add(features.name, features.version, features.to_dict(), features.hash)
    for row in store.catalog.datasets():
        dataset = row.dataset
        if dataset.variant is None or dataset.kind in KINDS:
            continue
        if store.catalog.feature_set(dataset.kind, dataset.variant) is None:
            features = _features_of_rows(store, dataset.kind, dataset.variant, dataset)
            known.add(features.name, features.version, features.to_dict(), features.hash)


def _features_of_rows(store: Store, name: str, version: str, dataset: Dataset) -> FeatureSet:
    """Return a feature set with the columns that the inline rows of a dataset have."""
    columns: dict[str, pl.DataType] = {}
    for segment in _segments(store, dataset):
        if segment.path is None:
            columns |= inline_schema(segment)
    for known in ("ts", KNOWN_AT, PROVENANCE):
        columns.pop(known, None)
    # Without any column that can be read there is none that can be lost either.
    return FeatureSet.of(name, version, columns or {"lost": "string"}, description="restored from its rows")


def _losses(tables: Sequence[TableRead]) -> Iterator[str]:
    for table in tables:
        if not table.is_whole:
            yield f"{table.name}: not all of it could be read, {table.rows:,} rows were carried over"


def _check_files(store: Store, tree: Tree) -> list[str]:
    """Correct the catalog's records of sound files by their footers; return the names of damaged segments.

    Damaged segments stay in the catalog: reads report them, and ``repair`` salvages what it can.
    """
    bad: list[str] = []
    corrected: list[Segment] = []
    for row in store.catalog.datasets():
        for segment in _segments(store, row.dataset):
            if _is_damaged(store, tree, segment, row.dataset):
                bad.append(segment.name)
            elif segment.path in tree.found and tree.found[segment.path][1] != segment:
                corrected.append(tree.found[segment.path][1])
    correct_segments(store.catalog.database, corrected)
    return bad


def _is_damaged(store: Store, tree: Tree, segment: Segment, dataset: Dataset) -> bool:
    if segment.path is None:
        return not _can_be_decoded(segment, dataset)
    if segment.path in tree.found:
        return tree.found[segment.path][1].digest != segment.digest
    return not store.objects.exists(retired_path(segment.path))


def _can_be_decoded(segment: Segment, dataset: Dataset) -> bool:
    try:
        decode_inline(segment, dataset.spec)
    except StorageError:
        return False
    return True


def _take_in(store: Store, tree: Tree, known: dict[Dataset, DatasetRow]) -> list[Change]:
    """Return the changes that add the files which the old catalog does not name."""
    named = known_paths(store.catalog.database)
    pieces: dict[Dataset, list[tuple[Footer, Segment]]] = defaultdict(list)
    for path, (footer, segment) in tree.found.items():
        if path not in named:
            pieces[footer.dataset].append((footer, segment))
    return [_addition(store, dataset, files, known.get(dataset)) for dataset, files in pieces.items()]


def _addition(store: Store, dataset: Dataset, pieces: list[tuple[Footer, Segment]], row: DatasetRow | None) -> Change:
    """Return the change that adds files to a dataset, in the order of their contents."""
    pieces.sort(key=lambda piece: piece[0].seq)
    # The dataset's own row may be lost: then the newest file defines how rows are keyed.
    keying = pieces[-1][0].keying
    id_space = ""
    if row is not None:
        keying = row.keying or keying
        id_space = row.id_space
    segments: list[Segment] = []
    footers: list[Footer] = []
    for footer, segment in pieces:
        store.catalog.restore_provenance(footer.provenance)
        segments.append(segment)
        footers.append(footer)
        for origin in footer.provenance.values():
            id_space = id_space or origin.id_space
    return Change(
        dataset,
        keying=keying,
        id_space=id_space,
        add=tuple(segments),
        coverage=tuple(_unknown_coverage(store, dataset, footers)),
    )


def _unknown_coverage(store: Store, dataset: Dataset, footers: Sequence[Footer]) -> Iterator[Covered]:
    """Yield the coverage of footers outside of what the catalog covers."""
    known = store.catalog.coverage(dataset).spans()
    for footer in footers:
        for piece in footer.coverage:
            for span in subtract(piece.span, known):
                yield replace(piece, span=span)


def _settle(store: Store, row: DatasetRow, before: DatasetRow | None, version: int) -> None:
    """Write the summary of a dataset, and forget coverage whose rows are lost with damaged pages of the old catalog."""
    segments = _segments(store, row.dataset)
    keying = row.keying or _keying(segments, row.dataset)
    rows = _count(store, DatasetView(row.dataset, ALL_TIME, version, row, row.dataset.spec, keying, tuple(segments)))
    restore_summary(store.catalog.database, row.dataset, keying, rows, version)
    if before is not None and (rows < before.rows or not before.updated_at):
        _forget_unproven(store, row.dataset, segments)


def _segments(store: Store, dataset: Dataset, *, data: bool = True) -> list[Segment]:
    """Return the live segments of a dataset whose summary is not written yet."""
    return store.catalog.snapshot(dataset, data=data, is_summarised=False)[2]


def _count(store: Store, view: DatasetView) -> int:
    try:
        return count_rows(store, view)
    except StorageError:
        return rows_in_all(view.segments)


def _keying(segments: Sequence[Segment], dataset: Dataset) -> Keying:
    """Find the keying from the rows themselves if the dataset's own row is lost."""
    for segment in segments:
        if segment.path is None:
            try:
                return key_of_batch(decode_inline(segment, dataset.spec), dataset.spec)
            except StorageError:
                continue
    return key_of_batch(dataset.spec.empty(), dataset.spec)


def _forget_unproven(store: Store, dataset: Dataset, segments: Sequence[Segment]) -> None:
    """Forget the coverage outside of the remaining rows, so that it is fetched again."""
    stored = normalise(Span(segment.min_ts, dataset.row_end(segment.max_ts)) for segment in segments)
    unproven = tuple(outside(store.catalog.coverage(dataset).spans(Found.DATA), stored))
    if unproven:
        store.catalog.commit("rebuild", [Change(dataset, forget=unproven)])


def _figures(store: Store) -> dict[str, int]:
    figures = {"datasets": 0, "files": 0, "inline": 0, "rows": 0}
    for row in store.catalog.datasets():
        if row.rows:
            figures["datasets"] += 1
        figures["rows"] += row.rows
        for segment in _segments(store, row.dataset, data=False):
            if segment.path is None:
                figures["inline"] += 1
            else:
                figures["files"] += 1
    return figures
