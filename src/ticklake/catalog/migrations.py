"""The catalog's schema versions: each migration takes it one step forward, never back."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from sqlalchemy import Connection, create_mock_engine, inspect
from sqlalchemy.dialects import sqlite

from ticklake.catalog import schema
from ticklake.catalog.checksums import row_check
from ticklake.errors import CatalogDamaged, CatalogTooNew

__all__ = ["MIGRATIONS", "NEWEST", "current_version", "migrate"]


def _checksums_of_blocks(connection: Connection) -> None:
    """Schema 2: checksums of the blocks of files, and in which version a dataset changed last."""
    connection.exec_driver_sql("ALTER TABLE segments ADD COLUMN packed BLOB NOT NULL DEFAULT x''")
    connection.exec_driver_sql("ALTER TABLE datasets ADD COLUMN changed_in BIGINT NOT NULL DEFAULT 0")


def _quality_and_continuity(connection: Connection) -> None:
    """Schema 3: the quality of each day, how batches joined, and the newest id of a dataset."""
    _execute(connection, _QUALITY_AND_CONTINUITY)


_QUALITY_AND_CONTINUITY = (
    "CREATE TABLE quality_days (dataset_id INTEGER NOT NULL, day BIGINT NOT NULL, version BIGINT NOT NULL, "
    "basis VARCHAR NOT NULL, score FLOAT, completeness_ratio FLOAT, on_grid BOOLEAN NOT NULL, open_time BIGINT, "
    "present_records BIGINT NOT NULL, missing_records BIGINT NOT NULL, duplicates BIGINT NOT NULL, "
    "outliers BIGINT NOT NULL, stale_prices BIGINT NOT NULL, zero_volumes BIGINT NOT NULL, "
    "crossed_books BIGINT NOT NULL, judged_books BIGINT NOT NULL, gaps TEXT NOT NULL, quarantined TEXT NOT NULL, "
    "PRIMARY KEY (dataset_id, day), FOREIGN KEY(dataset_id) REFERENCES datasets (id)) WITHOUT ROWID",
    "CREATE TABLE batches (dataset_id INTEGER NOT NULL, commit_id INTEGER NOT NULL, batches BIGINT NOT NULL, "
    "received BIGINT NOT NULL, new BIGINT NOT NULL, changed BIGINT NOT NULL, duplicate BIGINT NOT NULL, "
    'start BIGINT NOT NULL, "end" BIGINT NOT NULL, first_id VARCHAR, last_id VARCHAR, before_ts BIGINT, '
    "before_id VARCHAR, joins VARCHAR NOT NULL, missing BIGINT, PRIMARY KEY (dataset_id, commit_id), "
    "FOREIGN KEY(dataset_id) REFERENCES datasets (id)) WITHOUT ROWID",
    "ALTER TABLE datasets ADD COLUMN last_id VARCHAR",
)


def _jobs(connection: Connection) -> None:
    """Schema 4: jobs, leases and schedules, and which job a run belongs to."""
    _execute(connection, _JOBS)


_JOBS = (
    "ALTER TABLE runs ADD COLUMN job_id BIGINT",
    "CREATE INDEX runs_state ON runs (state)",
    "CREATE INDEX runs_job ON runs (job_id)",
    "CREATE TABLE jobs (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, operation VARCHAR NOT NULL, subject VARCHAR NOT NULL, dataset VARCHAR, "
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
    _execute(connection, _INSTRUMENTS_AND_GAP_NOTES)


_INSTRUMENTS_AND_GAP_NOTES = (
    "CREATE TABLE instrument_checks (exchange VARCHAR NOT NULL, checked_at BIGINT NOT NULL, listed BIGINT NOT NULL, "
    "PRIMARY KEY (exchange)) WITHOUT ROWID",
    "CREATE TABLE renames (exchange VARCHAR NOT NULL, old VARCHAR NOT NULL, new VARCHAR NOT NULL, at BIGINT NOT NULL, "
    "noted_at BIGINT NOT NULL, PRIMARY KEY (exchange, old, new)) WITHOUT ROWID",
    'CREATE TABLE wanted (dataset VARCHAR NOT NULL, start BIGINT NOT NULL, "end" BIGINT NOT NULL, '
    "PRIMARY KEY (dataset)) WITHOUT ROWID",
    'CREATE TABLE unclosable (dataset VARCHAR NOT NULL, start BIGINT NOT NULL, "end" BIGINT NOT NULL, '
    "reason VARCHAR NOT NULL, detail TEXT NOT NULL, asked_at BIGINT NOT NULL, "
    'PRIMARY KEY (dataset, start, "end", reason)) WITHOUT ROWID',
    "ALTER TABLE instruments ADD COLUMN delisted_at BIGINT",
    "ALTER TABLE instruments ADD COLUMN contract_size FLOAT",
    "ALTER TABLE instruments ADD COLUMN tick_size FLOAT",
    "ALTER TABLE instruments ADD COLUMN lot_size FLOAT",
)


def _alerts(connection: Connection) -> None:
    """Schema 6: what is remembered of alerts."""
    connection.exec_driver_sql(
        "CREATE TABLE alerts (rule VARCHAR NOT NULL, subject VARCHAR NOT NULL, text TEXT NOT NULL, since BIGINT, "
        "told_at BIGINT, is_told BOOLEAN NOT NULL, PRIMARY KEY (rule, subject))"
    )


def _row_checks(connection: Connection) -> None:
    """Schema 7: checksums of rows, and when the rows of a segment were observed.

    The columns of ``segments`` come before its data, so that no reader has to pass over that.
    """
    _execute(connection, _SEGMENTS_WITH_CHECKS)
    for table, columns in _CHECKED.items():
        if table != "segments":
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN row_check BIGINT")
        connection.exec_driver_sql(f"UPDATE {table} SET row_check = ticklake_check({columns})")  # noqa: S608


_KEPT = "id, dataset_id, seq, rows, min_ts, max_ts, size, digest, path, period, added_in, removed_in, packed, data"
_SEGMENTS_WITH_CHECKS = (
    "CREATE TABLE new_segments (id VARCHAR NOT NULL, dataset_id INTEGER NOT NULL, seq BIGINT NOT NULL, "
    "rows BIGINT NOT NULL, min_ts BIGINT NOT NULL, max_ts BIGINT NOT NULL, size BIGINT NOT NULL, "
    "digest VARCHAR NOT NULL, path VARCHAR, period VARCHAR NOT NULL, added_in INTEGER NOT NULL, removed_in INTEGER, "
    "observed_at BIGINT, row_check BIGINT, packed BLOB NOT NULL, data BLOB, PRIMARY KEY (id), "
    "FOREIGN KEY(dataset_id) REFERENCES datasets (id))",
    f"INSERT INTO new_segments ({_KEPT}) SELECT {_KEPT} FROM segments",  # noqa: S608
    "DROP TABLE segments",
    "ALTER TABLE new_segments RENAME TO segments",
    "CREATE INDEX segments_live ON segments (dataset_id, removed_in, max_ts)",
)
_CHECKED = {
    "commits": "id, created_at, operation",
    "datasets": "id, name, exchange, kind, symbol, timeframe, keying, id_space, seq, rows, bytes, min_ts, max_ts, "
    "updated_at, changed_in, last_id",
    "segments": "id, dataset_id, seq, rows, min_ts, max_ts, size, digest, path, period, added_in, removed_in, "
    "observed_at, packed",
    "coverage": 'dataset_id, start, "end", found, reason',
    "provenance": "id, source, endpoint, tool, id_space, clock, note",
    "revisions": 'id, dataset_id, ts, commit_id, created_at, "before", "after"',
    "quarantine": 'id, dataset_id, ts, reason, "row", commit_id, created_at',
    "batches": 'dataset_id, commit_id, batches, received, new, changed, duplicate, start, "end", first_id, last_id, '
    "before_ts, before_id, joins, missing",
    "quality_days": "dataset_id, day, version, basis, score, completeness_ratio, on_grid, open_time, present_records, "
    "missing_records, duplicates, outliers, stale_prices, zero_volumes, crossed_books, judged_books, gaps, quarantined",
    "instruments": "exchange, symbol, valid_from, valid_to, native_id, market_type, listed_at, details, delisted_at, "
    "contract_size, tick_size, lot_size",
    "instrument_checks": "exchange, checked_at, listed",
    "renames": "exchange, old, new, at, noted_at",
    "wanted": 'dataset, start, "end"',
    "unclosable": 'dataset, start, "end", reason, detail, asked_at',
    "runs": "id, operation, subject, parameters, state, started_at, finished_at, done, progress, outcome, job_id",
    "run_log": "id, run_id, created_at, level, message",
}
"""Of each table, the columns that the checksum of schema 7 is of, in their order."""


def _row_checks_of_work(connection: Connection) -> None:
    """Schema 8: checksums also of what is known of the lake itself, of jobs, schedules and alerts."""
    _execute(connection, [f"ALTER TABLE {table} ADD COLUMN row_check BIGINT" for table in _ALSO_CHECKED])
    for table, columns in _ALSO_CHECKED.items():
        connection.exec_driver_sql(f"UPDATE {table} SET row_check = ticklake_check({columns})")  # noqa: S608


_ALSO_CHECKED = {
    "meta": "key, value",
    "jobs": "id, operation, subject, dataset, parameters, fingerprint, priority, state, attempts, max_attempts, created_at, "
    "due_at, started_at, finished_at, expires_at, owner, fence, done, cancelling, outcome",
    "leases": "name, job_id, fence, expires_at",
    "schedules": "name, operation, parameters, priority, cron, every, zone, paused, managed, created_at, next_at, last_at, "
    "last_job, missed",
    "alerts": "rule, subject, text, since, told_at, is_told",
}
"""Of each table that schema 8 checks, too, the columns of the checksum, in their order."""


def _rules_and_feature_sets(connection: Connection) -> None:
    """Schema 9: the rules by which derived rows are made, and sets of features."""
    _execute(connection, _RULES_AND_FEATURE_SETS)


_RULES_AND_FEATURE_SETS = (
    "CREATE TABLE rules (name VARCHAR NOT NULL PRIMARY KEY, definition TEXT NOT NULL, hash VARCHAR NOT NULL, "
    "read_version BIGINT NOT NULL, state VARCHAR NOT NULL, created_at BIGINT NOT NULL, row_check BIGINT)",
    "CREATE TABLE feature_sets (name VARCHAR NOT NULL, version VARCHAR NOT NULL, definition TEXT NOT NULL, "
    "hash VARCHAR NOT NULL, state VARCHAR NOT NULL, created_at BIGINT NOT NULL, row_check BIGINT, "
    "PRIMARY KEY (name, version)) WITHOUT ROWID",
)


def _tokens_and_audit_log(connection: Connection) -> None:
    """Schema 10: the tokens and sessions of a server's callers, and who did what."""
    _execute(connection, _TOKENS_AND_AUDIT_LOG)


