"""The application: the routes of a lake."""

from __future__ import annotations

from fastapi import FastAPI

from ticklake.app import tool
from ticklake.config import LogSettings, ServerSettings
from ticklake.interfaces.api.observe import Observed
from ticklake.interfaces.api.problems import PROBLEM, Problem, add_problems
from ticklake.interfaces.api.routes import datasets, health
from ticklake.interfaces.api.server import Server
from ticklake.lake import Lake

__all__ = ["PREFIX", "make_app"]

PREFIX = "/api/v1"
_ROUTERS = (datasets.router, health.router)
_ROOT_ROUTERS = (health.open_router, health.metrics_router)
_PROBLEMS: dict[int | str, dict[str, object]] = {
    "default": {"model": Problem, "description": "A problem, in plain words.", "content": {PROBLEM: {}}}
}


def make_app(lake: Lake, options: ServerSettings | None = None, log: LogSettings | None = None) -> FastAPI:
    """Return the application that serves a lake; who makes it closes the lake."""
    app = FastAPI(
        title="Ticklake",
        version=tool().removeprefix("ticklake "),
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
    )
    app.state.server = Server(lake, options or ServerSettings())
    add_problems(app)
    for router in _ROUTERS:
        app.include_router(router, prefix=PREFIX, responses=_PROBLEMS)
    for router in _ROOT_ROUTERS:
        app.include_router(router, responses=_PROBLEMS)
    # Outermost, so that what is refused before it reaches a route is logged and counted, too.
    app.add_middleware(Observed, metrics=app.state.server.metrics.http, slow=(log or LogSettings()).slow, prefix=PREFIX)
    return app
