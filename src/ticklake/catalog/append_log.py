"""Batches: how each append joined the rows before it."""

from __future__ import annotations

from typing import Any

import polars as pl
from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, func, select

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact, rows_of
from ticklake.catalog.coverage_log import refuse_forgotten
from ticklake.catalog.database import Database
from ticklake.catalog.dataset_names import name_at
from ticklake.core.append_log import Joins
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.span import Span

__all__ = ["Batches"]

_COUNTS = ("batches", "received", "new", "changed", "duplicate")
_TOLD = {
    "version": pl.Int64,
    **dict.fromkeys(("start", "end"), pl.Int64),
    "joins": pl.String,
    "missing": pl.Int64,
    "before_ts": pl.Int64,
    **dict.fromkeys(("before_id", "first_id", "last_id"), pl.String),
    **dict.fromkeys(_COUNTS, pl.Int64),
}
_REMARKABLE = frozenset({Joins.FIRST, Joins.JUMPS, Joins.EARLIER})
"""What is kept for ever: the others only say that nothing happened."""


class Batches:
    """The batches of all datasets, in the order in which they were committed; up to *version*, if one is given."""

    def __init__(self, database: Database, version: int | None = None) -> None:
        self._database = database
        self._version = version

    def of(self, dataset: Dataset) -> pl.DataFrame:
        """Return a row for each batch of *dataset*, or for several that vacuum added up."""
        table = schema.batches
        columns = [intact(table.c.commit_id), *(table.c[name] for name in list(_TOLD)[1:])]
        query = select(*columns).join(schema.datasets).order_by(table.c.commit_id)
        with self._database.read() as connection:
            rows = [tuple(row) for row in connection.execute(query.where(self._is_of(connection, dataset)))]
        frame = pl.DataFrame(rows, schema=_TOLD, orient="row")
        return frame.with_columns(pl.col("start", "end", "before_ts").cast(TIME))

    def offered_again(self, dataset: Dataset, span: Span) -> int:
        """Count the rows that came again and said nothing new, in batches that meet *span*."""
        table = schema.batches
        meets = and_(table.c.start < span.end, table.c.end >= span.start)
        query = select(func.coalesce(func.sum(intact(table.c.duplicate).element), 0)).join(schema.datasets)
        with self._database.read() as connection:
            found = connection.execute(query.where(self._is_of(connection, dataset), meets)).scalar_one()
        return int(found)

    def _is_of(self, connection: Connection, dataset: Dataset) -> ColumnElement[bool]:
        """Return what is true of the batches that *dataset* had in the version that is asked for."""
        mine = schema.datasets.c.name == name_at(connection, dataset, self._version)
        if self._version is None:
            return mine
        # Vacuum adds up batches: of a version from before it, too much would be told.
        refuse_forgotten(connection, self._version)
        return and_(mine, schema.batches.c.commit_id <= self._version)

    def fold(self, version: int) -> int:
        """Add up the batches up to *version* that went on where the one before ended; return how many rows that saved."""
        table = schema.batches
        query = rows_of(table).where(table.c.commit_id <= version).order_by(table.c.dataset_id, table.c.commit_id)
        heads, gone = list[dict[str, Any]](), list[dict[str, Any]]()
        with self._database.write() as connection:
            for row in connection.execute(query):
                is_first = not heads or heads[-1]["_dataset"] != row.dataset_id
                if is_first or row.joins in _REMARKABLE:
                    heads.append(_head(row))
                    continue
                gone.append({"_dataset": row.dataset_id, "_commit": row.commit_id})
                _add(heads[-1], row)
            if gone:
                mine = and_(table.c.dataset_id == bindparam("_dataset"), table.c.commit_id == bindparam("_commit"))
                values: dict[str, Any] = {name: bindparam(f"_{name}") for name in (*_COUNTS, "start", "end", "last_id")}
                connection.execute(table.update().where(mine).values(values), heads)
                connection.execute(table.delete().where(mine), gone)
        return len(gone)


def _head(row: Row[Any]) -> dict[str, Any]:
    names = (*_COUNTS, "start", "end", "last_id")
    return {"_dataset": row.dataset_id, "_commit": row.commit_id, **{f"_{name}": getattr(row, name) for name in names}}


def _add(head: dict[str, Any], row: Row[Any]) -> None:
    """Let a batch be part of the one before it."""
    for name in _COUNTS:
        head[f"_{name}"] += getattr(row, name)
    if row.end >= head["_end"]:
        head["_last_id"] = row.last_id
    head["_start"], head["_end"] = min(head["_start"], row.start), max(head["_end"], row.end)
