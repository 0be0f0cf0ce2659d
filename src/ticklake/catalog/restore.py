"""Restore: what a rebuild writes into a new catalog besides the rows that it copies."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, case, func, select

from ticklake.catalog import schema
from ticklake.catalog.database import Database
from ticklake.catalog.parameters import attributes
from ticklake.core.dataset import Dataset
from ticklake.core.merge import Keying
from ticklake.core.segment import Segment

__all__ = ["correct_segments", "go_on_after", "mark_changed", "restore_summary"]

_FACTS = ("seq", "rows", "min_ts", "max_ts", "size", "digest", "period", "packed", "observed_at")


def correct_segments(database: Database, segments: Sequence[Segment]) -> None:
    """Overwrite what the catalog records of file segments with what is read from the files."""
    table = schema.segments
    with database.write() as connection:
        for segment in segments:
            facts = attributes(segment, _FACTS)
            connection.execute(table.update().where(table.c.id == segment.id).values(facts))


def go_on_after(database: Database, version: int) -> None:
    """Number the next commit of a new catalog higher than *version*, which was acknowledged in the old one."""
    with database.write() as connection:
        row = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = 'commits'").first()
        if row is not None and row.seq >= version:
            return
        connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = 'commits'")
        connection.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES ('commits', ?)", (version,))


def mark_changed(database: Database, version: int) -> None:
    """Mark every dataset as changed, so that commits computed from the old catalog are refused and computed again."""
    with database.write() as connection:
        connection.execute(schema.datasets.update().values(changed_in=version))


def restore_summary(database: Database, dataset: Dataset, keying: Keying, rows: int, version: int) -> None:
    """Compute the summary of a dataset from its live segments, which hold *rows* rows together."""
    table, segments = schema.datasets, schema.segments
    mine = segments.c.dataset_id == select(table.c.id).where(table.c.name == str(dataset)).scalar_subquery()
    live = and_(mine, segments.c.removed_in.is_(None))
    first = select(func.min(segments.c.min_ts)).where(live).scalar_subquery()
    last = select(func.max(segments.c.max_ts)).where(live).scalar_subquery()
    size = select(func.coalesce(func.sum(segments.c.size), 0)).where(live).scalar_subquery()
    newest = select(func.coalesce(func.max(segments.c.seq), 0)).where(mine).scalar_subquery()
    values = {
        "keying": keying,
        "rows": rows,
        "bytes": size,
        # It never gets lower: segments that could not be read may have had higher numbers.
        "seq": case((table.c.seq > newest, table.c.seq), else_=newest),
        "min_ts": first,
        "max_ts": last,
        "last_id": case((table.c.max_ts == last, table.c.last_id), else_=None),
        "changed_in": version,
    }
    with database.write() as connection:
        connection.execute(table.update().where(table.c.name == str(dataset)).values(values))
