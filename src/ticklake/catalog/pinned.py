"""A catalog pinned to one version: it returns what the newest version was then, and cannot be changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NoReturn

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from ticklake.catalog import schema
from ticklake.catalog.catalog import Catalog
from ticklake.catalog.changes import DatasetRow
from ticklake.catalog.checksums import rows_of
from ticklake.catalog.dataset_names import dropped_in, plain_name
from ticklake.catalog.segment_columns import WITHOUT_DATA
from ticklake.catalog.versions import refuse_vacuumed
from ticklake.core.dataset import Dataset
from ticklake.core.segment import Segment
from ticklake.errors import ReadOnlyLake

__all__ = ["PinnedCatalog"]

_SEGMENTS = schema.segments.c
_FACTS = (schema.segments.c.added_in, schema.quarantine.c.commit_id)
"""The commits of segments and of refused rows, which show that a dataset existed."""
_NEVER = 2**63


class PinnedCatalog(Catalog):
    """The catalog as of *version*.

    The rows of a dataset are summed over its segments: where segments overlap, the count is too high.
    """

    def __init__(self, catalog: Catalog, version: int) -> None:
        super().__init__(catalog.database, catalog._now)
        self.pinned = version

    def version(self) -> int:
        """Return the version that this catalog is pinned to."""
        assert self.pinned is not None  # noqa: S101
        return self.pinned

    def refuse_vacuumed(self) -> None:
        """Raise :class:`CatalogError` if the version can no longer be read."""
        with self.database.read() as connection:
            refuse_vacuumed(connection, self.pinned)

    def datasets(self) -> list[DatasetRow]:
        """Return the datasets of the version, sorted by name."""
        self.refuse_vacuumed()
        return self._datasets

    def inventory(self) -> list[tuple[str, int, int, int | None, int | None, int]]:
        """Return a row for each dataset, sorted by name: name, rows, bytes, times of the first and the last row, files."""
        files = self._count_files()
        return [
            (str(row.dataset), row.rows, row.bytes, row.min_ts, row.max_ts, files.get(row.id, 0))
            for row in self.datasets()
        ]

    def _count_files(self) -> dict[int, int]:
        """Return how many files of the version each dataset has, by its number; datasets without files are left out."""
        query = select(_SEGMENTS.dataset_id, func.count().label("files")).where(_SEGMENTS.path.is_not(None))
        with self.database.read() as connection:
            rows = connection.execute(query.where(self._is_of_version()).group_by(_SEGMENTS.dataset_id)).all()
        return {row.dataset_id: row.files for row in rows}

    def segment(self, segment_id: str) -> Segment | None:
        """Return the segment of that id without its inline bytes; ``None`` if the version has none."""
        query = select(*WITHOUT_DATA).where(_SEGMENTS.id == segment_id, self._is_of_version())
        with self.database.read() as connection:
            refuse_vacuumed(connection, self.pinned)
            row = connection.execute(query).first()
        if row is None:
            return None
        return Segment(*row)

    def alike(self, dataset: Dataset) -> list[DatasetRow]:
        """Return the datasets of the same exchange, kind and timeframe in the version, sorted by name."""
        rows: list[DatasetRow] = []
        group = (dataset.exchange, dataset.kind_text, dataset.timeframe)
        for row in self.datasets():
            other = row.dataset
            if (other.exchange, other.kind_text, other.timeframe) == group:
                rows.append(row)
        return rows

    def heads(self, datasets: Sequence[Dataset]) -> tuple[int, dict[Dataset, DatasetRow]]:
        """Return the version that this catalog is pinned to, and the rows of those datasets that it has."""
        names = set(datasets)
        return self.version(), {row.dataset: row for row in self.datasets() if row.dataset in names}

    def commit(self, *_parts: Any) -> NoReturn:
        """Refuse: a version never changes."""
        raise _refused("a commit")

    def check_current(self) -> NoReturn:
        """Refuse: the caller is about to remove something."""
        raise _refused("a vacuum")

    def restore_data(self, *_parts: Any) -> NoReturn:
        """Refuse: a version never changes."""
        raise _refused("a repair")

    def provenance_id(self, *_parts: Any) -> NoReturn:
        """Refuse: only an append needs the number of an origin."""
        raise _refused("an append")

    @cached_property
    def _datasets(self) -> list[DatasetRow]:
        with self.database.read() as connection:
            sums = self._sums(connection)
            committed = self._committed(connection)
            rows: Sequence[Any] = connection.execute(rows_of(schema.datasets)).all()
        # Several rows may have had one name. That of the version is the first one dropped after it, which comes last here.
        rows = sorted(rows, key=lambda row: (plain_name(row.name), -(dropped_in(row.name) or _NEVER)))
        by_name: dict[str, tuple[Dataset, Any]] = {}
        for row in rows:
            dataset = self._dataset_of(row.name)
            if dataset is not None:
                by_name[str(dataset)] = dataset, row
        datasets: list[DatasetRow] = []
        for dataset, row in by_name.values():
            if row.id in committed or self.coverage(dataset).pieces:
                datasets.append(_row(row, dataset, sums))
        return datasets

    def _dataset_of(self, name: str) -> Dataset | None:
        """Return the dataset that a row of this name was in the version; ``None`` if it had been dropped."""
        dropped = dropped_in(name)
        if dropped is not None and dropped <= self.version():
            return None
        return self.with_kind(Dataset.parse(plain_name(name)))

    def _sums(self, connection: Connection) -> dict[int, Any]:
        query = (
            select(
                _SEGMENTS.dataset_id,
                func.sum(_SEGMENTS.rows).label("rows"),
                func.sum(_SEGMENTS.size).label("bytes"),
                func.min(_SEGMENTS.min_ts).label("min_ts"),
                func.max(_SEGMENTS.max_ts).label("max_ts"),
            )
            .where(self._is_of_version())
            .group_by(_SEGMENTS.dataset_id)
        )
        return {row.dataset_id: row for row in connection.execute(query)}

    def _is_of_version(self) -> ColumnElement[bool]:
        is_live = or_(_SEGMENTS.removed_in.is_(None), _SEGMENTS.removed_in > self.pinned)
        return and_(_SEGMENTS.added_in <= self.pinned, is_live)

    def _committed(self, connection: Connection) -> set[int]:
        """Return the numbers of the datasets to which something had been committed."""
        numbers = set[int]()
        for commit in _FACTS:
            query = select(commit.table.c.dataset_id).where(commit <= self.pinned).distinct()
            numbers.update(connection.execute(query).scalars())
        # Batches count only if no segments are left: a renamed dataset also has the batches of its earlier name.
        batches = schema.batches.c
        has_segments = exists().where(_SEGMENTS.dataset_id == batches.dataset_id)
        query = select(batches.dataset_id).where(batches.commit_id <= self.pinned, ~has_segments).distinct()
        numbers.update(connection.execute(query).scalars())
        return numbers


def _row(row: Any, dataset: Dataset, sums: dict[int, Any]) -> DatasetRow:
    empty = DatasetRow(
        id=row.id,
        dataset=dataset,
        keying=row.keying,
        id_space=row.id_space,
        seq=row.seq,
        rows=0,
        bytes=0,
        min_ts=None,
        max_ts=None,
        updated_at=row.updated_at,
        changed_in=row.changed_in,
    )
    stored = sums.get(row.id)
    if stored is None:
        return empty
    return replace(empty, rows=stored.rows, bytes=stored.bytes, min_ts=stored.min_ts, max_ts=stored.max_ts)


def _refused(what: str) -> ReadOnlyLake:
    return ReadOnlyLake(f"a snapshot is read-only, and {what} would change it: use the lake itself")
