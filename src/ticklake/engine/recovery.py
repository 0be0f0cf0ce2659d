"""What a rebuilt catalog is filled with: the readable rows of the old one, and the files that they do not name."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain

from ticklake.catalog.changes import Change, DatasetRow
from ticklake.catalog.file_header import change_number
from ticklake.catalog.removal import forget_history, known_paths
from ticklake.catalog.restore import correct_segments, go_on_after, mark_changed, restore_summary
from ticklake.catalog.salvage import TableRead, copy_readable
from ticklake.catalog.witness import Witness
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import KINDS, PROVENANCE
from ticklake.core.merge import Keying, key_of_batch
from ticklake.core.provenance import Provenance
from ticklake.core.segment import Segment
from ticklake.core.span import ALL_TIME, Span, normalise, subtract
from ticklake.core.time import MS
from ticklake.engine.read import count_rows, read_chunks
from ticklake.engine.store import DatasetView, Store, retired_path
from ticklake.engine.verify import FRESH
from ticklake.errors import StorageError, TicklakeError
from ticklake.storage.encoding import read_footer
from ticklake.storage.files import file_digest, read_blocks
from ticklake.storage.objects import ObjectStore, StoredObject
from ticklake.storage.segments import Footer, corrupt, decode_inline

__all__ = ["Filled", "Tree", "complete_until", "fill", "is_uncommitted"]

_TICK = 100 * MS
"""File systems give files the time of the last tick of the kernel's clock, which is some milliseconds ago."""


class Tree:
    """The files of a lake as their own footers describe them. A file is read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.found: dict[str, tuple[Footer, Segment]] = {}
        self.unreadable: dict[str, StoredObject] = {}
        self._there: dict[str, StoredObject] = {}

    def look(self) -> None:
        """Read the files that have come since the last look, and forget those that have gone."""
        self._there = {}
        for kind in KINDS:
            for item in self._store.objects.list(kind):
                self._there[item.key] = item
                if item.key not in self.found and self.unreadable.get(item.key) != item:
                    self._read(item)
        self.found = {key: found for key, found in self.found.items() if key in self._there}
        self.unreadable = {key: item for key, item in self.unreadable.items() if key in self._there}

    def forget_uncommitted(self, named: Set[str], catalog_complete_until: int | None) -> list[str]:
        """Forget the files that are not *named* and were never committed; return them."""
        uncommitted: list[str] = []
        for key, item in self._there.items():
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
    footer = read_footer(source, item.key)
    if item.key != f"{footer.dataset.path}/{footer.period}-{footer.id}.parquet":
        raise corrupt(item.key, "its footer belongs to another place")
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


def _is_whole(store: Store, footer: Footer, segment: Segment) -> bool:
    """Whether the rows of a file are what its footer says."""
    try:
        chunks = read_chunks(store, DatasetView.of_segment(footer.dataset, segment))
        return sum(frame.height for frame in chunks) == footer.rows
    except TicklakeError:
        return False


@dataclass(frozen=True, slots=True)
class Filled:
    """What the new catalog holds: datasets with rows, their files, inline segments and rows.

    ``unreadable`` are damaged or missing segments, ``lost`` says of which tables not every row could be carried over,
    ``uncommitted`` are files that no commit named although no commit is missing: they are left to vacuum.
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

    What the old catalog says of a file is believed before the file's own footer: which files are live, what was
    covered, what expired. Files that it does not name are taken in, as it may have lost the commits that do; but not those
    that were there before the newest commit, if it and the *witness* show that no commit is missing: a killed writer left
    them, and what was deleted since would come back with them. Its versions come after the one that was acknowledged
    last: nobody meets two of one number.
    """
    tables = _carried_over(old, store)
    complete = None
    if old is not None and all(table.is_whole for table in tables):
        complete = complete_until(store, change_number(old), witness)
    go_on_after(store.catalog.database, witness.newest_of_any())
    is_whole = {table.name: table.is_whole for table in tables}
    tree.look()
    uncommitted = tree.forget_uncommitted(known_paths(store.catalog.database), complete)
    if not is_whole.get("provenance", False):
        _restore_origins(store, tree)
    before = {row.dataset: row for row in store.catalog.datasets()}
    bad = _check_files(store, tree)
    added = _take_in(store, tree, before)
    version = store.catalog.commit("rebuild", added)
    if tables and not (is_whole["coverage"] and is_whole["meta"]):
        # Taken back from coverage that is not whole, or by a log that is not, the past would be told wrongly.
        forget_history(store.catalog.database, version)
    is_certain = is_whole.get("segments", False) and is_whole.get("datasets", False)
    for row in store.catalog.datasets():
        if not is_certain or any(change.dataset == row.dataset for change in added):
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
    """Return until when a catalog, which is at *change*, names every committed file; ``None`` if it may have lost commits.

    The time is that of the machine's clock, as that of files is.
    """
    lake, version = store.catalog.database.lake(), store.catalog.version()
    is_current = witness.acknowledged(lake).missing_in(version, change) is None
    if not is_current or not _names_all_bytes(store):
        return None
    return witness.acknowledged_at(lake)


def _names_all_bytes(store: Store) -> bool:
    """Whether the segments of every dataset add up to what the dataset's own row says."""
    for row in store.catalog.datasets():
        _, _, segments = store.catalog.snapshot(row.dataset, data=False, is_summarised=False)
        if sum(segment.size for segment in segments) != row.bytes:
            return False
    return True


