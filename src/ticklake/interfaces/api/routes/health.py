"""Health and metrics: whether the server answers, whether the lake is fresh, and figures for Prometheus."""

from __future__ import annotations

import json

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from ticklake.core.access import Role
from ticklake.errors import TicklakeError
from ticklake.interfaces.api.access import allow, anyone
from ticklake.interfaces.api.openapi import answers_object
from ticklake.interfaces.api.problems import problem
from ticklake.interfaces.api.server import server_of
from ticklake.interfaces.health import lake_health

__all__ = ["metrics_router", "open_router", "router"]

open_router = APIRouter(tags=["operations"], dependencies=[anyone()])
"""What anybody may ask: it says nothing of the lake."""
router = APIRouter(tags=["operations"], dependencies=[allow(Role.READ)])
metrics_router = APIRouter(tags=["operations"], dependencies=[allow(Role.READ)])
"""At the address that Prometheus asks by default, outside of ``/api/v1``."""
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


@open_router.get("/health", summary="Whether the server answers", responses=answers_object({"status": "ok"}))
async def health() -> dict[str, str]:
    """Say that the server answers."""
    return {"status": "ok"}


@open_router.get("/health/ready", summary="Whether the lake can be read", responses=answers_object({"status": "ready"}))
async def ready(request: Request) -> Response:
    """Say that the lake can be read: 503 while it cannot, or once the server is told to end."""
    server = server_of(request)
    if server.is_ending:
        return problem(503, "Ending", "the server was told to end: ask another one", retriable=True)
    try:
        await server.read(server.lake.engine.catalog.version)
    except TicklakeError as error:
        # The same status for each: whoever sends requests here asks only whether to.
        return problem(
            503, type(error).__name__, "the lake cannot be read now: see the log of the server", retriable=True
        )
    return JSONResponse({"status": "ready"})


@router.get("/health", summary="Health", responses=answers_object({"status": "ok", "problems": [], "data": []}))
async def lake(
    request: Request,
    stale: bool = Query(False, description="Only datasets that are stale."),
    search: str = Query("", description="Only datasets whose name contains this."),
) -> Response:
    """Say how the lake is: the freshness of each dataset, jobs, streams, and the disk."""
    server = server_of(request)

    def answer() -> bytes:
        # Written here, too: ten thousand datasets are a megabyte of text, for which the event loop would stand still.
        known = server.problems()
        found = lake_health(server.lake, only_stale=stale, search=search, known=known)
        return json.dumps(found, ensure_ascii=False).encode()

    return Response(await server.work(answer), media_type="application/json")


@metrics_router.get("/metrics", summary="Metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Return figures in Prometheus' text format."""
    server = server_of(request)
    return Response(await server.read(server.metrics.text), media_type=_TEXT)
