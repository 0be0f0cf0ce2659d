"""Replacement of a catalog's content, in one step that other processes see completely or not at all."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from ticklake.catalog.database import BUSY_SECONDS, Database, busy
from ticklake.catalog.file_header import continue_header
from ticklake.catalog.salvage import UNREADABLE
from ticklake.errors import CatalogError, DiskFull, ReadOnlyLake

__all__ = ["can_be_locked", "copy_aside", "replace_content", "set_aside"]

_PAUSE = 0.02
"""Seconds between two attempts to get the write lock."""


def can_be_locked(path: Path) -> bool:
    """Whether SQLite still accepts the file as a database, so that its write lock keeps writers out.

    Raises
    ------
    ReadOnlyLake, DiskFull, CatalogError
        If it cannot be written now, whatever its content.
    """
    if not path.is_file() or not path.stat().st_size:
        return False
    try:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if "readonly" in str(error) or "unable to open" in str(error):
            raise ReadOnlyLake(f"{path} cannot be written ({error}): check the folder's permissions") from error
        # Only a database can be locked by another process.
        if "locked" not in str(error):
            raise _translated(error, path) from error
    except UNREADABLE:
        return False
    return True


def replace_content(path: Path, fresh: Database, fill: Callable[[sqlite3.Connection], None]) -> None:
    """Replace the content of the catalog at *path* by what *fill* writes into *fresh*, in one transaction of SQLite.

    *fill* is called with a connection that reads the old content once the write lock is held: nobody commits from
    then until the new content is there. Connections that others have open see it with their next transaction. Killed
    at any moment, the file holds the old content or the new one, whole.

    Raises
    ------
    CatalogBusy, DiskFull, CatalogError
        Nothing is changed then.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    is_filled = False

    def step(status: int, _left: int, _total: int) -> None:
        """Called after each page. The first one took the lock; SQLite starts over with what was filled in since."""
        nonlocal is_filled
        if status == sqlite3.SQLITE_OK and not is_filled:
            with closing(sqlite3.connect(path, isolation_level=None)) as old:
                fill(old)
                continue_header(old, source)
            is_filled = True
        elif status != sqlite3.SQLITE_OK and time.monotonic() > deadline:
            raise busy(str(path))

    with fresh.driver_connection() as source, closing(sqlite3.connect(path, isolation_level=None)) as target:
        try:
            # One page at a time: the first page takes the lock, and only then the new content is made.
            source.backup(target, pages=1, progress=step, sleep=_PAUSE)
        except sqlite3.Error as error:
            raise _translated(error, path) from error


def set_aside(path: Path, kept: Path) -> bool:
    """Keep a file that is not a database any more under another name, and move its log away.

    Return whether there was a file. It also keeps its own name until the new file replaces it. The caller makes the names durable.
    """
    is_kept = False
    # SQLite would apply the log of the old file to the new one.
    for suffix in ("-wal", "-shm"):
        old = path.with_name(f"{path.name}{suffix}")
        if old.exists():
            is_kept = True
            old.rename(kept.with_name(f"{kept.name}{suffix}"))
    if path.exists():
        is_kept = True
        with suppress(FileExistsError):
            os.link(path, kept)
    return is_kept


def copy_aside(old: sqlite3.Connection, kept: Path) -> bool:
    """Copy a catalog as it is, page by page, damaged ones too; return false if there was no space for it.

    The caller makes its name durable.
    """
    try:
        with closing(sqlite3.connect(kept)) as copy:
            old.backup(copy)
    except sqlite3.Error:
        for suffix in ("", "-journal"):
            with suppress(FileNotFoundError):
                kept.with_name(f"{kept.name}{suffix}").unlink()
        return False
    return True


def _translated(error: sqlite3.Error, path: Path) -> CatalogError | DiskFull:
    if "full" in str(error) or "disk I/O" in str(error):
        return DiskFull(f"no space for {path} ({error}): free some, nothing was changed")
    return CatalogError(f"{path} could not be replaced ({error}): check the disk, nothing was changed")