_TOKENS_AND_AUDIT_LOG = (
    "CREATE TABLE tokens (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, name VARCHAR NOT NULL, role VARCHAR NOT NULL, "
    "digest VARCHAR NOT NULL, created_at BIGINT NOT NULL, expires_at BIGINT, revoked_at BIGINT, used_at BIGINT, "
    "row_check BIGINT, UNIQUE (digest))",
    "CREATE UNIQUE INDEX tokens_name ON tokens (name) WHERE revoked_at IS NULL",
    "CREATE TABLE sessions (digest VARCHAR NOT NULL, token_id INTEGER NOT NULL, created_at BIGINT NOT NULL, "
    "expires_at BIGINT NOT NULL, row_check BIGINT, PRIMARY KEY (digest)) WITHOUT ROWID",
    "CREATE TABLE audit_log (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, at BIGINT NOT NULL, caller VARCHAR NOT NULL, "
    "role VARCHAR NOT NULL, address VARCHAR NOT NULL, method VARCHAR NOT NULL, path VARCHAR NOT NULL, "
    "status INTEGER NOT NULL, is_minor BOOLEAN NOT NULL, detail TEXT NOT NULL, count BIGINT NOT NULL, row_check BIGINT)",
    "CREATE INDEX audit_log_minor ON audit_log (is_minor, id)",
)


