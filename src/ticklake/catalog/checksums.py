"""Checksums of the catalog's rows, which show whether what SQLite reads is what was written.

SQLite keeps no checksum of the pages of its main file: a flipped bit there is read as another value. So every row that
answers depend on carries a CRC-32 of its values in ``row_check``. It is written by temporary triggers, which only our own
connections have: a row that is changed by other means is found to be damaged.

A trigger writes a row a second time, with the bytes of an inline segment. So the statements of every commit write the
checksum themselves (:func:`with_check`, :func:`changed`), and the triggers leave those rows alone.
"""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, Label, Select, Table, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from ticklake.catalog import schema

__all__ = [
    "TABLES",
    "changed",
    "checked_columns",
    "damage_found",
    "damaged_rows",
    "install",
    "intact",
    "pages_damaged",
    "register",
    "row_check",
    "rows_of",
    "with_check",
]

TABLES: tuple[Table, ...] = tuple(table for table in schema.metadata.sorted_tables if "row_check" in table.c)
"""The tables whose rows are checked."""
_UNCHECKED = frozenset({"row_check", "data", "heartbeat_at", "process"})
"""``data`` has a digest of its own; heartbeats decide nothing once a run has ended."""
_damage = threading.local()


def row_check(*values: object) -> int:
    """Return the CRC-32 of a row's values, written as Python writes a tuple."""
    return zlib.crc32(repr(values).encode("utf-8", "surrogatepass"))


