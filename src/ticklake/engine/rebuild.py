"""Rebuild: a new catalog from what can be read of the old one and from the files in the tree."""

from __future__ import annotations

import platform
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ticklake.catalog import replace
from ticklake.catalog.catalog import Catalog
from ticklake.catalog.database import Database
from ticklake.catalog.file_header import refuse_foreign_log
from ticklake.catalog.processes import is_gone, this_process
from ticklake.catalog.removal import known_paths
from ticklake.catalog.salvage import damage_of, refuse_newer
from ticklake.catalog.witness import WITNESS_FILE, Witness
from ticklake.core.results import Rebuilt
from ticklake.engine.recovery import Filled, Tree, complete_until, fill, is_segment, is_uncommitted
from ticklake.engine.store import LIVE_FOLDERS, Store, retired_path
from ticklake.engine.vacuum import unnamed
from ticklake.errors import BadInput, CatalogDamaged, CatalogOutdated, DiskFull, NoLake
from ticklake.storage.durable import put_in_place, sync
from ticklake.storage.objects import ObjectStore
from ticklake.storage.space import Reserve, is_full

__all__ = ["interrupted_rebuilds", "rebuild"]

_PATIENCE = 1.0
"""Seconds in which a writer commits or removes the file that it has just written."""


@dataclass(frozen=True, slots=True)
class _Lake:
    """The place of a lake that is rebuilt."""

    path: Path
    objects: ObjectStore
    now: Callable[[], int]
    tool: str

    def witness(self) -> Witness:
        """Return the witness of the version that was acknowledged last."""
        return Witness(self.path.with_name(WITNESS_FILE))

    def fill(self, old: sqlite3.Connection | None, database: Database, tree: Tree) -> Filled:
        """Fill the new catalog behind *database* from the *old* one and the files."""
        store = Store(Catalog(database, self.now), self.objects, self.now, self.tool)
        return fill(old, store, tree, self.witness())


def rebuild(
    root: Path,
    objects: ObjectStore,
    catalog_name: str,
    now: Callable[[], int],
    tool: str,
    reserve: Reserve,
    *,
    force: bool = False,
) -> Rebuilt:
    """Make a new catalog from what can be read of the old one and from the files of the lake in *root*, which are *objects*.

    Writers wait at the old catalog's write lock and go on in the new one; no acknowledged commit is missing there.
    If the rebuild is killed, either the old catalog or the new one is in place, complete: run it again.

    Raises
    ------
    NoLake
        If there is no lake in *root*.
    BadInput
        If the catalog is sound, unless *force* is true or a rebuild was interrupted before.
    CatalogTooNew
        If a newer Ticklake wrote the catalog.
    CatalogDamaged
        If the log of another catalog lies beside it.
    """
    if root.is_dir() and is_full(root):
        # SQLite cannot even open a catalog without space for its index of the log.
        reserve.give()
    lake = _Lake(root / catalog_name, objects, now, tool)
    _refuse_nothing(lake)
    refuse_foreign_log(lake.path)
    leftovers = interrupted_rebuilds(lake.path)
    if not force and not leftovers:
        _refuse_sound(lake)
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)
    tree = Tree(Store(Catalog(Database.in_memory(), now), lake.objects, now, tool))
    tree.look()  # before the lock: reading every file takes longest
    try:
        filled, kept = _rebuild(lake, tree)
    except DiskFull:
        reserve.give()
        # The content of the old catalog is replaced in place, so what is built in memory needs hardly more space.
        filled, kept = _rebuild(lake, tree, in_memory=True)
    reserve.fill()
    return Rebuilt(
        filled.datasets,
        filled.files,
        filled.rows,
        filled.unreadable,
        filled.inline,
        filled.lost,
        kept,
        filled.uncommitted,
    )


def interrupted_rebuilds(path: Path) -> list[Path]:
    """Return the files that killed rebuilds of the catalog at *path* left."""
    files = path.parent.glob(f"{path.name}.rebuilt*")
    return [file for file in files if not _is_at_work(file.name.removeprefix(f"{path.name}.rebuilt"))]


def _is_at_work(suffix: str) -> bool:
    number, token, *_ = (*suffix.removeprefix(".").split("."), "", "")
    return number.isdecimal() and not is_gone(f"{platform.node()}/{number}/{token}")


def _refuse_nothing(lake: _Lake) -> None:
    root = lake.path.parent
    if not root.is_dir():
        raise NoLake(f"there is no folder {root}: name the lake's")
    for file in root.glob(f"{lake.path.name}*"):
        # A reserve alone is no lake: there is nothing in it to make a catalog from.
        if file.name != f"{lake.path.name}.reserve":
            return
    for folder in LIVE_FOLDERS:
        for _item in lake.objects.list(folder):
            return
    raise NoLake(f"there is no lake in {root}: it holds neither a catalog nor files of a lake")


