"""The ledger of turns: one small SQLite file for all processes of a user, outside of every lake."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Ledger", "Pause", "Verdict"]

BUSY_SECONDS = 5.0
_BUSY_PAUSE = 0.005
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
FORGOTTEN = 7 * 86_400 * 1_000
"""Milliseconds after which an exchange that nobody called is removed."""
AHEAD = 60_000
"""How many milliseconds ahead a turn can be. A later one was written before the clock was set back, and is ignored."""
_MICROSECONDS = 1_000
"""Microseconds in a millisecond. Turns are counted in microseconds, so that short ones are not rounded to zero."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS turns (
    key TEXT PRIMARY KEY, tat INTEGER NOT NULL DEFAULT 0, paused_at INTEGER NOT NULL DEFAULT 0,
    paused_until INTEGER NOT NULL DEFAULT 0, is_ban INTEGER NOT NULL DEFAULT 0, used_at INTEGER NOT NULL
) WITHOUT ROWID
"""
_UPSERT = """
INSERT INTO turns (key, tat, paused_at, paused_until, is_ban, used_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET tat = excluded.tat, paused_at = excluded.paused_at,
    paused_until = excluded.paused_until, is_ban = excluded.is_ban, used_at = excluded.used_at
"""


@dataclass(frozen=True, slots=True)
class Pause:
    """When nobody calls, in milliseconds since 1970. A ban is a pause that the exchange imposed."""

    start: int = 0
    end: int = 0
    is_ban: bool = False

    def left(self, now: int) -> int:
        """Return how many milliseconds are left at *now*."""
        # Never more than the whole pause: the clock may have been set back since it began.
        return max(min(self.end - now, self.end - self.start), 0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a request for a turn: taken if ``wait`` is 0, else the milliseconds until the next request.

    ``pause`` is the reason, if the wait is a pause.
    """

    wait: int = 0
    pause: Pause | None = None


class Ledger:
    """Who may call next. Each request is one transaction, so that no two processes take the same turn.

    With *path* ``None`` the ledger belongs to this process alone.
    """

    def __init__(self, path: Path | None) -> None:
        self._connection = _connect(path)

    def take(self, key: str, length: float, now: int) -> Verdict:
        """Take a turn at *key* that lasts *length* milliseconds, if it is free at *now*.

        Raises
        ------
        sqlite3.Error
        """
        with self._transaction() as connection:
            free_at, pause = _read(connection, key)
            if left := pause.left(now):
                return Verdict(left, pause)
            # Virtual scheduling (GCRA, ITU-T I.371) without a burst: the next turn begins when the last one is over.
            start = now * _MICROSECONDS
            if free_at >= start + AHEAD * _MICROSECONDS:
                free_at = 0
            if free_at > start:
                return Verdict(-(-(free_at - start) // _MICROSECONDS))
            end = start + max(round(length * _MICROSECONDS), 1)
            _write(connection, key, end, pause, now)
        return Verdict()

    def pause(self, key: str, length: int, now: int, *, is_ban: bool = False) -> Pause:
        """Let nobody call *key* for *length* milliseconds from *now*, unless a longer pause holds. Return the pause."""
        with self._transaction() as connection:
            free_at, pause = _read(connection, key)
            if length > pause.left(now):
                pause = Pause(now, now + length, is_ban)
                _write(connection, key, free_at, pause, now)
        return pause

    def last_pause(self, key: str) -> Pause:
        """Return the newest pause of *key*, over or not."""
        _, pause = _read(self._connection, key)
        return pause

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        # IMMEDIATE takes the write lock before the row is read: a lock that is taken later could fail as a deadlock.
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _connect(path: Path | None) -> sqlite3.Connection:
    name = ":memory:"
    if path is not None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = str(path)
    connection = sqlite3.connect(name, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    """Create the table unless it exists."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", _SCHEMA):
                connection.execute(statement)
            return
        except sqlite3.OperationalError as error:
            # Where two open a new file at once, SQLite refuses one of them without waiting: it must not go on alone.
            if error.sqlite_errorcode & 0xFF not in _BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_PAUSE)


def _read(connection: sqlite3.Connection, key: str) -> tuple[int, Pause]:
    """Return when the next turn is free (microseconds since 1970), and the last pause."""
    query = "SELECT tat, paused_at, paused_until, is_ban FROM turns WHERE key = ?"
    row = connection.execute(query, (key,)).fetchone()
    if row is None:
        return 0, Pause()
    free_at, paused_at, paused_until, is_ban = row
    return free_at, Pause(paused_at, paused_until, bool(is_ban))


def _write(connection: sqlite3.Connection, key: str, free_at: int, pause: Pause, now: int) -> None:
    connection.execute(_UPSERT, (key, free_at, pause.start, pause.end, pause.is_ban, now))
    connection.execute("DELETE FROM turns WHERE used_at < ?", (now - FORGOTTEN,))
