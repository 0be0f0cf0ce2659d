"""The catalog: datasets, segments, commits, coverage and where rows came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, func, or_, select

from ticklake.catalog import schema
from ticklake.catalog.changes import Change, DatasetRow
from ticklake.catalog.committing import apply_change
from ticklake.catalog.database import Database
from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.segment import Segment
from ticklake.core.span import ALL_TIME, Span
from ticklake.errors import CatalogError

__all__ = ["Catalog"]

_SEGMENT = (
    schema.segments.c.id,
    schema.segments.c.seq,
    schema.segments.c.rows,
    schema.segments.c.min_ts,
    schema.segments.c.max_ts,
    schema.segments.c.size,
    schema.segments.c.digest,
    schema.segments.c.path,
    schema.segments.c.period,
)
_OLDEST = "oldest_version"
_DATASET = select(schema.datasets).where(schema.datasets.c.name == bindparam("name"))
_LIVE = and_(
    schema.segments.c.dataset_id == bindparam("dataset_id"),
    schema.segments.c.max_ts >= bindparam("start"),
    schema.segments.c.min_ts < bindparam("end"),
    schema.segments.c.removed_in.is_(None),
)
_AT = and_(
    schema.segments.c.dataset_id == bindparam("dataset_id"),
    schema.segments.c.max_ts >= bindparam("start"),
    schema.segments.c.min_ts < bindparam("end"),
    schema.segments.c.added_in <= bindparam("version"),
    or_(schema.segments.c.removed_in.is_(None), schema.segments.c.removed_in > bindparam("version")),
)
_QUERIES = {
    (past, data): select(*_SEGMENT, *((schema.segments.c.data,) if data else ())).where(_AT if past else _LIVE)
    for past in (False, True)
    for data in (False, True)
}


class Catalog:
    """What the lake holds, in one database.

    Every change is one transaction and has a number: the lake's version. Reads see one version.
    """

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self.database = database
        self._now = now
        self._provenance: dict[Provenance, int] = {}

    def commit(self, operation: str, changes: Sequence[Change]) -> int:
        """Apply *changes* together, durably, and return the new version.

        Raises
        ------
        Conflict
            If a change was computed from rows that have changed since; nothing is done then.
        """
        now = self._now()
        with self.database.write() as connection:
            result = connection.execute(schema.commits.insert().values(created_at=now, operation=operation))
            version = int(result.inserted_primary_key[0])  # type: ignore[index]
            for change in changes:
                apply_change(connection, change, version, now)
        return version

    def identity(self) -> str:
        """Return the lake's identity; a backup keeps it."""
        return _meta(self.database, "lake") or ""

    def version(self) -> int:
        """Return the newest version; 0 for an empty lake."""
        with self.database.read() as connection:
            return _version(connection)

    def version_at(self, ts: int) -> int:
        """Return the version that was newest at *ts*."""
        query = select(func.max(schema.commits.c.id)).where(schema.commits.c.created_at <= ts)
        with self.database.read() as connection:
            return connection.execute(query).scalar() or 0

    def dataset(self, dataset: Dataset) -> DatasetRow | None:
        """Return the dataset's row, or ``None`` if the lake has never heard of it."""
        with self.database.read() as connection:
            row = connection.execute(_DATASET, {"name": str(dataset)}).first()
        return _dataset_row(row) if row else None

    def datasets(self) -> list[DatasetRow]:
        """Return every dataset, sorted by name."""
        with self.database.read() as connection:
            rows = connection.execute(select(schema.datasets).order_by(schema.datasets.c.name)).all()
        return [_dataset_row(row) for row in rows]

    def snapshot(
        self, dataset: Dataset, span: Span = ALL_TIME, *, version: int | None = None, data: bool = True
    ) -> tuple[int, DatasetRow | None, list[Segment]]:
        """Return one consistent view: the version, the dataset's row, and its segments that meet *span*.

        With *data* the bytes of inline segments come along.

        Raises
        ------
        CatalogError
            If *version* was vacuumed.
        """
        if version is not None and version < (oldest := _oldest(self.database)):
            raise CatalogError(f"version {version} was vacuumed: the oldest that can be read is {oldest}")
        with self.database.read() as connection:
            seen = _version(connection)
            row = connection.execute(_DATASET, {"name": str(dataset)}).first()
            if row is None:
                return seen, None, []
            values = {"dataset_id": row.id, "start": span.start, "end": span.end, "version": version}
            if version is None:
                del values["version"]
            found = connection.execute(_QUERIES[version is not None, data], values).all()
        return seen, _dataset_row(row), [Segment(**segment._mapping) for segment in found]

    def retired(self, dataset: Dataset | None = None) -> list[tuple[int, Segment]]:
        """Return the segments that are no longer live, each with the version that removed it."""
        query = select(*_SEGMENT, schema.segments.c.removed_in).where(schema.segments.c.removed_in.is_not(None))
        if dataset is not None:
            query = query.join(schema.datasets).where(schema.datasets.c.name == str(dataset))
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        return [(row.removed_in, Segment(**{c.name: row._mapping[c.name] for c in _SEGMENT})) for row in rows]

    def known_paths(self) -> set[str]:
        """Return the path of every segment that the catalog names, live or retired."""
        query = select(schema.segments.c.path).where(schema.segments.c.path.is_not(None))
        with self.database.read() as connection:
            return {path for path in connection.execute(query).scalars() if path}

    def forget(self, segments: Iterable[tuple[int, Segment]]) -> None:
        """Drop retired segments for ever, each given with the version that removed it.

        Versions from before can no longer be read.
        """
        gone = list(segments)
        if not gone:
            return
        delete = schema.segments.delete().where(
            schema.segments.c.id == bindparam("segment"), schema.segments.c.removed_in.is_not(None)
        )
        oldest = max(_oldest(self.database), *(removed_in for removed_in, _ in gone))
        with self.database.write() as connection:
            connection.execute(delete, [{"segment": segment.id} for _, segment in gone])
            connection.execute(schema.meta.delete().where(schema.meta.c.key == _OLDEST))
            connection.execute(schema.meta.insert().values(key=_OLDEST, value=str(oldest)))

    def coverage(self, dataset: Dataset) -> Coverage:
        """Return what of *dataset* was looked at."""
        query = (
            select(schema.coverage)
            .join(schema.datasets)
            .where(schema.datasets.c.name == str(dataset))
            .order_by(schema.coverage.c.start)
        )
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        return Coverage(tuple(Covered(Span(row.start, row.end), Found(row.found), row.reason) for row in rows))

    def provenance_id(self, origin: Provenance) -> int:
        """Return the number of *origin*, given on first use."""
        known = self._provenance.get(origin)
        if known is not None:
            return known
        columns = schema.provenance.c
        match = and_(*(columns[name] == value for name, value in origin.to_dict().items()))
        with self.database.write() as connection:
            number = connection.execute(select(columns.id).where(match)).scalar()
            if number is None:
                inserted = connection.execute(schema.provenance.insert().values(**origin.to_dict()))
                number = inserted.inserted_primary_key[0]  # type: ignore[index]
        self._provenance[origin] = int(number)
        return int(number)

    def provenances(self) -> dict[int, Provenance]:
        """Return every origin by its number."""
        with self.database.read() as connection:
            rows = connection.execute(select(schema.provenance)).all()
        return {
            row.id: Provenance(**{name: value for name, value in row._mapping.items() if name != "id"}) for row in rows
        }

    def restore_provenance(self, origins: dict[int, Provenance]) -> None:
        """Write origins under the numbers they had; used when the catalog is rebuilt."""
        known = self.provenances()
        rows = [{"id": number, **origin.to_dict()} for number, origin in origins.items() if number not in known]
        if rows:
            with self.database.write() as connection:
                connection.execute(schema.provenance.insert(), rows)

    def quarantined(self, dataset: Dataset, span: Span = ALL_TIME) -> list[dict[str, Any]]:
        """Return refused rows with ``ts``, ``reason``, ``row`` (JSON), ``created_at``; without a time included."""
        columns = schema.quarantine.c
        inside = or_(columns.ts.is_(None), and_(columns.ts >= span.start, columns.ts < span.end))
        return self._history(schema.quarantine, dataset, inside, ("ts", "reason", "row", "created_at"))

    def revisions(self, dataset: Dataset, span: Span = ALL_TIME) -> list[dict[str, Any]]:
        """Return changed rows with ``ts``, ``before``, ``after`` (JSON), ``commit_id``, ``created_at``."""
        columns = schema.revisions.c
        inside = and_(columns.ts >= span.start, columns.ts < span.end)
        return self._history(schema.revisions, dataset, inside, ("ts", "before", "after", "commit_id", "created_at"))

    def _history(self, table: Any, dataset: Dataset, where: Any, names: tuple[str, ...]) -> list[dict[str, Any]]:
        query = (
            select(*(table.c[name] for name in names))
            .join(schema.datasets, schema.datasets.c.id == table.c.dataset_id)
            .where(schema.datasets.c.name == str(dataset), where)
            .order_by(table.c.id)
        )
        with self.database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]


def _oldest(database: Database) -> int:
    """Return the oldest version that vacuum has left readable."""
    return int(_meta(database, _OLDEST) or 0)


def _meta(database: Database, key: str) -> str | None:
    with database.read() as connection:
        return connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == key)).scalar()


def _version(connection: Connection) -> int:
    return connection.execute(select(func.max(schema.commits.c.id))).scalar() or 0


def _dataset_row(row: Row[Any]) -> DatasetRow:
    names = ("id", "keying", "id_space", "seq", "rows", "bytes", "min_ts", "max_ts", "updated_at")
    return DatasetRow(dataset=Dataset.parse(row.name), **{name: row._mapping[name] for name in names})
