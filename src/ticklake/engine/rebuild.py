"""Rebuilding: a new catalog from what can be read of the old one and from the files in the tree."""

from __future__ import annotations

import platform
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
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
from ticklake.core.kinds import KINDS
from ticklake.core.results import Rebuilt
from ticklake.engine.recovery import Filled, Tree, complete_until, fill, is_uncommitted
from ticklake.engine.store import Store, retired_path
from ticklake.engine.vacuum import unnamed
from ticklake.errors import BadInput, CatalogDamaged, CatalogOutdated, DiskFull, NoLake
from ticklake.storage.objects import ObjectStore
from ticklake.storage.space import Reserve, is_full

__all__ = ["interrupted_rebuilds", "rebuild"]

_PATIENCE = 1.0
"""Seconds in which a writer at work commits or removes the file that it has just written."""


@dataclass(frozen=True, slots=True)
class _Lake:
    """The place of a lake that is rebuilt."""

    path: Path
    objects: ObjectStore
    now: Callable[[], int]
    tool: str

    def witness(self) -> Witness:
        """Return what says which version was acknowledged last."""
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
    """Make a new catalog from the old one, as far as it can be read, and from the files of the lake in *root*, which are *objects*.

    Writers wait at the old catalog's write lock and go on in the new one; nothing they were told is done is missing.
    Killed at any moment, the old catalog or the new one is there, whole: run it again.

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
    """Return what rebuilds of the catalog at *path* left that were killed."""
    found = path.parent.glob(f"{path.name}.rebuilt*")
    return [file for file in found if not _is_at_work(file.name.removeprefix(f"{path.name}.rebuilt"))]


def _is_at_work(suffix: str) -> bool:
    number, token, *_ = (*suffix.removeprefix(".").split("."), "", "")
    return number.isdecimal() and not is_gone(f"{platform.node()}/{number}/{token}")


def _refuse_nothing(lake: _Lake) -> None:
    root = lake.path.parent
    if not root.is_dir():
        raise NoLake(f"there is no folder {root}: name the lake's")
    if any(file.name != f"{lake.path.name}.reserve" for file in root.glob(f"{lake.path.name}*")):
        return
    if not any(next(iter(lake.objects.list(kind)), None) for kind in KINDS):
        raise NoLake(f"there is no lake in {root}: it holds neither a catalog nor files of a lake")


def _refuse_sound(lake: _Lake) -> None:
    if damage_of(lake.path) is not None:
        return
    try:
        with _opened(lake.path) as database:
            store = Store(Catalog(database, lake.now, lake.witness()), lake.objects, lake.now, lake.tool)
            wrong = _why(store, lake.witness())
    except CatalogDamaged:
        return
    if wrong is None:
        raise BadInput(f"{lake.path} is sound: there is nothing to rebuild; --force (force=True) does it all the same")


def _why(store: Store, witness: Witness) -> str | None:
    """Say what speaks for a rebuild although the catalog's file is sound."""
    try:
        store.catalog.check_current()
    except CatalogOutdated as error:
        return str(error)
    problem = next(iter(store.catalog.problems()), None)
    if problem is not None:
        return problem
    named = known_paths(store.catalog.database)
    strays = _strays(store, witness)
    deadline = time.monotonic() + _PATIENCE
    while strays and time.monotonic() < deadline:
        # A writer at work has not committed its newest file yet: only what stays unnamed speaks for a rebuild.
        time.sleep(_PATIENCE / 10)
        strays &= _strays(store, witness)
    if strays:
        return f"no commit names {min(strays)}"
    gone = (path for path in named if not store.objects.exists(path) and not store.objects.exists(retired_path(path)))
    return next((f"{path} is not there" for path in gone), None)


def _strays(store: Store, witness: Witness) -> set[str]:
    """Return the files that no commit names, without those that never were committed."""
    complete = complete_until(store, store.catalog.database.change_number(), witness)
    return {item.key for item in unnamed(store, KINDS) if not is_uncommitted(item, complete)}


def _rebuild(lake: _Lake, tree: Tree, *, in_memory: bool = False) -> tuple[Filled, str | None]:
    """Build the new catalog beside the old one, or *in_memory* for want of space, and put it in its place.

    Return what it holds, and where the old one is kept.
    """
    fresh = lake.path.with_name(f"{lake.path.name}.rebuilt.{_this_rebuild()}")
    kept = lake.path.with_name(f"{lake.path.name}.{lake.now()}.old")
    if replace.can_be_locked(lake.path):
        return _replace_content(lake, tree, None if in_memory else fresh, kept)
    return _replace_file(lake, tree, fresh, kept, in_memory=in_memory)


def _this_rebuild() -> str:
    _host, number, token = this_process().rsplit("/", 2)
    return f"{number}.{token}.{uuid.uuid4().hex[:6]}"


def _replace_content(lake: _Lake, tree: Tree, fresh: Path | None, kept: Path) -> tuple[Filled, str | None]:
    done: list[tuple[Filled, str | None]] = []
    with _new_catalog(fresh) as database:

        def fill_locked(old: sqlite3.Connection) -> None:
            refuse_newer(old, lake.path)
            is_kept = fresh is not None and replace.copy_aside(old, kept)  # without space, the new one comes first
            filled = lake.fill(old, database, tree)
            done.append((filled, kept.name if is_kept else None))

        replace.replace_content(lake.path, database, fill_locked)
    return done[0]


def _replace_file(lake: _Lake, tree: Tree, fresh: Path, kept: Path, *, in_memory: bool) -> tuple[Filled, str | None]:
    """Put a new file in place of one that SQLite takes for no database: whoever has it open is refused from then on."""
    with _removed_afterwards(fresh):
        with _new_catalog(None if in_memory else fresh, keep=True) as database:
            filled = lake.fill(None, database, tree)
            if in_memory:
                database.backup(fresh)
        # It is closed: no log of its own stays behind under the name it had.
        is_kept = replace.set_aside(lake.path, kept)
        replace.put_in_place(fresh, lake.path)
    return filled, kept.name if is_kept else None


@contextmanager
def _new_catalog(path: Path | None, *, keep: bool = False) -> Iterator[Database]:
    """Open an empty catalog, in memory without *path*; its file is removed afterwards unless it is to *keep*."""
    with nullcontext() if path is None or keep else _removed_afterwards(path):
        database = Database.in_memory() if path is None else Database.in_file(path)
        try:
            yield database
        finally:
            database.close()


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
