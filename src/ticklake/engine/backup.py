"""Backup: a copy of the lake that is itself a lake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ticklake.catalog.catalog import Catalog
from ticklake.catalog.database import Database
from ticklake.catalog.removal import forget_segments, retired_segments
from ticklake.catalog.witness import WITNESS_FILE, Witness
from ticklake.core.os_errors import as_storage_error
from ticklake.core.results import Backup
from ticklake.core.segment import Segment
from ticklake.engine.salvage import Copy
from ticklake.engine.store import LIVE_FOLDERS, Store
from ticklake.errors import BadInput, MissingSegment
from ticklake.storage.durable import make_folder, replace_file, sync
from ticklake.storage.files import file_digest
from ticklake.storage.objects import ObjectStore
from ticklake.storage.segments import corrupt, digest

__all__ = ["backup", "opened_copy"]


_ATTEMPTS = 8
"""How often a backup is started because files were removed meanwhile; files that were copied are not copied again."""


def backup(store: Store, folder: Path, catalog_name: str) -> Backup:
    """Copy the lake as it is at one instant to *folder*; writers may go on meanwhile.

    The catalog is replaced last, when every file that it names is durable: if a backup is interrupted, even by a power
    failure, the backup before it stays intact. Files of an older backup that are no longer part of the lake are removed.

    Raises
    ------
    BadInput
        If the folder holds something else, or another lake, or if another process writes to the copy.
    CatalogOutdated
        If commits are missing here that an older backup may still have.
    CorruptSegment
        If a file is damaged: a backup has only undamaged files, so the backup before it stays.
    """
    store.catalog.check_current()
    fresh, target = folder / f"{catalog_name}.new", store.open_folder(folder)
    _check_target(store, folder, catalog_name)
    with as_storage_error(folder):
        make_folder(folder)
    copied: dict[str, int] = {}
    for attempt in range(1, _ATTEMPTS + 1):
        store.catalog.database.backup(fresh)
        segments = _files(fresh, store)
        try:
            for segment in segments:
                _copy(store, segment, folder, copied)
            break
        except MissingSegment:
            # A vacuum that keeps no old versions may delete a file as soon as it is replaced: the newest state is copied.
            if attempt == _ATTEMPTS or _is_live(store, segment):
                raise
    _replace_catalog(fresh, folder / catalog_name)
    _remove_others(target, {segment.path for segment in segments})
    sizes = [copied[segment.name] for segment in segments if segment.name in copied]
    return Backup(str(folder), len(sizes), len(segments) - len(sizes), sum(sizes))


def _copy(store: Store, segment: Segment, folder: Path, copied: dict[str, int]) -> None:
    """Copy a file, unless it is there already, and note its size in *copied*."""
    target = folder / (segment.path or "")
    # The content is compared, not the size: a file that was damaged in the backup is copied again.
    if segment.name in copied or (target.exists() and file_digest(target) == segment.digest):
        return
    data = store.data(segment)
    if digest(data) != segment.digest:
        raise corrupt(segment.name, "its bytes changed")
    with as_storage_error(target):
        replace_file(target, data)
    copied[segment.name] = segment.size


def _is_live(store: Store, segment: Segment) -> bool:
    """Whether the lake still needs a segment: then its file is missing, and no other file replaced it."""
    for row in store.catalog.datasets():
        live = store.view(row.dataset, data=False).segments
        if segment.id in [other.id for other in live]:
            return True
    return False


def _replace_catalog(fresh: Path, path: Path) -> None:
    """Replace the catalog of the older backup, which may have been used as a lake since."""
    # SQLite would apply its log to the new catalog, and versions in its witness are not those of the new one.
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        raise BadInput(f"{path} is written to by another process: end it, or name another folder")
    Witness(path.with_name(WITNESS_FILE)).forget()
    fresh.replace(path)
    sync(path.parent)


def _check_target(store: Store, folder: Path, catalog_name: str) -> None:
    """Refuse a folder in which a copy would mix with something else."""
    if not (folder / catalog_name).is_file():
        # The first backup to this folder was interrupted: it may be continued there.
        begun = (folder / f"{catalog_name}.new").is_file()
        if folder.is_dir() and any(folder.iterdir()) and not begun:
            raise BadInput(f"{folder} is not empty and holds no lake: name an empty folder")
        return
    source = store.catalog.database
    with _catalog(folder / catalog_name, store) as copy:
        if copy.database.lake() != source.lake() or copy.database.is_same(source):
            raise BadInput(f"{folder} holds another lake, or this one itself: name another folder")
        # A log that stays although it is shortened is in use by another process: _replace_catalog refuses that.
        copy.database.shorten_log()


@contextmanager
def opened_copy(store: Store, folder: Path, catalog_name: str) -> Iterator[Copy]:
    """Open a backup of the lake to take segments from it.

    Raises
    ------
    BadInput
        If the folder holds no backup of this lake.
    """
    path = folder / catalog_name
    if not path.is_file():
        raise BadInput(f"{folder} holds no backup: 'ticklake backup' makes one")
    with _catalog(path, store) as catalog:
        if catalog.database.lake() != store.catalog.database.lake():
            raise BadInput(f"{folder} is a backup of another lake: name one of this")
        yield Copy(catalog, store.open_folder(folder))


@contextmanager
def _catalog(path: Path, store: Store) -> Iterator[Catalog]:
    database = Database.in_file(path)
    try:
        yield Catalog(database, store.now)
    finally:
        database.close()


def _files(path: Path, store: Store) -> list[Segment]:
    """Return the live file segments in the catalog at *path*, and delete the retired ones from it."""
    files: list[Segment] = []
    with _catalog(path, store) as copy:
        # The backup has no files of older versions, so its catalog must not offer them.
        forget_segments(copy.database, retired_segments(copy.database))
        for row in copy.datasets():
            _, _, segments = copy.snapshot(row.dataset, data=False)
            files += [segment for segment in segments if segment.path is not None]
    return files


def _remove_others(objects: ObjectStore, named: set[str | None]) -> None:
    for folder in LIVE_FOLDERS:
        for item in list(objects.list(folder)):
            if item.key not in named:
                objects.delete(item.key)
