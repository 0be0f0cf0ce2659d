"""The catalog: datasets, segments, commits, coverage and the provenance of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, literal, or_, select

from ticklake.catalog import schema
from ticklake.catalog.changes import Change, DatasetRow
from ticklake.catalog.checksums import damaged_rows, intact, pages_damaged, rows_of
from ticklake.catalog.commits import apply_changes
from ticklake.catalog.coverage_log import coverage_at, read_coverage
from ticklake.catalog.database import Database
from ticklake.catalog.dataset_names import IS_HERE, name_at
from ticklake.catalog.fences import check_fence
from ticklake.catalog.file_header import change_number
from ticklake.catalog.history import History
from ticklake.catalog.listeners import CommitListeners
from ticklake.catalog.origins import Origins
from ticklake.catalog.own_commits import OwnCommits
from ticklake.catalog.parameters import among, as_list
from ticklake.catalog.prepared import Prepared
from ticklake.catalog.segment_columns import SEGMENT, WITHOUT_DATA
from ticklake.catalog.versions import NEWEST, newest_version, oldest_version, refuse_vacuumed
from ticklake.catalog.witness import Witness, outdated
from ticklake.core.coverage import Coverage
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import KINDS, Kind
from ticklake.core.provenance import Provenance
from ticklake.core.segment import Segment, size_of_all
from ticklake.core.span import ALL_TIME, Span
from ticklake.errors import CatalogDamaged

if TYPE_CHECKING:
    from ticklake.core.features import FeatureSet, RegisteredFeatures

__all__ = ["Catalog"]

_AT_ONCE = 500
"""How many names go into one statement."""
_HEAD_NAMES = ["keying", "id_space", "seq", "rows", "bytes", "min_ts", "max_ts", "updated_at", "changed_in"]
_HEAD = (intact(schema.datasets.c.id), *(schema.datasets.c[name] for name in _HEAD_NAMES))
_FILES = (
    select(func.count())
    .where(schema.segments.c.dataset_id == schema.datasets.c.id)
    .where(schema.segments.c.removed_in.is_(None), schema.segments.c.path.is_not(None))
)
_SIZES = [schema.datasets.c[name] for name in ("rows", "bytes", "min_ts", "max_ts")]
_INVENTORY = Prepared(
    select(intact(schema.datasets.c.name), *_SIZES, _FILES.scalar_subquery())
    .where(IS_HERE)
    .order_by(schema.datasets.c.name)
)
_ANY_HEADS = select(NEWEST.scalar_subquery(), schema.datasets.c.name, *_HEAD)
_HEADS = _ANY_HEADS.where(among(schema.datasets.c.name, "names"))
_IS_NAMED = schema.datasets.c.name == bindparam("name")
_ALWAYS = select(literal(1).label("one")).subquery()
"""A row to join with, so that a statement returns the version even if there is nothing else to return."""
_ONE_HEAD = Prepared(
    select(NEWEST.scalar_subquery(), *_HEAD).select_from(_ALWAYS.outerjoin(schema.datasets, _IS_NAMED))
)
"""A single dataset is most common."""
_NEWEST_VERSION = Prepared(NEWEST)
_NUMBER = select(schema.datasets.c.id).where(_IS_NAMED)
_HAS = Prepared(_NUMBER)
_MEETS = and_(
    schema.segments.c.dataset_id == schema.datasets.c.id,
    schema.segments.c.max_ts >= bindparam("start"),
    schema.segments.c.min_ts < bindparam("end"),
)
_LIVE = and_(_MEETS, schema.segments.c.removed_in.is_(None))
_AT = and_(
    _MEETS,
    schema.segments.c.added_in <= bindparam("version"),
    or_(schema.segments.c.removed_in.is_(None), schema.segments.c.removed_in > bindparam("version")),
)


@cache
def _snapshot(*, of_version: bool, data: bool) -> Prepared:
    """Select a dataset's row and its segments inside a span, those of a version or the live ones."""
    columns = WITHOUT_DATA
    if data:
        columns = SEGMENT
    joined = _ALWAYS.outerjoin(schema.datasets, _IS_NAMED)
    joined = joined.outerjoin(schema.segments, _in_span(of_version=of_version))
    return Prepared(select(NEWEST.scalar_subquery(), *_HEAD, *columns).select_from(joined))


