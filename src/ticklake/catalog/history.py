"""What became of rows that were refused or changed, as the catalog keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, exists, or_, select

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact
from ticklake.catalog.database import Database
from ticklake.catalog.dataset_names import name_at
from ticklake.catalog.prepared import Prepared
from ticklake.catalog.versions import refuse_vacuumed
from ticklake.core.dataset import Dataset
from ticklake.core.span import ALL_TIME, Span

__all__ = ["History"]

_REFUSED_AT_ONCE = 1 << 17
_NUMBER = select(schema.datasets.c.id).where(schema.datasets.c.name == bindparam("name"))
_HAS_ROWS = [
    case((exists().where(table.c.dataset_id == _NUMBER.scalar_subquery()), 1), else_=0)
    for table in (schema.revisions, schema.quarantine)
]
_HAS_HISTORY = Prepared(select(*_HAS_ROWS))


class History:
    """The part of the catalog that reads refused and changed rows.

    ``pinned`` is the version that reads see; the newest for ``None``.
    """

    database: Database
    pinned: int | None

    def quarantined(self, dataset: Dataset, span: Span = ALL_TIME, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Return refused rows with ``ts``, ``reason``, ``row`` (JSON), ``created_at``, rows without a time included.

        With a *limit*, only the rows that were refused first.
        """
        names = ("ts", "reason", "row", "created_at")
        return self._history(schema.quarantine, dataset, _refused_in(span), names, limit)

    def refused(self, dataset: Dataset, span: Span, names: Sequence[str]) -> Iterator[Sequence[Sequence[Any]]]:
        """Yield the named columns, ``ts`` first, of the rows that :meth:`quarantined` returns, in batches and in any order.

        Millions of rows may be refused: sorting them, or a mapping for each, would take gigabytes. The transaction stays open
        between batches, so do not use the catalog for anything else meanwhile.
        """
        query = _history_of(schema.quarantine, _refused_in(span), names, self.pinned)
        with self.database.read() as connection:
            refuse_vacuumed(connection, self.pinned)
            mine = query.where(schema.datasets.c.name == name_at(connection, dataset, self.pinned))
            yield from connection.execution_options(yield_per=_REFUSED_AT_ONCE).execute(mine).partitions()

    def revisions(self, dataset: Dataset, span: Span = ALL_TIME, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Return changed rows with ``ts``, ``before``, ``after`` (JSON), ``commit_id``, ``created_at``.

        With a *limit*, only the rows that were changed first.
        """
        columns = schema.revisions.c
        inside = and_(columns.ts >= span.start, columns.ts < span.end)
        names = ("ts", "before", "after", "commit_id", "created_at")
        return self._history(schema.revisions, dataset, inside, names, limit)

    def has_history(self, dataset: Dataset) -> tuple[bool, bool]:
        """Whether there are revisions of a dataset, and whether there are refused rows, in any version."""
        name = str(dataset)
        if self.pinned is not None:
            with self.database.read() as connection:
                name = name_at(connection, dataset, self.pinned)
        has_revisions, has_refused = self.database.fetch(_HAS_HISTORY, {"name": name})[0]
        return bool(has_revisions), bool(has_refused)

    def _history(
        self,
        table: Any,
        dataset: Dataset,
        where: Any,
        names: tuple[str, ...],
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        query = _history_of(table, where, names, self.pinned).order_by(table.c.id).limit(limit)
        with self.database.read() as connection:
            refuse_vacuumed(connection, self.pinned)
            mine = query.where(schema.datasets.c.name == name_at(connection, dataset, self.pinned))
            return [dict(row._mapping) for row in connection.execute(mine)]


def _refused_in(span: Span) -> ColumnElement[bool]:
    columns = schema.quarantine.c
    return or_(columns.ts.is_(None), and_(columns.ts >= span.start, columns.ts < span.end))


def _history_of(table: Any, where: Any, names: Sequence[str], version: int | None) -> Select[Any]:
    """Select columns of the refused or changed rows of all datasets, up to *version*."""
    first, *others = names
    query = (
        select(intact(table.c[first]), *(table.c[name] for name in others))
        .join(schema.datasets, schema.datasets.c.id == table.c.dataset_id)
        .where(where)
    )
    if version is None:
        return query
    return query.where(table.c.commit_id <= version)
