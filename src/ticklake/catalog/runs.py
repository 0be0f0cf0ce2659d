"""Runs: each is one execution of an operation; they are kept for ever."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from sqlalchemy import Executable, Row, bindparam, func, or_, select, update

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact, rows_of
from ticklake.catalog.database import Database
from ticklake.catalog.heartbeat import Heartbeat
from ticklake.catalog.parameters import bind_new, new_values
from ticklake.catalog.processes import is_gone, is_ours, this_process
from ticklake.core.dataset import Dataset
from ticklake.core.runs import LogLine, Run, RunState, kept_up_by
from ticklake.core.selection import parse_count, parse_text
from ticklake.core.time import SECOND
from ticklake.errors import BadInput, CatalogError, NotFound, StorageError
from ticklake.log import Log

__all__ = ["Runs"]

LEASE = 60 * SECOND
"""A running run of another process without a heartbeat for this long counts as killed."""
LOG_TAIL = 200
"""How many log lines of a run are kept."""
LOG_LINE = 10_000
"""How many characters of a log line are kept."""
_LOG = Log("runs")
_LEVELS = {"debug": logging.DEBUG, "warning": logging.WARNING, "error": logging.ERROR}
"""The levels of lines of a run's log; all others are ``info``."""
_ENDED_LEVELS = {
    RunState.INCOMPLETE: logging.WARNING,
    RunState.KILLED: logging.WARNING,
    RunState.FAILED: logging.ERROR,
}
_JOB: ContextVar[int | None] = ContextVar("job", default=None)


