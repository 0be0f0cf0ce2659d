"""The table of the audit log: append-only, and bounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from ticklake.catalog import schema
from ticklake.catalog.checksums import rows_of
from ticklake.catalog.database import Database
from ticklake.catalog.parameters import attributes
from ticklake.core.audit_log import AuditEntry, is_refusal

__all__ = ["AuditLog"]

KEPT = 100_000
"""Entries that are kept; the oldest are forgotten."""
KEPT_MINOR = 10_000
"""Of queries and refusals fewer: whoever sends many of them must not push out what was done."""
_TRIMMED_AFTER = 500
"""New entries until the oldest are removed: to find them takes milliseconds."""
_TABLE = schema.audit_log
_COLUMNS = ("at", "caller", "role", "address", "method", "path", "status", "is_minor", "detail", "count")


class AuditLog:
    """Who did what, in the catalog."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._added = {False: _TRIMMED_AFTER, True: _TRIMMED_AFTER}
        """Entries of each sort since the oldest were removed."""

    def add(self, entries: Sequence[AuditEntry]) -> None:
        """Append entries in one transaction."""
        # Not durable: the next durable transaction is, and who sends many requests shall not make the disk work.
        with self._database.write(durable=False) as connection:
            connection.execute(_TABLE.insert(), [attributes(entry, _COLUMNS) for entry in entries])
            for entry in entries:
                self._added[entry.is_minor] += 1
            for is_minor, kept in ((False, KEPT), (True, KEPT_MINOR)):
                if self._added[is_minor] > _TRIMMED_AFTER:
                    _trim(connection, is_minor, kept)
                    self._added[is_minor] = 0

    def newest(self, limit: int, before: int | None = None) -> list[AuditEntry]:
        """Return the newest entries, the last one first; with *before*, the newest of those whose number is below it."""
        query = rows_of(_TABLE).order_by(_TABLE.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(_TABLE.c.id < before)
        with self._database.read() as connection:
            return [_entry(row) for row in connection.execute(query)]


def _trim(connection: Connection, is_minor: bool, kept: int) -> None:
    """Remove what is older than the newest *kept* entries of their sort."""
    of_sort = _TABLE.c.is_minor.is_(is_minor)
    # Null if there are fewer, and then nothing is older.
    newest_removed = select(_TABLE.c.id).where(of_sort).order_by(_TABLE.c.id.desc()).offset(kept).limit(1)
    connection.execute(delete(_TABLE).where(of_sort, _TABLE.c.id <= newest_removed.scalar_subquery()))


def _entry(row: Row[Any]) -> AuditEntry:
    values = dict(row._mapping)
    is_query = bool(values.pop("is_minor")) and not is_refusal(row.status)
    return AuditEntry(**values, is_query=is_query)
