"""The application: the routes of a lake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from ticklake.app import tool
from ticklake.config import ServerSettings
from ticklake.interfaces.api.gate import Gate
from ticklake.interfaces.api.observe import Observed
from ticklake.interfaces.api.problems import PROBLEM, Problem, add_problems
from ticklake.interfaces.api.routes import datasets, health, session, tokens
from ticklake.interfaces.api.server import Server
from ticklake.lake import Lake

__all__ = ["PREFIX", "make_app"]

PREFIX = "/api/v1"
_ROUTERS = (datasets.router, health.router, session.api_router, tokens.router)
_ROOT_ROUTERS = (health.open_router, health.metrics_router, session.router)
_PROBLEMS: dict[int | str, dict[str, object]] = {
    "default": {"model": Problem, "description": "A problem, in plain words.", "content": {PROBLEM: {}}}
}


def make_app(lake: Lake, options: ServerSettings | None = None) -> FastAPI:
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
    add_problems(app)
    for router in _ROUTERS:
        app.include_router(router, prefix=PREFIX, responses=_PROBLEMS)
    for router in _ROOT_ROUTERS:
        app.include_router(router, responses=_PROBLEMS)
    return app


class _Guarded(FastAPI):
    """An application behind the gate, which also sees the answers to requests that fail."""

    def build_middleware_stack(self) -> ASGIApp:
        """Put the gate around all else, and around it what logs and counts: what the gate refuses, too."""
        server: Server = self.state.server
        gate = Gate(super().build_middleware_stack(), server.options, server.callers, server.audit)
        return Observed(_with_origins(gate, server.options), server.metrics.http, server.options.slow, PREFIX)


def _with_origins(app: ASGIApp, options: ServerSettings) -> ASGIApp:
    """Let the web pages of others use an application, if any may."""
    if not options.allowed_origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=options.allowed_origins,
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