class Runs:
    """The history of runs: append-only, one row each.

    While a run is active, its process records heartbeats; a run without them is marked as ``killed`` when it is next read.

    Attributes
    ----------
    ended
        Called with every run that has ended, by :meth:`note_end`; must return at once
        and not raise.
    """

    def __init__(self, database: Database, now: Callable[[], int], beat_every: float = LEASE / 4 / SECOND) -> None:
        self._database = database
        self._now = now
        self.ended: Callable[[Run], None] = lambda _run: None
        self._heart = Heartbeat(self._beat, beat_every)

    def close(self) -> None:
        """Stop the heartbeats."""
        self._heart.stop()

    @contextmanager
    def of_job(self, job_id: int) -> Iterator[None]:
        """Assign every run that starts inside the block to a job."""
        token = _JOB.set(job_id)
        try:
            yield
        finally:
            _JOB.reset(token)

    def create(self, operation: str, subject: str = "", parameters: Mapping[str, Any] | None = None) -> Run:
        """Record that an operation began; the caller must :meth:`finish` the run.

        Parameters
        ----------
        operation
            The name of the operation, like ``backfill``, or any word of your own.
        subject
            What the operation works on, for display.
        parameters
            The parameters of the operation; values that are not JSON are stored as text.
        """
        if not isinstance(operation, str) or not operation.strip():
            raise BadInput(f"operation={operation!r} is no word: say what is done, like 'backfill'")
        parse_text("operation", operation)
        parse_text("subject", subject)
        _check_mapping("parameters", parameters)
        now = self._now()
        stored_parameters = json.dumps(dict(parameters or {}), default=str)
        row: dict[str, Any] = {
            "operation": operation,
            "subject": subject,
            "started_at": now,
            "heartbeat_at": now,
            "process": this_process(),
            "job_id": _JOB.get(),
        }
        with self._database.write(durable=False) as connection:
            texts = {"state": RunState.RUNNING.value, "parameters": stored_parameters}
            result = connection.execute(schema.runs.insert(), {**row, **texts})
            number = int(result.inserted_primary_key[0])  # type: ignore[index]
        self._heart.begin(number)
        _LOG.info("run started", run=number, operation=operation, subject=subject, job=row["job_id"])
        return Run(id=number, state=RunState.RUNNING, parameters=json.loads(stored_parameters), **row)

    def update_progress(self, run_id: int, done: float, progress: Mapping[str, Any] | None = None) -> None:
        """Record the progress of a run; it counts as a heartbeat, too.

        Parameters
        ----------
        done
            The share that is done, 0 to 1.
        progress
            Counts, like ``{"new": 3}``; if it is left out, the recorded ones stay.

        Raises
        ------
        BadInput
            If there is no such run, or *done* is no share.
        """
        parse_count("run_id", run_id, of="a run")
        _check_mapping("progress", progress)
        values: dict[str, Any] = {"done": _share(done), "heartbeat_at": self._now()}
        if progress is not None:
            values["progress"] = json.dumps(dict(progress), default=str)
        with self._database.write(durable=False) as connection:
            result = connection.execute(schema.runs.update().where(schema.runs.c.id == run_id).values(**values))
        if not result.rowcount:
            raise _no_run(run_id)

    def append_log(self, run_id: int, message: str, level: str = "info") -> None:
        """Append a line to the run's log. The last 200 lines are kept, and 10,000 characters of each.

        Raises
        ------
        BadInput
            If there is no such run.
        """
        parse_count("run_id", run_id, of="a run")
        table, text = schema.run_log, _bounded(parse_text("message", message))
        with self._database.write(durable=False) as connection:
            if connection.execute(select(schema.runs.c.id).where(schema.runs.c.id == run_id)).first() is None:
                raise _no_run(run_id)
            connection.execute(table.insert().values(run_id=run_id, created_at=self._now(), level=level, message=text))
            ids = select(table.c.id).where(table.c.run_id == run_id).order_by(table.c.id.desc())
            oldest = connection.execute(ids.offset(LOG_TAIL).limit(1)).scalar()
            if oldest is not None:
                connection.execute(table.delete().where(table.c.run_id == run_id, table.c.id <= oldest))
        _LOG.at(_LEVELS.get(level, logging.INFO), "run says", run=run_id, text=text)

    def finish(
        self,
        run_id: int,
        state: RunState | str = RunState.SUCCEEDED,
        progress: Mapping[str, Any] | None = None,
        outcome: str = "",
    ) -> Run:
        """Record how a run ended, unless it has ended already, and return it.

        Parameters
        ----------
        state
            ``succeeded``, ``incomplete``, ``failed`` or ``cancelled``.
        progress
            The final counts; if it is left out, the recorded ones stay.
        outcome
            The outcome as text.

        Raises
        ------
        BadInput
            If there is no such run, or a run cannot end like that.
        """
        _check_mapping("progress", progress)
        parse_text("outcome", outcome)
        if progress is None:
            progress = self.get(run_id).progress
        statement, values = self.closing(run_id, _end_state(state), progress, outcome)
        with self._database.write() as connection:
            connection.execute(statement, values)
        run = self.get(run_id)
        self.note_end(run)
        return run

    def note_end(self, run: Run) -> None:
        """Log a run that has ended, and pass it to :attr:`ended`: the caller of :meth:`closing` does that itself."""
        seconds = None
        if run.finished_at is not None:
            seconds = round((run.finished_at - run.started_at) / SECOND, 3)
        level = _ENDED_LEVELS.get(run.state, logging.INFO)
        said = {"run": run.id, "operation": run.operation, "subject": run.subject, "job": run.job_id}
        _LOG.at(level, f"run {run.state}", **said, seconds=seconds, outcome=run.outcome)
        self.ended(run)

    def closing(
        self, run_id: int, state: RunState, progress: Mapping[str, Any], outcome: str
    ) -> tuple[Executable, dict[str, Any]]:
        """Return the statement that ends a run and its parameters, for a transaction that ends something else, too."""
        self._heart.end(run_id)
        ending = {
            "state": state.value,
            "progress": json.dumps(dict(progress), default=str),
            "outcome": outcome,
        }
        values = {**new_values(ending), "now": self._now(), "run": run_id}
        return _CLOSING[state is RunState.SUCCEEDED], values

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
        number = parse_count("run_id", run_id, of="a run")
        with self._database.read() as connection:
            row = connection.execute(rows_of(schema.runs).where(schema.runs.c.id == number)).first()
        if row is None:
            raise _no_run(run_id)
        return self._settled(_run(row))

    def list(
        self,
        *,
        state: str | None = None,
        subject: str | None = None,
        dataset: str | None = None,
        job: int | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> Sequence[Run]:
        """Return runs, newest first.

        Parameters
        ----------
        subject
            Any part of the subject.
        dataset
            A dataset that the run worked on, alone or among others.
        job
            The job that the runs were attempts of.
        before
            Only runs whose number is below this one.
        """
        limit = parse_count("limit", limit, of="runs")
        if subject is not None:
            parse_text("subject", subject)
        if job is not None:
            job = parse_count("job", job, 1, of="a job")
        if state is not None and state not in set(RunState):
            raise BadInput(f"{state!r} is not a run state: use one of {', '.join(RunState)}")
        # Runs whose process died are marked first: the conditions below depend on the state.
        self.active()
        table = schema.runs.c
        query = rows_of(schema.runs).order_by(table.id.desc()).limit(limit)
        if before is not None:
            query = query.where(table.id < parse_count("before", before, of="a run"))
        if state is not None:
            query = query.where(table.state == state)
        if subject:
            query = query.where(table.subject.contains(subject, autoescape=True))
        if dataset is not None:
            Dataset.parse(str(dataset))
            among = table.parameters.contains(json.dumps(str(dataset)), autoescape=True)
            query = query.where(or_(table.subject == str(dataset), among))
        if job is not None:
            query = query.where(table.job_id == job)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        runs = self._settle_all(rows)
        # Settling may just have marked some of them as killed.
        return [run for run in runs if state in (None, run.state)]

    def active(self) -> Sequence[Run]:
        """Return the active runs, newest first; those whose process died are marked as ``killed``."""
        with self._database.read() as connection:
            rows = connection.execute(_ACTIVE).all()
        return [run for run in self._settle_all(rows) if run.is_active]

    def counts(self) -> dict[str, int]:
        """Return how many runs there are by state."""
        query = select(schema.runs.c.state, func.count()).group_by(schema.runs.c.state)
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def kept_up(self) -> frozenset[str]:
        """Return the datasets that any run was asked to keep up to date, however long ago."""
        columns = schema.runs.c
        # A schedule repeats its parameters: there are few different ones among many runs.
        # All operations are read: a condition on them would silently skip a damaged row.
        query = select(intact(columns.operation), columns.parameters).distinct()
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        names = set[str]()
        for row in rows:
            names.update(kept_up_by(row.operation, json.loads(row.parameters)))
        return frozenset(names)

    def tail(self, run_id: int) -> Sequence[LogLine]:
        """Return the kept lines of a run's log, oldest first.

        Raises
        ------
        BadInput
            If there is no such run.
        """
        self.get(run_id)
        query = rows_of(schema.run_log).where(schema.run_log.c.run_id == run_id).order_by(schema.run_log.c.id)
        with self._database.read() as connection:
            return [LogLine(row.created_at, row.level, row.message) for row in connection.execute(query)]

    def _beat(self, numbers: Collection[int]) -> None:
        is_running = schema.runs.c.id.in_(numbers) & (schema.runs.c.state == RunState.RUNNING.value)
        with self._database.write(durable=False) as connection:
            connection.execute(schema.runs.update().where(is_running).values(heartbeat_at=self._now()))

    def _settle_all(self, rows: Iterable[Row[Any]]) -> Sequence[Run]:
        return [self._settled(_run(row)) for row in rows]

    def _settled(self, run: Run) -> Run:
        """Mark a run as killed if its process died, and return it."""
        if run.state is not RunState.RUNNING or _is_alive(run, self._now()):
            return run
        outcome = "its process died; run it again to go on"
        try:
            return self.finish(run.id, RunState.KILLED, run.progress, outcome)
        except (CatalogError, StorageError):
            # A lake that cannot be written can still be read.
            return replace(run, state=RunState.KILLED, outcome=outcome)


_ACTIVE = rows_of(schema.runs).where(schema.runs.c.state == RunState.RUNNING.value).order_by(schema.runs.c.id.desc())
_ENDING = (
    update(schema.runs)
    .where(schema.runs.c.id == bindparam("run"), schema.runs.c.state == RunState.RUNNING.value)
    .values(bind_new(["state", "progress", "outcome"]))
    .values(finished_at=bindparam("now"), heartbeat_at=bindparam("now"))
)
_CLOSING = {True: _ENDING.values(done=1.0), False: _ENDING}


def _check_mapping(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, Mapping):
        raise BadInput(f"{name}={value!r} is no mapping: pass names and values, like {{'start': '2024'}}")


def _no_run(run_id: int) -> NotFound:
    return NotFound(f"there is no run {run_id}: 'ticklake runs' lists them")


def _bounded(message: str) -> str:
    hidden = len(message) - LOG_LINE
    if hidden <= 0:
        return message
    return f"{message[:LOG_LINE]}... ({hidden:,} more characters)"


def _share(done: float) -> float:
    if isinstance(done, bool) or not isinstance(done, int | float):
        raise BadInput(f"done={done!r} is no share: it goes from 0 to 1")
    # Shares that are sums of shares may be a rounding error larger than 1.
    if not -1e-9 <= done <= 1 + 1e-9:
        raise BadInput(f"done={done!r} is no share: it goes from 0 to 1")
    return min(max(float(done), 0.0), 1.0)


def _end_state(state: RunState | str) -> RunState:
    ends = [end for end in RunState if end is not RunState.RUNNING]
    if state not in ends:
        raise BadInput(f"a run cannot end as {str(state)!r}: use one of {', '.join(ends)}")
    return RunState(state)


def _run(row: Row[Any]) -> Run:
    values = dict(row._mapping)
    values["state"] = RunState(values["state"])
    values["parameters"] = json.loads(values["parameters"])
    values["progress"] = json.loads(values["progress"] or "{}")
    return Run(**values)


def _is_alive(run: Run, now: int) -> bool:
    if is_ours(run.process):
        return True
    return not is_gone(run.process) and now - run.heartbeat_at < LEASE
