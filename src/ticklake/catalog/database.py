"""Connections to the catalog's database, their transactions and their errors."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, func, literal_column, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import Pool, QueuePool, StaticPool
from sqlalchemy.util import LRUCache

from ticklake.catalog import checksums, schema
from ticklake.catalog.file_header import (
    change_number,
    count_change,
    is_newer,
    name_copy,
    number_of,
    refuse_foreign_log,
)
from ticklake.catalog.lock_holders import write_lock_holder
from ticklake.catalog.migrations import NEWEST, current_version, migrate
from ticklake.catalog.prepared import Prepared, Readers
from ticklake.catalog.witness import Witness, outdated
from ticklake.errors import (
    CatalogBusy,
    CatalogDamaged,
    CatalogError,
    CatalogReplaced,
    DiskFull,
    ReadOnlyLake,
    StorageError,
    TicklakeError,
)

__all__ = ["BUSY_SECONDS", "Database", "busy", "busy_at_most"]

_FULL, _NORMAL = "FULL", "NORMAL"
_DAMAGE = ("malformed", "not a database", "could not decode", "user-defined function")
"""Parts of the messages for a damaged file: of SQLite, and of Python's module for text that is not UTF-8 any more."""
_CURE = "restore a backup, or run 'ticklake rebuild' to make a new catalog from the files"
_USER_VERSION = Prepared(select(literal_column("user_version")).select_from(text("pragma_user_version")))
BUSY_SECONDS = 60
"""How long a statement waits for other processes before it gives up."""
_BUSY: ContextVar[float | None] = ContextVar("_BUSY", default=None)


@contextmanager
def busy_at_most(seconds: float) -> Iterator[None]:
    """Wait at most so long for other processes in each change that the block makes: it is repeated, or has to end soon."""
    token = _BUSY.set(seconds)
    try:
        yield
    finally:
        _BUSY.reset(token)


