"""The catalog's schema versions: each migration takes it one step forward, never back."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from sqlalchemy import Connection, inspect, select

from ticklake.catalog import schema
from ticklake.errors import CatalogDamaged, CatalogTooNew

__all__ = ["MIGRATIONS", "current_version", "migrate"]


def _create(connection: Connection) -> None:
    schema.metadata.create_all(connection)
    connection.execute(schema.meta.insert().values(key="lake", value=uuid.uuid4().hex))


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_create,)
"""Migration *i* brings version *i* to version *i + 1*; appended to, never edited after a release."""


def current_version(connection: Connection) -> int:
    """Return the schema version of the catalog behind *connection*; 0 if it is empty."""
    if not inspect(connection).has_table("meta"):
        return 0
    value = connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == "schema")).scalar()
    if value is not None and not value.isdecimal():
        raise CatalogDamaged(f"the catalog's schema version is {value!r}: restore a backup or run 'ticklake rebuild'")
    return int(value) if value is not None else 0


def migrate(connection: Connection, where: str) -> None:
    """Bring the catalog forward to the newest version this Ticklake knows.

    Raises
    ------
    CatalogTooNew
        If a newer Ticklake wrote it; nothing is changed then.
    """
    version, newest = current_version(connection), len(MIGRATIONS)
    if version > newest:
        raise CatalogTooNew(
            f"{where} has schema {version}, this ticklake knows {newest}: "
            "upgrade with pip install -U ticklake; nothing was changed"
        )
    for step in MIGRATIONS[version:]:
        step(connection)
    if version < newest:
        connection.execute(schema.meta.delete().where(schema.meta.c.key == "schema"))
        connection.execute(schema.meta.insert().values(key="schema", value=str(newest)))
