"""The change feed: which segments each version added and removed.

It is read from the catalog, so it misses nothing that any process committed, and a reader that was away goes on where it
stopped. Who wants to know at once is told by :mod:`ticklake.catalog.listeners`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from sqlalchemy import Connection, or_, select

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact
from ticklake.catalog.database import Database
from ticklake.catalog.dataset_names import plain_name
from ticklake.catalog.segment_columns import WITHOUT_DATA
from ticklake.catalog.versions import refuse_vacuumed
from ticklake.core.dataset import Dataset
from ticklake.core.segment import Segment
from ticklake.core.span import Span, normalise

__all__ = ["DatasetChange", "changes_since"]

_SAME_ROWS = frozenset({"compact"})
"""Operations after which a dataset has the rows that it had before, in other segments."""


@dataclass(frozen=True, slots=True)
class DatasetChange:
    """What one version did to the segments of one dataset.

    ``committed_at`` is nanoseconds UTC by the clock of the writer. Segments come without the bytes of inline ones. A dataset that
    was dropped or renamed has the name it had before.
    """

    version: int
    committed_at: int
    operation: str
    dataset: Dataset
    added: tuple[Segment, ...] = ()
    removed: tuple[Segment, ...] = ()

    @property
    def spans(self) -> list[Span]:
        """The spans in which rows may have changed: sorted, disjoint, half-open; none if only the files are others."""
        if self.operation in _SAME_ROWS:
            return []
        return normalise(segment.span for segment in (*self.added, *self.removed))


def changes_since(database: Database, version: int, limit: int | None = None) -> Iterator[DatasetChange]:
    """Yield what was committed after *version*, in the order of versions, and of names within one.

    Parameters
    ----------
    limit
        Stop after so many versions that changed segments. To go on, ask again from the last one that came.

    Raises
    ------
    CatalogError
        If *version* was vacuumed: segments that left since may be forgotten. Read the newest version instead, and go on from it.
    """
    with database.read() as connection:
        refuse_vacuumed(connection, version)
        names = _changed_datasets(connection, version)
        added, removed = _moved_segments(connection, names, version)
        keys = sorted(added.keys() | removed.keys(), key=lambda key: (key[0], names[key[1]]))
        versions = sorted({number for number, _ in keys})[:limit]
        commits = _commits(connection, versions)
    for key in takewhile(lambda key: key[0] in commits, keys):
        number, dataset_id = key
        yield DatasetChange(
            number,
            commits[number].created_at,
            commits[number].operation,
            Dataset.parse(plain_name(names[dataset_id])),
            tuple(added.get(key, ())),
            tuple(removed.get(key, ())),
        )


_Moved = dict[tuple[int, int], list[Segment]]
"""Segments by version and number of the dataset."""


def _changed_datasets(connection: Connection, version: int) -> dict[int, str]:
    columns = schema.datasets.c
    query = select(intact(columns.id), columns.name).where(columns.changed_in > version)
    return {row.id: row.name for row in connection.execute(query)}


def _moved_segments(connection: Connection, datasets: dict[int, str], version: int) -> tuple[_Moved, _Moved]:
    """Return the segments that came and those that left after *version*."""
    columns = schema.segments.c
    query = select(columns.added_in, columns.removed_in, *WITHOUT_DATA).where(
        or_(columns.added_in > version, columns.removed_in > version)
    )
    added: _Moved = {}
    removed: _Moved = {}
    for dataset_id in datasets:
        for row in connection.execute(query.where(columns.dataset_id == dataset_id).order_by(columns.min_ts)):
            segment = Segment(*row[2:])
            if row.added_in > version:
                added.setdefault((row.added_in, dataset_id), []).append(segment)
            if row.removed_in is not None and row.removed_in > version:
                removed.setdefault((row.removed_in, dataset_id), []).append(segment)
    return added, removed


def _commits(connection: Connection, versions: list[int]) -> dict[int, Any]:
    if not versions:
        return {}
    columns = schema.commits.c
    within = columns.id.between(versions[0], versions[-1])
    query = select(intact(columns.id), columns.created_at, columns.operation).where(within)
    return {row.id: row for row in connection.execute(query)}
