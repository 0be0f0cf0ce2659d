"""Removal: what vacuum deletes from the lake for ever, and the paths that it must not touch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from sqlalchemy import bindparam, select

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact
from ticklake.catalog.coverage_log import trim_coverage_log
from ticklake.catalog.database import Database
from ticklake.catalog.segment_columns import WITHOUT_DATA
from ticklake.catalog.versions import oldest_version, set_oldest_version
from ticklake.core.dataset import Dataset
from ticklake.core.segment import Segment

__all__ = ["forget_history", "forget_segments", "known_paths", "remove_unnamed", "retired_segments"]

_REMOVED_AT_ONCE = 100
"""How many files are deleted while writers wait."""


def retired_segments(database: Database, dataset: Dataset | None = None) -> list[tuple[int, Segment]]:
    """Return the segments that are no longer live, each with the version that removed it."""
    query = select(schema.segments.c.removed_in, *WITHOUT_DATA).where(schema.segments.c.removed_in.is_not(None))
    if dataset is not None:
        query = query.join(schema.datasets).where(schema.datasets.c.name == str(dataset))
    with database.read() as connection:
        rows = connection.execute(query).all()
    return [(row[0], Segment(*row[1:])) for row in rows]


def forget_segments(database: Database, segments: Iterable[tuple[int, Segment]]) -> None:
    """Delete retired segments for ever, each given with the version that removed it.

    Versions before the newest of these can no longer be read.
    """
    rows: list[dict[str, str]] = []
    oldest = 0
    for removed_in, segment in segments:
        rows.append({"segment": segment.id})
        oldest = max(oldest, removed_in)
    if not rows:
        return
    columns = schema.segments.c
    delete = schema.segments.delete().where(columns.id == bindparam("segment"), columns.removed_in.is_not(None))
    with database.write() as connection:
        connection.execute(delete, rows)
        set_oldest_version(connection, max(oldest_version(connection), oldest))


def forget_history(database: Database, version: int) -> None:
    """Delete what is only needed for the coverage of versions older than *version*."""
    with database.write() as connection:
        trim_coverage_log(connection, version)


def known_paths(database: Database) -> set[str]:
    """Return the path of every file segment in the catalog, live or retired."""
    query = select(intact(schema.segments.c.path)).where(schema.segments.c.path.is_not(None))
    with database.read() as connection:
        return set(filter(None, connection.execute(query).scalars()))


def remove_unnamed(database: Database, paths: Mapping[str, str], remove: Callable[[str], None]) -> list[str]:
    """Call *remove* with the keys of objects whose paths no segment has; return these keys.

    *paths* are the paths of segments by the keys of objects.
    """
    # Under the write lock, so that no commit names such a file meanwhile; for a few at a time, so that writers get a turn.
    removed: list[str] = []
    remaining = iter(paths.items())
    while part := dict(islice(remaining, _REMOVED_AT_ONCE)):
        query = select(schema.segments.c.path).where(schema.segments.c.path.in_(set(part.values())))
        # Nothing is written in it: the transaction is there for its lock.
        with database.write(durable=False) as connection:
            named = set(connection.execute(query).scalars())
            for key, path in part.items():
                if path not in named:
                    remove(key)
                    removed.append(key)
    return removed