class Database:
    """One catalog database, opened and migrated.

    Parameters
    ----------
    url
        A SQLAlchemy URL of SQLite; ``sqlite://`` is in memory.

    Raises
    ------
    CatalogTooNew, CatalogDamaged, ReadOnlyLake
    """

    def __init__(self, url: str | URL) -> None:
        self.url = make_url(url)
        self.where = self.url.database or "the catalog in memory"
        self._engine = _engine(self.url)
        self._readers = Readers(self._engine)
        self._in_memory = isinstance(self._engine.pool, StaticPool)
        self._file = _file_of(self.url)
        self._identity: tuple[int, int] | None = None
        self._lake: str | None = None
        self._witness: Witness | None = None
        # All threads share the one connection to a catalog in memory, so they have to take turns.
        self._turn: AbstractContextManager[Any] = threading.RLock() if self._in_memory else nullcontext()
        try:
            self._open_patiently()
        except BaseException:
            self.close()
            raise

    def sizes(self) -> tuple[int, int]:
        """Return the bytes of the SQLite file and of its write-ahead log; 0 for a catalog in memory."""
        if self._file is None:
            return 0, 0
        log = self._file.with_name(f"{self._file.name}-wal")
        return _size(self._file), _size(log)

    @classmethod
    def in_file(cls, path: Path) -> Database:
        """Open the SQLite catalog at *path*, created on first use; if it cannot be written, for reading only."""
        refuse_foreign_log(path)
        try:
            return cls(URL.create("sqlite", database=str(path)))
        except ReadOnlyLake:
            if not path.is_file():
                raise
        return _ReadOnly(path)

    @classmethod
    def in_memory(cls) -> Database:
        """Open a catalog in memory, which is lost when it is closed."""
        return cls("sqlite://")

    def is_same(self, other: Database) -> bool:
        """Whether *other* is the same file."""
        mine, theirs = self.url.database, other.url.database
        return bool(mine and theirs and Path(mine).resolve() == Path(theirs).resolve())

    def keep_witness(self, witness: Witness) -> None:
        """Record every change in *witness*, and refuse to change anything if changes that it has recorded are missing."""
        self._witness = witness

    def lake(self) -> str:
        """Return the lake's identity; a backup keeps it."""
        if self._lake is None:
            query = select(checksums.intact(schema.meta.c.value)).where(schema.meta.c.key == "lake")
            with self.read() as connection:
                self._lake = connection.execute(query).scalar() or ""
        return self._lake

    def change_number(self) -> int:
        """Return the number of the newest change."""
        return number_of(self.fetch(_USER_VERSION, {})[0][0])

    def _refuse_outdated(self, connection: Connection, change: int, lake: str) -> None:
        """Refuse to change anything in a transaction that does not see every acknowledged change."""
        witness = self._witness
        if witness is None:
            return
        acknowledged = witness.newest_change(lake)
        if acknowledged is None or not is_newer(acknowledged, change):
            return
        version = connection.execute(select(func.max(schema.commits.c.id))).scalar() or 0
        what = witness.acknowledged(lake).missing_in(version, change)
        if what is not None:
            raise outdated(self.where, what, witness)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the catalog."""
        self._check_place()
        with self._turn, self._translated(), self._engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            with self._raw_translated():
                driver.execute("BEGIN")
            yield connection

    def fetch(self, statement: Prepared, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """Return the rows of one statement, in a transaction of its own: the fast way for statements that are executed often."""
        if self._in_memory:
            with self.read() as connection:
                return connection.execute(statement.select, values).all()
        self._check_place()
        try:
            return self._readers.fetch(statement, values)
        except DBAPIError as error:
            raise self._translate(error.orig) from error
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._translate(error) from error

    @contextmanager
    def write(self, *, durable: bool = True, checks: bool = True) -> Iterator[Connection]:
        """Open a transaction that holds the catalog's write lock; it is durable when the block ends.

        One that is not *durable* does not wait for the disk: it survives the death of processes, but a power failure only
        if a durable one followed. That is enough for claims, progress and heartbeats. Only migrations write rows without
        keeping their *checks*.
        """
        self._check_place()
        lake = self.lake() if self._witness is not None else ""
        with self._turn, self._translated(), self._engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            with self._raw_translated():
                _begin_to_write(driver, connection.info, durable=durable, checks=checks)
            with connection.begin():
                number, rows = change_number(driver), driver.total_changes
                self._refuse_outdated(connection, number, lake)
                yield connection
                # A transaction that changed nothing gets no number: there is nothing of it that could be lost.
                is_changed = driver.total_changes != rows
                if is_changed:
                    number = count_change(driver, number)
            if is_changed and self._witness is not None:
                self._witness.acknowledge_change(lake, number, durable=durable)
        # Checked again: if the file was deleted or replaced during the transaction, the rows are lost with it.
        self._check_place()

    def backup(self, path: Path) -> None:
        """Copy the catalog to *path* with SQLite's online backup; writers may go on meanwhile."""
        with self._translated(), self._engine.connect() as connection:
            source: Any = connection.connection.driver_connection
            try:
                with closing(sqlite3.connect(path, isolation_level=None)) as target:
                    source.backup(target)
                    # Without a name of its own, the log of the original would seem to belong to it (docs/adr/0030).
                    name_copy(target)
            except sqlite3.Error as error:
                if "full" in str(error) or "disk I/O" in str(error):
                    raise DiskFull(f"no space for {path} ({error}): free some; the lake itself is as it was") from error
                raise CatalogError(f"{path} could not be written ({error}): check the folder") from error

    @contextmanager
    def driver_connection(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection of the sqlite3 module, for what SQLAlchemy does not offer."""
        with self._engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            yield driver

    def shorten_log(self) -> None:
        """Move the log into the file and truncate it, as far as readers allow; called when the disk is short of space."""
        with suppress(DBAPIError), self._turn, self._engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            with suppress(sqlite3.Error):
                driver.execute("PRAGMA busy_timeout=1000")  # a reader may keep its transaction open for hours
                driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            driver.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
            connection.info.pop("busy", None)

    def close(self) -> None:
        """Close every connection."""
        # In memory, another thread may be using the one connection: sqlite3 crashes if it is closed meanwhile.
        with self._turn:
            self._readers.close()
            self._engine.dispose()

    def _open_patiently(self) -> None:
        """Open the database, and retry while it is busy."""
        # SQLite's own timeout does not apply while another process creates the file or empties its log.
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return self._open()
            except CatalogBusy:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(0.02)

    def _open(self) -> None:
        with self.read() as connection:
            version = current_version(connection)
        if version != NEWEST:
            with self.write(checks=False) as connection:
                migrate(connection, self.where)
                driver: Any = connection.connection.driver_connection
                name_copy(driver, anew=False)

    def _check_place(self) -> None:
        """Refuse to use a file that is no longer at its path: what is written to it would be lost."""
        if self._file is None:
            return
        try:
            status = os.stat(self.where)  # noqa: PTH116 - three a commit; a Path takes four times as long
            identity: tuple[int, int] | None = (status.st_dev, status.st_ino)
        except FileNotFoundError:
            identity = None
        if self._identity is None:
            self._identity = identity
        elif identity != self._identity:
            raise CatalogReplaced(
                f"{self.where} was deleted or replaced while it was open: restore a backup or run 'ticklake rebuild', "
                "then open the lake again"
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._translate(error.orig) from error
        except UnicodeDecodeError as error:
            raise self._translate(error) from error

    def _translate(self, error: BaseException | None) -> TicklakeError:
        """Return the error of ours for one of the driver."""
        if isinstance(error, UnicodeDecodeError):
            # SQLite quotes the damaged bytes of a schema, and Python cannot make an error message of them.
            return CatalogDamaged(f"{self.where} is damaged (its schema is not UTF-8): {_CURE}")
        row = checksums.damage_found()
        if row is not None:
            return CatalogDamaged(f"{self.where}: {row} is not what was written; {_CURE}")
        return _catalog_error(error, self.where)

    @contextmanager
    def _raw_translated(self) -> Iterator[None]:
        """Translate the errors of statements that are executed by the driver itself."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._translate(error) from error


class _ReadOnly(Database):
    """A catalog that this process cannot write, but others may.

    While a writer has it open, its log and the log's index exist, and SQLite reads these, too. Otherwise the file is read as
    one that does not change, because SQLite cannot create the index. It is opened again whenever that may have changed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._state()
        super().__init__(self._address())

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the catalog, the newest one."""
        self._follow()
        seen = self._seen
        with super().read() as connection:
            yield connection
        self._refuse_changed(seen)

    def fetch(self, statement: Prepared, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """Return the rows of one statement, which sees the newest state of the catalog."""
        self._follow()
        seen = self._seen
        rows = super().fetch(statement, values)
        self._refuse_changed(seen)
        return rows

    def _refuse_changed(self, seen: tuple[int, ...]) -> None:
        if "immutable" in self.url.query and self._state() != seen:
            raise CatalogBusy(f"{self._path} was changed while it was read: read again")

    def _follow(self) -> None:
        state = self._state()
        if state != self._seen:
            self.close()
            self._seen, self.url = state, self._address()
            self._engine = _engine(self.url)
            self._readers = Readers(self._engine)

    def _address(self) -> URL:
        query = {"mode": "ro", "uri": "true"}
        if not self._is_in_use():
            # Without the files of its log SQLite would have to create them, which takes permission to write.
            query["immutable"] = "1"
        return URL.create("sqlite", database=f"file:{quote(str(self._path))}", query=query)

    def _is_in_use(self) -> bool:
        return all(self._path.with_name(f"{self._path.name}{suffix}").exists() for suffix in ("-wal", "-shm"))

    def _state(self) -> tuple[int, ...]:
        """Return a value that changes when the file has to be opened again; changes in a writer's log need no opening."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return (0,)
        if self._is_in_use():
            return status.st_dev, status.st_ino
        log = self._path.with_name(f"{self._path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise ReadOnlyLake(
                f"{self._path} has commits in its log that only a process with write permission can read: "
                "open the lake once with it, or check the folder's permissions"
            )
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class _Statements(LRUCache[Any, Any]):
    """The SQL of statements, for all catalogs that this process opens.

    SQLAlchemy keeps it for each engine, with the engine's dialect as the first part of the key. One class of dialects writes
    the same SQL.
    """

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_of_class(key), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_of_class(key), value)


def _of_class(key: tuple[Any, ...]) -> tuple[Any, ...]:
    dialect, *statement = key
    return type(dialect), *statement


_STATEMENTS = _Statements(500)


def _file_of(url: URL) -> Path | None:
    """Return the file of a URL; ``None`` for a catalog in memory or one opened for reading only."""
    if not url.database or "uri" in url.query:
        return None
    return Path(url.database)


def _size(path: Path) -> int:
    if not path.exists():
        return 0
    return path.stat().st_size


def _engine(url: URL) -> Engine:
    pool: type[Pool] = QueuePool
    if not url.database:
        # Each connection to a catalog in memory would be a catalog of its own.
        pool = StaticPool
    # The connection that was used last has read the pages and prepared the statements that come next.
    newest_first = {"pool_use_lifo": True} if pool is QueuePool else {}
    engine = create_engine(
        url,
        poolclass=pool,
        **newest_first,
        # Without a level the driver leaves it to us to begin transactions: it would begin them at the first change only. A
        # listener of SQLAlchemy's could begin them, too, but then every statement looks for listeners.
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False, "isolation_level": None},
    )
    if "uri" in url.query:
        event.listen(engine, "connect", _on_connect_for_reading)
    else:
        event.listen(engine, "connect", _on_connect)
    return engine.execution_options(compiled_cache=_STATEMENTS)


def _on_connect_for_reading(connection: Any, _record: Any) -> None:
    checksums.register(connection)


def _on_connect(connection: Any, _record: Any) -> None:
    checksums.register(connection)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_to_write(driver: sqlite3.Connection, known: Any, *, durable: bool, checks: bool) -> None:
    """Begin a transaction that holds the write lock; *known* notes what was set for the connection before."""
    if checks and not known.get("checks"):
        checksums.install(driver)
        known["checks"] = True
    # In WAL mode only FULL waits for the disk when a transaction ends.
    level = _NORMAL
    if durable:
        level = _FULL
    if known.get("synchronous", _FULL) != level:
        driver.execute(f"PRAGMA synchronous={level}")
        known["synchronous"] = level
    seconds = _busy_seconds()
    if known.get("busy", BUSY_SECONDS) != seconds:
        driver.execute(f"PRAGMA busy_timeout={int(seconds * 1000)}")
        known["busy"] = seconds
    # A transaction that starts as a reader cannot become a writer once another process has written.
    driver.execute("BEGIN IMMEDIATE")


def _busy_seconds() -> float:
    seconds = _BUSY.get()
    if seconds is None:
        return BUSY_SECONDS
    return seconds


def busy(where: str) -> CatalogBusy:
    """Return the error that names the process which held the catalog for too long."""
    holder = write_lock_holder(Path(where)) or "another process"
    return CatalogBusy(f"{where} was held by {holder} for {_busy_seconds():g} s: try again, or end that process")


def _catalog_error(error: BaseException | None, where: str) -> TicklakeError:
    words = str(error).partition("\n")[0]  # of a damaged schema SQLite quotes whole statements
    lowered = words.lower()
    if "locked" in lowered or "busy" in lowered:
        return busy(where)
    if "readonly" in lowered or "unable to open" in lowered:
        return ReadOnlyLake(f"{where} cannot be written ({words}): check the folder's permissions")
    if "full" in lowered:
        return DiskFull(f"no space for {where} ({words}): free some, nothing acknowledged was lost")
    if "disk i/o" in lowered:
        # A quota that is used up is one of them, and may be over soon.
        return StorageError(
            f"{where} could not be read or written ({words}): check the disk, its free space and quotas"
        )
    if isinstance(error, sqlite3.DatabaseError) and any(part in lowered for part in _DAMAGE):
        return CatalogDamaged(f"{where} is damaged ({words}): {_CURE}")
    return CatalogError(f"{where}: {words}")
