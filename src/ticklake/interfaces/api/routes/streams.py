"""Streams: what is collected live, by jobs that a daemon or worker does."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from ticklake.core.access import Role
from ticklake.core.jobs import Job
from ticklake.core.streams import StreamRequest
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.examples import JOB, STREAM, answers_page, made
from ticklake.interfaces.api.job_requests import Priority, create_job
from ticklake.interfaces.api.paging import whole
from ticklake.interfaces.api.routes.jobs import created
from ticklake.interfaces.api.server import server_of
from ticklake.interfaces.schema import job_to_json
from ticklake.lake import Lake

__all__ = ["router"]

router = APIRouter(prefix="/streams", tags=["streams"])
_MOST = 1_000
"""So many active jobs of streams are looked at."""


class StreamBody(Priority):
    """Which streams of an exchange are wanted."""

    exchange: str = Field(examples=["binance"])
    symbols: list[str] = Field(min_length=1, max_length=10_000, examples=[["BTC/USDT", "ETH/*"]])
    kinds: list[str] = Field(default_factory=lambda: ["trades"], examples=[["trades", "book"]])
    timeframes: list[str] = Field(default_factory=lambda: ["1m"], description="Lengths of bars.")
    depth: int | None = Field(None, ge=1, description="Levels of a book on each side; all by default.")
    begin: bool = Field(False, description="Let this server collect them, instead of the next worker.")


@router.get("", dependencies=[allow(Role.READ)], responses=answers_page(STREAM))
async def list_streams(request: Request) -> dict[str, Any]:
    """Say how each stream goes that is collected now, by whichever process."""
    return whole(await server_of(request).read(_status, server_of(request).lake))


def _status(lake: Lake) -> list[Any]:
    return list(lake.streams.status())


@router.post("", status_code=201, dependencies=[allow(Role.COLLECT)], responses=made(JOB))
async def start_streams(request: Request, response: Response, body: StreamBody) -> dict[str, Any]:
    """Collect streams until they are stopped: the answer is the job that does it, on whichever machine has a worker."""

    def answer() -> dict[str, Any]:
        server = server_of(request)
        # Parsed now: a job would say only when it runs that a kind is not sent over sockets.
        wanted = StreamRequest.of(body.exchange, body.symbols, body.kinds, body.timeframes, body.depth)
        job = create_job(request, "stream", {"streams": [wanted.to_json()]}, body)
        if body.begin and job.status == "queued":
            job = server.background.start(job.id)
        return created(server, response, job)

    return await server_of(request).write(answer)


@router.post("/stop", dependencies=[allow(Role.COLLECT)], responses=answers_page(JOB))
async def stop_streams(
    request: Request, exchange: Annotated[str | None, Query(description="Only those of this exchange.")] = None
) -> dict[str, Any]:
    """Cancel the jobs of streams, of one exchange or all; what they received is committed."""

    def answer() -> dict[str, Any]:
        lake = server_of(request).lake
        # A job may hold streams of several exchanges: it is cancelled as a whole.
        jobs = [job for job in lake.jobs.list(state="active", operation="stream", limit=_MOST) if _is_of(job, exchange)]
        cancelled = [job_to_json(lake.jobs.cancel(job.id), lake.engine.now()) for job in jobs]
        return server_of(request).hidden.of(whole(cancelled))

    return await server_of(request).write(answer)


def _is_of(job: Job, exchange: str | None) -> bool:
    """Whether a job collects streams of an exchange."""
    if exchange is None:
        return True
    return any(stream.get("exchange") == exchange.lower() for stream in job.parameters.get("streams", ()))
