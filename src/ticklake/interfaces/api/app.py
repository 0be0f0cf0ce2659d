"""The application: the routes of a lake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from ticklake.app import tool
from ticklake.config import LogSettings, ServerSettings
from ticklake.interfaces.api.gate import Gate
from ticklake.interfaces.api.observe import Observed
from ticklake.interfaces.api.problems import PROBLEM, Problem, add_problems
from ticklake.interfaces.api.routes import (
    collecting,
    datasets,
    events,
    health,
    imports,
    jobs,
    made_rows,
    maintenance,
    runs,
    schedules,
    session,
    streams,
    subscribe,
    tokens,
    writing,
)
from ticklake.interfaces.api.server import Server
from ticklake.lake import Lake

__all__ = ["PREFIX", "make_app"]

PREFIX = "/api/v1"
_ROUTERS = (
    datasets.router,
    health.router,
    session.api_router,
    tokens.router,
    jobs.router,
    runs.router,
    schedules.router,
    streams.router,
    collecting.router,
    maintenance.router,
    events.router,
    subscribe.router,
    made_rows.router,
    writing.router,
    imports.router,
)
_ROOT_ROUTERS = (session.router, health.open_router, health.metrics_router)
_PROBLEMS: dict[int | str, dict[str, object]] = {
    "default": {"model": Problem, "description": "A problem, in plain words.", "content": {PROBLEM: {}}}
}


def make_app(lake: Lake, options: ServerSettings | None = None, log: LogSettings | None = None) -> FastAPI:
    """Return the application that serves a lake; who makes it closes the lake."""
    app = _Guarded(
        title="Ticklake",
        version=tool().removeprefix("ticklake "),
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        lifespan=_lifespan,
    )
    app.state.server = Server(lake, options or ServerSettings())
    app.state.slow = (log or LogSettings()).slow
    add_problems(app)
    for router in _ROUTERS:
        app.include_router(router, prefix=PREFIX, responses=_PROBLEMS)
    for router in _ROOT_ROUTERS:
        app.include_router(router, responses=_PROBLEMS)
    return app


class _Guarded(FastAPI):
    """An application behind the gate; what the gate refuses is logged and counted, too."""

    def build_middleware_stack(self) -> ASGIApp:
        """Put the gate around all else, and around it what logs requests."""
        server: Server = self.state.server
        gate: ASGIApp = Gate(super().build_middleware_stack(), server.options, server.callers, server.audit)
        gate = Observed(gate, metrics=server.metrics.http, slow=self.state.slow, prefix=PREFIX)
        if not server.options.allowed_origins:
            return gate
        return CORSMiddleware(
            gate,
            allow_origins=server.options.allowed_origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            # Tokens, and never cookies: these are for our own pages.
            allow_headers=["Authorization", "Content-Type", "If-None-Match"],
            expose_headers=["*"],
        )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Close what requests have begun, once no more of them come."""
    try:
        yield
    finally:
        await app.state.server.close()
