"""Versions: the newest one, and the oldest one that can still be read."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact
from ticklake.catalog.upsert import insert_or_replace
from ticklake.errors import VersionGone

__all__ = ["NEWEST", "newest_version", "oldest_version", "refuse_vacuumed", "set_oldest_version"]

NEWEST = select(func.coalesce(func.max(schema.commits.c.id), 0))
"""Selects the newest version; 0 for an empty lake."""
_OLDEST = "oldest_version"


def newest_version(connection: Connection) -> int:
    """Return the newest version; 0 for an empty lake."""
    return int(connection.execute(NEWEST).scalar_one())


def oldest_version(connection: Connection) -> int:
    """Return the oldest version that vacuum has left readable."""
    value = connection.execute(select(intact(schema.meta.c.value)).where(schema.meta.c.key == _OLDEST)).scalar()
    return int(value or 0)


def set_oldest_version(connection: Connection, version: int) -> None:
    """Record that versions before *version* can no longer be read."""
    connection.execute(insert_or_replace(schema.meta), {"key": _OLDEST, "value": str(version)})


def refuse_vacuumed(connection: Connection, version: int | None) -> None:
    """Refuse a version that can no longer be read.

    Raises
    ------
    VersionGone
        If *version* was vacuumed.
    """
    if version is not None and version < (oldest := oldest_version(connection)):
        raise VersionGone(f"version {version} was vacuumed: the oldest that can be read is {oldest}")
