"""Batches: the record of how the rows of each append joined the rows before them."""

from __future__ import annotations

from typing import Any

import polars as pl
from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, func, select

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact, rows_of
from ticklake.catalog.coverage_log import refuse_forgotten
from ticklake.catalog.database import Database
from ticklake.catalog.dataset_names import name_at
from ticklake.catalog.parameters import attributes, bind_new, new_values
from ticklake.core.append_log import Joins
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.span import Span

__all__ = ["Batches"]

_COUNTS = ("batches", "received", "new", "changed", "duplicate")
_COLUMNS = {
    "version": pl.Int64,
    **dict.fromkeys(("start", "end"), pl.Int64),
    "joins": pl.String,
    "missing": pl.Int64,
    "before_ts": pl.Int64,
    **dict.fromkeys(("before_id", "first_id", "last_id"), pl.String),
    **dict.fromkeys(_COUNTS, pl.Int64),
}
_MERGED = (*_COUNTS, "start", "end", "last_id")
_REMARKABLE = frozenset({Joins.FIRST, Joins.JUMPS, Joins.EARLIER})
"""Batches that are kept for ever. All others say only that rows followed those before, and can be added up."""


class Batches:
    """The batches of all datasets, in the order in which they were committed; up to *version*, if one is given."""

    def __init__(self, database: Database, version: int | None = None) -> None:
        self._database = database
        self._version = version

    def of(self, dataset: Dataset) -> pl.DataFrame:
        """Return a row for each batch of *dataset*, or for several that vacuum added up."""
        table = schema.batches
        others = [table.c[name] for name in _COLUMNS if name != "version"]
        query = select(intact(table.c.commit_id), *others).join(schema.datasets).order_by(table.c.commit_id)
        with self._database.read() as connection:
            rows = list(map(tuple, connection.execute(query.where(self._is_of(connection, dataset)))))
        frame = pl.DataFrame(rows, schema=_COLUMNS, orient="row")
        return frame.with_columns(pl.col("start", "end", "before_ts").cast(TIME))

    def offered_again(self, dataset: Dataset, span: Span) -> int:
        """Count the rows that were received again unchanged, in batches that overlap *span*."""
        table = schema.batches
        meets = and_(table.c.start < span.end, table.c.end >= span.start)
        query = select(func.coalesce(func.sum(intact(table.c.duplicate).element), 0)).join(schema.datasets)
        with self._database.read() as connection:
            count = connection.execute(query.where(self._is_of(connection, dataset), meets)).scalar_one()
        return int(count)

    def _is_of(self, connection: Connection, dataset: Dataset) -> ColumnElement[bool]:
        """Return the condition for the batches that *dataset* had in the version."""
        is_named = schema.datasets.c.name == name_at(connection, dataset, self._version)
        if self._version is None:
            return is_named
        # Vacuum adds up batches: for an older version the sums would include later batches.
        refuse_forgotten(connection, self._version)
        return and_(is_named, schema.batches.c.commit_id <= self._version)

    def fold(self, version: int) -> int:
        """Merge the batches up to *version* that continue the one before; return by how many rows the table shrinks."""
        table = schema.batches
        query = rows_of(table).where(table.c.commit_id <= version).order_by(table.c.dataset_id, table.c.commit_id)
        heads: list[dict[str, Any]] = []
        gone: list[dict[str, Any]] = []
        with self._database.write() as connection:
            for row in connection.execute(query):
                is_first = not heads or heads[-1]["_dataset"] != row.dataset_id
                if is_first or row.joins in _REMARKABLE:
                    heads.append(_head(row))
                    continue
                gone.append({"_dataset": row.dataset_id, "_commit": row.commit_id})
                _add(heads[-1], row)
            if gone:
                is_named = and_(table.c.dataset_id == bindparam("_dataset"), table.c.commit_id == bindparam("_commit"))
                connection.execute(table.update().where(is_named).values(bind_new(_MERGED)), heads)
                connection.execute(table.delete().where(is_named), gone)
        return len(gone)


def _head(row: Row[Any]) -> dict[str, Any]:
    """Return the parameters that update the first of several merged batches."""
    return {"_dataset": row.dataset_id, "_commit": row.commit_id, **new_values(attributes(row, _MERGED))}


def _add(head: dict[str, Any], row: Row[Any]) -> None:
    """Merge a batch into the one before it."""
    for name in _COUNTS:
        head[f"new_{name}"] += getattr(row, name)
    # A batch may hold older rows: the id is that of the newest row, not of the newest batch.
    if row.end >= head["new_end"]:
        head["new_last_id"] = row.last_id
    head["new_start"] = min(head["new_start"], row.start)
    head["new_end"] = max(head["new_end"], row.end)
