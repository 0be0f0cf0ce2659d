"""Quality by day, as the catalog keeps it, and what has changed since it was measured."""

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
    """A day's figures, from which version they are, and a digest of everything else they were computed from."""

    figures: DayQuality
    version: int
    basis: str


class QualityDays:
    """The figures of days. They are derived: dropping them loses nothing.

    With a *version*, rows that were refused later are not counted.
    """

    def __init__(self, database: Database, version: int | None = None) -> None:
        self._database = database
        self._version = version

    def stored(self, dataset: Dataset, span: Span) -> dict[int, StoredDay]:
        """Return the days that begin inside *span*, by their begin."""
        table = schema.quality_days
        query = _of(rows_of(table), table, dataset).where(table.c.day >= span.start, table.c.day < span.end)
        with self._database.read() as connection:
            return {row.day: _stored(row) for row in connection.execute(query)}

    def store(self, dataset: Dataset, days: Iterable[StoredDay]) -> None:
        """Put days, in place of what was known of them."""
        with self._database.write() as connection:
            number = connection.execute(_number(dataset)).scalar()
            rows = [_row(number, day) for day in days]
            if number is None or not rows:
                return
            figures = rows[0].keys() - {"dataset_id", "day"}
            connection.execute(insert_or_update(schema.quality_days, ["dataset_id", "day"], sorted(figures)), rows)

    def confirm(self, dataset: Dataset, days: Iterable[int], version: int) -> None:
        """Note that nothing had changed on *days* up to *version*."""
        table, listed = schema.quality_days, [{"_day": day, "_version": version} for day in days]
        with self._database.write() as connection:
            number = connection.execute(_number(dataset)).scalar()
            change = table.update().where(table.c.dataset_id == number, table.c.day == bindparam("_day"))
            if number is not None and listed:
                connection.execute(change.values(version=bindparam("_version")), listed)

    def changes(self, dataset: Dataset, span: Span, since: int) -> list[tuple[Span, int]]:
        """Return where rows came, went or were refused inside *span* after version *since*, each with its version.

        Compaction changes no rows and does not count.
        """
        segments, refused = schema.segments.c, schema.quarantine.c
        added, removed = schema.commits.alias(), schema.commits.alias()
        came = func.coalesce(added.c.id, 0)
        went = func.coalesce(removed.c.id, 0)
        moved = (
            _of(select(intact(segments.min_ts), segments.max_ts, came, went), schema.segments, dataset)
            .outerjoin(added, and_(added.c.id == segments.added_in, added.c.operation != "compact"))
            .outerjoin(removed, and_(removed.c.id == segments.removed_in, removed.c.operation != "compact"))
            .where(segments.min_ts < span.end, segments.max_ts >= span.start, or_(came > since, went > since))
        )
        bad = _of(select(intact(refused.ts), refused.commit_id), schema.quarantine, dataset)
        bad = bad.where(refused.ts >= span.start, refused.ts < span.end, refused.commit_id > since)
        with self._database.read() as connection:
            found = [(Span(low, high + 1), max(a, b)) for low, high, a, b in connection.execute(moved)]
            return found + [(Span(ts, ts + 1), version) for ts, version in connection.execute(bad)]

    def quarantined(self, dataset: Dataset, span: Span) -> dict[int, dict[str, int]]:
        """Return how many rows of each day that meets *span* were refused, by reason."""
        columns = schema.quarantine.c
        day = columns.ts - (columns.ts % DAY + DAY) % DAY
        query = _joined(select(day, columns.reason, func.count(intact(columns.id).element)), schema.quarantine)
        query = query.where(columns.ts >= span.start, columns.ts < span.end).group_by(day, columns.reason)
        found: dict[int, dict[str, int]] = {}
        with self._database.read() as connection:
            for begin, reason, count in connection.execute(query.where(self._is_of(connection, dataset))):
                found.setdefault(int(begin), {})[reason] = count
        return found

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
        """Return what is true of the rows that *dataset* had refused in the version that is asked for."""
        mine = schema.datasets.c.name == name_at(connection, dataset, self._version)
        if self._version is None:
            return mine
        return and_(mine, schema.quarantine.c.commit_id <= self._version)


def _of(query: Select[Any], table: Table, dataset: Dataset) -> Select[Any]:
    """Narrow a query on *table* to one dataset."""
    return _joined(query, table).where(schema.datasets.c.name == str(dataset))


def _joined(query: Select[Any], table: Table) -> Select[Any]:
    return query.select_from(table).join(schema.datasets, schema.datasets.c.id == table.c.dataset_id)


def _number(dataset: Dataset) -> Select[Any]:
    return select(schema.datasets.c.id).where(schema.datasets.c.name == str(dataset))


def _row(number: int | None, stored: StoredDay) -> dict[str, Any]:
    day = stored.figures
    return {
        "dataset_id": number,
        "day": day.day,
        "version": stored.version,
        "basis": stored.basis,
        "gaps": _json({reason: list(asdict(holes).values()) for reason, holes in day.gaps.items()}),
        "quarantined": _json(day.quarantined),
        **{name: getattr(day, name) for name in (*_MEASURED, *_DERIVED)},
    }


def _stored(row: Row[Any]) -> StoredDay:
    values = {name: getattr(row, name) for name in _MEASURED}
    gaps = {reason: Holes(*holes) for reason, holes in json.loads(row.gaps).items()}
    figures = DayQuality(day=row.day, gaps=gaps, quarantined=json.loads(row.quarantined), **values)
    return StoredDay(figures, row.version, row.basis)


def _json(mapping: Mapping[str, Any]) -> str:
    return json.dumps(mapping, separators=(",", ":"), sort_keys=True)
