"""Schedules: what makes jobs again and again."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from ticklake.core.access import Role
from ticklake.core.schedules import Schedule
from ticklake.errors import BadInput
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.examples import JOB, SCHEDULE, answers_page, made, shown
from ticklake.interfaces.api.job_requests import Body, allowed_operation, kept_parameters
from ticklake.interfaces.api.paging import whole
from ticklake.interfaces.api.routes.jobs import created
from ticklake.interfaces.api.server import server_of
from ticklake.interfaces.schema import to_json

__all__ = ["router"]

router = APIRouter(tags=["schedules"])
Name = Annotated[str, Path(min_length=1, max_length=200, description="The name of the schedule.")]
_RHYTHM = frozenset({"cron", "every", "zone", "priority", "managed"})
"""What :meth:`Schedules.add` takes itself: an operation's parameter of that name cannot be passed beside it."""


class ScheduleBody(Body):
    """What is done again and again, and when."""

    operation: str = Field(examples=["update"])
    parameters: dict[str, Any] = Field(default_factory=dict, description="As those of a job.")
    cron: str | None = Field(None, description="Minute hour day month weekday.", examples=["5 * * * *"])
    every: str | None = Field(None, description="Instead of cron, a length of time: 90s, 15m, 1h, 1d, 2w.")
    zone: str = Field("UTC", description="The time zone of cron.")
    priority: int = Field(0, ge=-(2**31), le=2**31)


@router.get("/schedules", dependencies=[allow(Role.READ)], responses=answers_page(SCHEDULE))
async def list_schedules(request: Request) -> dict[str, Any]:
    """List the schedules, sorted by name."""
    schedules = await server_of(request).read(server_of(request).lake.schedules.list)
    return server_of(request).hidden.of(whole(schedules))


@router.get("/schedules/{name}", dependencies=[allow(Role.READ)], responses=shown(SCHEDULE))
async def get_schedule(request: Request, name: Name) -> dict[str, Any]:
    """Return one schedule."""
    return _form(request, await server_of(request).read(server_of(request).lake.schedules.get, name))


@router.put("/schedules/{name}", dependencies=[allow(Role.COLLECT)], responses=shown(SCHEDULE))
async def put_schedule(request: Request, name: Name, body: ScheduleBody) -> dict[str, Any]:
    """Add a schedule, or change the one of that name."""

    def answer() -> dict[str, Any]:
        server = server_of(request)
        kept = kept_parameters(server, allowed_operation(request, body.operation), body.parameters)
        clash = _RHYTHM.intersection(kept)
        if clash:
            raise BadInput(f"a schedule cannot pass the parameter {min(clash)!r} to {body.operation}: leave it out")
        # Else a caller could replace a schedule that it may not remove.
        _refuse_other(request, name)
        rhythm = body.model_dump(include={"cron", "every", "zone", "priority"})
        return _form(request, server.lake.schedules.add(name, body.operation, **rhythm, **kept))

    return await server_of(request).write(answer)


@router.delete("/schedules/{name}", dependencies=[allow(Role.COLLECT)], responses=shown({"removed": "hourly"}))
async def remove_schedule(request: Request, name: Name) -> dict[str, Any]:
    """Remove a schedule; jobs that it made stay."""

    def answer() -> dict[str, Any]:
        _allowed(request, name)
        server_of(request).lake.schedules.remove(name)
        return {"removed": name}

    return await server_of(request).write(answer)


@router.post("/schedules/{name}/pause", dependencies=[allow(Role.COLLECT)], responses=shown(SCHEDULE))
async def pause_schedule(request: Request, name: Name) -> dict[str, Any]:
    """Make no more jobs of it for now."""

    def answer() -> dict[str, Any]:
        _allowed(request, name)
        return _form(request, server_of(request).lake.schedules.pause(name))

    return await server_of(request).write(answer)


@router.post("/schedules/{name}/resume", dependencies=[allow(Role.COLLECT)], responses=shown(SCHEDULE))
async def resume_schedule(request: Request, name: Name) -> dict[str, Any]:
    """Make jobs of it again, from its next time on."""

    def answer() -> dict[str, Any]:
        _allowed(request, name)
        return _form(request, server_of(request).lake.schedules.resume(name))

    return await server_of(request).write(answer)


@router.post("/schedules/{name}/run", status_code=201, dependencies=[allow(Role.COLLECT)], responses=made(JOB))
async def run_schedule(request: Request, response: Response, name: Name) -> dict[str, Any]:
    """Make a job of it now; its next time stays as it is."""

    def answer() -> dict[str, Any]:
        server, schedule = server_of(request), _allowed(request, name)
        # A folder of it was checked when the schedule was made, and may be one that the owner chose.
        job = server.lake.jobs.create(schedule.operation, priority=schedule.priority, **schedule.parameters)
        return created(server, response, job)

    return await server_of(request).write(answer)


def _allowed(request: Request, name: str) -> Schedule:
    """Return a schedule whose operation the caller may ask for."""
    schedule = server_of(request).lake.schedules.get(name)
    allowed_operation(request, schedule.operation)
    return schedule


def _refuse_other(request: Request, name: str) -> None:
    """Refuse to replace a schedule whose operation the caller may not ask for."""
    for schedule in server_of(request).lake.schedules.list():
        if schedule.name == name:
            allowed_operation(request, schedule.operation)


def _form(request: Request, schedule: Schedule) -> dict[str, Any]:
    return server_of(request).hidden.of(to_json(schedule))
