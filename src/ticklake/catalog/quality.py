"""Quality by day as the catalog stores it, and what has changed since it was measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, and_, bindparam, func, or_, select

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact, rows_of
from ticklake.catalog.database import Database
from ticklake.catalog.dataset_names import name_at
from ticklake.catalog.parameters import attributes
from ticklake.catalog.upsert import insert_or_update
from ticklake.core.dataset import Dataset
from ticklake.core.quality import COUNTED, METRICS, DayQuality, Holes
from ticklake.core.span import Span
from ticklake.core.time import DAY

__all__ = ["QualityDays", "StoredDay"]

_MEASURED = ("on_grid", "open_time", *(metric.name for metric in COUNTED))
_DERIVED = tuple(metric.name for metric in METRICS if metric.is_stored and metric not in COUNTED)


@dataclass(frozen=True, slots=True)
class StoredDay:
    """A day's figures, the version they were measured in, and a digest of everything else they were computed from."""

    figures: DayQuality
    version: int
    basis: str


class QualityDays:
    """The figures of days. They can be measured again: deleting them loses nothing.

    With a *version*, rows that were refused later are not counted.
    """

    def __init__(self, database: Database, version: int | None = None) -> None:
        self._database = database
        self._version = version

    def stored(self, dataset: Dataset, span: Span) -> dict[int, StoredDay]:
        """Return the days that begin inside *span*, by their start."""
        table = schema.quality_days
        query = _of(rows_of(table), table, dataset).where(table.c.day >= span.start, table.c.day < span.end)
        with self._database.read() as connection:
            return {row.day: _stored(row) for row in connection.execute(query)}

    def store(self, dataset: Dataset, days: Iterable[StoredDay]) -> None:
        """Write days, in place of what was stored of them."""
        with self._database.write() as connection:
            number = connection.execute(_number(dataset)).scalar()
            rows = [_row(number, day) for day in days]
            # A dataset that was dropped meanwhile has no number.
            if number is None or not rows:
                return
            figures = rows[0].keys() - {"dataset_id", "day"}
            connection.execute(insert_or_update(schema.quality_days, ["dataset_id", "day"], sorted(figures)), rows)

    def confirm(self, dataset: Dataset, days: Iterable[int], version: int) -> None:
        """Record that nothing had changed on *days* up to *version*."""
        table = schema.quality_days
        rows = [{"_day": day, "_version": version} for day in days]
        with self._database.write() as connection:
            number = connection.execute(_number(dataset)).scalar()
            update = table.update().where(table.c.dataset_id == number, table.c.day == bindparam("_day"))
            if number is not None and rows:
                connection.execute(update.values(version=bindparam("_version")), rows)

    def changes(self, dataset: Dataset, span: Span, since: int) -> list[tuple[Span, int]]:
        """Return the spans in which rows were added, removed or refused after version *since*, each with its version.

        Compaction changes no rows and does not count. Only spans that overlap *span* are returned. What vacuum removed is forgotten.
        """
        changes: list[tuple[Span, int]] = []
        with self._database.read() as connection:
            for first, last, *versions in connection.execute(_moved_segments(dataset, span, since)):
                changes.append((Span(first, last + 1), max(map(self._up_to, versions))))
            for ts, version in connection.execute(_refused_rows(dataset, span, since)):
                changes.append((Span(ts, ts + 1), self._up_to(version)))
        return [change for change in changes if change[1] > since]

    def _up_to(self, version: int) -> int:
        """Return a version, or 0 if it came after the one that is read."""
        if self._version is not None and version > self._version:
            return 0
        return version

    def quarantined(self, dataset: Dataset, span: Span) -> dict[int, dict[str, int]]:
        """Return how many rows inside *span* were refused, by day and reason."""
        columns = schema.quarantine.c
        # The remainder of a negative number is negative in SQL: times before 1970 need the second step.
        day = columns.ts - (columns.ts % DAY + DAY) % DAY
        query = _joined(select(day, columns.reason, func.count(intact(columns.id).element)), schema.quarantine)
        query = query.where(columns.ts >= span.start, columns.ts < span.end).group_by(day, columns.reason)
        counts: dict[int, dict[str, int]] = {}
        with self._database.read() as connection:
            for begin, reason, count in connection.execute(query.where(self._is_of(connection, dataset))):
                counts.setdefault(int(begin), {})[reason] = count
        return counts

    def quarantined_elsewhere(self, dataset: Dataset, span: Span) -> dict[str, int]:
        """Return how many rows without a time, or with one outside *span*, were refused, by reason."""
        columns = schema.quarantine.c
        query = _joined(select(columns.reason, func.count(intact(columns.id).element)), schema.quarantine).group_by(
            columns.reason
        )
        outside = or_(columns.ts.is_(None), columns.ts < span.start, columns.ts >= span.end)
        with self._database.read() as connection:
            rows = connection.execute(query.where(outside, self._is_of(connection, dataset))).all()
        return {row[0]: row[1] for row in rows}

    def _is_of(self, connection: Connection, dataset: Dataset) -> ColumnElement[bool]:
        """Return the condition for the rows of *dataset* that were refused up to the version."""
        is_named = schema.datasets.c.name == name_at(connection, dataset, self._version)
        if self._version is None:
            return is_named
        return and_(is_named, schema.quarantine.c.commit_id <= self._version)


