"""Runs: what was executed, also by users' own code."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field

from ticklake.core.access import Role
from ticklake.core.runs import Run
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.examples import RUN, answers_page, made, shown
from ticklake.interfaces.api.job_requests import Body
from ticklake.interfaces.api.paging import Cursor, Limit, page_of, whole
from ticklake.interfaces.api.server import server_of
from ticklake.interfaces.schema import to_json

__all__ = ["router"]

router = APIRouter(tags=["runs"])
RunId = Annotated[int, Path(ge=1, le=2**63 - 1, description="The number of the run.")]
State = Literal["running", "succeeded", "incomplete", "failed", "cancelled", "killed"]
End = Literal["succeeded", "incomplete", "failed", "cancelled", "killed"]


class NewRunBody(Body):
    """A run of your own code that begins."""

    operation: str = Field(min_length=1, max_length=200, examples=["train"])
    subject: str = Field("", max_length=1000, examples=["momentum v3"])
    parameters: dict[str, Any] = Field(default_factory=dict)


class LogBody(Body):
    """A line of a run's log."""

    message: str
    level: str = Field("info", max_length=20)


class ProgressBody(Body):
    """How far a run is."""

    done: float = Field(ge=0, le=1, description="The finished share.")
    progress: dict[str, Any] | None = Field(None, description="Counts; those that are recorded stay, if left out.")


class FinishBody(Body):
    """How a run ended."""

    state: End = "succeeded"
    progress: dict[str, Any] | None = None
    outcome: str = Field("", max_length=10_000)


@router.get("/runs", dependencies=[allow(Role.READ)], responses=answers_page(RUN, has_more=True))
async def list_runs(
    request: Request,
    state: Annotated[State | None, Query(description="Only runs in this state.")] = None,
    subject: Annotated[str | None, Query(description="Any part of the subject.")] = None,
    dataset: Annotated[str | None, Query(description="Only runs that worked on it.")] = None,
    job: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Only the tries of this job.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """List runs, newest first."""

    def answer() -> dict[str, Any]:
        wanted: dict[str, Any] = {"state": state, "subject": subject, "dataset": dataset, "job": job}
        found = server_of(request).lake.runs.list(**wanted, limit=limit + 1, before=cursor)
        return page_of(found, limit, lambda run: run.id, lambda run: _form(request, run))

    return await server_of(request).read(answer)


@router.post("/runs", status_code=201, dependencies=[allow(Role.COLLECT)], responses=made(RUN))
async def create_run(request: Request, body: NewRunBody) -> dict[str, Any]:
    """Record that something of your own began. It counts as killed when the server ends before you finish it."""
    runs = server_of(request).lake.runs
    run = await server_of(request).write(runs.create, body.operation, body.subject, body.parameters)
    return _form(request, run)


@router.get("/runs/{run_id}", dependencies=[allow(Role.READ)], responses=shown(RUN))
async def get_run(request: Request, run_id: RunId) -> dict[str, Any]:
    """Return one run."""
    return _form(request, await server_of(request).read(server_of(request).lake.runs.get, run_id))


@router.get(
    "/runs/{run_id}/log",
    dependencies=[allow(Role.READ)],
    responses=shown({"rows": 1, "complete": True, "next": None, "data": [["2024-06-01T12:00:01Z", "info", "page 1"]]}),
)
async def run_log(request: Request, run_id: RunId) -> dict[str, Any]:
    """Return the last lines of a run's log, the oldest first: time, level, message."""
    lines = await server_of(request).read(server_of(request).lake.runs.tail, run_id)
    return server_of(request).hidden.of(whole(lines))


@router.post("/runs/{run_id}/log", status_code=204, dependencies=[allow(Role.COLLECT)])
async def append_log(request: Request, run_id: RunId, body: LogBody) -> None:
    """Append a line to a run's log; the last 200 are kept."""
    runs = server_of(request).lake.runs
    await server_of(request).write(runs.append_log, run_id, body.message, body.level)


@router.post("/runs/{run_id}/progress", dependencies=[allow(Role.COLLECT)], responses=shown(RUN))
async def update_progress(request: Request, run_id: RunId, body: ProgressBody) -> dict[str, Any]:
    """Record how far a run is."""

    def answer() -> dict[str, Any]:
        runs = server_of(request).lake.runs
        runs.update_progress(run_id, body.done, body.progress)
        return _form(request, runs.get(run_id))

    return await server_of(request).write(answer)


@router.post("/runs/{run_id}/finish", dependencies=[allow(Role.COLLECT)], responses=shown(RUN))
async def finish_run(request: Request, run_id: RunId, body: FinishBody) -> dict[str, Any]:
    """Record how a run ended; one that has ended stays as it is."""
    runs = server_of(request).lake.runs
    return _form(request, await server_of(request).write(runs.finish, run_id, body.state, body.progress, body.outcome))


def _form(request: Request, run: Run) -> dict[str, Any]:
    return server_of(request).hidden.of(to_json(run))
