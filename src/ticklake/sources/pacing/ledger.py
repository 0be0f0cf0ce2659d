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
"""Milliseconds after which an exchange that nobody called is forgotten."""
AHEAD = 60_000
"""No turn is taken further ahead than this many milliseconds: what lies beyond, a clock that was set back wrote."""
_MICROSECONDS = 1_000
"""In a millisecond: turns are counted in microseconds, so that short ones are not rounded away."""
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
    """From when to when (milliseconds since 1970) nobody calls; a ban is a pause that the exchange imposed."""

    start: int = 0
    end: int = 0
    is_ban: bool = False

    def left(self, now: int) -> int:
        """Return how many milliseconds are left at *now*, whatever was done to the clock meanwhile."""
        return max(min(self.end - now, self.end - self.start), 0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the turn is ours (``wait`` is 0), or in how many milliseconds to ask again; ``pause`` if there is one."""

    wait: int = 0
    pause: Pause | None = None


class Ledger:
    """Who may call next. Every question is one transaction, so that processes never take the same turn.

    *path* ``None`` is a ledger of this process alone.
    """

    def __init__(self, path: Path | None) -> None:
        self._connection = _opened(path)

    def take(self, key: str, length: float, now: int) -> Verdict:
        """Take a turn at *key* that lasts *length* milliseconds, if it is free at *now*.

        Raises
        ------
        sqlite3.Error
        """
        with self._changing() as connection:
            tat, pause = _row(connection, key)
            if left := pause.left(now):
                return Verdict(left, pause)
            # Virtual scheduling (GCRA, ITU-T I.371) without a burst: the next turn begins when the last one is over.
            free_at, asked_at = tat, now * _MICROSECONDS
            if free_at >= asked_at + AHEAD * _MICROSECONDS:
                free_at = 0
            if free_at > asked_at:
                return Verdict(-(-(free_at - asked_at) // _MICROSECONDS))
            _write(connection, key, asked_at + max(round(length * _MICROSECONDS), 1), pause, now)
        return Verdict()

    def pause(self, key: str, length: int, now: int, *, is_ban: bool = False) -> Pause:
        """Let nobody call *key* for *length* milliseconds from *now*; a longer pause stays. Return what holds."""
        with self._changing() as connection:
            tat, pause = _row(connection, key)
            if length > pause.left(now):
                pause = Pause(now, now + length, is_ban)
                _write(connection, key, tat, pause, now)
        return pause

    def last_pause(self, key: str) -> Pause:
        """Return the newest pause of *key*, over or not."""
        return _row(self._connection, key)[1]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _opened(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = ":memory:" if path is None else str(path)
    connection = sqlite3.connect(name, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the table, unless it is there."""
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


def _row(connection: sqlite3.Connection, key: str) -> tuple[int, Pause]:
    query = "SELECT tat, paused_at, paused_until, is_ban FROM turns WHERE key = ?"
    row = connection.execute(query, (key,)).fetchone()
    return (0, Pause()) if row is None else (row[0], Pause(row[1], row[2], bool(row[3])))


def _write(connection: sqlite3.Connection, key: str, tat: int, pause: Pause, now: int) -> None:
    connection.execute(_UPSERT, (key, tat, pause.start, pause.end, pause.is_ban, now))
    connection.execute("DELETE FROM turns WHERE used_at < ?", (now - FORGOTTEN,))
