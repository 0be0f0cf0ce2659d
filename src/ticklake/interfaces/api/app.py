"""The application: the routes of a lake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from ticklake.app import tool
from ticklake.config import ServerSettings
from ticklake.interfaces.api.problems import PROBLEM, Problem, add_problems
from ticklake.interfaces.api.routes import (
    collecting,
    datasets,
    events,
    jobs,
    maintenance,
    runs,
    schedules,
    streams,
    subscribe,
)
from ticklake.interfaces.api.server import Server
from ticklake.lake import Lake

__all__ = ["PREFIX", "make_app"]

PREFIX = "/api/v1"
_ROUTERS = (
    datasets.router,
    jobs.router,
    runs.router,
    schedules.router,
    streams.router,
    collecting.router,
    maintenance.router,
    events.router,
    subscribe.router,
)
_PROBLEMS: dict[int | str, dict[str, object]] = {
    "default": {"model": Problem, "description": "A problem, in plain words.", "content": {PROBLEM: {}}}
}


def make_app(lake: Lake, options: ServerSettings | None = None) -> FastAPI:
    """Return the application that serves a lake; who makes it closes the lake."""
    app = FastAPI(
        title="Ticklake",
        version=tool().removeprefix("ticklake "),
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        lifespan=_lifespan,
    )
    app.state.server = Server(lake, options or ServerSettings())
    add_problems(app)
    for router in _ROUTERS:
        app.include_router(router, prefix=PREFIX, responses=_PROBLEMS)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Close what requests have begun, once no more of them come."""
    try:
        yield
    finally:
        await app.state.server.close()
