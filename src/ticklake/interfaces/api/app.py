"""The application: the routes of a lake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from ticklake.app import tool
from ticklake.config import ServerSettings, SqlSettings
from ticklake.interfaces.api.gate import Gate
from ticklake.interfaces.api.heads import AnswersHead
from ticklake.interfaces.api.observe import Observed
from ticklake.interfaces.api.openapi import document, operation_id
from ticklake.interfaces.api.pages import add_pages
from ticklake.interfaces.api.parameters import add_parameters
from ticklake.interfaces.api.problems import add_problems
from ticklake.interfaces.api.routes import (
    books,
    collecting,
    completeness,
    datasets,
    derived,
    events,
    frames,
    health,
    history,
    imports,
    jobs,
    joins,
    made_rows,
    maintenance,
    markets,
    rows,
    runs,
    schedules,
    segments,
    sent_rows,
    session,
    streams,
    subscribe,
    tokens,
    writing,
)
from ticklake.interfaces.api.routes import sql as sql_routes
from ticklake.interfaces.api.server import Server
from ticklake.lake import Lake

__all__ = ["PREFIX", "make_app"]

PREFIX = "/api/v1"
_ROUTERS = (
    datasets.router,
    rows.router,
    segments.router,
    completeness.router,
    history.router,
    books.router,
    joins.router,
    sent_rows.router,
    frames.router,
    derived.router,
    markets.router,
    health.router,
    sql_routes.router,
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
    # The last: the name of a dataset has slashes, so that its route fits all others below /datasets, too.
    datasets.detail_router,
)
_ROOT_ROUTERS = (session.router, health.open_router, health.metrics_router)


def make_app(lake: Lake, options: ServerSettings | None = None, sql: SqlSettings | None = None) -> FastAPI:
    """Return the application that serves a lake; who makes it closes the lake."""
    app = _Guarded(
        title="Ticklake",
        version=tool().removeprefix("ticklake "),
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        lifespan=_lifespan,
        # An address with a slash at its end is another one, and no reason to send a client elsewhere.
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
    )
    app.state.server = Server(lake, options or ServerSettings(), sql)
    add_problems(app)
    for router in _ROUTERS:
        app.include_router(router, prefix=PREFIX)
    for router in _ROOT_ROUTERS:
        app.include_router(router)
    app.openapi = partial(document, app)  # type: ignore[method-assign]
    add_pages(app, str(app.openapi_url))
    add_parameters(app)
    return app


class _Guarded(FastAPI):
    """An application behind the gate; what the gate refuses is logged and counted, too."""

    def build_middleware_stack(self) -> ASGIApp:
        """Put the gate around all else, and around it what logs requests."""
        server: Server = self.state.server
        answers = AnswersHead(super().build_middleware_stack())
        gate: ASGIApp = Gate(answers, server.options, server.callers, server.audit)
        gate = Observed(gate, server.metrics.http, server.options, PREFIX)
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
