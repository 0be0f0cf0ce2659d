"""The catalog's schema versions: each migration takes it one step forward, never back."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from sqlalchemy import Connection, inspect, select

from ticklake.catalog import schema
from ticklake.errors import CatalogDamaged, CatalogTooNew

__all__ = ["MIGRATIONS", "NEWEST", "current_version", "migrate"]


def _checksums_of_blocks(connection: Connection) -> None:
    """Schema 2: checksums of the blocks of files, and in which version a dataset changed last."""
    empty = "BYTEA NOT NULL DEFAULT ''" if connection.dialect.name == "postgresql" else "BLOB NOT NULL DEFAULT x''"
    connection.exec_driver_sql(f"ALTER TABLE segments ADD COLUMN packed {empty}")
    connection.exec_driver_sql("ALTER TABLE datasets ADD COLUMN changed_in BIGINT NOT NULL DEFAULT 0")


def _quality_and_continuity(connection: Connection) -> None:
    """Schema 3: the quality of each day, how batches joined, and the newest id of a dataset."""
    schema.metadata.create_all(connection, tables=[schema.quality_days, schema.batches])
    connection.exec_driver_sql("ALTER TABLE datasets ADD COLUMN last_id VARCHAR")


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_checksums_of_blocks, _quality_and_continuity)
"""Step *i* brings schema *i + 1* to schema *i + 2*; appended to, never edited after a release."""

NEWEST = len(MIGRATIONS) + 1
"""The schema that ``schema.py`` describes: what a new catalog gets at once."""


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
    version = current_version(connection)
    if version > NEWEST:
        raise CatalogTooNew(
            f"{where} has schema {version}, this ticklake knows {NEWEST}: "
            "upgrade with pip install -U ticklake; nothing was changed"
        )
    if version == NEWEST:
        return
    if version == 0:
        schema.metadata.create_all(connection)
        connection.execute(schema.meta.insert().values(key="lake", value=uuid.uuid4().hex))
    for step in MIGRATIONS[version - 1 :] if version else ():
        step(connection)
    connection.execute(schema.meta.delete().where(schema.meta.c.key == "schema"))
    connection.execute(schema.meta.insert().values(key="schema", value=str(NEWEST)))
