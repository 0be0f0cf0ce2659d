"""Maintenance: jobs that keep the files and the catalog of the lake in order."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from ticklake.core.access import Role
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.examples import JOB, made
from ticklake.interfaces.api.job_requests import Priority, create_job
from ticklake.interfaces.api.routes.jobs import created
from ticklake.interfaces.api.server import server_of
from ticklake.interfaces.schema import to_json
from ticklake.lake import Lake
from ticklake.lake.arguments import present_datasets

__all__ = ["router"]

router = APIRouter(prefix="/maintenance", tags=["maintenance"], dependencies=[allow(Role.ADMIN)])


class DatasetBody(Priority):
    """What is worked on."""

    dataset: str | None = Field(None, description="All, by default.")


class VerifyBody(DatasetBody):
    """What is verified."""

    deep: bool = Field(False, description="Decode every value again, too.")


class VacuumBody(Priority):
    """What is removed for good."""

    keep: str = Field("7d", description="Keep older versions for so long: 7d, 24h, 0.")
    dry_run: bool = Field(False, description="Only say what would be removed.")


class CleanupBody(Priority):
    """Rows that are older than they are kept."""

    days_to_keep: int | None = Field(None, ge=1, description="Whole days; what the setting keep says, by default.")
    datasets: list[str] | None = Field(None, description="Names or patterns; all, by default.")
    dry_run: bool = Field(False, description="Only say what would be removed.")


class BackupBody(Priority):
    """A copy of the lake."""

    folder: str = Field(description="A plain name: a folder below the server's folder for such.", examples=["monday"])


@router.post("/compact", status_code=201, responses=made(JOB))
async def compact(request: Request, response: Response, body: DatasetBody) -> dict[str, Any]:
    """Make few large files of many small segments: the answer is the job that does it."""
    return await _created(request, response, "compact", body)


@router.post("/verify", status_code=201, responses=made(JOB))
async def verify(request: Request, response: Response, body: VerifyBody) -> dict[str, Any]:
    """Check that every segment is there and is what was written: the answer is the job that does it."""
    return await _created(request, response, "verify", body)


@router.post("/backup", status_code=201, responses=made(JOB))
async def backup(request: Request, response: Response, body: BackupBody) -> dict[str, Any]:
    """Copy the lake: the answer is the job that does it."""
    return await _created(request, response, "backup", body)


@router.post("/vacuum", status_code=201, responses={**made(JOB), 200: {"description": "What would be removed."}})
async def vacuum(request: Request, response: Response, body: VacuumBody) -> dict[str, Any]:
    """Remove old versions and garbage: the answer is the job that does it, or what it would remove."""
    if not body.dry_run:
        return await _created(request, response, "vacuum", body)
    # Nothing was made.
    response.status_code = 200
    done = await server_of(request).work(server_of(request).lake.admin.vacuum, body.keep, dry_run=True)
    return _dry(done)


@router.post("/cleanup", status_code=201, responses={**made(JOB), 200: {"description": "What would be removed."}})
async def cleanup(request: Request, response: Response, body: CleanupBody) -> dict[str, Any]:
    """Remove rows that are older than they are kept: the answer is the job that does it, or what it would remove."""
    if not body.dry_run:
        return await _created(request, response, "cleanup", body)
    response.status_code = 200
    return await server_of(request).work(_would_clean, server_of(request).lake, body)


def _would_clean(lake: Lake, body: CleanupBody) -> dict[str, Any]:
    chosen = None
    if body.datasets is not None:
        chosen = present_datasets(lake.engine, body.datasets)
    return _dry(lake.admin.cleanup(body.days_to_keep, datasets=chosen, dry_run=True))


def _dry(done: Any) -> dict[str, Any]:
    return {**to_json(done), "dry_run": True}


async def _created(request: Request, response: Response, operation: str, body: Priority) -> dict[str, Any]:
    parameters = body.model_dump(exclude={"priority", "max_attempts", "dry_run"}, exclude_none=True)
    server = server_of(request)
    job = await server.write(create_job, request, operation, parameters, body)
    return created(server, response, job)
