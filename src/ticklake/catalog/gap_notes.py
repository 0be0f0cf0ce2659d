"""Notes on gaps: which spans were ever asked for, and which gaps were asked for again in vain."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection, select

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact, rows_of
from ticklake.catalog.database import Database
from ticklake.catalog.upsert import insert_or_replace
from ticklake.core.dataset import Dataset
from ticklake.core.gaps import Gap
from ticklake.core.span import Span

__all__ = ["GapNotes"]


class GapNotes:
    """What repairs record between two runs. Notes do not change the lake's version."""

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self._database = database
        self._now = now

    def wanted(self, dataset: Dataset) -> Span | None:
        """Return the span that was asked for so far, from the earliest start to the latest end."""
        with self._database.read() as connection:
            return _wanted(connection, dataset)

    def collected(self) -> frozenset[str]:
        """Return the names of the datasets that were ever fetched from a source; others were only imported or saved."""
        with self._database.read() as connection:
            return frozenset(connection.execute(select(intact(schema.wanted.c.dataset))).scalars())

    def want(self, dataset: Dataset, span: Span) -> None:
        """Record that *span* was asked for."""
        known = self.wanted(dataset)
        if known is not None and known.start <= span.start and span.end <= known.end:
            return
        with self._database.write() as connection:
            # Read again under the write lock: another process may have recorded a span meanwhile.
            before = _wanted(connection, dataset)
            if before is not None:
                span = span.hull(before)
            values = {"dataset": str(dataset), "start": span.start, "end": span.end}
            connection.execute(insert_or_replace(schema.wanted), values)

    def in_vain(self, dataset: Dataset) -> dict[tuple[Span, str], str]:
        """Return why gaps are still missing that were asked for again, by their span and reason."""
        table = schema.unclosable
        with self._database.read() as connection:
            rows = connection.execute(rows_of(table).where(table.c.dataset == str(dataset))).all()
        return {(Span(row.start, row.end), row.reason): row.detail for row in rows}

    def note(self, dataset: Dataset, gaps: Iterable[Gap]) -> None:
        """Record these gaps as asked for again in vain, in place of all recorded before."""
        details = {(gap.span, str(gap.reason)): gap.detail for gap in gaps}
        if details == self.in_vain(dataset):
            return
        table = schema.unclosable
        values: list[dict[str, Any]] = []
        now = self._now()
        for (span, reason), detail in details.items():
            key = {"dataset": str(dataset), "start": span.start, "end": span.end, "reason": reason}
            values.append({**key, "detail": detail, "asked_at": now})
        with self._database.write() as connection:
            connection.execute(table.delete().where(table.c.dataset == str(dataset)))
            if values:
                connection.execute(table.insert(), values)


def _wanted(connection: Connection, dataset: Dataset) -> Span | None:
    table = schema.wanted
    row = connection.execute(rows_of(table).where(table.c.dataset == str(dataset))).first()
    if row is None:
        return None
    return Span(row.start, row.end)
