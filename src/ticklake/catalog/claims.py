"""The statements that claim jobs of the queue, and that keep and release claims."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from sqlalchemy import and_, bindparam, case, delete, literal, or_, select, text, update

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact
from ticklake.catalog.parameters import bind_new, new_values
from ticklake.catalog.upsert import insert_or_update
from ticklake.core.jobs import ENDLESS, LONG_RUN, LONGEST_PAUSE, Job, JobState
from ticklake.core.time import SECOND
from ticklake.errors import LeaseLost

__all__ = [
    "HELD_BY",
    "Lane",
    "IS_QUEUED",
    "IS_RUNNING",
    "MINE",
    "PROLONG",
    "RECOVER",
    "RELEASE",
    "claim",
    "lease_lost",
    "mine",
    "named",
    "take",
]

_JOBS, _LEASES = schema.jobs, schema.leases
STREAM = "stream"
"""The operation that goes on until it is cancelled, for any number of streams."""
Lane = Literal["all", "streams", "others"]
"""Which jobs a worker takes: a job of streams would keep it from all others."""
IS_QUEUED, IS_RUNNING = text("jobs.state = 'queued'"), text("jobs.state = 'running'")
"""Literal text: SQLite uses a partial index only if its condition appears in the statement, not a parameter."""


@cache
def claim(by_number: bool, lane: Lane = "all") -> Any:
    """Return the statement that takes the first job of a lane that is due, or one *by number*.

    It chooses and takes in one statement, so two workers never get the same job.
    """
    lease = select(_LEASES.c.name).where(_LEASES.c.name == _JOBS.c.dataset, _LEASES.c.expires_at > bindparam("now"))
    is_eligible = _JOBS.c.due_at <= bindparam("now")
    if by_number:
        is_eligible = _JOBS.c.id == bindparam("number")
    ready = select(_JOBS.c.id).where(IS_QUEUED, ~lease.exists(), is_eligible)
    if lane == "streams":
        ready = ready.where(_JOBS.c.operation == STREAM)
    elif lane == "others":
        ready = ready.where(_JOBS.c.operation != STREAM)
    first = ready.order_by(_JOBS.c.priority.desc(), _JOBS.c.id).limit(1)
    # Every claim gets a new fence: what an earlier owner still writes is told apart by it (docs/adr/0017).
    return (
        update(_JOBS)
        .where(_JOBS.c.id == first.scalar_subquery(), IS_QUEUED)
        .values(
            state=JobState.RUNNING.value,
            owner=bindparam("who"),
            fence=_JOBS.c.fence + 1,
            attempts=_JOBS.c.attempts + 1,
            started_at=bindparam("now"),
            expires_at=bindparam("expires"),
            done=0.0,
            outcome="",
        )
        .returning(_JOBS)
    )


@cache
def take() -> Any:
    """Return the statement that takes a lease if it is free, expired or ours."""
    ours = or_(_LEASES.c.expires_at <= bindparam("now"), _LEASES.c.job_id == bindparam("job_id"))
    overwritten = ("job_id", "fence", "expires_at")
    # Parameters of the condition may not share the names of values that SQLAlchemy binds by itself.
    values: dict[str, Any] = {name: bindparam(name) for name in ("name", *overwritten)}
    return insert_or_update(_LEASES, ["name"], overwritten, where=ours, **values).returning(_LEASES.c.name)


@cache
def mine(*names: str) -> Any:
    """Return the statement that sets columns of a job if it is still ours; see :func:`named`."""
    ours = (_JOBS.c.id == bindparam("own_id"), _JOBS.c.fence == bindparam("own_fence"), IS_RUNNING)
    return update(_JOBS).where(*ours).values(bind_new(names)).returning(_JOBS)


MINE = select(intact(_JOBS.c.id)).where(
    _JOBS.c.id == bindparam("own_id"), _JOBS.c.fence == bindparam("own_fence"), IS_RUNNING
)
"""Whether a job is still ours."""
_HELD = and_(_LEASES.c.job_id == bindparam("own_id"), _LEASES.c.fence == bindparam("own_fence"))
HELD_BY = select(_JOBS.c.owner, _JOBS.c.expires_at).where(IS_RUNNING)
"""Who works on the jobs that run, and until when each lease lasts."""
_IS_SILENT = and_(
    IS_RUNNING, or_(_JOBS.c.expires_at <= bindparam("now"), _JOBS.c.owner.in_(bindparam("gone", expanding=True)))
)
_IS_ENDLESS = _JOBS.c.operation.in_(sorted(ENDLESS))
# Its last sign of life was one lease before the lease's end: how long nobody looked afterwards does not count.
_RAN_LONG = and_(_IS_ENDLESS, _JOBS.c.expires_at - _JOBS.c.started_at >= LONG_RUN + bindparam("lease"))
_TRIES = case((_RAN_LONG, 1), else_=_JOBS.c.attempts)
_USED_UP = and_(~_IS_ENDLESS, _JOBS.c.max_attempts <= _TRIES)
_DOUBLINGS = 9
"""So many tries whose waits double from two seconds: the next one would be longer than the longest pause."""
_PAUSE = case(
    (or_(~_IS_ENDLESS, _TRIES <= 1), 0),
    (_TRIES >= _DOUBLINGS, LONGEST_PAUSE),
    else_=literal(SECOND) * literal(1).bitwise_lshift(_TRIES - 1),
)
"""How long a job waits whose worker died. What kills each worker at once would keep all of them from other jobs."""
RECOVER = (
    update(_JOBS)
    .where(_IS_SILENT)
    .values(
        state=case(
            (_JOBS.c.cancelling, JobState.CANCELLED.value),
            (_USED_UP, JobState.FAILED.value),
            else_=literal(JobState.QUEUED.value),
        ),
        attempts=_TRIES,
        due_at=bindparam("now") + _PAUSE,
        finished_at=case((or_(_JOBS.c.cancelling, _USED_UP), bindparam("now"))),
        outcome=literal("its worker ") + _JOBS.c.owner + literal(" died"),
    )
    .returning(_JOBS)
)
"""Takes jobs from workers without heartbeats, or that are *gone*: they are queued again, or end if they were cancelled or have no attempt left."""
PROLONG = update(_LEASES).where(_HELD).values(expires_at=bindparam("new_expires_at"))
RELEASE = delete(_LEASES).where(_HELD)


def lease_lost(job: Job) -> LeaseLost:
    """Return the error for a job that is no longer ours."""
    return LeaseLost(
        f"job {job.id} was taken over by another worker: this one was silent for too long, or it was ended; "
        "nothing was written"
    )


def named(job: Job, values: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of :func:`mine`, :data:`MINE`, :data:`PROLONG` and :data:`RELEASE` for a job."""
    return {"own_id": job.id, "own_fence": job.fence, **new_values(values)}
