"""Inserts for rows whose key may exist already. Their SQL differs between databases, so it is kept in this module."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table
from sqlalchemy.dialects.sqlite import Insert, insert

__all__ = ["insert_new", "insert_or_replace", "insert_or_update"]


def insert_new(table: Table) -> Insert:
    """Return an insert that skips rows whose key exists."""
    return insert(table).on_conflict_do_nothing()


def insert_or_replace(table: Table) -> Insert:
    """Return an insert that deletes a row with the same key first."""
    # An update would keep the checksum of a damaged row wrong (see catalog/checksums.py). A row written whole is sound again.
    return insert(table).prefix_with("OR REPLACE")


def insert_or_update(
    table: Table, key: Sequence[str], columns: Iterable[str], where: ColumnElement[bool] | None = None, **values: Any
) -> Insert:
    """Return an insert that overwrites *columns* of the row with the same *key*; with *where*, only if that row meets it."""
    statement = insert(table)
    if values:
        statement = statement.values(values)
    new = {name: statement.excluded[name] for name in columns}
    return statement.on_conflict_do_update(index_elements=key, set_=new, where=where)
