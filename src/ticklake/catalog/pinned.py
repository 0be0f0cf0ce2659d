"""A catalog pinned to one version: it answers as the newest one did then, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NoReturn

from sqlalchemy import Connection, exists, func, or_, select

from ticklake.catalog import schema
from ticklake.catalog.catalog import Catalog
from ticklake.catalog.changes import DatasetRow
from ticklake.catalog.checksums import rows_of
from ticklake.catalog.dataset_names import dropped_in, plain_name
from ticklake.catalog.versions import refuse_vacuumed
from ticklake.core.coverage import Coverage
from ticklake.core.dataset import Dataset
from ticklake.core.segment import Segment
from ticklake.core.span import ALL_TIME, Span
from ticklake.errors import ReadOnlyLake

__all__ = ["PinnedCatalog"]

_SEGMENTS = schema.segments.c
_FACTS = (schema.segments.c.added_in, schema.quarantine.c.commit_id)
"""What says that a dataset was there: its segments and its refused rows."""


_NEVER = 2**63


class PinnedCatalog(Catalog):
    """The catalog as of *version*.

    The rows of a dataset are counted by segment: where segments overlap, the count is too high.
    """

    def __init__(self, catalog: Catalog, version: int) -> None:
        super().__init__(catalog.database, catalog._now)
        self.pinned = version

    def version(self) -> int:
        """Return the version that it is pinned to."""
        assert self.pinned is not None  # noqa: S101
        return self.pinned

    def refuse_vacuumed(self) -> None:
        """Raise :class:`CatalogError` if the version can no longer be read."""
        with self.database.read() as connection:
            refuse_vacuumed(connection, self.pinned)

    def datasets(self) -> list[DatasetRow]:
        """Return the datasets that were there, sorted by name."""
        self.refuse_vacuumed()
        return self._datasets

    def inventory(self) -> Sequence[tuple[str, int, int, int | None, int | None]]:
        """Return name, rows, bytes, and the times of the first and last row of every dataset, sorted by name."""
        return [(str(row.dataset), row.rows, row.bytes, row.min_ts, row.max_ts) for row in self.datasets()]

    def alike(self, dataset: Dataset) -> list[DatasetRow]:
        """Return the datasets of the same exchange, kind and timeframe that were there, sorted by name."""
        same = (dataset.exchange, dataset.kind, dataset.timeframe)
        return [
            row for row in self.datasets() if (row.dataset.exchange, row.dataset.kind, row.dataset.timeframe) == same
        ]

    def heads(self, datasets: Sequence[Dataset]) -> tuple[int, dict[Dataset, DatasetRow]]:
        """Return the version that it is pinned to, and the rows of those datasets that were there."""
        wanted = set(datasets)
        return self.version(), {row.dataset: row for row in self.datasets() if row.dataset in wanted}

    def snapshot(
        self,
        dataset: Dataset,
        span: Span = ALL_TIME,
        *,
        version: int | None = None,
        data: bool = True,
        is_summarised: bool = True,
    ) -> tuple[int, DatasetRow | None, list[Segment]]:
        """Return the dataset's row and its segments that meet *span*; the row's sums are those of the newest version."""
        pinned = self._or_pinned(version)
        _, row, segments = super().snapshot(dataset, span, version=pinned, data=data, is_summarised=is_summarised)
        return self.version(), row, segments

    def newest(self, dataset: Dataset, span: Span, limit: int, *, version: int | None = None) -> list[tuple[int, int]]:
        """Return first time and rows of the *limit* segments inside *span* that end last, the last one first."""
        return super().newest(dataset, span, limit, version=self._or_pinned(version))

    def coverage(self, dataset: Dataset, *, version: int | None = None) -> Coverage:
        """Return what of *dataset* had been looked at."""
        return super().coverage(dataset, version=self._or_pinned(version))

    def quarantined(
        self, dataset: Dataset, span: Span = ALL_TIME, *, version: int | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Return the rows that had been refused."""
        return super().quarantined(dataset, span, version=self._or_pinned(version), limit=limit)

    def refused(
        self, dataset: Dataset, span: Span, names: Sequence[str], *, version: int | None = None
    ) -> Iterator[Sequence[Sequence[Any]]]:
        """Yield columns of the rows that had been refused, many at a time."""
        return super().refused(dataset, span, names, version=self._or_pinned(version))

    def revisions(self, dataset: Dataset, span: Span = ALL_TIME, *, version: int | None = None) -> list[dict[str, Any]]:
        """Return the rows that had been changed."""
        return super().revisions(dataset, span, version=self._or_pinned(version))

    def commit(self, *_parts: Any) -> NoReturn:
        """Refuse: a version never changes."""
        raise _refused("a commit")

    def check_current(self) -> NoReturn:
        """Refuse: what asks for this is about to remove something."""
        raise _refused("a vacuum")

    def restore_data(self, *_parts: Any) -> NoReturn:
        """Refuse: a version never changes."""
        raise _refused("a repair")

    def provenance_id(self, *_parts: Any) -> NoReturn:
        """Refuse: only rows that come in need a number for where they came from."""
        raise _refused("an append")

    @cached_property
    def _datasets(self) -> list[DatasetRow]:
        with self.database.read() as connection:
            sums, seen = self._sums(connection), self._seen(connection)
            rows: Sequence[Any] = connection.execute(rows_of(schema.datasets)).all()
        # The row that holds a name's rows of then comes last: the first one that was dropped since, if one was.
        rows = sorted(rows, key=lambda row: (plain_name(row.name), -(dropped_in(row.name) or _NEVER)))
        by_name: dict[str, tuple[Dataset, Any]] = {}
        for row in rows:
            dataset = self._named_then(row.name)
            if dataset is not None:
                by_name[str(dataset)] = dataset, row
        return [
            _row(row, dataset, sums)
            for dataset, row in by_name.values()
            if row.id in seen or self.coverage(dataset).pieces
        ]

    def _named_then(self, name: str) -> Dataset | None:
        """Return the dataset that a row of this name was; none if it had been dropped."""
        dropped = dropped_in(name)
        if dropped is not None and dropped <= self.version():
            return None
        return Dataset.parse(plain_name(name))

    def _or_pinned(self, version: int | None) -> int:
        return self.version() if version is None else version

    def _sums(self, connection: Connection) -> dict[int, Any]:
        is_live = or_(_SEGMENTS.removed_in.is_(None), _SEGMENTS.removed_in > self.pinned)
        query = (
            select(
                _SEGMENTS.dataset_id,
                func.sum(_SEGMENTS.rows).label("rows"),
                func.sum(_SEGMENTS.size).label("bytes"),
                func.min(_SEGMENTS.min_ts).label("min_ts"),
                func.max(_SEGMENTS.max_ts).label("max_ts"),
            )
            .where(_SEGMENTS.added_in <= self.pinned, is_live)
            .group_by(_SEGMENTS.dataset_id)
        )
        return {row.dataset_id: row for row in connection.execute(query)}

    def _seen(self, connection: Connection) -> set[int]:
        """Return the numbers of the datasets of which something had been committed."""
        queries = [select(fact.table.c.dataset_id).where(fact <= self.pinned).distinct() for fact in _FACTS]
        # Batches say so only where no segment is left that could: a renamed dataset has those of its earlier name.
        batches = schema.batches.c
        has_segments = exists().where(_SEGMENTS.dataset_id == batches.dataset_id)
        queries.append(select(batches.dataset_id).where(batches.commit_id <= self.pinned, ~has_segments).distinct())
        seen = set[int]()
        for query in queries:
            seen.update(connection.execute(query).scalars())
        return seen


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
