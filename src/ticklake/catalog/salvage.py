"""Salvage: copy everything that can be read of a damaged catalog, table by table, row by row where pages are damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Boolean, Connection, Float, Integer, LargeBinary, Table, select

from ticklake.catalog import schema
from ticklake.catalog.checksums import checked_columns, row_check
from ticklake.catalog.migrations import NEWEST
from ticklake.core.dataset import Dataset
from ticklake.errors import CatalogTooNew, TicklakeError

__all__ = ["UNREADABLE", "TableRead", "copy_readable", "damage_of", "refuse_newer"]

UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What reading damaged pages raises: where SQLite's message quotes bytes that are not UTF-8, Python raises the second."""
_AT_ONCE = 500
"""How many rows are read with one statement."""
_PROBES = 20_000
"""How many statements are spent on the damaged pages of one table."""
_CHECK = "row_check"
_BEYOND = 1_000
"""How many numbers are skipped if the highest one used may be lost: a writer may still hold it."""
Row = tuple[Any, ...]
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class TableRead:
    """How much of a table was copied: its rows, whether none is missing, and how many rows were refused as damaged."""

    name: str
    rows: int
    is_whole: bool
    refused: int = 0


def damage_of(path: Path) -> str | None:
    """Return what is wrong with the catalog's file; ``None`` if it is a sound database with our tables."""
    if not path.is_file() or not path.stat().st_size:
        return "it is not there"
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            (problem,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
            if problem == "ok":
                return None
            return str(problem).replace("\n", " ")
    except sqlite3.OperationalError as error:
        # A catalog in use cannot be checked now: that says nothing of damage.
        if "locked" in str(error):
            return None
        return str(error)
    except UNREADABLE as error:
        return str(error)


def refuse_newer(old: sqlite3.Connection, path: Path) -> None:
    """Refuse a catalog of a newer schema: tables and columns that this Ticklake does not know would be lost.

    Raises
    ------
    CatalogTooNew
    """
    try:
        row = old.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    except UNREADABLE:
        return
    if row and str(row[0]).isdecimal() and int(row[0]) > NEWEST:
        raise CatalogTooNew(f"{path} has schema {row[0]}, this ticklake knows {NEWEST}: upgrade it, then rebuild")


def copy_readable(old: sqlite3.Connection, new: Connection) -> list[TableRead]:
    """Copy every row that can be read of *old* into the empty catalog behind *new*; return how much of each table that was."""
    old.execute("PRAGMA writable_schema = ON")  # one damaged entry of the schema does not hide the others
    old.text_factory = _text
    new.exec_driver_sql("PRAGMA defer_foreign_keys = ON")  # rows whose parents are lost are removed before the commit
    reads = [_copy(old, new, table) for table in schema.metadata.sorted_tables]
    _restore_names(old, new)
    orphans = _remove_orphans(new)
    reads = [replace(read, rows=read.rows - orphans.get(read.name, 0)) for read in reads]
    _continue_numbers(old, new, is_whole=all(read.is_whole for read in reads))
    return reads


def _copy(old: sqlite3.Connection, new: Connection, table: Table) -> TableRead:
    names = _shared_columns(old, table)
    if not names:
        return TableRead(table.name, 0, is_whole=False)
    reader = _Reader(old, table, names)
    missing = [column for column in table.columns if not column.nullable and column.name not in names]
    extra = tuple(_empty(column.type) for column in missing)
    insert = _insert_statement(table, [*names, *(column.name for column in missing)])
    is_possible = _Possible(table, names)
    rows = refused = 0
    remaining = iter(reader.rows())
    while part := list(islice(remaining, _AT_ONCE)):
        copied: list[Row] = []
        for row in part:
            if not is_possible(row):
                refused += 1
            elif table is not schema.meta or row[0] != "schema":
                copied.append(row + extra)
        if copied:
            rows += new.exec_driver_sql(insert, copied).rowcount
    return TableRead(table.name, rows, reader.is_whole and not refused, refused)


def _insert_statement(table: Table, names: Sequence[str]) -> str:
    # Of repeated rows the first one read is kept. But the new catalog has an identity of its own, which the old one replaces.
    conflict = "IGNORE"
    if table is schema.meta:
        conflict = "REPLACE"
    marks = ", ".join("?" * len(names))
    return f'INSERT OR {conflict} INTO "{table.name}" ({_quoted(names)}) VALUES ({marks})'  # noqa: S608


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _shared_columns(old: sqlite3.Connection, table: Table) -> list[str]:
    """Return the columns of *table* that the old catalog has: an older schema lacks some."""
    try:
        old_names = {row[1] for row in old.execute(f'PRAGMA table_info("{table.name}")')}
    except UNREADABLE:
        return []
    return [column.name for column in table.columns if column.name in old_names]


def _text(data: bytes) -> str | bytes:
    """Return bytes that are not UTF-8 unchanged: such a row is damaged, the others are not."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _empty(kind: Any) -> Any:
    """Return the value of a required column that an older schema did not have."""
    if isinstance(kind, LargeBinary):
        return b""
    if isinstance(kind, Integer | Boolean | Float):
        return 0
    return ""


class _Possible:
    """Tests whether the values of a row can be those of its table; a damaged row often has others."""

    def __init__(self, table: Table, names: Sequence[str]) -> None:
        columns = [table.columns[name] for name in names]
        self._types = [(_type_of(column.type), bool(column.nullable)) for column in columns]
        self._check: int | None = None
        """The place of the checksum in a row; an older schema has none."""
        self._checked: list[int] = []
        if _CHECK in names:
            self._check = names.index(_CHECK)
            self._checked = [names.index(column.name) for column in checked_columns(table)]

    def __call__(self, row: Row) -> bool:
        for value, (kind, may_be_null) in zip(row, self._types, strict=True):
            if value is None and may_be_null:
                continue
            if not isinstance(value, kind):
                return False
        if self._check is None:
            return True
        return bool(row[self._check] == row_check(*(row[place] for place in self._checked)))


def _type_of(kind: Any) -> type | tuple[type, ...]:
    if isinstance(kind, LargeBinary):
        return bytes
    if isinstance(kind, Integer | Boolean):
        return int
    if isinstance(kind, Float):
        return (int, float)
    return str


class _Reader:
    """Reads a table around its damaged pages: from both ends, then between them where its keys allow that."""

    def __init__(self, connection: sqlite3.Connection, table: Table, names: Sequence[str]) -> None:
        self._connection = connection
        self._table = table.name
        self._has_rowid = bool(table.dialect_options["sqlite"]["with_rowid"])
        self._key = ["rowid"]
        if not self._has_rowid:
            self._key = [f'"{column.name}"' for column in table.primary_key.columns]
        self._by_dataset = self._key[0] == '"dataset_id"'
        self._columns = f"{', '.join(self._key)}, {_quoted(names)}"
        self._probes = _PROBES
        self.is_whole = True

    def rows(self) -> Iterator[Row]:
        """Yield the rows that can be read, each once; afterwards ``is_whole`` is true if these are all."""
        low: Any = yield from self._walk(None, None)
        if low is True:
            return
        self.is_whole = False
        high: Any = yield from self._walk(None, low or None, backwards=True)
        if self._has_rowid:
            first = 0
            if low:
                first = low[0]
            if high and high is not True:
                yield from self._between(first, high[0])
            else:
                yield from self._between(first, first + self._reach(first))
        # Keys of several columns cannot be halved: these rows are looked for dataset by dataset.
        elif self._by_dataset and high is not True:
            yield from self._of_each_dataset(low, high)

    def _walk(
        self, prefix: int | None, after: Key | None, *, backwards: bool = False
    ) -> Generator[Row, None, Key | bool]:
        """Yield rows in order up to the end or to damage; return true at the end, else the last key (or an empty one)."""
        last: Key = ()
        order, sign, stop = "ASC", ">", None
        if backwards:
            order, sign, stop = "DESC", "<", after
        while True:
            where, values = self._where(prefix, last, sign, stop)
            key = ", ".join(f"{name} {order}" for name in self._key)
            query = f'SELECT {self._columns} FROM "{self._table}" {where} ORDER BY {key} LIMIT {_AT_ONCE}'  # noqa: S608
            count = 0
            try:
                for row in self._connection.execute(query, values):
                    last, count = tuple(row[: len(self._key)]), count + 1
                    yield row[len(self._key) :]
            except UNREADABLE:
                return last
            if count < _AT_ONCE:
                return True

    def _where(self, prefix: int | None, last: Key, sign: str, stop: Key | None) -> tuple[str, list[Any]]:
        key = f"({', '.join(self._key)})"
        marks = f"({', '.join('?' * len(self._key))})"
        conditions: list[str] = []
        values: list[Any] = []
        if prefix is not None:
            conditions.append(f"{self._key[0]} = ?")
            values.append(prefix)
        if last:
            conditions.append(f"{key} {sign} {marks}")
            values += last
        if stop:
            conditions.append(f"{key} > {marks}")
            values += stop
        if not conditions:
            return "", values
        return f"WHERE {' AND '.join(conditions)}", values

    def _between(self, low: int, high: int) -> Iterator[Row]:
        """Yield the rows numbered between two others; a range that cannot be read is halved."""
        if high - low < 2 or self._probes <= 0:
            return
        self._probes -= 1
        names = f'SELECT {self._columns} FROM "{self._table}"'  # noqa: S608
        query = f"{names} WHERE rowid > ? AND rowid < ? ORDER BY rowid"
        reached = low
        try:
            for row in self._connection.execute(query, (low, high)):
                reached = int(row[0])
                yield row[1:]
        except UNREADABLE:
            # A single row is left between the two, and it is the damaged one.
            if high - reached == 2:
                return
            middle = (reached + high) // 2
            yield from self._between(reached, middle + 1)
            yield from self._between(middle, high)

    def _reach(self, first: int) -> int:
        """Return how far numbers may continue after *first* if the end of the table cannot be read, from its indexes."""
        queries = [f"SELECT seq FROM sqlite_sequence WHERE name = '{self._table}'"]  # noqa: S608
        with suppress(*UNREADABLE):
            indexes = [row[1] for row in self._connection.execute(f'PRAGMA index_list("{self._table}")')]
            queries += [f'SELECT max(rowid) FROM "{self._table}" INDEXED BY "{name}"' for name in indexes]  # noqa: S608
        highest = max(_numbers_of((self._connection, query) for query in queries), default=0)
        if highest <= first:
            return _BEYOND
        return highest - first + 1

    def _of_each_dataset(self, low: Any, high: Any) -> Iterator[Row]:
        """Yield what can be read of each dataset between the two ends, from both ends of its rows."""
        for number, _name in _named(self._connection):
            if (low and number < low[0]) or (high and number > high[0]):
                continue
            end: Any = yield from self._walk(number, None)
            if end is not True:
                yield from self._walk(number, end or None, backwards=True)


def _named(connection: sqlite3.Connection) -> list[tuple[int, str]]:
    """Return the numbers and names of datasets, from the table and from the index of their names."""
    names: dict[int, str] = {}
    # A name that damage hides in one of the two is often readable in the other.
    for place in ("NOT INDEXED", "INDEXED BY sqlite_autoindex_datasets_1"):
        try:
            for number, name in connection.execute(f"SELECT rowid, name FROM datasets {place}"):  # noqa: S608
                if isinstance(name, str):
                    names[int(number)] = name
        except UNREADABLE:
            continue
    return sorted(names.items())


def _restore_names(old: sqlite3.Connection, new: Connection) -> None:
    """Create the rows of datasets that are left only in the index of names; what they hold is counted later."""
    table = schema.datasets
    known = set(new.execute(select(table.c.id)).scalars())
    for number, name in _named(old):
        if number in known:
            continue
        try:
            dataset = Dataset.parse(name)
        except TicklakeError:
            continue
        values = {
            "id": number,
            "name": name,
            "exchange": dataset.exchange,
            "kind": dataset.kind_text,
            "symbol": str(dataset.symbol),
            "timeframe": dataset.timeframe_text,
            # Recovery finds it from the rows themselves.
            "keying": "",
            "updated_at": 0,
        }
        new.execute(table.insert().prefix_with("OR IGNORE"), values)


def _remove_orphans(new: Connection) -> dict[str, int]:
    """Remove rows whose dataset or run is lost; return how many of each table."""
    removed: dict[str, int] = {}
    for table in schema.metadata.sorted_tables:
        for key in table.foreign_keys:
            is_orphan = key.parent.not_in(select(key.column))
            count = new.execute(table.delete().where(is_orphan)).rowcount
            removed[table.name] = removed.get(table.name, 0) + count
    return removed


def _continue_numbers(old: sqlite3.Connection, new: Connection, *, is_whole: bool) -> None:
    """Continue numbers that are never used twice after the highest one, so that writers hold older numbers only."""
    for table in schema.metadata.sorted_tables:
        if not table.dialect_options["sqlite"]["autoincrement"]:
            continue
        name = table.name
        queries: list[tuple[Any, str]] = [(old, f"SELECT seq FROM sqlite_sequence WHERE name = '{name}'")]  # noqa: S608
        queries.append((new, f"SELECT max(id) FROM {name}"))  # noqa: S608
        if name == schema.commits.name:
            queries.append((new, "SELECT max(max(added_in), max(coalesce(removed_in, 0))) FROM segments"))
            queries.append((new, "SELECT max(changed_in) FROM datasets"))
        highest = max(_numbers_of(queries), default=0)
        if highest or not is_whole:
            new.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
            value = highest
            if not is_whole:
                value += _BEYOND
            new.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, value))


def _numbers_of(queries: Iterable[tuple[Any, str]]) -> Iterator[int]:
    for connection, query in queries:
        try:
            if isinstance(connection, sqlite3.Connection):
                row = connection.execute(query).fetchone()
            else:
                row = connection.exec_driver_sql(query).fetchone()
        except UNREADABLE:
            continue
        if row and isinstance(row[0], int):
            yield row[0]
