"""Fences: commits of a worker whose job was taken over are refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from sqlalchemy import Connection

from ticklake.catalog.claims import MINE, lease_lost, named
from ticklake.catalog.database import Database
from ticklake.core.jobs import Job

__all__ = ["check_fence", "fenced"]

_FENCE: ContextVar[tuple[Database, Job] | None] = ContextVar("fence", default=None)


@contextmanager
def fenced(database: Database, job: Job) -> Iterator[None]:
    """Make every commit to *database* inside the block part of a job: it is refused once the job's lease is lost."""
    token = _FENCE.set((database, job))
    try:
        yield
    finally:
        _FENCE.reset(token)


def check_fence(database: Database, connection: Connection) -> None:
    """Check, inside the transaction of a commit, that the job which it is part of is still ours.

    Raises
    ------
    LeaseLost
    """
    fence = _FENCE.get()
    if fence is None:
        return
    home, job = fence
    if home is not database and not home.is_same(database):
        return
    if connection.execute(MINE, named(job, {})).first() is None:
        raise lease_lost(job)
