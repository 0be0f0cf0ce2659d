"""Trimming: history of rows that are no longer kept."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Table, and_, func, or_, select

from ticklake.catalog import schema
from ticklake.catalog.database import Database
from ticklake.core.dataset import Dataset
from ticklake.core.results import History

__all__ = ["history_before", "trim_history"]


def history_before(database: Database, dataset: Dataset, before: int) -> History:
    """Count the refused and changed rows of the time before *before*; where that is not known, it is when they came."""
    with database.read() as connection:
        counts: list[int] = []
        for table in (schema.quarantine, schema.revisions):
            query = select(func.count()).select_from(table).where(_old(table, dataset, before))
            counts.append(connection.execute(query).scalar_one())
    return History(*counts)


def trim_history(database: Database, dataset: Dataset, before: int) -> History:
    """Remove them, and return how many went."""
    with database.write() as connection:
        gone: list[Any] = [
            connection.execute(table.delete().where(_old(table, dataset, before)))
            for table in (schema.quarantine, schema.revisions)
        ]
    return History(*(result.rowcount for result in gone))


def _old(table: Table, dataset: Dataset, before: int) -> ColumnElement[bool]:
    number = select(schema.datasets.c.id).where(schema.datasets.c.name == str(dataset)).scalar_subquery()
    undated = and_(table.c.ts.is_(None), table.c.created_at < before)
    return and_(table.c.dataset_id == number, or_(table.c.ts < before, undated))