def with_check(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a new row with its checksum. All checked columns must be given, also those that are null."""
    return {**values, "row_check": row_check(*(values[name] for name in _checked_names(table)))}


def changed(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the new values of an update with the checksum of the changed row; a damaged row stays damaged."""
    return {**values, "row_check": _Rechecked(table, values)}


class _Rechecked(FunctionElement[Any]):
    inherit_cache = True
    name = "ticklake_recheck"
    type = schema.meta.c.row_check.type

    def __init__(self, table: Table, values: Mapping[str, Any]) -> None:
        before = checked_columns(table)
        super().__init__(table.c.row_check, *before, *(values.get(column.name, column) for column in before))


@compiles(_Rechecked)
def _unchanged(element: _Rechecked, compiler: Any, **options: Any) -> str:
    return str(compiler.process(next(iter(element.clauses)), **options))


@compiles(_Rechecked, "sqlite")
def _rechecked(element: _Rechecked, compiler: Any, **options: Any) -> str:
    return f"ticklake_recheck({compiler.process(element.clauses, **options)})"


class _Intact(FunctionElement[Any]):
    inherit_cache = True
    name = "ticklake_intact"

    def __init__(self, column: Column[Any]) -> None:
        table = column.table
        super().__init__(column, table.c.row_check, *checked_columns(table))
        self.type = column.type
        self.table_name = table.name


@cache  # to build the expression took longer than most statements take
def intact(column: Column[Any]) -> Label[Any]:
    """Select a column of a table; if the row is not what was written, the statement fails with ``CatalogDamaged``.

    Use it among the selected columns only: in a condition, SQLite replaces columns that equal a constant by the constant,
    and checks rows that the condition excludes.
    """
    return _Intact(column).label(column.name)


@compiles(_Intact)
def _plain(element: _Intact, compiler: Any, **options: Any) -> str:
    # Databases that have checksums of their pages need none of rows (docs/adr/0022).
    return str(compiler.process(next(iter(element.clauses)), **options))


@compiles(_Intact, "sqlite")
def _compared(element: _Intact, compiler: Any, **options: Any) -> str:
    return f"ticklake_intact('{element.table_name}', {compiler.process(element.clauses, **options)})"


@cache
def rows_of(table: Table) -> Select[Any]:
    """Select the checked rows of a table, without their checksums."""
    key = next(iter(table.primary_key))
    others = [column for column in table.c if column.name != "row_check" and column is not key]
    return select(intact(key), *others)


def register(connection: sqlite3.Connection) -> None:
    """Register the functions that compute and compare checksums with a connection."""
    connection.create_function("ticklake_check", -1, row_check, deterministic=True)
    connection.create_function("ticklake_recheck", -1, _recheck, deterministic=True)
    connection.create_function("ticklake_intact", -1, _intact, deterministic=True)


def install(connection: sqlite3.Connection) -> None:
    """Create the triggers that write checksums, for a connection outside of a transaction."""
    for statement in _all_triggers():
        connection.execute(statement)


def damaged_rows(connection: Connection) -> Iterator[str]:
    """Name every row whose values are not those that were written."""
    for table in TABLES:
        columns = ", ".join(_quoted_names(table))
        # IS NOT also finds rows without a checksum, which another program may have written.
        query = f"SELECT {columns} FROM {table.name} WHERE row_check IS NOT ticklake_check({columns})"  # noqa: S608
        for row in connection.exec_driver_sql(query):
            yield _row_name(table, tuple(row))


def pages_damaged(connection: Connection) -> list[str]:
    """Return the problems that SQLite's own check of its pages and indexes finds."""
    return [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check(20)") if row[0] != "ok"]


def damage_found() -> str | None:
    """Return the name of the damaged row that this thread found last, and forget it."""
    name: str | None = getattr(_damage, "row", None)
    _damage.row = None
    return name


def _intact(table: str, value: Any, check: int | None, *values: Any) -> Any:
    # Called for every row that is read: the other look costs as much again, and only a row that is not there needs it.
    if check == row_check(*values):
        return value
    if check is None and all(other is None for other in values):
        # The other side of an outer join has no row.
        return value
    # SQLite reports only that a function raised an error: what it was is passed on beside it.
    _damage.row = _row_name(schema.metadata.tables[table], values)
    raise ValueError(_damage.row)


def _recheck(check: int | None, *values: object) -> int | None:
    """Return the checksum of a changed row; a row that was damaged before gets none and stays damaged."""
    middle = len(values) // 2
    before, after = values[:middle], values[middle:]
    if check != row_check(*before):
        return None
    return row_check(*after)


def checked_columns(table: Table) -> list[Any]:
    """Return the columns that the checksum covers, those of the primary key first."""
    others = [column for column in table.c if column.name not in _UNCHECKED and not column.primary_key]
    return [*table.primary_key, *others]


@cache
def _checked_names(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in checked_columns(table))


@cache  # each connection that writes creates them, and most of the time went into their text
def _all_triggers() -> tuple[str, ...]:
    return tuple(statement for table in TABLES for statement in _triggers(table))


def _quoted_names(table: Table) -> list[str]:
    return [f'"{column.name}"' for column in checked_columns(table)]


def _triggers(table: Table) -> tuple[str, str]:
    names = _quoted_names(table)
    old = "OLD." + ", OLD.".join(names)
    new = "NEW." + ", NEW.".join(names)
    same = " AND ".join(f'"{column.name}" = NEW."{column.name}"' for column in table.primary_key)
    start = f"CREATE TEMP TRIGGER IF NOT EXISTS {table.name}"
    update = f"UPDATE {table.name} SET row_check ="  # noqa: S608
    return (
        f"{start}_came AFTER INSERT ON main.{table.name} WHEN NEW.row_check IS NULL "
        f"BEGIN {update} ticklake_check({new}) WHERE {same}; END",
        f"{start}_changed AFTER UPDATE OF {', '.join(names)} ON main.{table.name} WHEN NEW.row_check IS OLD.row_check "
        f"BEGIN {update} ticklake_recheck(OLD.row_check, {old}, {new}) WHERE {same}; END",
    )


def _row_name(table: Table, values: tuple[Any, ...]) -> str:
    """Name a row by its key, a segment by its path if it has one."""
    names = [column.name for column in checked_columns(table)]
    named = dict(zip(names, values, strict=True))
    if table is schema.segments:
        return f"the row of {named['path'] or 'inline segment ' + str(named['id'])} in segments"
    key = values[: len(table.primary_key)]
    return f"the row {', '.join(map(str, key))} of {table.name}"
