"""The names of datasets in the catalog, in the newest version and in older ones.

A dropped dataset keeps its row, so that older versions can be read until vacuum. Its name gets a suffix that no dataset can
have; a later dataset of the same name gets a row of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Column, Connection, select, update

from ticklake.catalog import schema
from ticklake.catalog.database import Database
from ticklake.core.dataset import Dataset
from ticklake.core.symbol import Symbol
from ticklake.core.timeframe import Timeframe

__all__ = [
    "IS_HERE",
    "Respelled",
    "drop_name",
    "dropped_in",
    "move_notes",
    "name_at",
    "plain_name",
    "respell_timeframes",
]

_MARK = "\x1f"
"""A control character: symbols have none."""
IS_HERE = schema.datasets.c.name.not_like(f"%{_MARK}%")
"""True of the datasets that were not dropped."""


def drop_name(connection: Connection, dataset_id: int, name: str, version: int) -> None:
    """Drop a dataset with commit *version*, and the notes on its name."""
    table = schema.datasets
    # With leading zeros the names sort by the version that dropped them.
    dropped = {"name": f"{name}{_MARK}{version:020d}", "changed_in": version}
    connection.execute(update(table).where(table.c.id == dataset_id).values(dropped))
    for notes in (schema.wanted, schema.unclosable):
        connection.execute(notes.delete().where(notes.c.dataset == name))


def move_notes(connection: Connection, column: Column[Any], old: str, new: str) -> None:
    """Rename a dataset in a table of notes that names datasets in *column*."""
    table = column.table
    # Notes on a dataset of the new name may be left from before: it had no rows, or was dropped.
    connection.execute(table.delete().where(column == new))
    connection.execute(update(table).where(column == old).values({column.name: new}))


def name_at(connection: Connection, dataset: Dataset, version: int | None) -> str:
    """Return the name under which the rows that *dataset* had in *version* are kept."""
    name = str(dataset)
    if version is None:
        return name
    column = schema.datasets.c.name
    later = select(column).where(column > f"{name}{_MARK}{version:020d}", column <= f"{name}{_MARK}{'9' * 20}")
    dropped_name = connection.execute(later.order_by(column).limit(1)).scalar()
    return dropped_name or name


def plain_name(name: str) -> str:
    """Return the name that a dataset had before it was dropped."""
    return name.partition(_MARK)[0]


def dropped_in(name: str) -> int | None:
    """Return the version that dropped the dataset of this name, if one did."""
    version = name.partition(_MARK)[2]
    if not version:
        return None
    return int(version)


@dataclass(frozen=True, slots=True)
class Respelled:
    """A dataset whose timeframe is spelled differently now; *is_apart* if another dataset had the new name already."""

    before: str
    dataset: Dataset
    is_apart: bool


def respell_timeframes(database: Database) -> list[Respelled]:
    """Rename the datasets of older catalogs whose timeframe is spelled differently now: ``60m`` was not ``1h``.

    If a lake has both, the one with the old spelling is kept apart, under a symbol that shows the spelling.
    """
    with database.read() as connection:
        odd = list(_oddly_spelled(connection))
    if not odd:
        return []
    with database.write() as connection:
        return [_respell(connection, number, name) for number, name in _oddly_spelled(connection)]


def _oddly_spelled(connection: Connection) -> Iterator[tuple[int, str]]:
    table = schema.datasets.c
    # As text: each opening has an engine of its own, which would compile the statement anew.
    used = connection.exec_driver_sql("SELECT DISTINCT timeframe FROM datasets WHERE timeframe IS NOT NULL").scalars()
    odd = [text for text in used if text is not None and str(Timeframe.parse(text)) != text]
    if odd:
        rows = connection.execute(select(table.id, table.name).where(table.timeframe.in_(odd), IS_HERE))
        yield from ((row.id, row.name) for row in rows.all())


def _respell(connection: Connection, number: int, name: str) -> Respelled:
    table, dataset = schema.datasets, Dataset.parse(name)
    is_apart = connection.execute(select(table.c.id).where(table.c.name == str(dataset))).first() is not None
    if is_apart:
        spelled = name.split(":")[2]
        symbol = Symbol(f"{dataset.symbol} ({spelled})")
        dataset = replace(dataset, symbol=symbol)
    values = {"name": str(dataset), "symbol": str(dataset.symbol), "timeframe": str(dataset.timeframe)}
    connection.execute(update(table).where(table.c.id == number).values(values))
    if not is_apart:
        for notes in (schema.wanted, schema.unclosable):
            move_notes(connection, notes.c.dataset, name, str(dataset))
    return Respelled(name, dataset, is_apart)