def _moved_segments(dataset: Dataset, span: Span, since: int) -> Select[Any]:
    """Select the segments that were added or removed after *since*, but not by a compaction, with these versions."""
    columns = schema.segments.c
    added, removed = schema.commits.alias(), schema.commits.alias()
    added_in = func.coalesce(added.c.id, 0)
    removed_in = func.coalesce(removed.c.id, 0)
    return (
        _of(select(intact(columns.min_ts), columns.max_ts, added_in, removed_in), schema.segments, dataset)
        .outerjoin(added, and_(added.c.id == columns.added_in, added.c.operation != "compact"))
        .outerjoin(removed, and_(removed.c.id == columns.removed_in, removed.c.operation != "compact"))
        .where(columns.min_ts < span.end, columns.max_ts >= span.start, or_(added_in > since, removed_in > since))
    )


def _refused_rows(dataset: Dataset, span: Span, since: int) -> Select[Any]:
    columns = schema.quarantine.c
    query = _of(select(intact(columns.ts), columns.commit_id), schema.quarantine, dataset)
    return query.where(columns.ts >= span.start, columns.ts < span.end, columns.commit_id > since)


def _of(query: Select[Any], table: Table, dataset: Dataset) -> Select[Any]:
    """Narrow a query on *table* to one dataset."""
    return _joined(query, table).where(schema.datasets.c.name == str(dataset))


def _joined(query: Select[Any], table: Table) -> Select[Any]:
    return query.select_from(table).join(schema.datasets, schema.datasets.c.id == table.c.dataset_id)


def _number(dataset: Dataset) -> Select[Any]:
    return select(schema.datasets.c.id).where(schema.datasets.c.name == str(dataset))


def _row(number: int | None, stored: StoredDay) -> dict[str, Any]:
    day = stored.figures
    gaps = {reason: list(asdict(holes).values()) for reason, holes in day.gaps.items()}
    return {
        "dataset_id": number,
        "day": day.day,
        "version": stored.version,
        "basis": stored.basis,
        "gaps": _json(gaps),
        "quarantined": _json(day.quarantined),
        **attributes(day, (*_MEASURED, *_DERIVED)),
    }


def _stored(row: Row[Any]) -> StoredDay:
    values = attributes(row, _MEASURED)
    gaps = {reason: Holes(*holes) for reason, holes in json.loads(row.gaps).items()}
    figures = DayQuality(day=row.day, gaps=gaps, quarantined=json.loads(row.quarantined), **values)
    return StoredDay(figures, row.version, row.basis)


def _json(mapping: Mapping[str, Any]) -> str:
    return json.dumps(mapping, separators=(",", ":"), sort_keys=True)
