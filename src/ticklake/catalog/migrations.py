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


def _jobs(connection: Connection) -> None:
    """Schema 4: jobs, leases and schedules, and which job a run belongs to."""
    postgres = connection.dialect.name == "postgresql"
    number = "BIGSERIAL PRIMARY KEY" if postgres else "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT"
    for statement in _JOBS:
        connection.exec_driver_sql(statement.format(number=number))


_JOBS = (
    "ALTER TABLE runs ADD COLUMN job_id BIGINT",
    "CREATE INDEX runs_state ON runs (state)",
    "CREATE INDEX runs_job ON runs (job_id)",
    "CREATE TABLE jobs (id {number}, operation VARCHAR NOT NULL, subject VARCHAR NOT NULL, dataset VARCHAR, "
    "parameters TEXT NOT NULL, fingerprint VARCHAR NOT NULL, priority INTEGER NOT NULL, state VARCHAR NOT NULL, "
    "attempts INTEGER NOT NULL, max_attempts INTEGER NOT NULL, created_at BIGINT NOT NULL, due_at BIGINT NOT NULL, "
    "started_at BIGINT, finished_at BIGINT, expires_at BIGINT, owner VARCHAR NOT NULL, fence BIGINT NOT NULL, "
    "done FLOAT NOT NULL, cancelling BOOLEAN NOT NULL, outcome TEXT NOT NULL)",
    "CREATE UNIQUE INDEX jobs_active ON jobs (fingerprint) WHERE state IN ('queued', 'running')",
    "CREATE INDEX jobs_next ON jobs (priority DESC, id) WHERE state = 'queued'",
    "CREATE INDEX jobs_running ON jobs (expires_at) WHERE state = 'running'",
    "CREATE TABLE leases (name VARCHAR NOT NULL PRIMARY KEY, job_id BIGINT NOT NULL, fence BIGINT NOT NULL, "
    "expires_at BIGINT NOT NULL)",
    "CREATE INDEX ix_leases_job_id ON leases (job_id)",
    "CREATE TABLE schedules (name VARCHAR NOT NULL PRIMARY KEY, operation VARCHAR NOT NULL, parameters TEXT NOT NULL, "
    "priority INTEGER NOT NULL, cron VARCHAR, every BIGINT, zone VARCHAR NOT NULL, paused BOOLEAN NOT NULL, "
    "managed BOOLEAN NOT NULL, created_at BIGINT NOT NULL, next_at BIGINT, last_at BIGINT, last_job BIGINT, "
    "missed BIGINT NOT NULL)",
)


def _instruments_and_gap_notes(connection: Connection) -> None:
    """Schema 5: terms and delisting of instruments, renames, what was wanted, and what was asked again in vain."""
    tables = [schema.instrument_checks, schema.renames, schema.wanted, schema.unclosable]
    schema.metadata.create_all(connection, tables=tables)
    number = "DOUBLE PRECISION" if connection.dialect.name == "postgresql" else "FLOAT"
    connection.exec_driver_sql("ALTER TABLE instruments ADD COLUMN delisted_at BIGINT")
    for name in ("contract_size", "tick_size", "lot_size"):
        connection.exec_driver_sql(f"ALTER TABLE instruments ADD COLUMN {name} {number}")


def _alerts(connection: Connection) -> None:
    """Schema 6: what is remembered of alerts."""
    connection.exec_driver_sql(
        "CREATE TABLE alerts (rule VARCHAR NOT NULL, subject VARCHAR NOT NULL, text TEXT NOT NULL, since BIGINT, "
        "told_at BIGINT, is_told BOOLEAN NOT NULL, PRIMARY KEY (rule, subject))"
    )


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (
    _checksums_of_blocks,
    _quality_and_continuity,
    _jobs,
    _instruments_and_gap_notes,
    _alerts,
)
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