@cache
def _newest(*, of_version: bool) -> Select[Any]:
    """Select the first time and the rows of a dataset's segments that end last inside a span."""
    joined = schema.datasets.join(schema.segments, _in_span(of_version=of_version))
    query = select(intact(schema.segments.c.min_ts), schema.segments.c.rows).select_from(joined)
    query = query.where(_IS_NAMED)
    return query.order_by(schema.segments.c.max_ts.desc()).limit(bindparam("limit"))


def _in_span(*, of_version: bool) -> ColumnElement[bool]:
    if of_version:
        return _AT
    return _LIVE


_REGISTERED = ("definition", "state", "created_at")
_DECLARED = Prepared(
    select(intact(schema.feature_sets.c.hash), *(schema.feature_sets.c[name] for name in _REGISTERED)).where(
        schema.feature_sets.c.name == bindparam("kind"), schema.feature_sets.c.version == bindparam("variant")
    )
)
_COMMIT = schema.commits.insert()

_ALL_COVERAGE = rows_of(schema.coverage).order_by(schema.coverage.c.start)
_COVERAGE = _ALL_COVERAGE.where(schema.coverage.c.dataset_id == bindparam("dataset"))
_NEWEST_COVERAGE = Prepared(_ALL_COVERAGE.where(schema.coverage.c.dataset_id == _NUMBER.scalar_subquery()))


