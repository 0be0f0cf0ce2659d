"""Names for every step between bytes and commit, and ways to die at one of them.

What the engine calls is wrapped, at the level of the operating system and of SQLAlchemy; the engine knows nothing of
it, and a step that is new in the engine is found by the dry run. Only ever installed in a process that is to die.
"""

import os
import shutil
import signal
import sqlite3
import sqlite3.dbapi2
import stat
import threading
from collections import Counter
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine.default import DefaultDialect

from ticklake.storage.local import LocalStore

_unlink, _rename, _truncate, _link = os.unlink, os.rename, os.truncate, os.link


class Steps:
    """Counts the steps that are passed, and dies at one: a name like ``file.write.half.1``, or the n-th of all.

    ``soft`` are the steps at which a power cut takes more than a kill does.
    """

    def __init__(self, tell, disk, die_at=None, *, power=False):
        self.passed, self.soft = [], []
        self._tell = tell
        self._disk = disk
        self._die_at = die_at
        self._power = power
        self._counts = Counter()
        self._lock = threading.RLock()

    def reach(self, name, last_act=None):
        """Pass the step, or do *last_act* and die."""
        with self._lock:
            self._counts[name] += 1
            step = f"{name}.{self._counts[name]}"
            self.passed.append(step)
            if self._disk.is_soft:
                self.soft.append(step)
            if self._die_at in (step, len(self.passed)):
                if last_act is not None:
                    last_act()
                self.die(step)

    def die(self, step):
        if self._power:
            self._disk.cut_power()
        self._tell({"died": step})
        os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner, attribute, name):
        """Make a call two steps: before and after."""
        real = getattr(owner, attribute, None)
        if real is None:
            return

        def wrapped(*args, **named):
            self.reach(f"{name}.before")
            result = real(*args, **named)
            self.reach(f"{name}.after")
            return result

        setattr(owner, attribute, wrapped)


class Disk:
    """What a power cut takes: bytes of files, and names in folders, that were not fsynced.

    SQLite's own files are left alone: it fsyncs them below Python.
    """

    def __init__(self, graveyard):
        self._graveyard = Path(graveyard)
        self._soft_bytes = set()
        self._soft_names = []

    @property
    def is_soft(self):
        return bool(self._soft_bytes or self._soft_names)

    def wrote(self, path):
        self._soft_bytes.add(path)

    def named(self, path, undo):
        self._soft_names.append((path, undo))

    def synced(self, path):
        self._soft_bytes.discard(path)
        self._soft_names = [(name, undo) for name, undo in self._soft_names if os.path.dirname(name) != path]

    def keep_copy(self, path):
        """Keep a file that is about to be unlinked, and return how it comes back."""
        self._graveyard.mkdir(exist_ok=True)
        copy = self._graveyard / f"{len(self._soft_names)}-{os.path.basename(path)}"
        _link(path, copy)
        return lambda: None if os.path.exists(path) else _rename(copy, path)

    def cut_power(self):
        for path in self._soft_bytes:
            if os.path.isfile(path):
                _truncate(path, os.path.getsize(path) // 2)
        for _, undo in reversed(self._soft_names):
            undo()


def install(steps, disk):
    """Wrap what stands between the engine and the disk."""
    _wrap_files(steps, disk)
    _wrap_names(steps, disk)
    _wrap_store(steps)
    _wrap_catalog(steps)


def _wrap_files(steps, disk):
    real_open, real_write, real_fsync = os.open, os.write, os.fsync

    def open_(path, flags, *args, **named):
        is_new = bool(flags & os.O_CREAT) and not os.path.exists(path)
        descriptor = real_open(path, flags, *args, **named)
        if flags & (os.O_WRONLY | os.O_RDWR):
            if is_new:
                disk.named(_whole(path), lambda: _remove(path))
            steps.reach("file.open")
        return descriptor

    def write(descriptor, data):
        if not _is_file(descriptor):
            return real_write(descriptor, data)
        disk.wrote(_path_of(descriptor))
        steps.reach("file.write.half", lambda: real_write(descriptor, bytes(data)[: len(data) // 2]))
        count = real_write(descriptor, data)
        steps.reach("file.write.after")
        return count

    def fsync(descriptor):
        name = "file" if _is_file(descriptor) else "folder"
        steps.reach(f"{name}.fsync.before")
        real_fsync(descriptor)
        disk.synced(_path_of(descriptor))
        steps.reach(f"{name}.fsync.after")

    os.open, os.write, os.fsync, os.fdatasync = open_, write, fsync, fsync


def _wrap_names(steps, disk):
    def rename(source, target, real):
        real(source, target)
        disk.named(_whole(target), lambda: os.path.exists(source) or _rename(target, source))
        steps.reach("file.rename")

    def unlink(path, *args, real, **named):
        if os.path.lexists(path):
            disk.named(_whole(path), disk.keep_copy(_whole(path)))
        real(path, *args, **named)
        steps.reach("file.unlink")

    def mkdir(path, *args, real, **named):
        real(path, *args, **named)
        disk.named(_whole(path), lambda: shutil.rmtree(path, ignore_errors=True))
        steps.reach("folder.make")

    for owner_name, wrapper in (
        ("rename", rename),
        ("replace", rename),
        ("unlink", unlink),
        ("remove", unlink),
        ("mkdir", mkdir),
    ):
        real = getattr(os, owner_name)
        setattr(os, owner_name, _with_real(wrapper, real))


def _with_real(wrapper, real):
    return lambda *args, **named: wrapper(*args, real=real, **named)


def _wrap_store(steps):
    steps.around(LocalStore, "put", "store.put")
    steps.around(LocalStore, "delete", "store.delete")
    steps.around(LocalStore, "move", "retire.move")
    steps.around(pq.ParquetWriter, "write_table", "encode.file")
    steps.around(pl.DataFrame, "write_ipc_stream", "encode.inline")


def _wrap_catalog(steps):
    def statement(connection, _cursor, text, *_):
        verb = text.split(None, 1)[0].upper()
        if connection.connection.driver_connection.writes or verb not in {"SELECT", "PRAGMA"}:
            steps.reach("catalog.statement")

    _wrap_connections(steps)
    event.listen(sqlalchemy.Engine, "before_cursor_execute", statement)
    steps.around(DefaultDialect, "do_commit", "catalog.commit")


def _wrap_connections(steps):
    """Make each begin of a change, and each step of a copy of a catalog, page by page, one that can be died at."""

    class Connection(sqlite3.Connection):
        writes = False

        def execute(self, text, *args):
            verb = text.upper()
            if verb.startswith("BEGIN"):
                self.writes = verb != "BEGIN"
                if self.writes:
                    steps.reach("catalog.begin")
            return super().execute(text, *args)

        def executemany(self, text, *args):
            if self.writes:
                steps.reach("catalog.statement")
            return super().executemany(text, *args)

        def backup(self, target, *, progress=lambda *_: None, **named):
            def step(*told):
                steps.reach("catalog.page")
                progress(*told)

            super().backup(target, progress=step, **named)

    real = sqlite3.dbapi2.connect

    def connect(*args, **named):
        return real(*args, **{"factory": Connection, **named})

    sqlite3.connect = sqlite3.dbapi2.connect = connect


def _is_file(descriptor):
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _path_of(descriptor):
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _whole(path):
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def _remove(path):
    if os.path.exists(path):
        _unlink(path)