def _refuse_sound(lake: _Lake) -> None:
    if damage_of(lake.path) is not None:
        return
    try:
        with _opened(lake.path) as database:
            store = Store(Catalog(database, lake.now, lake.witness()), lake.objects, lake.now, lake.tool)
            reason = _reason(store, lake.witness())
    except CatalogDamaged:
        return
    if reason is None:
        raise BadInput(f"{lake.path} is sound: there is nothing to rebuild; --force (force=True) does it all the same")


def _reason(store: Store, witness: Witness) -> str | None:
    """Return the reason for a rebuild if the catalog's file is sound; ``None`` if there is none."""
    try:
        store.catalog.check_current()
    except CatalogOutdated as error:
        return str(error)
    for problem in store.catalog.problems():
        return problem
    named = known_paths(store.catalog.database)
    complete = complete_until(store, store.catalog.database.change_number(), witness)
    strays = _strays(store, complete)
    deadline = time.monotonic() + _PATIENCE
    while strays and time.monotonic() < deadline:
        # A writer may not have committed its newest file yet: only files that stay unnamed are a reason.
        time.sleep(_PATIENCE / 10)
        strays &= _strays(store, complete)
    if strays:
        return f"no commit names {min(strays)}"
    for path in named:
        if not store.objects.exists(path) and not store.objects.exists(retired_path(path)):
            return f"{path} is not there"
    return None


def _strays(store: Store, complete: int | None) -> set[str]:
    """Return the segments that no commit names, without those that were never committed.

    A file that somebody else put there is none: no rebuild would take it in.
    """
    strays: set[str] = set()
    for item in unnamed(store, LIVE_FOLDERS):
        if not is_uncommitted(item, complete) and is_segment(store.objects, item.key):
            strays.add(item.key)
    return strays


def _rebuild(lake: _Lake, tree: Tree, *, in_memory: bool = False) -> tuple[Filled, str | None]:
    """Build the new catalog beside the old one, or *in_memory* if there is no space, and replace the old one.

    Return the content of the new one, and the name under which the old one is kept.
    """
    fresh = lake.path.with_name(f"{lake.path.name}.rebuilt.{_this_rebuild()}")
    kept = lake.path.with_name(f"{lake.path.name}.{lake.now()}.old")
    if not replace.can_be_locked(lake.path):
        return _replace_file(lake, tree, fresh, kept, in_memory=in_memory)
    if in_memory:
        return _replace_content(lake, tree, None, kept)
    return _replace_content(lake, tree, fresh, kept)


def _this_rebuild() -> str:
    _host, number, token = this_process().rsplit("/", 2)
    return f"{number}.{token}.{uuid.uuid4().hex[:6]}"


def _replace_content(lake: _Lake, tree: Tree, fresh: Path | None, kept: Path) -> tuple[Filled, str | None]:
    done: list[tuple[Filled, str | None]] = []
    with _new_catalog(fresh) as database:

        def fill_locked(old: sqlite3.Connection) -> None:
            # Looked at under the write lock: before it, another process may still migrate the catalog.
            refuse_newer(old, lake.path)
            kept_name: str | None = None
            # In memory means that there is no space: then the old catalog is not kept.
            if fresh is not None and replace.copy_aside(old, kept):
                sync(kept.parent)
                kept_name = kept.name
            done.append((lake.fill(old, database, tree), kept_name))

        replace.replace_content(lake.path, database, fill_locked)
    return done[0]


def _replace_file(lake: _Lake, tree: Tree, fresh: Path, kept: Path, *, in_memory: bool) -> tuple[Filled, str | None]:
    """Replace a file that SQLite does not accept as a database; processes that have it open are refused from then on."""
    path: Path | None = fresh
    if in_memory:
        path = None
    kept_name: str | None = None
    with _removed_afterwards(fresh):
        with _new_catalog(path, keep=True) as database:
            filled = lake.fill(None, database, tree)
            if in_memory:
                database.backup(fresh)
        # The new catalog is closed before it is moved, so that its log does not stay behind under the old name.
        _check_whole(fresh)
        if replace.set_aside(lake.path, kept):
            kept_name = kept.name
        sync(lake.path.parent)
        put_in_place(fresh, lake.path)
    return filled, kept_name


def _check_whole(fresh: Path) -> None:
    """Refuse a catalog whose log did not fit into its file when it was closed: without the log, it is damaged.

    Raises
    ------
    DiskFull
    """
    if fresh.with_name(f"{fresh.name}-wal").exists():
        raise DiskFull(f"no space for {fresh}: free some, nothing was changed")


@contextmanager
def _new_catalog(path: Path | None, *, keep: bool = False) -> Iterator[Database]:
    """Open an empty catalog, in memory without *path*; its file is removed afterwards unless it is to *keep*."""
    with ExitStack() as stack:
        if path is None:
            database = Database.in_memory()
        else:
            if not keep:
                stack.enter_context(_removed_afterwards(path))
            database = Database.in_file(path)
        stack.callback(database.close)
        yield database


@contextmanager
def _removed_afterwards(path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            with suppress(OSError):
                path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)


@contextmanager
def _opened(path: Path) -> Iterator[Database]:
    database = Database.in_file(path)
    try:
        yield database
    finally:
        database.close()
