"""Salvage: everything that can still be read of a damaged catalog, table by table, row by row where a page is damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
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
"""How many statements are spent on one table's damaged pages."""
_CHECK = "row_check"
_BEYOND = 1_000
"""By so much numbers go on when the highest one used may be lost: a writer may still hold it."""
Row = tuple[Any, ...]
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class TableRead:
    """How much of a table was carried over: its rows, whether none is missing, and how many were no possible rows."""

    name: str
    rows: int
    is_whole: bool
    refused: int = 0


def damage_of(path: Path) -> str | None:
    """Say what is wrong with the catalog's file, or return ``None`` if it is a sound database with our tables."""
    if not path.is_file() or not path.stat().st_size:
        return "it is not there"
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
            if found == "ok":
                return None
            return str(found).replace("\n", " ")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return None
        return str(error)
    except UNREADABLE as error:
        return str(error)


def refuse_newer(old: sqlite3.Connection, path: Path) -> None:
    """Refuse a catalog of a newer schema: what this Ticklake does not know of would be lost.

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
    """Copy every row that can be read of *old* into the empty catalog behind *new*; tell of each table how that went."""
    old.execute("PRAGMA writable_schema = ON")  # one damaged entry of the schema does not hide the others
    old.text_factory = _text
    new.exec_driver_sql("PRAGMA defer_foreign_keys = ON")  # rows whose parents are lost go before the commit
    done = [_copy(old, new, table) for table in schema.metadata.sorted_tables]
    _restore_names(old, new)
    orphans = _remove_orphans(new)
    done = [TableRead(t.name, t.rows - orphans.get(t.name, 0), t.is_whole, t.refused) for t in done]
    _go_on_counting(old, new, is_whole=all(table.is_whole for table in done))
    return done


def _copy(old: sqlite3.Connection, new: Connection, table: Table) -> TableRead:
    names = _shared_columns(old, table)
    if not names:
        return TableRead(table.name, 0, is_whole=False)
    reader = _Reader(old, table, names)
    fill = {column.name: _empty(column.type) for column in table.columns if not column.nullable}
    missing = [name for name in fill if name not in names]
    columns = ", ".join(f'"{name}"' for name in (*names, *missing))
    marks = ", ".join("?" * (len(names) + len(missing)))
    insert = f'INSERT OR {_on_repeat(table)} INTO "{table.name}" ({columns}) VALUES ({marks})'  # noqa: S608
    extra = tuple(fill[name] for name in missing)
    rows, refused, possible = 0, 0, _Possible(table, names)
    left = iter(reader.rows())
    while part := list(islice(left, _AT_ONCE)):
        good = [row + extra for row in part if possible(row)]
        refused += len(part) - len(good)
        good = [row for row in good if table is not schema.meta or row[0] != "schema"]
        if good:
            rows += new.exec_driver_sql(insert, good).rowcount
    return TableRead(table.name, rows, reader.is_whole and not refused, refused)


def _on_repeat(table: Table) -> str:
    """The lake keeps its identity, and everything else the rows that came first."""
    return "REPLACE" if table is schema.meta else "IGNORE"


def _shared_columns(old: sqlite3.Connection, table: Table) -> list[str]:
    """Return the columns of *table* that the old catalog has, too: an older schema lacks some."""
    try:
        there = {row[1] for row in old.execute(f'PRAGMA table_info("{table.name}")')}
    except UNREADABLE:
        return []
    return [column.name for column in table.columns if column.name in there]


def _text(data: bytes) -> str | bytes:
    """Leave bytes that are no text as they are: such a row is damaged, the others are not."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _empty(kind: Any) -> Any:
    if isinstance(kind, LargeBinary):
        return b""
    return 0 if isinstance(kind, Integer | Boolean | Float) else ""


class _Possible:
    """Whether a row can be one of its table: what damage left of others cannot."""

    def __init__(self, table: Table, names: Sequence[str]) -> None:
        columns = [table.columns[name] for name in names]
        self._types = [(_type_of(column.type), bool(column.nullable)) for column in columns]
        self._check = names.index(_CHECK) if _CHECK in names else None
        """Where the checksum stands; an older schema has none."""
        self._checked: list[int] = []
        if self._check is not None:
            self._checked = [names.index(column.name) for column in checked_columns(table)]

    def __call__(self, row: Row) -> bool:
        for value, (kind, may_be_null) in zip(row, self._types, strict=True):
            fits = may_be_null if value is None else isinstance(value, kind)
            if not fits:
                return False
        if self._check is None:
            return True
        return bool(row[self._check] == row_check(*(row[place] for place in self._checked)))


def _type_of(kind: Any) -> type | tuple[type, ...]:
    if isinstance(kind, LargeBinary):
        return bytes
    if isinstance(kind, Integer | Boolean):
        return int
    return (int, float) if isinstance(kind, Float) else str


