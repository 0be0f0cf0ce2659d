"""Queries: SQL of callers, each in a process of its own, a few at a time."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import anyio
from anyio import CapacityLimiter
from fastapi import Request

from ticklake.config import SqlSettings
from ticklake.core.sql import SqlResult
from ticklake.errors import TooManyRequests
from ticklake.query.sql_sandbox import Sandbox, SandboxedQuery

__all__ = ["Queries"]

_WAITING = 16
"""So many queries wait for each that runs; more are refused."""


class Queries:
    """The processes that answer SQL; none is started before the first query."""

    def __init__(self, options: SqlSettings) -> None:
        self.options = options
        self._running = CapacityLimiter(options.at_once)
        self._open: set[SandboxedQuery] = set()
        self._lock = threading.Lock()
        self._sandbox: Sandbox | None = None

    @property
    def sandbox(self) -> Sandbox:
        """Where queries run. One process is ready ahead."""
        with self._lock:
            if self._sandbox is None:
                self._sandbox = Sandbox(self.options.limits, spare=1)
            return self._sandbox

    async def run(self, request: Request, query: SandboxedQuery) -> SqlResult:
        """Answer a query; if its client goes away, it is ended.

        Raises
        ------
        TooManyRequests
            If too many queries wait already.
        """
        if len(self._open) >= self.options.at_once * _WAITING:
            raise TooManyRequests("too many queries wait for their turn: come back later", self.options.seconds)
        # Before it waits for its turn: those that wait are counted, too.
        self._open.add(query)
        watcher = asyncio.create_task(_cancel_if_gone(request, query))
        try:
            # Abandoned if this request is given up: the query is cancelled below, and its thread ends with it.
            return await anyio.to_thread.run_sync(query.run, abandon_on_cancel=True, limiter=self._running)
        finally:
            query.cancel()
            self._open.discard(query)
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher

    def close(self) -> None:
        """End all processes."""
        for query in list(self._open):
            query.cancel()
        with self._lock:
            if self._sandbox is not None:
                self._sandbox.close()


async def _cancel_if_gone(request: Request, query: SandboxedQuery) -> None:
    # Its body was read: what comes next is that it went away.
    while (await request.receive())["type"] != "http.disconnect":
        continue
    query.cancel()
