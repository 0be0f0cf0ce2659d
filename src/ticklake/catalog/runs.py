"""Runs: one execution of an operation each, kept for ever."""

from __future__ import annotations

import itertools
import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, func, select

from ticklake.catalog import schema
from ticklake.catalog.database import Database
from ticklake.core.time import SECOND
from ticklake.errors import BadInput, CatalogError, StorageError

__all__ = ["LogLine", "Run", "RunState", "Runs"]

LEASE = 60 * SECOND
"""A running run that gave no sign of life for this long, and whose process is gone, was killed."""
LOG_TAIL = 200
"""How many log lines of a run are kept."""


class RunState(StrEnum):
    """How a run stands. ``incomplete`` is done, with spans that are known to be missing."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    KILLED = "killed"


@dataclass(frozen=True, slots=True)
class Run:
    """One execution.

    ``progress`` holds the counts (``received``, ``new``, ``changed``, ``duplicate``, ``quarantined``,
    ``requests``, ...); ``done`` is the finished share, 0 to 1; times are nanoseconds.
    """

    id: int
    operation: str
    subject: str
    state: RunState
    started_at: int
    heartbeat_at: int
    finished_at: int | None = None
    done: float = 0.0
    outcome: str = ""
    process: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)

    @property
    def is_active(self) -> bool:
        """Whether it is still going on."""
        return self.state is RunState.RUNNING

    def __getitem__(self, name: str) -> Any:
        """Return a count by name, 0 if it was never counted."""
        return self.progress.get(name, 0)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a run's log."""

    at: int
    level: str
    message: str


class Runs:
    """The history of runs: append-only, one row each."""

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self._database = database
        self._now = now

    def start(self, operation: str, subject: str, parameters: dict[str, Any]) -> Run:
        """Record that an operation began."""
        now = self._now()
        with self._database.write() as connection:
            result = connection.execute(
                schema.runs.insert().values(
                    operation=operation,
                    subject=subject,
                    parameters=json.dumps(parameters, default=str),
                    state=RunState.RUNNING.value,
                    started_at=now,
                    heartbeat_at=now,
                    process=_process(),
                )
            )
            number = int(result.inserted_primary_key[0])  # type: ignore[index]
        return self.get(number)

    def update(self, run_id: int, done: float, progress: dict[str, Any]) -> None:
        """Record progress; also the sign of life."""
        values = {"done": done, "progress": json.dumps(progress), "heartbeat_at": self._now()}
        with self._database.write() as connection:
            connection.execute(schema.runs.update().where(schema.runs.c.id == run_id).values(**values))

    def log(self, run_id: int, level: str, message: str) -> None:
        """Append a line to the run's log, of which the last ones are kept."""
        table = schema.run_log
        with self._database.write() as connection:
            connection.execute(
                table.insert().values(run_id=run_id, created_at=self._now(), level=level, message=message)
            )
            ids = select(table.c.id).where(table.c.run_id == run_id).order_by(table.c.id.desc())
            oldest = connection.execute(ids.offset(LOG_TAIL).limit(1)).scalar()
            if oldest is not None:
                connection.execute(table.delete().where(table.c.run_id == run_id, table.c.id <= oldest))

    def finish(self, run_id: int, state: RunState, progress: dict[str, Any], outcome: str) -> Run:
        """Record how it ended, unless it has ended already, and return it."""
        now = self._now()
        values: dict[str, Any] = {
            "state": state.value,
            "progress": json.dumps(progress),
            "outcome": outcome,
            "finished_at": now,
            "heartbeat_at": now,
        }
        if state is RunState.SUCCEEDED:
            values["done"] = 1.0
        going_on = (schema.runs.c.id == run_id) & (schema.runs.c.state == RunState.RUNNING.value)
        with self._database.write() as connection:
            connection.execute(schema.runs.update().where(going_on).values(**values))
        return self.get(run_id)

    def trim_logs(self, before: int, *, dry_run: bool = False) -> int:
        """Remove the log lines older than *before*, or only count them; the runs themselves are kept for ever."""
        old = schema.run_log.c.created_at < before
        if dry_run:
            with self._database.read() as connection:
                return connection.execute(select(func.count()).select_from(schema.run_log).where(old)).scalar_one()
        with self._database.write() as connection:
            return connection.execute(schema.run_log.delete().where(old)).rowcount

    def get(self, run_id: int) -> Run:
        """Return one run.

        Raises
        ------
        BadInput
            If there is none with this number.
        """
        with self._database.read() as connection:
            row = connection.execute(select(schema.runs).where(schema.runs.c.id == run_id)).first()
        if row is None:
            raise BadInput(f"there is no run {run_id}: 'ticklake runs' lists them")
        return self._settled(_run(row))

    def list(self, *, state: str | None = None, subject: str | None = None, limit: int = 50) -> Sequence[Run]:
        """Return runs, newest first; *subject* matches any part of what they worked on."""
        if state is not None and state not in set(RunState):
            raise BadInput(f"{state!r} is not a run state: use one of {', '.join(RunState)}")
        query = select(schema.runs).order_by(schema.runs.c.id.desc())
        if subject:
            query = query.where(schema.runs.c.subject.contains(subject, autoescape=True))
        return list(self._take(query, state, limit))

    def tail(self, run_id: int) -> Sequence[LogLine]:
        """Return the kept lines of a run's log, oldest first."""
        query = select(schema.run_log).where(schema.run_log.c.run_id == run_id).order_by(schema.run_log.c.id)
        with self._database.read() as connection:
            return [LogLine(row.created_at, row.level, row.message) for row in connection.execute(query)]

    def _take(self, query: Any, state: str | None, limit: int) -> Iterator[Run]:
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        settled = (self._settled(_run(row)) for row in rows)
        yield from itertools.islice((run for run in settled if state is None or run.state == state), limit)

    def _settled(self, run: Run) -> Run:
        """Notice a run whose process died without a word."""
        if run.state is not RunState.RUNNING or _is_alive(run, self._now()):
            return run
        outcome = "its process died; run it again to go on"
        try:
            return self.finish(run.id, RunState.KILLED, run.progress, outcome)
        except (CatalogError, StorageError):
            return replace(run, state=RunState.KILLED, outcome=outcome)


def _run(row: Row[Any]) -> Run:
    values = dict(row._mapping)
    values["state"] = RunState(values["state"])
    values["parameters"] = json.loads(values["parameters"])
    values["progress"] = json.loads(values["progress"] or "{}")
    return Run(**values)


def _process() -> str:
    return f"{platform.node()}/{os.getpid()}"


def _is_alive(run: Run, now: int) -> bool:
    host, _, pid = run.process.rpartition("/")
    if host != platform.node():
        return now - run.heartbeat_at < LEASE
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