def is_uncommitted(item: StoredObject, catalog_complete_until: int | None) -> bool:
    """Whether a file that no commit names never was committed: a catalog without a missing commit came after it."""
    return catalog_complete_until is not None and item.arrived < catalog_complete_until - _TICK


def _strange(store: Store, tree: Tree, *, passing_young: bool) -> list[str]:
    """Return the files that cannot be read and that the catalog does not name.

    Where it is whole, young ones are passed over: a writer is at work on them.
    """
    named, recent = known_paths(store.catalog.database), store.now() - FRESH
    unnamed = [item for key, item in tree.unreadable.items() if key not in named]
    return [item.key for item in unnamed if not passing_young or item.modified < recent]


def _carried_over(old: sqlite3.Connection | None, store: Store) -> list[TableRead]:
    if old is None:
        return []
    with store.catalog.database.write() as connection:
        return copy_readable(old, connection)


def _restore_origins(store: Store, tree: Tree) -> None:
    """Restore the origins of rows that the catalog lost: those of files from their footers, inline rows get one that says so.

    Their numbers must not be given to new origins: these rows would be theirs.
    """
    for footer, _ in tree.found.values():
        store.catalog.restore_provenance(footer.provenance)
    numbers: set[int] = set()
    for row in store.catalog.datasets():
        for segment in _segments(store, row.dataset):
            if segment.path is None and _can_be_decoded(segment, row.dataset):
                numbers |= set(decode_inline(segment, row.dataset.spec)[PROVENANCE].unique())
    lost = {number: Provenance("unknown", note=f"lost with a damaged catalog [{number}]") for number in numbers}
    store.catalog.restore_provenance(lost)


def _losses(tables: Sequence[TableRead]) -> list[str]:
    return [
        f"{table.name}: not all of it could be read, {table.rows:,} rows were carried over"
        for table in tables
        if not table.is_whole
    ]


def _check_files(store: Store, tree: Tree) -> list[str]:
    """Correct what the catalog says of whole files by their footers; return the names of segments that are damaged.

    They stay in the catalog: reading names them, and ``repair`` takes out of them what it can.
    """
    bad: list[str] = []
    right: list[Segment] = []
    for row in store.catalog.datasets():
        for segment in _segments(store, row.dataset):
            if _is_damaged(store, tree, segment, row.dataset):
                bad.append(segment.name if segment.path is None else segment.path)
            elif segment.path in tree.found and tree.found[segment.path][1] != segment:
                right.append(tree.found[segment.path][1])
    correct_segments(store.catalog.database, right)
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
    return [_addition(store, dataset, found, known.get(dataset)) for dataset, found in pieces.items()]


def _addition(store: Store, dataset: Dataset, pieces: list[tuple[Footer, Segment]], row: DatasetRow | None) -> Change:
    pieces.sort(key=lambda piece: piece[0].seq)
    for footer, _ in pieces:
        store.catalog.restore_provenance(footer.provenance)
    origins = [origin for footer, _ in pieces for origin in footer.provenance.values()]
    spaces = (origin.id_space for origin in origins if origin.id_space)
    # The dataset's own row may be lost: then the newest file says how rows are told apart.
    keying = row.keying if row and row.keying else pieces[-1][0].keying
    id_space = row.id_space if row and row.id_space else next(spaces, "")
    return Change(
        dataset,
        keying=keying,
        id_space=id_space,
        add=tuple(segment for _, segment in pieces),
        coverage=_unknown_coverage(store, dataset, [footer for footer, _ in pieces]),
    )


def _unknown_coverage(store: Store, dataset: Dataset, footers: Sequence[Footer]) -> tuple[Covered, ...]:
    """Return what footers say of spans of which the catalog knows nothing."""
    known = store.catalog.coverage(dataset).spans()
    unknown: list[Covered] = []
    for piece in chain.from_iterable(footer.coverage for footer in footers):
        unknown += [replace(piece, span=span) for span in subtract(piece.span, known)]
    return tuple(unknown)


def _settle(store: Store, row: DatasetRow, before: DatasetRow | None, version: int) -> None:
    """Count anew what a dataset holds, and forget coverage whose rows are lost with damaged pages of the old catalog."""
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
        return sum(segment.rows for segment in view.segments)


def _keying(segments: Sequence[Segment], dataset: Dataset) -> Keying:
    """Find the keying from the rows themselves, where the dataset's own row is lost."""
    for segment in segments:
        if segment.path is None:
            try:
                return key_of_batch(decode_inline(segment, dataset.spec), dataset.spec)
            except StorageError:
                continue
    return key_of_batch(dataset.spec.empty(), dataset.spec)


def _forget_unproven(store: Store, dataset: Dataset, segments: Sequence[Segment]) -> None:
    """Keep of what counts as looked at only what rows are left of, so that the rest is fetched again."""
    stored = normalise(Span(segment.min_ts, dataset.row_end(segment.max_ts)) for segment in segments)
    looked_at = store.catalog.coverage(dataset).spans(Found.DATA)
    unproven = tuple(rest for span in looked_at for rest in subtract(span, stored))
    if unproven:
        store.catalog.commit("rebuild", [Change(dataset, forget=unproven)])


def _figures(store: Store) -> dict[str, int]:
    rows = store.catalog.datasets()
    live: list[Segment] = []
    for row in rows:
        live += _segments(store, row.dataset, data=False)
    return {
        "datasets": sum(1 for row in rows if row.rows),
        "files": sum(segment.path is not None for segment in live),
        "inline": sum(segment.path is None for segment in live),
        "rows": sum(row.rows for row in rows),
    }