def _execute(connection: Connection, statements: Iterable[str]) -> None:
    """Execute literal statements: what ``schema.py`` says later on must not change a step of the past."""
    for statement in statements:
        connection.exec_driver_sql(statement)


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (
    _checksums_of_blocks,
    _quality_and_continuity,
    _jobs,
    _instruments_and_gap_notes,
    _alerts,
    _row_checks,
    _row_checks_of_work,
    _rules_and_feature_sets,
    _tokens_and_audit_log,
)
"""Step *i* brings schema *i + 1* to schema *i + 2*.

Each is written out and never edited: it does the same for ever, whatever ``schema.py`` says by then.
"""

NEWEST = len(MIGRATIONS) + 1
"""The schema that ``schema.py`` describes: what a new catalog gets at once."""


def current_version(connection: Connection) -> int:
    """Return the schema version of the catalog behind *connection*; 0 if it is empty."""
    if not inspect(connection).has_table("meta"):
        return 0
    row = connection.exec_driver_sql("SELECT * FROM meta WHERE key = 'schema'").mappings().first()
    if row is None:
        return 0
    # As text, because a flipped bit makes bytes of it; before schema 8 there is no checksum.
    value, check = str(row["value"]), row.get("row_check")
    is_known = value.isdecimal() and int(value) <= NEWEST  # what a newer one writes there is not for us to judge
    if not value.isdecimal() or (is_known and check not in {None, row_check("schema", value)}):
        raise CatalogDamaged(f"the catalog's schema version is {value!r}: restore a backup or run 'ticklake rebuild'")
    return int(value)


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
        _create_tables(connection)
        _note(connection, "lake", uuid.uuid4().hex)
    for step in MIGRATIONS[version - 1 :] if version else ():
        step(connection)
    connection.execute(schema.meta.delete().where(schema.meta.c.key == "schema"))
    _note(connection, "schema", str(NEWEST))


def _create_tables(connection: Connection) -> None:
    """Create the tables and indexes of the newest schema that do not exist."""
    if inspect(connection).get_table_names():
        schema.metadata.create_all(connection)
        return
    for statement in _create_statements():
        connection.exec_driver_sql(statement)


@cache  # to write them and to look for each table first took half the time of making a lake
def _create_statements() -> tuple[str, ...]:
    statements: list[str] = []
    dialect = sqlite.dialect()

    def note(statement: Any, *_arguments: Any, **_options: Any) -> None:
        statements.append(str(statement.compile(dialect=dialect)))

    recorder: Any = create_mock_engine("sqlite://", note)
    schema.metadata.create_all(recorder, checkfirst=False)
    return tuple(statements)


def _note(connection: Connection, key: str, value: str) -> None:
    """Write a row of ``meta`` with its checksum: while a catalog is made or migrated, no trigger does."""
    connection.execute(schema.meta.insert().values(key=key, value=value, row_check=row_check(key, value)))
