"""The catalog's tables. Documented in ``docs/format/catalog.md``."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

__all__ = [
    "alerts",
    "audit_log",
    "batches",
    "commits",
    "coverage",
    "datasets",
    "feature_sets",
    "instrument_checks",
    "instruments",
    "jobs",
    "leases",
    "meta",
    "metadata",
    "provenance",
    "quality_days",
    "quarantine",
    "renames",
    "revisions",
    "rules",
    "run_log",
    "runs",
    "schedules",
    "segments",
    "sessions",
    "tokens",
    "unclosable",
    "wanted",
]

metadata = MetaData()
# SQLite numbers rows by itself only in a column that is declared INTEGER.
_ID = BigInteger().with_variant(Integer, "sqlite")


def _row_check() -> Column[int]:
    """Return the column with the checksum of a row; see :mod:`ticklake.catalog.checksums`."""
    return Column("row_check", BigInteger)


meta = Table(
    "meta",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
    _row_check(),
)

datasets = Table(
    "datasets",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("name", String, nullable=False, unique=True),
    Column("exchange", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("symbol", String, nullable=False),
    Column("timeframe", String),
    Column("keying", String, nullable=False),
    Column("id_space", String, nullable=False, default=""),
    Column("seq", BigInteger, nullable=False, default=0),
    Column("rows", BigInteger, nullable=False, default=0),
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("min_ts", BigInteger),
    Column("max_ts", BigInteger),
    Column("updated_at", BigInteger, nullable=False),
    Column("changed_in", BigInteger, nullable=False, default=0),
    Column("last_id", String),
    _row_check(),
)

commits = Table(
    "commits",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("created_at", BigInteger, nullable=False),
    Column("operation", String, nullable=False),
    _row_check(),
    # A version is never numbered like one that was lost or removed: changes are computed from versions.
    sqlite_autoincrement=True,
)

segments = Table(
    "segments",
    metadata,
    Column("id", String, primary_key=True),
    Column("dataset_id", _ID, ForeignKey("datasets.id"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("min_ts", BigInteger, nullable=False),
    Column("max_ts", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("digest", String, nullable=False),
    Column("path", String),
    Column("period", String, nullable=False, default=""),
    Column("added_in", _ID, nullable=False),
    Column("removed_in", _ID),
    Column("observed_at", BigInteger),
    _row_check(),
    # The large columns come last, so that readers of the others do not have to pass over them.
    Column("packed", LargeBinary, nullable=False),
    Column("data", LargeBinary),
    Index("segments_live", "dataset_id", "removed_in", "max_ts"),
)

coverage = Table(
    "coverage",
    metadata,
    Column("dataset_id", _ID, ForeignKey("datasets.id"), primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("end", BigInteger, nullable=False),
    Column("found", String, nullable=False),
    Column("reason", String, nullable=False, default=""),
    _row_check(),
    sqlite_with_rowid=False,
)

provenance = Table(
    "provenance",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("source", String, nullable=False),
    Column("endpoint", String, nullable=False),
    Column("tool", String, nullable=False),
    Column("id_space", String, nullable=False),
    Column("clock", String, nullable=False),
    Column("note", String, nullable=False),
    _row_check(),
    UniqueConstraint("source", "endpoint", "tool", "id_space", "clock", "note"),
)

revisions = Table(
    "revisions",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("dataset_id", _ID, ForeignKey("datasets.id"), nullable=False),
    Column("ts", BigInteger, nullable=False),
    Column("commit_id", _ID, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    _row_check(),
    Index("revisions_ts", "dataset_id", "ts"),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("dataset_id", _ID, ForeignKey("datasets.id"), nullable=False),
    Column("ts", BigInteger),
    Column("reason", String, nullable=False),
    Column("row", Text, nullable=False),
    Column("commit_id", _ID, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    _row_check(),
    UniqueConstraint("dataset_id", "reason", "row"),
)

batches = Table(
    "batches",
    metadata,
    Column("dataset_id", _ID, ForeignKey("datasets.id"), primary_key=True),
    Column("commit_id", _ID, primary_key=True),
    Column("batches", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("new", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("duplicate", BigInteger, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("first_id", String),
    Column("last_id", String),
    Column("before_ts", BigInteger),
    Column("before_id", String),
    Column("joins", String, nullable=False),
    Column("missing", BigInteger),
    _row_check(),
    sqlite_with_rowid=False,
)

quality_days = Table(
    "quality_days",
    metadata,
    Column("dataset_id", _ID, ForeignKey("datasets.id"), primary_key=True),
    Column("day", BigInteger, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("basis", String, nullable=False),
    Column("score", Float),
    Column("completeness_ratio", Float),
    Column("on_grid", Boolean, nullable=False),
    Column("open_time", BigInteger),
    Column("present_records", BigInteger, nullable=False),
    Column("missing_records", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("outliers", BigInteger, nullable=False),
    Column("stale_prices", BigInteger, nullable=False),
    Column("zero_volumes", BigInteger, nullable=False),
    Column("crossed_books", BigInteger, nullable=False),
    Column("judged_books", BigInteger, nullable=False),
    Column("gaps", Text, nullable=False),
    Column("quarantined", Text, nullable=False),
    _row_check(),
    sqlite_with_rowid=False,
)

instruments = Table(
    "instruments",
    metadata,
    Column("exchange", String, primary_key=True),
    Column("symbol", String, primary_key=True),
    Column("valid_from", BigInteger, primary_key=True),
    Column("valid_to", BigInteger),
    Column("native_id", String, nullable=False, default=""),
    Column("market_type", String, nullable=False, default=""),
    Column("listed_at", BigInteger),
    Column("details", Text, nullable=False, default="{}"),
    Column("delisted_at", BigInteger),
    Column("contract_size", Float),
    Column("tick_size", Float),
    Column("lot_size", Float),
    _row_check(),
    sqlite_with_rowid=False,
)

instrument_checks = Table(
    "instrument_checks",
    metadata,
    Column("exchange", String, primary_key=True),
    Column("checked_at", BigInteger, nullable=False),
    Column("listed", BigInteger, nullable=False),
    _row_check(),
    sqlite_with_rowid=False,
)

renames = Table(
    "renames",
    metadata,
    Column("exchange", String, primary_key=True),
    Column("old", String, primary_key=True),
    Column("new", String, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("noted_at", BigInteger, nullable=False),
    _row_check(),
    sqlite_with_rowid=False,
)

wanted = Table(
    "wanted",
    metadata,
    Column("dataset", String, primary_key=True),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    _row_check(),
    sqlite_with_rowid=False,
)

unclosable = Table(
    "unclosable",
    metadata,
    Column("dataset", String, primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("end", BigInteger, primary_key=True),
    Column("reason", String, primary_key=True),
    Column("detail", Text, nullable=False, default=""),
    Column("asked_at", BigInteger, nullable=False),
    _row_check(),
    sqlite_with_rowid=False,
)

runs = Table(
    "runs",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("operation", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("parameters", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("heartbeat_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("done", Float, nullable=False, default=0.0),
    Column("progress", Text, nullable=False, default="{}"),
    Column("outcome", Text, nullable=False, default=""),
    Column("process", String, nullable=False, default=""),
    Column("job_id", BigInteger),
    _row_check(),
    Index("runs_state", "state"),
    Index("runs_job", "job_id"),
    sqlite_autoincrement=True,
)

run_log = Table(
    "run_log",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("run_id", _ID, ForeignKey("runs.id"), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("level", String, nullable=False),
    Column("message", Text, nullable=False),
    _row_check(),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("operation", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("dataset", String),
    Column("parameters", Text, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("max_attempts", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("expires_at", BigInteger),
    Column("owner", String, nullable=False, default=""),
    Column("fence", BigInteger, nullable=False, default=0),
    Column("done", Float, nullable=False, default=0.0),
    Column("cancelling", Boolean, nullable=False, default=False),
    Column("outcome", Text, nullable=False, default=""),
    _row_check(),
    sqlite_autoincrement=True,
)
_ACTIVE, _QUEUED, _RUNNING = (
    text(f"state {words}") for words in ("IN ('queued', 'running')", "= 'queued'", "= 'running'")
)
Index("jobs_active", jobs.c.fingerprint, unique=True, sqlite_where=_ACTIVE)
Index("jobs_next", jobs.c.priority.desc(), jobs.c.id, sqlite_where=_QUEUED)
Index("jobs_running", jobs.c.expires_at, sqlite_where=_RUNNING)

leases = Table(
    "leases",
    metadata,
    Column("name", String, primary_key=True),
    Column("job_id", BigInteger, nullable=False, index=True),
    Column("fence", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    _row_check(),
)

schedules = Table(
    "schedules",
    metadata,
    Column("name", String, primary_key=True),
    Column("operation", String, nullable=False),
    Column("parameters", Text, nullable=False),
    Column("priority", Integer, nullable=False, default=0),
    Column("cron", String),
    Column("every", BigInteger),
    Column("zone", String, nullable=False, default="UTC"),
    Column("paused", Boolean, nullable=False, default=False),
    Column("managed", Boolean, nullable=False, default=False),
    Column("created_at", BigInteger, nullable=False),
    Column("next_at", BigInteger),
    Column("last_at", BigInteger),
    Column("last_job", BigInteger),
    Column("missed", BigInteger, nullable=False, default=0),
    _row_check(),
)

alerts = Table(
    "alerts",
    metadata,
    Column("rule", String, primary_key=True),
    Column("subject", String, primary_key=True),
    Column("text", Text, nullable=False),
    Column("since", BigInteger),
    Column("told_at", BigInteger),
    Column("is_told", Boolean, nullable=False),
    _row_check(),
)

rules = Table(
    "rules",
    metadata,
    Column("name", String, primary_key=True),
    Column("definition", Text, nullable=False),
    Column("hash", String, nullable=False),
    Column("read_version", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    _row_check(),
)

feature_sets = Table(
    "feature_sets",
    metadata,
    Column("name", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("definition", Text, nullable=False),
    Column("hash", String, nullable=False),
    Column("state", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    _row_check(),
    sqlite_with_rowid=False,
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("name", String, nullable=False),
    Column("role", String, nullable=False),
    Column("digest", String, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("used_at", BigInteger),
    _row_check(),
    Index("tokens_name", "name", unique=True, sqlite_where=text("revoked_at IS NULL")),
    # A number is never used twice: sessions and the audit log refer to it.
    sqlite_autoincrement=True,
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String, primary_key=True),
    Column("token_id", _ID, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    _row_check(),
    sqlite_with_rowid=False,
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("caller", String, nullable=False),
    Column("role", String, nullable=False),
    Column("address", String, nullable=False),
    Column("method", String, nullable=False),
    Column("path", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("is_minor", Boolean, nullable=False),
    Column("detail", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    _row_check(),
    Index("audit_log_minor", "is_minor", "id"),
    sqlite_autoincrement=True,
)
