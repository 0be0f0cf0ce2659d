"""Collecting: what a backfill would fetch, and the jobs that fetch."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from ticklake.core.access import Role
from ticklake.core.requests import BackfillRequest
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.examples import JOB, answers_page, made
from ticklake.interfaces.api.job_requests import Body, Priority, create_job
from ticklake.interfaces.api.paging import whole
from ticklake.interfaces.api.routes.jobs import created
from ticklake.interfaces.api.server import server_of

__all__ = ["router"]

router = APIRouter(tags=["collecting"], dependencies=[allow(Role.COLLECT)])


class PlanBody(Body):
    """What is wanted of an exchange's history."""

    exchange: str = Field(examples=["binance"])
    symbols: list[str] = Field(default_factory=list, max_length=10_000, examples=[["BTC/USDT"]])
    timeframe: str | None = Field(None, description="For bars.", examples=["1h"])
    kind: str | None = Field(None, description="Bars where there is a timeframe, else trades, if left out.")
    start: str | None = Field(None, description="The listing by default.", examples=["2024-01-01"])
    end: str | None = Field(None, description="Now by default.")
    all_quote: str | None = Field(None, description="Also every spot market priced in this currency.")
    retry: bool = Field(False, description="Also ask again for what was unavailable or lost.")
    archives: bool = Field(True, description="Take files of public dump sites first, where there are some.")

    def wanted(self) -> dict[str, Any]:
        """Return what is wanted, without what was left out."""
        return self.model_dump(exclude_none=True, include=set(BackfillRequest.__dataclass_fields__))


class BackfillBody(PlanBody, Priority):
    """History that is to be brought in, and how the job is queued."""

    depth: int | None = Field(None, ge=1, description="Levels of a book on each side.")
    last_days: int | None = Field(None, ge=1, description="Nothing from before the last so many days.")
    begin: bool = Field(False, description="Let this server begin the job at once, instead of the next worker.")


class UpdateBody(Priority):
    """What is brought up to now."""

    dataset: str | None = Field(None, description="All that were collected, by default.")


class RepairBody(Priority):
    """What is repaired."""

    dataset: str | None = Field(None, description="All, by default.")
    fetch: bool = Field(True, description="Whether sources are asked for what is missing.")


@router.post(
    "/plan",
    responses=answers_page(
        {"dataset": "binance:ohlcv:1h:BTC/USDT", "fetch": [], "pages": 12, "seconds": 3.0, "bytes": 90_000, "note": ""}
    ),
)
async def plan(request: Request, body: PlanBody) -> dict[str, Any]:
    """Say what a backfill would fetch: spans, files, pages, seconds and bytes. Nothing is fetched but the list of markets."""

    def answer() -> dict[str, Any]:
        return whole(server_of(request).lake.plan(BackfillRequest.from_json(body.wanted())))

    return await server_of(request).work(answer)


@router.post("/backfill", status_code=201, responses=made(JOB))
async def backfill(request: Request, response: Response, body: BackfillBody) -> dict[str, Any]:
    """Bring history in: the answer is the job that does it."""

    def answer() -> dict[str, Any]:
        server = server_of(request)
        # By way of the request: two spellings of one backfill are one job.
        job = create_job(request, "backfill", BackfillRequest.from_json(body.wanted()).to_json(), body)
        if body.begin and job.status == "queued":
            job = server.background.start(job.id)
        return created(server, response, job)

    return await server_of(request).write(answer)


@router.post("/update", status_code=201, responses=made(JOB))
async def update(request: Request, response: Response, body: UpdateBody) -> dict[str, Any]:
    """Bring a dataset, or all that were collected, up to now: the answer is the job that does it."""
    parameters = body.model_dump(include={"dataset"}, exclude_none=True)
    return await _created(request, response, "update", parameters, body)


@router.post("/repair", status_code=201, responses=made(JOB))
async def repair(request: Request, response: Response, body: RepairBody) -> dict[str, Any]:
    """Replace what is damaged, and close the gaps that can be closed: the answer is the job that does it."""
    parameters = body.model_dump(include={"dataset", "fetch"}, exclude_none=True)
    return await _created(request, response, "repair", parameters, body)


async def _created(
    request: Request, response: Response, operation: str, parameters: dict[str, Any], options: Priority
) -> dict[str, Any]:
    server = server_of(request)
    job = await server.write(create_job, request, operation, parameters, options)
    return created(server, response, job)
