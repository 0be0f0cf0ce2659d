"""Backing up: a copy of the lake that is itself a lake."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ticklake.catalog.catalog import Catalog
from ticklake.catalog.database import Database
from ticklake.core.segment import Segment
from ticklake.engine.place import Store
from ticklake.errors import StorageError

__all__ = ["Backup", "backup"]


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup did: files copied, files that were there already, and bytes copied."""

    folder: str
    copied: int
    kept: int
    bytes: int


def backup(store: Store, folder: Path, catalog_name: str) -> Backup:
    """Copy the lake as it is at one instant to *folder*, whatever writers do meanwhile.

    The catalog is put in place last: a backup that was cut short still is the one before it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _failed(folder, error) from error
    fresh = folder / f"{catalog_name}.new"
    store.catalog.database.backup(fresh)
    copied = kept = size = 0
    for segment in _files(fresh, store):
        target = folder / (segment.path or "")
        if target.exists() and target.stat().st_size == segment.size:
            kept += 1
            continue
        _copy(store.source(segment), target)
        copied, size = copied + 1, size + segment.size
    fresh.replace(folder / catalog_name)
    return Backup(str(folder), copied, kept, size)


def _files(path: Path, store: Store) -> list[Segment]:
    """Return the live file segments that the catalog at *path* names."""
    database = Database.in_file(path)
    try:
        catalog = Catalog(database, store.now)
        segments = (catalog.snapshot(row.dataset, data=False)[2] for row in catalog.datasets())
        return [segment for found in segments for segment in found if segment.path is not None]
    finally:
        database.close()


def _copy(source: Path | bytes, target: Path) -> None:
    part = target.with_suffix(".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, bytes):
            part.write_bytes(source)
        else:
            shutil.copyfile(source, part)
        part.replace(target)
    except OSError as error:
        raise _failed(target, error) from error


def _failed(target: Path, error: OSError) -> StorageError:
    return StorageError(f"{target} could not be written: {error.strerror or error}")
