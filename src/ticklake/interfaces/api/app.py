"""The application: the routes of a lake."""

from __future__ import annotations

from fastapi import FastAPI

from ticklake.app import tool
from ticklake.config import ServerSettings
from ticklake.interfaces.api.problems import PROBLEM, Problem, add_problems
from ticklake.interfaces.api.routes import datasets
from ticklake.interfaces.api.server import Server
from ticklake.lake import Lake

__all__ = ["PREFIX", "make_app"]

PREFIX = "/api/v1"
_ROUTERS = (datasets.router,)
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
    )
    app.state.server = Server(lake, options or ServerSettings())
    add_problems(app)
    for router in _ROUTERS:
        app.include_router(router, prefix=PREFIX, responses=_PROBLEMS)
    return app
