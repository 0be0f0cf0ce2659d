"""Jobs: what is to be done, and how far it is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from ticklake.core.access import Role
from ticklake.core.jobs import Job, JobState
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.examples import JOB, OPERATION, answers_page, made, shown
from ticklake.interfaces.api.job_requests import Priority, allowed_operation, create_job
from ticklake.interfaces.api.paging import Cursor, Limit, page_of, whole
from ticklake.interfaces.api.server import Server, server_of
from ticklake.interfaces.schema import job_to_json, to_json
from ticklake.jobs.operations import Operation

__all__ = ["JobId", "created", "router"]

router = APIRouter(tags=["jobs"])
JobId = Annotated[int, Path(ge=1, le=2**63 - 1, description="The number of the job.")]
State = Literal["active", "queued", "running", "succeeded", "incomplete", "failed", "cancelled"]


class NewJobBody(Priority):
    """A job that is to be done."""

    operation: str = Field(examples=["backfill"])
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="Its parameters by name: /operations lists them.",
        examples=[{"exchange": "binance", "symbols": ["BTC/USDT"], "timeframe": "1h", "start": "2024-01-01"}],
    )
    arguments: list[Any] = Field(default_factory=list, description="Its first parameters, without their names.")
    begin: bool = Field(False, description="Let this server begin it at once, instead of the next worker.")


@router.get("/operations", dependencies=[allow(Role.READ)], responses=answers_page(OPERATION))
async def list_operations(request: Request) -> dict[str, Any]:
    """List what jobs can do, with the parameters of each and the role that it needs."""

    def answer() -> dict[str, Any]:
        operations = server_of(request).lake.jobs.operations
        return whole([_described(operations[name]) for name in operations.names])

    return await server_of(request).read(answer)


def _described(operation: Operation) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = []
    for name, default in operation.takes.items():
        is_required = default is ...
        parameter: dict[str, Any] = {"name": name, "required": is_required}
        if not is_required:
            parameter["default"] = to_json(default)
        parameters.append(parameter)
    return {
        "name": operation.name,
        "description": operation.description,
        "role": operation.role.value,
        "parameters": parameters,
    }


@router.get("/jobs", dependencies=[allow(Role.READ)], responses=answers_page(JOB, has_more=True))
async def list_jobs(
    request: Request,
    state: Annotated[State | None, Query(description="Only jobs in this state; active ones wait or run.")] = None,
    operation: Annotated[str | None, Query(description="Only jobs of this operation.")] = None,
    search: Annotated[str, Query(description="Only jobs whose subject contains this.")] = "",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """List jobs, newest first, and say how many there are in each state."""

    def answer() -> dict[str, Any]:
        server = server_of(request)
        jobs = server.lake.jobs
        # One more than is shown tells whether there is another page.
        found = jobs.list(state=state, operation=operation, search=search, limit=limit + 1, before=cursor)
        return {**page_of(found, limit, lambda job: job.id, lambda job: _form(server, job)), "counts": jobs.counts()}

    return await server_of(request).read(answer)


@router.post("/jobs", status_code=201, dependencies=[allow(Role.COLLECT)], responses=made(JOB))
async def create(request: Request, response: Response, body: NewJobBody) -> dict[str, Any]:
    """Put a job into the queue; an identical one that waits or runs is answered instead."""

    def answer() -> dict[str, Any]:
        server = server_of(request)
        job = create_job(request, body.operation, body.parameters, body, body.arguments)
        # An identical job may be running already: then there is nothing to begin.
        if body.begin and job.state is JobState.QUEUED:
            job = server.background.start(job.id)
        return created(server, response, job)

    return await server_of(request).write(answer)


def created(server: Server, response: Response, job: Job) -> dict[str, Any]:
    """Answer with a job, and say where it is."""
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return _form(server, job)


@router.get("/jobs/{job_id}", dependencies=[allow(Role.READ)], responses=shown({**JOB, "runs": [34]}))
async def get_job(request: Request, job_id: JobId) -> dict[str, Any]:
    """Return one job, with the numbers of the runs that were its tries, the newest first."""

    def answer() -> dict[str, Any]:
        server = server_of(request)
        job = server.lake.jobs.get(job_id)
        runs = [run.id for run in server.lake.runs.list(job=job_id)]
        return {**_form(server, job), "runs": runs}

    return await server_of(request).read(answer)


@router.post("/jobs/{job_id}/start", status_code=202, dependencies=[allow(Role.COLLECT)], responses=made(JOB, 202))
async def start_job(request: Request, job_id: JobId) -> dict[str, Any]:
    """Let this server do a waiting job now. The answer comes when it has begun."""

    def answer() -> dict[str, Any]:
        server = server_of(request)
        # Whoever may not create such a job may not start one that another caller has left.
        allowed_operation(request, server.lake.jobs.get(job_id).operation)
        return _form(server, server.background.start(job_id))

    return await server_of(request).write(answer)


@router.post("/jobs/{job_id}/cancel", dependencies=[allow(Role.COLLECT)], responses=shown(JOB))
async def cancel_job(request: Request, job_id: JobId) -> dict[str, Any]:
    """Cancel a job: a waiting one at once, a running one after its page; what it committed stays."""

    def answer() -> dict[str, Any]:
        server = server_of(request)
        allowed_operation(request, server.lake.jobs.get(job_id).operation)
        return _form(server, server.lake.jobs.cancel(job_id))

    return await server_of(request).write(answer)


@router.delete("/jobs", dependencies=[allow(Role.ADMIN)], responses=shown({"forgotten": 7}))
async def cleanup_jobs(
    request: Request,
    max_age: Annotated[str, Query(description="Forget jobs that ended longer ago: 30d, 24h, 0.")] = "30d",
) -> dict[str, Any]:
    """Forget jobs that ended; their runs stay."""

    def answer() -> dict[str, Any]:
        return {"forgotten": server_of(request).lake.jobs.cleanup_completed(max_age)}

    return await server_of(request).write(answer)


def _form(server: Server, job: Job) -> dict[str, Any]:
    return server.hidden.of(job_to_json(job, server.lake.engine.now()))
