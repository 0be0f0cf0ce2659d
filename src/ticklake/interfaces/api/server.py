"""Server: what all requests share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import anyio
from anyio import CapacityLimiter
from starlette.requests import HTTPConnection

from ticklake.app import CATALOG_FILE
from ticklake.catalog.audit_log import AuditLog
from ticklake.config import ServerSettings, SqlSettings
from ticklake.engine.store import LIVE_FOLDERS, RETIRED
from ticklake.interfaces.api.answer_cache import AnswerCache
from ticklake.interfaces.api.audit_writer import AuditWriter
from ticklake.interfaces.api.background import Background
from ticklake.interfaces.api.callers import Callers
from ticklake.interfaces.api.clients import Clients
from ticklake.interfaces.api.hidden_paths import HiddenPaths
from ticklake.interfaces.api.observe import ServerMetrics
from ticklake.interfaces.api.queries import Queries
from ticklake.interfaces.api.uploads import Uploads
from ticklake.interfaces.api.watch import Watch
from ticklake.interfaces.collection import Collection
from ticklake.lake import Lake

__all__ = ["Server", "server_of"]

T = TypeVar("T")


class Server:
    """A lake, how it is served, and the threads that answer.

    Nothing that reads the lake runs on the event loop: a request that waits must not keep all others waiting.
    """

    def __init__(self, lake: Lake, options: ServerSettings, sql: SqlSettings | None = None) -> None:
        self.lake = lake
        # Made before there are threads, which would make two of each.
        _ = lake.jobs, lake.streams
        self.options = options
        self.hidden = HiddenPaths(_folders(lake, options), (CATALOG_FILE, RETIRED, *LIVE_FOLDERS))
        self.metrics = ServerMetrics(lake)
        self.is_ending = False
        """Whether it was told to end: it answers what was asked, and is not to be asked more."""
        self.problems: Callable[[], Sequence[str]] = tuple
        """What is wrong in this process, and not in the lake."""
        # Apart: reads that take milliseconds do not wait for a verification that takes minutes.
        self._reads = CapacityLimiter(options.threads)
        self._works = CapacityLimiter(options.threads)
        # What changes the lake may wait long for its turn: others read meanwhile.
        self._writes = CapacityLimiter(options.threads)
        self.answers: AnswerCache[Any] = AnswerCache(int(options.answer_cache))
        self.background = Background(lake, options.threads)
        self.uploads = Uploads(lake, int(options.max_upload))
        self.clients = Clients()
        self.watch = Watch(lake, self.read, options.poll_seconds)
        self.callers = Callers(lake, options)
        self.queries = Queries(sql or SqlSettings())
        self.audit = AuditWriter(AuditLog(lake.engine.catalog.database), lake.engine.now)

    def collects(self, collection: Collection) -> None:
        """Say that this process collects, too: what keeps it from that is part of health."""
        self.problems = collection.problems

    async def read(self, function: Callable[..., T], *arguments: object, **named: object) -> T:
        """Call a function that answers within milliseconds, in a thread."""
        return await anyio.to_thread.run_sync(partial(function, *arguments, **named), limiter=self._reads)

    async def work(self, function: Callable[..., T], *arguments: object, **named: object) -> T:
        """Call a function that may take longer, in a thread."""
        return await anyio.to_thread.run_sync(partial(function, *arguments, **named), limiter=self._works)

    async def write(self, function: Callable[..., T], *arguments: object, **named: object) -> T:
        """Call a function that changes the lake, in a thread."""
        return await anyio.to_thread.run_sync(partial(function, *arguments, **named), limiter=self._writes)

    def end_clients(self) -> None:
        """Tell clients that stay connected that the server ends: it would wait for them for ever."""
        self.is_ending = True
        self.clients.end()

    async def close(self) -> None:
        """End what goes on in this process, in good order."""
        await anyio.to_thread.run_sync(self.queries.close)
        await anyio.to_thread.run_sync(self.background.close)
        await self.callers.close()
        await anyio.to_thread.run_sync(self.audit.close)
        self.uploads.close()


def _folders(lake: Lake, options: ServerSettings) -> dict[Path, str]:
    """Return the folders of this machine that an answer could name."""
    folders: dict[Path, str] = {}
    if options.exports is not None:
        folders[Path(options.exports)] = "the exports"
    if lake.root is not None:
        folders[lake.root] = "the lake"
    return folders


def server_of(request: HTTPConnection) -> Server:
    """Return the server that a request reached."""
    return cast(Server, request.app.state.server)
