"""Trimming of the history of rows that are no longer kept."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Table, and_, func, or_, select

from ticklake.catalog import schema
from ticklake.catalog.database import Database
from ticklake.core.dataset import Dataset
from ticklake.core.results import History

__all__ = ["history_before", "trim_history"]

_TABLES = (schema.quarantine, schema.revisions)


def history_before(database: Database, dataset: Dataset, before: int) -> History:
    """Count the refused and changed rows whose time is before *before*; rows without a time count by when they came."""
    counts: list[int] = []
    with database.read() as connection:
        for table in _TABLES:
            query = select(func.count()).select_from(table).where(_old(table, dataset, before))
            counts.append(connection.execute(query).scalar_one())
    return History(*counts)


def trim_history(database: Database, dataset: Dataset, before: int) -> History:
    """Remove the rows that :func:`history_before` counts, and return how many were removed."""
    counts: list[int] = []
    with database.write() as connection:
        for table in _TABLES:
            removed = connection.execute(table.delete().where(_old(table, dataset, before)))
            counts.append(removed.rowcount)
    return History(*counts)


def _old(table: Table, dataset: Dataset, before: int) -> ColumnElement[bool]:
    number = select(schema.datasets.c.id).where(schema.datasets.c.name == str(dataset)).scalar_subquery()
    undated = and_(table.c.ts.is_(None), table.c.created_at < before)
    return and_(table.c.dataset_id == number, or_(table.c.ts < before, undated))
