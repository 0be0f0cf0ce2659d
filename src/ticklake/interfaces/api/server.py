"""Server: what all requests share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar, cast

import anyio
from anyio import CapacityLimiter
from fastapi import Request

from ticklake.catalog.audit_log import AuditLog
from ticklake.config import ServerSettings, SqlSettings
from ticklake.interfaces.api.audit_writer import AuditWriter
from ticklake.interfaces.api.callers import Callers
from ticklake.interfaces.api.observe import ServerMetrics
from ticklake.interfaces.api.queries import Queries
from ticklake.lake import Lake

__all__ = ["Server", "server_of"]

T = TypeVar("T")


class Server:
    """A lake, how it is served, and the threads that answer.

    Nothing that reads the lake runs on the event loop: a request that waits must not keep all others waiting.
    """

    def __init__(self, lake: Lake, options: ServerSettings, sql: SqlSettings | None = None) -> None:
        self.lake = lake
        self.options = options
        self.metrics = ServerMetrics(lake)
        self.is_ending = False
        """Whether it was told to end: it answers what was asked, and is not to be asked more."""
        # Apart: reads that take milliseconds do not wait for a verification that takes minutes.
        self._reads = CapacityLimiter(options.threads)
        self._works = CapacityLimiter(options.threads)
        self.callers = Callers(lake, options)
        self.queries = Queries(sql or SqlSettings())
        self.audit = AuditWriter(AuditLog(lake.engine.catalog.database), lake.engine.now)

    async def read(self, function: Callable[..., T], *arguments: object, **named: object) -> T:
        """Call a function that answers within milliseconds, in a thread."""
        return await anyio.to_thread.run_sync(partial(function, *arguments, **named), limiter=self._reads)

    async def work(self, function: Callable[..., T], *arguments: object, **named: object) -> T:
        """Call a function that may take longer, in a thread."""
        return await anyio.to_thread.run_sync(partial(function, *arguments, **named), limiter=self._works)

    async def close(self) -> None:
        """End what goes on in this process, in good order."""
        await anyio.to_thread.run_sync(self.queries.close)
        await anyio.to_thread.run_sync(self.audit.close)


def server_of(request: Request) -> Server:
    """Return the server that a request reached."""
    return cast(Server, request.app.state.server)
