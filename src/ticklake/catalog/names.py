"""Under which name the catalog keeps a dataset, in the newest version and in older ones.

A dropped dataset keeps its row, so that older versions can be read until vacuum. Its name gets an ending that no dataset can
have; data that comes under the same name later is another dataset with a row of its own.
"""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from ticklake.catalog import schema
from ticklake.core.dataset import Dataset

__all__ = ["IS_HERE", "drop_name", "dropped_in", "name_at", "plain_name"]

_MARK = "\x1f"
"""A control character: symbols have none."""
IS_HERE = schema.datasets.c.name.not_like(f"%{_MARK}%")
"""True of the datasets that were not dropped."""


def drop_name(connection: Connection, dataset_id: int, name: str, version: int) -> None:
    """Let a dataset leave with commit *version*, and what is noted of its name with it."""
    table = schema.datasets
    gone = {"name": f"{name}{_MARK}{version:020d}", "changed_in": version}
    connection.execute(update(table).where(table.c.id == dataset_id).values(gone))
    for notes in (schema.wanted, schema.unclosable):
        connection.execute(notes.delete().where(notes.c.dataset == name))


def name_at(connection: Connection, dataset: Dataset, version: int | None) -> str:
    """Return the name under which the rows that *dataset* had in *version* are kept."""
    name = str(dataset)
    if version is None:
        return name
    column = schema.datasets.c.name
    later = select(column).where(column > f"{name}{_MARK}{version:020d}", column <= f"{name}{_MARK}{'9' * 20}")
    found = connection.execute(later.order_by(column).limit(1)).scalar()
    return found or name


def plain_name(name: str) -> str:
    """Return the name that a dataset had before it was dropped."""
    return name.partition(_MARK)[0]


def dropped_in(name: str) -> int | None:
    """Return the version that dropped the dataset of this name, if one did."""
    version = name.partition(_MARK)[2]
    return int(version) if version else None
