"""The change feed: which segments each version added and removed.

It is read from the catalog, so it misses nothing that any process committed, and a reader that was away goes on where it
stopped. Who wants to know at once is told by :mod:`ticklake.catalog.listeners`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, or_, select, union

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact
from ticklake.catalog.database import Database
from ticklake.catalog.dataset_names import plain_name
from ticklake.catalog.segment_columns import SEGMENT, WITHOUT_DATA
from ticklake.catalog.versions import refuse_vacuumed
from ticklake.core.dataset import Dataset
from ticklake.core.results import DatasetChange
from ticklake.core.segment import Segment

__all__ = ["changes_since", "segments_of"]

_SEGMENTS = schema.segments.c
_AT_ONCE = 500


@dataclass
class _Moved:
    """The segments that a version added to a dataset, and those that it removed."""

    added: list[Segment] = field(default_factory=list)
    removed: list[Segment] = field(default_factory=list)


def changes_since(database: Database, version: int, limit: int | None = None) -> list[DatasetChange]:
    """Return what was committed after *version*, in the order of versions, and of names within one.

    Parameters
    ----------
    limit
        Stop after so many versions that changed segments. To continue, call it again with the last version returned. No
        segments of later versions are read.

    Raises
    ------
    CatalogError
        If *version* was vacuumed: segments removed since may be forgotten. Read the newest version instead, and continue from
        it.
    """
    with database.read() as connection:
        refuse_vacuumed(connection, version)
        versions = _versions(connection, version, limit)
        if not versions:
            return []
        moved = _moved_segments(connection, versions[0], versions[-1])
        commits = _commits(connection, versions)
    return [
        DatasetChange(
            number,
            commits[number].created_at,
            commits[number].operation,
            Dataset.parse(plain_name(name)),
            tuple(moved[number, name].added),
            tuple(moved[number, name].removed),
        )
        for number, name in sorted(moved)
    ]


def segments_of(database: Database, ids: Sequence[str]) -> dict[str, Segment]:
    """Return segments with the bytes of inline ones, by id; those that vacuum has removed are left out."""
    segments: dict[str, Segment] = {}
    for start in range(0, len(ids), _AT_ONCE):
        query = select(*SEGMENT).where(_SEGMENTS.id.in_(ids[start : start + _AT_ONCE]))
        with database.read() as connection:
            for row in connection.execute(query):
                segments[row.id] = Segment(*row)
    return segments


def _versions(connection: Connection, version: int, limit: int | None) -> list[int]:
    """Return the first versions after *version* that added or removed segments."""
    # By dataset: each row has its newest change, which spares most datasets, and segments are indexed by dataset.
    changed = schema.datasets.c.changed_in > version
    added_in = select(_SEGMENTS.added_in.label("version")).join(schema.datasets)
    removed_in = select(_SEGMENTS.removed_in.label("version")).join(schema.datasets)
    versions = union(
        added_in.where(changed, _SEGMENTS.added_in > version),
        removed_in.where(changed, _SEGMENTS.removed_in > version),
    ).subquery()
    query = select(versions.c.version).order_by(versions.c.version).limit(limit)
    return list(connection.execute(query).scalars())


def _moved_segments(connection: Connection, first: int, last: int) -> dict[tuple[int, str], _Moved]:
    """Return the segments added and removed from version *first* to *last*, by version and name of the dataset."""
    query = (
        select(
            intact(schema.datasets.c.id),
            schema.datasets.c.name,
            _SEGMENTS.added_in,
            _SEGMENTS.removed_in,
            *WITHOUT_DATA,
        )
        .join(schema.datasets)
        .where(schema.datasets.c.changed_in >= first)
        .where(or_(_SEGMENTS.added_in.between(first, last), _SEGMENTS.removed_in.between(first, last)))
        .order_by(_SEGMENTS.min_ts)
    )
    moved: dict[tuple[int, str], _Moved] = defaultdict(_Moved)
    for _, name, added_in, removed_in, *values in connection.execute(query):
        segment = Segment(*values)
        if first <= added_in <= last:
            moved[added_in, name].added.append(segment)
        if removed_in is not None and first <= removed_in <= last:
            moved[removed_in, name].removed.append(segment)
    return moved


def _commits(connection: Connection, versions: Sequence[int]) -> dict[int, Any]:
    """Return when and by which operation each version was committed."""
    columns = schema.commits.c
    within = columns.id.between(versions[0], versions[-1])
    query = select(intact(columns.id), columns.created_at, columns.operation).where(within)
    return {row.id: row for row in connection.execute(query)}
