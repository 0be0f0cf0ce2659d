"""The queue of jobs: what is to be done, which worker does it, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, Executable, Row, bindparam, delete, func, select, text, update

from ticklake.catalog import claims, schema
from ticklake.catalog.checksums import intact, rows_of
from ticklake.catalog.database import Database
from ticklake.catalog.fences import fenced
from ticklake.catalog.parameters import attributes
from ticklake.catalog.processes import is_gone
from ticklake.catalog.upsert import insert_new
from ticklake.core.jobs import ACTIVE, ENDED, ENDLESS, Job, JobState, NewJob, abandoned
from ticklake.core.selection import parse_count
from ticklake.errors import BadInput, LeaseHeld, NotFound

__all__ = ["JobQueue", "Statement"]

Statement = tuple[Executable, dict[str, Any]]
"""What belongs to the end of a job, to be executed together with it, and its values."""

_JOBS, _LEASES = schema.jobs, schema.leases
_QUEUED, _RUNNING = JobState.QUEUED.value, JobState.RUNNING.value
_ACTIVE, _ENDED = [state.value for state in ACTIVE], [state.value for state in ENDED]
_IS_ACTIVE, _IS_QUEUED = text("state IN ('queued', 'running')"), text("state = 'queued'")
"""As the indexes of active jobs are declared: SQLite uses them for no other words."""
_MOST_ENDLESS = 1_000
"""How many of the newest jobs without an end are looked at."""
_AT_ONCE = 500
"""How many jobs go into one statement."""

_NEWEST_RUN = (
    select(intact(schema.runs.c.id))
    .where(schema.runs.c.job_id == bindparam("job"))
    .order_by(schema.runs.c.id.desc())
    .limit(1)
)


class JobQueue:
    """Jobs in the catalog, and the leases of those that run.

    A worker that claims a job holds a lease on it, and on its dataset, until ``lease`` nanoseconds after its last heartbeat.
    Every claim gets the next fence; a worker with an old fence is refused with :class:`~ticklake.errors.LeaseLost`.

    A new job is durable when it is returned. Its attempts become durable with the next durable commit: after a power
    failure a job may be attempted again, which does no harm.
    """

    def __init__(self, database: Database, now: Callable[[], int], lease: int) -> None:
        self._database = database
        self.now = now
        self.lease = lease

    def add(self, jobs: Sequence[NewJob]) -> list[Job]:
        """Queue jobs; if an identical one is active, return that instead."""
        with self._database.write() as connection:
            return self.add_within(connection, jobs)

    def add_within(self, connection: Connection, jobs: Sequence[NewJob]) -> list[Job]:
        """Do the same inside a transaction of the caller."""
        now = self.now()
        for start in range(0, len(jobs), _AT_ONCE):
            rows = [_values(job, now) for job in jobs[start : start + _AT_ONCE]]
            connection.execute(insert_new(_JOBS), rows)
        active = _identical(connection, [job.fingerprint for job in jobs])
        return [active[job.fingerprint] for job in jobs]

    def fenced(self, job: Job) -> AbstractContextManager[None]:
        """Refuse commits inside the block once *job* was taken over."""
        return fenced(self._database, job)

    def active_like(self, job: NewJob) -> Job | None:
        """Return the identical job that is queued or runs."""
        with self._database.read() as connection:
            return _identical(connection, [job.fingerprint]).get(job.fingerprint)

    def get(self, job_id: int) -> Job:
        """Return one job.

        Raises
        ------
        NotFound
            If there is none with this number.
        """
        number = parse_count("job_id", job_id, of="a job")
        with self._database.read() as connection:
            row = connection.execute(rows_of(_JOBS).where(_JOBS.c.id == number)).first()
        if row is None:
            raise NotFound(
                f"there is no job {job_id}: 'ticklake jobs list' shows them; those that ended are cleaned up"
            )
        return _job(row)

    def find(
        self,
        *,
        state: str | None = None,
        operation: str | None = None,
        search: str = "",
        limit: int = 50,
        before: int | None = None,
    ) -> list[Job]:
        """Return jobs, newest first; *state* may also be ``active``, *search* is any part of the subject.

        With *before*, only jobs whose number is below it.
        """
        limit = parse_count("limit", limit, of="jobs")
        if state is not None and state not in {*JobState, "active"}:
            raise BadInput(f"{state!r} is not a job state: use one of {', '.join(JobState)}, or active")
        query = rows_of(_JOBS).order_by(_JOBS.c.id.desc()).limit(limit)
        if state == "active":
            query = query.where(_JOBS.c.state.in_(_ACTIVE))
        elif state is not None:
            query = query.where(_JOBS.c.state == state)
        if operation is not None:
            query = query.where(_JOBS.c.operation == operation)
        if before is not None:
            query = query.where(_JOBS.c.id < parse_count("before", before, of="a job"))
        if search:
            query = query.where(_JOBS.c.subject.contains(search, autoescape=True))
        with self._database.read() as connection:
            return list(map(_job, connection.execute(query)))

    def counts(self) -> dict[str, int]:
        """Return how many jobs there are by state."""
        query = select(_JOBS.c.state, func.count()).group_by(_JOBS.c.state)
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def active_counts(self) -> dict[str, int]:
        """Return how many jobs wait and run; those that have ended are not read, however many there are."""
        query = select(_JOBS.c.state, func.count()).where(_IS_ACTIVE).group_by(_JOBS.c.state)
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def abandoned(self) -> list[Job]:
        """Return the jobs that were to go on until they are cancelled, but failed, and for which there is no later one."""
        query = rows_of(_JOBS).where(_JOBS.c.operation.in_(sorted(ENDLESS))).order_by(_JOBS.c.id.desc())
        with self._database.read() as connection:
            return abandoned(map(_job, connection.execute(query.limit(_MOST_ENDLESS))))

    def check_active(self) -> None:
        """Read all jobs that wait or run: a damaged one keeps workers from all that come after it.

        Raises
        ------
        CatalogDamaged
        """
        with self._database.read() as connection:
            for row in connection.execute(rows_of(_JOBS).where(_IS_ACTIVE)):
                _job(row)

    def waiting_since(self) -> int | None:
        """Return since when the job has been due that waits longest; ``None`` if none is due."""
        query = select(func.min(_JOBS.c.due_at)).where(_IS_QUEUED, _JOBS.c.due_at <= self.now())
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def claim(self, owner: str, job_id: int | None = None, lane: claims.Lane = "all") -> Job | None:
        """Claim the first job of a lane that is due, or the one with that number; ``None`` if there is none.

        Jobs with the highest priority come first, then the oldest; only one job per dataset runs at a time.
        """
        now = self.now()
        with self._database.write(durable=False) as connection:
            self._recover(connection, now)
            statement = claims.claim(job_id is not None, lane)
            values = {"now": now, "expires": now + self.lease, "who": owner, "number": job_id}
            row = connection.execute(statement, values).first()
            if row is None:
                return None
            # Read again, because this compares the row with its checksum and RETURNING does not.
            job = _job(connection.execute(rows_of(_JOBS).where(_JOBS.c.id == row.id)).one())
            if job.dataset is not None:
                self._hold(connection, job, [job.dataset], now)
        return job

    def hold(self, job: Job, names: Sequence[str]) -> None:
        """Take leases on more datasets for *job*, until it ends.

        Raises
        ------
        LeaseHeld
            If another job works on one of them; none is held then.
        LeaseLost
        """
        now = self.now()
        with self._database.write(durable=False) as connection:
            self._recover(connection, now)
            if connection.execute(claims.MINE, claims.named(job, {})).first() is None:
                raise claims.lease_lost(job)
            self._hold(connection, job, names, now)

    def newest_run(self, job: Job) -> int:
        """Return the number of the newest run that was an attempt of *job*; 0 if there is none."""
        with self._database.read() as connection:
            return connection.execute(_NEWEST_RUN, {"job": job.id}).scalar() or 0

    def beat(self, job: Job, done: float | None = None) -> bool:
        """Extend the lease, record the share that is done, and return whether the job is to be cancelled.

        Raises
        ------
        LeaseLost
        """
        expires = self.now() + self.lease
        values: dict[str, Any] = {"expires_at": expires}
        if done is not None:
            values["done"] = done
        with self._database.write(durable=False) as connection:
            row = connection.execute(claims.mine(*values), claims.named(job, values)).first()
            if row is None:
                raise claims.lease_lost(job)
            connection.execute(claims.PROLONG, claims.named(job, {"expires_at": expires}))
        return bool(row.cancelling)

    def finish(self, job: Job, state: JobState, outcome: str, closing: Statement | None = None) -> Job:
        """Record how a job ended, and execute *closing* in the same transaction.

        Raises
        ------
        LeaseLost
            If the lease was taken over: then the other worker records how it ended.
        """
        ending: dict[str, Any] = {"state": state.value, "outcome": outcome, "finished_at": self.now()}
        if state is JobState.SUCCEEDED:
            ending["done"] = 1.0
        return self._leave(job, ending, closing)

    def retry(
        self, job: Job, outcome: str, wait: int, closing: Statement | None = None, tries: int | None = None
    ) -> Job:
        """Queue a job again after a failed attempt, due in *wait* nanoseconds; *tries* is how many count, by default all."""
        values: dict[str, Any] = {"state": _QUEUED, "outcome": outcome, "due_at": self.now() + wait}
        if tries is not None:
            values["attempts"] = tries
        return self._leave(job, values, closing)

    def give_back(self, job: Job, outcome: str, wait: int = 0, closing: Statement | None = None) -> Job:
        """Queue a job again without counting the attempt: its worker was asked to stop, or another job has its dataset."""
        values = {"state": _QUEUED, "outcome": outcome, "due_at": self.now() + wait, "attempts": job.attempts - 1}
        return self._leave(job, values, closing)

    def cancel(self, job_id: int) -> Job:
        """Cancel a job: a queued one at once, a running one when its worker notices."""
        parse_count("job_id", job_id, of="a job")
        waiting = update(_JOBS).where(_JOBS.c.id == job_id, _JOBS.c.state == _QUEUED)
        running = update(_JOBS).where(_JOBS.c.id == job_id, _JOBS.c.state == _RUNNING)
        ending = {"state": JobState.CANCELLED.value, "outcome": "cancelled before it began", "finished_at": self.now()}
        with self._database.write() as connection:
            if not connection.execute(waiting.values(**ending)).rowcount:
                connection.execute(running.values(cancelling=True))
        return self.get(job_id)

    def recover(self) -> list[Job]:
        """Take jobs from workers without heartbeats: queue them again, or end them if all attempts are used up.

        A worker whose process ran on this machine and has ended loses its jobs at once.
        """
        now = self.now()
        # Every worker looks each second, and nearly always no other one is silent: a look needs no write lock.
        with self._database.read() as connection:
            held = connection.execute(claims.HELD_BY).all()
        gone = list(filter(is_gone, {row.owner for row in held}))
        if not gone and all(row.expires_at > now for row in held):
            return []
        with self._database.write(durable=False) as connection:
            return self._recover(connection, now, gone)

    def cleanup_completed(self, max_age: int) -> int:
        """Delete jobs that ended more than *max_age* nanoseconds ago, and return how many; their runs stay."""
        ended = _JOBS.c.state.in_(_ENDED) & (_JOBS.c.finished_at <= self.now() - max_age)
        with self._database.write() as connection:
            return connection.execute(delete(_JOBS).where(ended)).rowcount

    def _recover(self, connection: Connection, now: int, gone: Sequence[str] = ()) -> list[Job]:
        """Take jobs from workers without heartbeats, or that are *gone*, before others get their leases."""
        recovered = connection.execute(claims.RECOVER, {"now": now, "gone": list(gone), "lease": self.lease})
        jobs = {row.id: _job(row) for row in recovered}
        if jobs:
            connection.execute(delete(_LEASES).where(_LEASES.c.job_id.in_(list(jobs))))
        return list(jobs.values())

    def _hold(self, connection: Connection, job: Job, names: Sequence[str], now: int) -> None:
        values = {"job_id": job.id, "fence": job.fence, "expires_at": now + self.lease}
        statement = claims.take()
        for name in names:
            if not connection.execute(statement, {"name": name, "now": now, **values}).first():
                raise LeaseHeld(f"another job works on {name}: job {job.id} waits until it has ended")

    def _leave(self, job: Job, values: dict[str, Any], closing: Statement | None) -> Job:
        values = {"expires_at": None, **values}
        with self._database.write(durable=False) as connection:
            row = connection.execute(claims.mine(*values), claims.named(job, values)).first()
            # The fence has moved on: another worker has claimed the job, or it was ended.
            if row is None:
                raise claims.lease_lost(job)
            connection.execute(claims.RELEASE, claims.named(job, {}))
            if closing is not None:
                connection.execute(*closing)
        return _job(row)


def _identical(connection: Connection, fingerprints: Sequence[str]) -> dict[str, Job]:
    """Return the active jobs with these fingerprints."""
    jobs: dict[str, Job] = {}
    for start in range(0, len(fingerprints), _AT_ONCE):
        part = fingerprints[start : start + _AT_ONCE]
        is_identical = _JOBS.c.fingerprint.in_(part) & _JOBS.c.state.in_(_ACTIVE)
        for row in connection.execute(rows_of(_JOBS).where(is_identical)):
            jobs[row.fingerprint] = _job(row)
    return jobs


def _values(job: NewJob, now: int) -> dict[str, Any]:
    same = ("operation", "subject", "dataset", "fingerprint", "priority", "max_attempts")
    return {
        **attributes(job, same),
        "parameters": json.dumps(job.parameters, ensure_ascii=False),
        "state": _QUEUED,
        "created_at": now,
        "due_at": now,
    }


def _job(row: Row[Any]) -> Job:
    values = dict(row._mapping)
    del values["fingerprint"]
    values.pop("row_check", None)
    values["state"] = JobState(values["state"])
    values["parameters"] = json.loads(values["parameters"])
    values["cancelling"] = bool(values["cancelling"])
    return Job(**values)