class _Reader:
    """Reads a table around its damaged pages: from both ends, then between them as far as its keys allow."""

    def __init__(self, connection: sqlite3.Connection, table: Table, names: Sequence[str]) -> None:
        self._connection = connection
        self._table = table.name
        self._has_rowid = bool(table.dialect_options["sqlite"]["with_rowid"])
        self._key = ["rowid"] if self._has_rowid else [f'"{c.name}"' for c in table.primary_key.columns]
        self._by_dataset = not self._has_rowid and self._key[0] == '"dataset_id"'
        self._columns = ", ".join([*self._key, *(f'"{name}"' for name in names)])
        self._probes = _PROBES
        self.is_whole = True

    def rows(self) -> Iterator[Row]:
        """Yield the rows that can be read, each once; afterwards ``is_whole`` says whether that is all of them."""
        low: Any = yield from self._walk(None, None)
        if low is True:
            return
        self.is_whole = False
        high: Any = yield from self._walk(None, low or None, backwards=True)
        if self._has_rowid:
            first = low[0] if low else 0
            last = high[0] if high and high is not True else first + self._reach(first)
            yield from self._between(first, last)
        elif self._by_dataset and high is not True:
            yield from self._of_each_dataset(low, high)

    def _walk(
        self, prefix: int | None, after: Key | None, *, backwards: bool = False
    ) -> Generator[Row, None, Key | bool]:
        """Yield rows in order until the end or damage; return true at the end, else the last key (or an empty one)."""
        last: Key = ()
        order, sign = ("DESC", "<") if backwards else ("ASC", ">")
        stop = after if backwards else None
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
        parts: list[str] = []
        values: list[Any] = []
        if prefix is not None:
            parts.append(f"{self._key[0]} = ?")
            values.append(prefix)
        if last:
            parts.append(f"{key} {sign} {marks}")
            values += last
        if stop:
            parts.append(f"{key} > {marks}")
            values += stop
        if not parts:
            return "", values
        return f"WHERE {' AND '.join(parts)}", values

    def _between(self, low: int, high: int) -> Iterator[Row]:
        """Yield the rows numbered between two others; halves that cannot be read are halved again."""
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
            if high - reached == 2:
                return
            middle = (reached + high) // 2
            yield from self._between(reached, middle + 1)
            yield from self._between(middle, high)

    def _reach(self, first: int) -> int:
        """Return how far numbers may go on after *first* where the end of the table cannot be read: indexes know."""
        queries = [f"SELECT seq FROM sqlite_sequence WHERE name = '{self._table}'"]  # noqa: S608
        with suppress(*UNREADABLE):
            indexes = [row[1] for row in self._connection.execute(f'PRAGMA index_list("{self._table}")')]
            queries += [f'SELECT max(rowid) FROM "{self._table}" INDEXED BY "{name}"' for name in indexes]  # noqa: S608
        highest = max(_numbers_of((self._connection, query) for query in queries), default=0)
        if highest <= first:
            return _BEYOND
        return highest - first + 1

    def _of_each_dataset(self, low: Any, high: Any) -> Iterator[Row]:
        """Yield what can be read of each dataset that lies between the two ends, from its own both ends."""
        for number in _numbers(self._connection):
            if (low and number < low[0]) or (high and number > high[0]):
                continue
            end: Any = yield from self._walk(number, None)
            if end is not True:
                yield from self._walk(number, end or None, backwards=True)


def _numbers(connection: sqlite3.Connection) -> list[int]:
    """Return the numbers of datasets, from the table or else from the index of their names."""
    return [number for number, _name in _named(connection)]


def _named(connection: sqlite3.Connection) -> list[tuple[int, str]]:
    found: dict[int, str] = {}
    for place in ("NOT INDEXED", "INDEXED BY sqlite_autoindex_datasets_1"):
        try:
            for number, name in connection.execute(f"SELECT rowid, name FROM datasets {place}"):  # noqa: S608
                if isinstance(name, str):
                    found[int(number)] = name
        except UNREADABLE:
            continue
    return sorted(found.items())


def _restore_names(old: sqlite3.Connection, new: Connection) -> None:
    """Make the rows of datasets that only the index of names still tells of; what they hold is counted later."""
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
            "kind": dataset.kind,
            "symbol": str(dataset.symbol),
            "timeframe": str(dataset.timeframe) if dataset.timeframe else None,
            "keying": "",
            "updated_at": 0,
        }
        new.execute(table.insert().prefix_with("OR IGNORE"), values)


def _remove_orphans(new: Connection) -> dict[str, int]:
    """Remove rows whose dataset or run is lost; return how many of each table."""
    removed: dict[str, int] = {}
    for table in schema.metadata.sorted_tables:
        for key in table.foreign_keys:
            known = select(key.column)
            gone = new.execute(table.delete().where(key.parent.not_in(known)))
            removed[table.name] = removed.get(table.name, 0) + gone.rowcount
    return removed


def _go_on_counting(old: sqlite3.Connection, new: Connection, *, is_whole: bool) -> None:
    """Let numbers that are never used twice go on after the highest one, so that what writers hold of them is older."""
    counted = [
        table.name for table in schema.metadata.sorted_tables if table.dialect_options["sqlite"]["autoincrement"]
    ]
    for name in counted:
        queries: list[tuple[Any, str]] = [(old, f"SELECT seq FROM sqlite_sequence WHERE name = '{name}'")]  # noqa: S608
        queries.append((new, f"SELECT max(id) FROM {name}"))  # noqa: S608
        if name == schema.commits.name:
            queries.append((new, "SELECT max(max(added_in), max(coalesce(removed_in, 0))) FROM segments"))
            queries.append((new, "SELECT max(changed_in) FROM datasets"))
        highest = max(_numbers_of(queries), default=0)
        if highest or not is_whole:
            new.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
            value = highest if is_whole else highest + _BEYOND
            new.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, value))


def _numbers_of(queries: Iterable[tuple[Any, str]]) -> Iterator[int]:
    for connection, query in queries:
        try:
            execute = connection.execute if isinstance(connection, sqlite3.Connection) else connection.exec_driver_sql
            row = execute(query).fetchone()
        except UNREADABLE:
            continue
        if row and isinstance(row[0], int):
            yield row[0]
