"""Notes on gaps: what was ever asked for, and what was asked again in vain."""

from __future__ import annotations

from collections.abc import Callable, Iterable

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
    """What a repair has to remember between two runs. None of it changes the lake's version."""

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self._database = database
        self._now = now

    def wanted(self, dataset: Dataset) -> Span | None:
        """Return what was asked for so far, from the earliest start to the latest end."""
        with self._database.read() as connection:
            return _wanted(connection, dataset)

    def collected(self) -> frozenset[str]:
        """Return the names of the datasets that a source was ever asked for; others were only imported or saved."""
        with self._database.read() as connection:
            return frozenset(connection.execute(select(intact(schema.wanted.c.dataset))).scalars())

    def want(self, dataset: Dataset, span: Span) -> None:
        """Remember that *span* was asked for."""
        known = self.wanted(dataset)
        if known is not None and known.start <= span.start and span.end <= known.end:
            return
        with self._database.write() as connection:
            before = _wanted(connection, dataset)
            wide = span.hull(before) if before else span
            values = {"dataset": str(dataset), "start": wide.start, "end": wide.end}
            connection.execute(insert_or_replace(schema.wanted), values)

    def in_vain(self, dataset: Dataset) -> dict[tuple[Span, str], str]:
        """Return the spans, each with its word, that were asked for again and are still missing, and why."""
        table = schema.unclosable
        with self._database.read() as connection:
            rows = connection.execute(rows_of(table).where(table.c.dataset == str(dataset))).all()
        return {(Span(row.start, row.end), row.reason): row.detail for row in rows}

    def note(self, dataset: Dataset, gaps: Iterable[Gap]) -> None:
        """Remember these gaps as asked for again in vain, and no others."""
        details = {(gap.span, str(gap.reason)): gap.detail for gap in gaps}
        if details == self.in_vain(dataset):
            return
        table, stamp = schema.unclosable, {"dataset": str(dataset), "asked_at": self._now()}
        values = [
            {**stamp, "start": span.start, "end": span.end, "reason": word, "detail": detail}
            for (span, word), detail in details.items()
        ]
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
