"""Inserts that say what becomes of a row whose key is there already: their words differ between databases, and stand here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table
from sqlalchemy.dialects.sqlite import Insert, insert

__all__ = ["insert_new", "insert_or_update"]


def insert_new(table: Table) -> Insert:
    """Return the insert that passes over rows that are there already."""
    return insert(table).on_conflict_do_nothing()


def insert_or_update(
    table: Table, key: Sequence[str], columns: Iterable[str], where: ColumnElement[bool] | None = None, **values: Any
) -> Insert:
    """Return the insert that overwrites *columns* of the row with the same *key*; with *where*, only if that is true of it."""
    statement = insert(table)
    if values:
        statement = statement.values(values)
    new = {name: statement.excluded[name] for name in columns}
    return statement.on_conflict_do_update(index_elements=key, set_=new, where=where)
