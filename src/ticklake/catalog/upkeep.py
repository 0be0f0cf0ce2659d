"""When a lake was last backed up and verified: notes in the catalog, for those who watch over it."""

from __future__ import annotations

from sqlalchemy import select

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact
from ticklake.catalog.database import Database
from ticklake.catalog.upsert import insert_or_replace

__all__ = ["last_done", "note_done"]

_PREFIX = "last "
_META = schema.meta.c


def note_done(database: Database, what: str, at: int) -> None:
    """Note that something was done to the whole lake, like ``backup``."""
    with database.write(durable=False) as connection:
        connection.execute(insert_or_replace(schema.meta), {"key": f"{_PREFIX}{what}", "value": str(at)})


def last_done(database: Database) -> dict[str, int]:
    """Return when each of these things was last done, in nanoseconds."""
    query = select(intact(_META.key), _META.value).where(_META.key.startswith(_PREFIX, autoescape=True))
    with database.read() as connection:
        return {row[0].removeprefix(_PREFIX): int(row[1]) for row in connection.execute(query)}
