"""Checksums of the catalog's rows: what SQLite reads back is what was written.

SQLite compares no checksum of the pages of its main file: a flipped bit there is another value. So every row that answers
depend on carries a CRC-32 of its values in ``row_check``. Temporary triggers write it, which only our own connections
have: whoever changes a row by other means leaves a row that is found to be damaged.
"""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Connection, Label, Select, Table, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from ticklake.catalog import schema

__all__ = [
    "TABLES",
    "checked_columns",
    "damage_found",
    "damaged_rows",
    "install",
    "intact",
    "pages_damaged",
    "register",
    "row_check",
    "rows_of",
]

TABLES: tuple[Table, ...] = tuple(table for table in schema.metadata.sorted_tables if "row_check" in table.c)
"""The tables whose rows are checked."""
_UNCHECKED = frozenset({"row_check", "data", "heartbeat_at", "process"})
"""``data`` has a digest of its own; signs of life decide nothing once a run has ended."""
_found = threading.local()


def row_check(*values: object) -> int:
    """Return the CRC-32 of a row's values, written as Python writes a tuple."""
    return zlib.crc32(repr(values).encode("utf-8", "surrogatepass"))


class _Intact(FunctionElement[Any]):
    inherit_cache = True
    name = "ticklake_intact"

    def __init__(self, column: Column[Any]) -> None:
        table = column.table
        super().__init__(column, table.c.row_check, *checked_columns(table))
        self.type = column.type
        self.table_name = table.name


def intact(column: Column[Any]) -> Label[Any]:
    """Select a column of a table; if the row is not what was written, the statement ends with ``CatalogDamaged``.

    It belongs among what is selected: in a condition SQLite would put constants in the place of columns that equal them,
    and compare rows that are not asked for with those.
    """
    return _Intact(column).label(column.name)


@compiles(_Intact)
def _plain(element: _Intact, compiler: Any, **options: Any) -> str:
    return str(compiler.process(next(iter(element.clauses)), **options))


@compiles(_Intact, "sqlite")
def _compared(element: _Intact, compiler: Any, **options: Any) -> str:
    return f"ticklake_intact('{element.table_name}', {compiler.process(element.clauses, **options)})"


def rows_of(table: Table) -> Select[Any]:
    """Select the rows of a table, without the checksums that they are compared with."""
    key = next(iter(table.primary_key))
    others = (column for column in table.c if column.name != "row_check" and column is not key)
    return select(intact(key), *others)


def register(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that compute and compare checksums."""
    connection.create_function("ticklake_check", -1, row_check, deterministic=True)
    connection.create_function("ticklake_recheck", -1, _recheck, deterministic=True)
    connection.create_function("ticklake_intact", -1, _intact, deterministic=True)


def install(connection: sqlite3.Connection) -> None:
    """Let a connection, outside of a transaction, keep the checksums of all rows that it writes."""
    for table in TABLES:
        for statement in _triggers(table):
            connection.execute(statement)


def damaged_rows(connection: Connection) -> Iterator[str]:
    """Name every row whose values are not those that were written."""
    for table in TABLES:
        columns = ", ".join(f'"{column.name}"' for column in checked_columns(table))
        wrong = f"SELECT {columns} FROM {table.name} WHERE row_check IS NOT ticklake_check({columns})"  # noqa: S608
        yield from (_row_name(table, tuple(row)) for row in connection.exec_driver_sql(wrong))


def pages_damaged(connection: Connection) -> list[str]:
    """Return what SQLite's own check of its pages and indexes finds."""
    return [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check(20)") if row[0] != "ok"]


def damage_found() -> str | None:
    """Return which row this thread last found to be damaged, once."""
    text: str | None = getattr(_found, "text", None)
    _found.text = None
    return text


def _intact(table: str, answer: Any, check: int | None, *values: Any) -> Any:
    outer_join_found_none = check is None and all(value is None for value in values)
    if check == row_check(*values) or outer_join_found_none:
        return answer
    _found.text = _row_name(schema.metadata.tables[table], values)
    raise ValueError(_found.text)


def _recheck(check: int | None, *values: object) -> int | None:
    """Return the checksum of a changed row; a row that was damaged before stays so, and is found."""
    before, after = values[: len(values) // 2], values[len(values) // 2 :]
    return row_check(*after) if check == row_check(*before) else None


def checked_columns(table: Table) -> list[Any]:
    """Return the columns that the checksum is of, those of the key first."""
    keys = list(table.primary_key)
    return keys + [column for column in table.c if column.name not in _UNCHECKED and column not in keys]


def _triggers(table: Table) -> tuple[str, str]:
    names = [f'"{column.name}"' for column in checked_columns(table)]
    old, new = (", ".join(f"{row}.{name}" for name in names) for row in ("OLD", "NEW"))
    same = " AND ".join(f'"{column.name}" = NEW."{column.name}"' for column in table.primary_key)
    start, update = f"CREATE TEMP TRIGGER IF NOT EXISTS {table.name}", f"UPDATE {table.name} SET row_check ="  # noqa: S608
    return (
        f"{start}_came AFTER INSERT ON main.{table.name} BEGIN {update} ticklake_check({new}) WHERE {same}; END",
        f"{start}_changed AFTER UPDATE OF {', '.join(names)} ON main.{table.name} "
        f"BEGIN {update} ticklake_recheck(OLD.row_check, {old}, {new}) WHERE {same}; END",
    )


def _row_name(table: Table, values: tuple[Any, ...]) -> str:
    """Name a row by its key, or a segment as other messages do."""
    named = dict(zip((column.name for column in checked_columns(table)), values, strict=True))
    if table is schema.segments:
        return f"the row of {named['path'] or 'inline segment ' + str(named['id'])} in segments"
    return f"the row {', '.join(str(named[column.name]) for column in table.primary_key)} of {table.name}"
