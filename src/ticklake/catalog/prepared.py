"""Statements that every read of rows, or every commit, executes: compiled once, and executed by the driver itself.

SQLAlchemy's connection, transaction, statement and result take ten times as long as SQLite needs for such a statement.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Delete, Engine, Insert, Select, Update
from sqlalchemy.exc import DBAPIError

__all__ = ["Prepared", "PreparedChange", "Readers"]

_IDLE = 8
"""How many connections are kept for the next statement; more of them only if so many threads read at once."""


class Prepared:
    """A statement that reads, compiled when it is first executed.

    Its rows come as the driver returns them: select only columns that need no conversion, like numbers, texts and bytes.
    """

    def __init__(self, select: Select[Any]) -> None:
        self.select = select
        self._text = ""
        self._parameters: tuple[tuple[str, Any], ...] = ()

    def text(self, engine: Engine) -> str:
        """Return the statement in SQL."""
        if not self._text:
            compiled = self.select.compile(engine)
            self._parameters = tuple((name, compiled.params[name]) for name in compiled.positiontup or ())
            self._text = str(compiled)
        return self._text

    def parameters(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the parameters in the order of the compiled statement, constants of the statement included."""
        return [values.get(name, constant) for name, constant in self._parameters]


class PreparedChange:
    """A statement that changes rows, compiled when it is first executed.

    An insert takes a value for every column. Values go to the driver as they are: give only those that need no conversion.
    """

    def __init__(self, change: Insert | Update | Delete) -> None:
        self._change = change
        self._text = ""
        self._names: tuple[str, ...] = ()

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute the statement in the transaction of *connection* once for each of *rows*, which are its parameters.

        Raises
        ------
        DBAPIError
        """
        if not rows:
            return
        if not self._text:
            self._compile(connection.engine)
        driver: Any = connection.connection.driver_connection
        try:
            driver.executemany(self._text, [[row[name] for name in self._names] for row in rows])
        except sqlite3.Error as error:
            raise DBAPIError.instance(self._text, None, error, sqlite3.Error) from error

    def _compile(self, engine: Engine) -> None:
        columns: list[str] | None = None
        if isinstance(self._change, Insert):
            columns = [column.name for column in self._change.table.c]
        compiled = self._change.compile(engine, column_keys=columns)
        self._names = tuple(compiled.positiontup or ())
        self._text = str(compiled)


class Readers:
    """Connections that execute one statement at a time, each statement a transaction of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._idle: list[sqlite3.Connection] = []
        self._process = os.getpid()

    def fetch(self, statement: Prepared, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """Execute a statement and return all of its rows.

        Raises
        ------
        sqlite3.Error
        """
        text = statement.text(self._engine)
        reader = self._take()
        try:
            # All rows are fetched: the transaction ends with them.
            rows = reader.execute(text, statement.parameters(values)).fetchall()
        except BaseException:
            reader.close()
            raise
        self._give_back(reader)
        return rows

    def close(self) -> None:
        """Close the connections that are idle."""
        idle, self._idle = self._idle, []
        for reader in idle:
            with suppress(sqlite3.Error):
                reader.close()

    def _take(self) -> sqlite3.Connection:
        if self._process != os.getpid():
            # A process that was forked must not use the connections of its parent.
            self._idle, self._process = [], os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return self._opened()

    def _opened(self) -> sqlite3.Connection:
        """Return a connection that the pool has prepared, but that does not go back into it: this would take longer than a statement."""
        pooled = self._engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()
        assert isinstance(connection, sqlite3.Connection)  # noqa: S101
        return connection

    def _give_back(self, reader: sqlite3.Connection) -> None:
        if len(self._idle) < _IDLE:
            self._idle.append(reader)
        else:
            reader.close()