class Catalog(History, Origins):
    """The metadata of a lake, in one database.

    Every commit is one transaction and has a number: the lake's version. Reads see one version.
    """

    pinned: int | None = None
    """The version that reads see; the newest for ``None``."""

    def __init__(self, database: Database, now: Callable[[], int], witness: Witness | None = None) -> None:
        self.database = database
        self._witness = witness
        if witness is not None:
            database.keep_witness(witness)
        self._now = now
        self._provenance: dict[Provenance, int] = {}
        self._declared: dict[str, FeatureSet] = {}
        self.listeners = CommitListeners()
        """The listeners of this process, which are called after its commits."""
        self.own_commits = OwnCommits()
        self.check_files: Callable[[Sequence[Change]], None] = lambda _changes: None
        """Called by each commit under the write lock; raises if a file that the commit refers to is gone."""

    def commit(
        self, operation: str, changes: Sequence[Change], also: Callable[[Connection], None] | None = None
    ) -> int:
        """Apply *changes*, one per dataset, in one durable transaction, and return the new version.

        Parameters
        ----------
        also
            What else is written in the transaction.

        Raises
        ------
        Conflict
            If a change was computed from rows that have changed since; nothing is done then.
        CatalogOutdated
            If commits that were acknowledged are missing; nothing is done then.
        LeaseLost
            If this is part of a job that another worker took over; nothing is done then.
        """
        now, lake = self._now(), self.database.lake()
        with self.database.write() as connection:
            # Inside the transaction: before it holds the write lock, another worker may still take over the job.
            check_fence(self.database, connection)
            self.check_files(changes)
            result = connection.execute(_COMMIT, {"created_at": now, "operation": operation})
            version = int(result.inserted_primary_key[0])  # type: ignore[index]
            self._refuse_outdated(connection, lake, version - 1)
            apply_changes(connection, changes, version, now)
            if also is not None:
                also(connection)
        # After the transaction: a witness that is newer than the catalog means that commits were lost.
        if self._witness is not None:
            self._witness.acknowledge(lake, version)
        if also is None:
            # What else was written may be about any dataset.
            self.own_commits.note(version, _touched(changes))
        self.listeners.tell(version)
        return version

    def acknowledge(self) -> None:
        """Record in the witness that everything in the catalog is durable."""
        if self._witness is not None:
            lake = self.database.lake()
            self._witness.acknowledge(lake, self.version())
            self._witness.acknowledge_change(lake, self.database.change_number(), durable=True)

    def check_current(self) -> None:
        """Refuse to go on if commits that were acknowledged are missing.

        Raises
        ------
        CatalogOutdated
        """
        if self._witness is None:
            return
        acknowledged = self._witness.acknowledged(self.database.lake())
        what = acknowledged.missing_in(self.version(), self.database.change_number())
        if what is not None:
            raise outdated(self.database.where, what, self._witness)

    def _refuse_outdated(self, connection: Connection, lake: str, version: int) -> None:
        """Refuse to commit the version after *version*, in a transaction, if earlier commits are missing."""
        # The witness of an older Ticklake has no changes, only versions: they are compared here.
        if self._witness is None or 0 < self._witness.newest(lake) <= version:
            return
        # Not asked of the database: that would open a second connection, beside that of the transaction.
        driver: Any = connection.connection.driver_connection
        what = self._witness.acknowledged(lake).missing_in(version, change_number(driver))
        if what is not None:
            raise outdated(self.database.where, what, self._witness)

    def version(self) -> int:
        """Return the newest version; 0 for an empty lake."""
        return int(self.database.fetch(_NEWEST_VERSION, {})[0][0])

    def oldest_version(self) -> int:
        """Return the oldest version that vacuum has left readable."""
        with self.database.read() as connection:
            return oldest_version(connection)

    def committed_at(self, version: int) -> int | None:
        """Return when a version was committed, if there is such a version."""
        query = select(schema.commits.c.created_at).where(schema.commits.c.id == version)
        with self.database.read() as connection:
            return connection.execute(query).scalar()

    def commit_times(self, versions: Iterable[int]) -> dict[int, int]:
        """Return when each of *versions* was committed; those that the catalog does not have are left out."""
        numbers = sorted(set(versions))
        columns = schema.commits.c
        times: dict[int, int] = {}
        with self.database.read() as connection:
            for start in range(0, len(numbers), _AT_ONCE):
                query = select(intact(columns.id), columns.created_at).where(
                    columns.id.in_(numbers[start : start + _AT_ONCE])
                )
                times.update((row.id, row.created_at) for row in connection.execute(query))
        return times

    def version_at(self, ts: int) -> int:
        """Return the version that was newest at *ts*."""
        query = select(func.max(intact(schema.commits.c.id).element)).where(schema.commits.c.created_at <= ts)
        with self.database.read() as connection:
            return connection.execute(query).scalar() or 0

    def dataset(self, dataset: Dataset) -> DatasetRow | None:
        """Return the dataset's row, or ``None`` if the lake does not have it."""
        return self.heads([dataset])[1].get(dataset)

    def has(self, dataset: Dataset) -> bool:
        """Whether there is such a dataset, in the newest version or in the one that reads see."""
        if self.database.fetch(_HAS, {"name": str(dataset)}):
            return True
        if self.pinned is None:
            return False
        with self.database.read() as connection:
            return name_at(connection, dataset, self.pinned) != str(dataset)

    def datasets(self) -> list[DatasetRow]:
        """Return every dataset, sorted by name."""
        return self._rows_where()

    def alike(self, dataset: Dataset) -> list[DatasetRow]:
        """Return the datasets of the same exchange, kind and timeframe, this one included, sorted by name."""
        columns = schema.datasets.c
        return self._rows_where(
            columns.exchange == dataset.exchange,
            columns.kind == dataset.kind_text,
            columns.timeframe == dataset.timeframe_text,
        )

    def _rows_where(self, *conditions: ColumnElement[bool]) -> list[DatasetRow]:
        columns = schema.datasets.c
        query = select(columns.name, *_HEAD).where(IS_HERE, *conditions).order_by(columns.name)
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        datasets = self.with_kinds([Dataset.parse(row[0]) for row in rows])
        return [_dataset_row(dataset, values) for dataset, (_, *values) in zip(datasets, rows, strict=True)]

    def with_kind(self, dataset: Dataset) -> Dataset:
        """Return a dataset of a kind that this lake declares so that it knows what its rows are; others as they are.

        A definition never changes while rows of it exist, in this version or an older one. One that is unknown, as it was lost with a
        damaged catalog, leaves the dataset as it is.
        """
        return self.with_kinds([dataset])[0]

    def with_kinds(self, datasets: Iterable[Dataset]) -> list[Dataset]:
        """Return datasets like :meth:`with_kind`; each declared kind is looked up once."""
        kinds: dict[str, Kind | None] = {}
        found: list[Dataset] = []
        for dataset in datasets:
            if dataset.variant is None or dataset.kind in KINDS:
                found.append(dataset)
                continue
            name = dataset.kind_text
            if name not in kinds:
                kinds[name] = self._declared_kind(dataset.kind, dataset.variant)
            kind = kinds[name]
            if kind is not None:
                dataset = dataset.with_kind(kind)
            found.append(dataset)
        return found

    def _declared_kind(self, name: str, version: str) -> Kind | None:
        registered = self.feature_set(name, version)
        if registered is None:
            return None
        return registered.features.kind

    def feature_set(self, name: str, version: str) -> RegisteredFeatures | None:
        """Return a version of a feature set as it is registered, also one that was deleted, or ``None``."""
        # On use: most lakes have no feature sets.
        from ticklake.core.features import FeatureSet, RegisteredFeatures

        rows = self.database.fetch(_DECLARED, {"kind": name, "variant": version})
        if not rows:
            return None
        digest, definition, state, created_at = rows[0]
        features = self._declared.get(digest)
        if features is None:
            features = self._declared[digest] = FeatureSet.from_json(definition)
        return RegisteredFeatures(features, state, created_at)

    def has_rows_of(self, kind: str) -> bool:
        """Whether a version of the lake, the newest or an older one, has rows of a kind, like ``momentum@v3``."""
        joined = schema.segments.join(schema.datasets)
        query = select(literal(1)).select_from(joined).where(schema.datasets.c.kind == kind).limit(1)
        with self.database.read() as connection:
            return connection.execute(query).first() is not None

    def inventory(self) -> Sequence[Sequence[Any]]:
        """Return a row for each dataset, sorted by name.

        It holds its name, rows, bytes, the times of the first and the last row, and how many live files it has.
        """
        return self.database.fetch(_INVENTORY, {})

    def heads(self, datasets: Sequence[Dataset]) -> tuple[int, dict[Dataset, DatasetRow]]:
        """Return the newest version and, as of it, the rows of those datasets that the lake has."""
        if len(datasets) == 1:
            return self._head(datasets[0])
        by_name = {str(dataset): dataset for dataset in datasets}
        names = list(by_name)
        heads: dict[Dataset, DatasetRow] = {}
        newest: int | None = None
        with self.database.read() as connection:
            for start in range(0, len(names), _AT_ONCE):
                listed = {"names": as_list(names[start : start + _AT_ONCE])}
                for version, name, *values in connection.execute(_HEADS, listed):
                    dataset = by_name[name]
                    heads[dataset] = _dataset_row(dataset, values)
                    newest = version
            # Each row has the version. Without rows it takes a statement of its own.
            if newest is None:
                newest = newest_version(connection)
        return newest, heads

    def _head(self, dataset: Dataset) -> tuple[int, dict[Dataset, DatasetRow]]:
        version, *values = self.database.fetch(_ONE_HEAD, {"name": str(dataset)})[0]
        if values[0] is None:
            return version, {}
        return version, {dataset: _dataset_row(dataset, values)}

    def snapshot(
        self,
        dataset: Dataset,
        span: Span = ALL_TIME,
        *,
        data: bool = True,
        is_summarised: bool = True,
    ) -> tuple[int, DatasetRow | None, list[Segment]]:
        """Return one consistent view: the version, the dataset's row, and its segments that meet *span*.

        With *data* the segments have the bytes of inline segments. While a catalog is rebuilt, the rows of datasets are
        not *summarised* yet, and segments are not compared with them.

        Raises
        ------
        CatalogError
            If the version was vacuumed.
        """
        version = self.pinned
        rows = self._rows_of_snapshot(dataset, span, data=data)
        if version is None:
            version = rows[0][0]
        width = len(_HEAD) + 1
        if rows[0][1] is None:
            return version, None, []
        segments = [Segment(*row[width:]) for row in rows if row[width] is not None]
        head = _dataset_row(dataset, rows[0][1:width])
        if self.pinned is None and is_summarised:
            self._check_whole(head, segments, span)
        return version, head, segments

    def _rows_of_snapshot(self, dataset: Dataset, span: Span, *, data: bool) -> Sequence[Sequence[Any]]:
        """Return a row for each segment, one without a segment if there is none, and one of nothing for an unknown dataset."""
        version = self.pinned
        values: dict[str, Any] = {"start": span.start, "end": span.end}
        statement = _snapshot(of_version=version is not None, data=data)
        if version is None:
            values["name"] = str(dataset)
            return self.database.fetch(statement, values)
        values["version"] = version
        with self.database.read() as connection:
            # In the same transaction as the query: a vacuum in between would remove segments from the answer.
            refuse_vacuumed(connection, version)
            values["name"] = name_at(connection, dataset, version)
            return connection.execute(statement.select, values).all()

    def _check_whole(self, head: DatasetRow, segments: Sequence[Segment], span: Span) -> None:
        """Refuse to return a whole dataset if its segments do not add up to its row: a damaged index misses rows."""
        if head.min_ts is None or head.max_ts is None or not (span.start <= head.min_ts and head.max_ts < span.end):
            return
        size = size_of_all(segments)
        if size != head.bytes:
            raise CatalogDamaged(
                f"{self.database.where}: {head.dataset} has segments of {head.bytes:,} bytes and those of {size:,} are "
                "found; restore a backup, or run 'ticklake rebuild' to make a new catalog from the files"
            )

    def names_all_bytes(self) -> bool:
        """Whether the segments of every dataset add up to the bytes in the dataset's row."""
        table, segments = schema.datasets, schema.segments
        live = and_(segments.c.dataset_id == table.c.id, segments.c.removed_in.is_(None))
        size = func.coalesce(func.sum(intact(segments.c.size).element), 0)
        query = select(intact(table.c.bytes)).select_from(table.outerjoin(segments, live)).where(IS_HERE)
        with self.database.read() as connection:
            return connection.execute(query.group_by(table.c.id).having(size != table.c.bytes)).first() is None

    def newest(self, dataset: Dataset, span: Span, limit: int) -> list[tuple[int, int]]:
        """Return first time and rows of the *limit* segments inside *span* that end last, the last one first."""
        version = self.pinned
        values: dict[str, Any] = {"start": span.start, "end": span.end, "limit": limit}
        if version is not None:
            values["version"] = version
        with self.database.read() as connection:
            refuse_vacuumed(connection, version)
            values["name"] = name_at(connection, dataset, version)
            rows = connection.execute(_newest(of_version=version is not None), values)
            return [(row.min_ts, row.rows) for row in rows]

    def observed_after(self, dataset: Dataset, span: Span, observed_at: int, now: int) -> list[Segment]:
        """Return the segments of all versions that overlap *span* and were observed after *observed_at*, up to *now*.

        Of a rewritten segment the originals are returned, as long as the catalog has them.
        """
        table, inputs = schema.segments, schema.segments.alias()
        rewritten = select(inputs.c.id).where(
            inputs.c.dataset_id == table.c.dataset_id, inputs.c.removed_in == table.c.added_in
        )
        query = (
            select(*SEGMENT)
            .join(schema.datasets, _MEETS)
            .where(schema.datasets.c.name == bindparam("name"), ~rewritten.exists())
            .where(table.c.observed_at > observed_at, table.c.observed_at <= now)
        )
        values = {"name": str(dataset), "start": span.start, "end": span.end}
        with self.database.read() as connection:
            return [Segment(*row) for row in connection.execute(query, values)]

    def newest_commit_at(self) -> int:
        """Return when the newest version was committed, by the clock of the process that did; 0 for an empty lake."""
        query = select(schema.commits.c.created_at).order_by(schema.commits.c.id.desc()).limit(1)
        with self.database.read() as connection:
            return connection.execute(query).scalar() or 0

    def restore_data(self, segment_id: str, data: bytes) -> None:
        """Restore the bytes of an inline segment."""
        table = schema.segments
        with self.database.write() as connection:
            connection.execute(table.update().where(table.c.id == segment_id).values(data=data))

    def problems(self) -> list[str]:
        """Return the problems of the catalog itself: damaged pages, and rows that are not what was written."""
        with self.database.read() as connection:
            return [*pages_damaged(connection), *(f"{row} is not what was written" for row in damaged_rows(connection))]

    def coverage(self, dataset: Dataset) -> Coverage:
        """Return the coverage of *dataset*.

        Raises
        ------
        CatalogError
            If the version was vacuumed, or its coverage is no longer known.
        """
        version = self.pinned
        if version is None:
            return read_coverage(self.database.fetch(_NEWEST_COVERAGE, {"name": str(dataset)}))
        with self.database.read() as connection:
            refuse_vacuumed(connection, version)
            number = connection.execute(_NUMBER, {"name": name_at(connection, dataset, version)}).scalar()
            if number is None:
                return Coverage()
            newest = read_coverage(connection.execute(_COVERAGE, {"dataset": number}))
            return coverage_at(connection, number, version, newest, is_newest=version >= newest_version(connection))


def _touched(changes: Sequence[Change]) -> list[Dataset]:
    """Return the datasets of changes, also those to which others were renamed."""
    touched = [change.dataset for change in changes]
    touched += [change.successor for change in changes if change.successor is not None]
    return touched


def _dataset_row(dataset: Dataset, values: Sequence[Any]) -> DatasetRow:
    number, *rest = values
    return DatasetRow(number, dataset, *rest)
