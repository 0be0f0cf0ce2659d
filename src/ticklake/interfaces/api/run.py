"""Running the server: uvicorn on an address of this machine."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn
from fastapi import FastAPI

from ticklake.config import ServerSettings, SqlSettings
from ticklake.errors import BadInput
from ticklake.interfaces.api.app import make_app
from ticklake.interfaces.api.callers import check_public
from ticklake.interfaces.api.ending import Ending
from ticklake.interfaces.api.processes import Processes, end_with_parent, socket_of
from ticklake.interfaces.api.protocol import connection_with
from ticklake.interfaces.api.server import Server
from ticklake.interfaces.api.shared import published
from ticklake.interfaces.collection import Collection
from ticklake.lake import Lake
from ticklake.log import Log

__all__ = ["HttpServer", "listen", "run_processes", "run_server", "socket_of"]

_LOG = Log("server")
_WAITING = 2048
"""Connections that wait until a process takes them."""
_LATER = 2.0
"""Seconds more that the process has that waits for the others."""

_KEEP_ALIVE = 15
"""Seconds until a connection without requests is ended."""
_LARGEST_MESSAGE = 64 * 1024
"""Bytes of a message that a client sends over a WebSocket: these are subscriptions."""


def run_server(
    lake: Lake,
    options: ServerSettings,
    on_ready: Callable[[str], None],
    *,
    collection: Collection | None = None,
    listening: socket.socket | None = None,
    sql: SqlSettings | None = None,
) -> None:
    """Serve a lake until SIGTERM or Ctrl-C; requests that were begun are answered first.

    Parameters
    ----------
    collection
        Collects beside it, and ends with it.
    sql
        What queries may use.
    listening
        The socket, if this is one of several processes: then it ends with the one that started it, too.

    Raises
    ------
    BadInput
        If the address is in use, or other machines reach it and the lake has no valid token.
    TicklakeError
        With which the collection ended.
    """
    is_one_of_several = listening is not None
    if listening is None:
        check_public(lake, options)
        listening = listen(options)
    with listening:
        server = HttpServer(make_app(lake, options, sql), options)
        ending = server.ending(collection)
        # The lake is closed in here: that may take its time, too.
        with ending.at_signals(), lake, published(lake), _collecting(collection, ending):
            if is_one_of_several:
                end_with_parent(ending.hurry)
            on_ready(url_of(listening))
            _LOG.info("server started", url=url_of(listening), collects=collection is not None)
            server.run(sockets=[listening])
    _LOG.info("server stopped")


def run_processes(
    lake: Lake,
    options: ServerSettings,
    on_ready: Callable[[str], None],
    command: Sequence[str],
    *,
    collection: Collection | None = None,
) -> int:
    """Serve a lake by several processes, each started by *command*, and collect in this one; return the exit code.

    Raises
    ------
    BadInput
        If the address is in use, or other machines reach it and the lake has no valid token.
    TicklakeError
        With which the collection ended.
    """
    check_public(lake, options)
    with listen(options) as listening, TemporaryDirectory(prefix="ticklake-figures-") as folder:
        processes = Processes(command, options.processes, listening)
        # The others end first, in the same time.
        ending = Ending(options.shutdown_seconds + _LATER, processes.stop, _giving_up(collection, processes.kill))
        with ending.at_signals(), lake, published(lake, folder), _collecting(collection, ending):
            on_ready(url_of(listening))
            said = {"processes": options.processes, "collects": collection is not None}
            _LOG.info("server started", url=url_of(listening), **said)
            processes.run(Path(folder))
    _LOG.info("server stopped")
    return processes.code


@contextmanager
def _collecting(collection: Collection | None, ending: Ending) -> Iterator[None]:
    """Collect while the block runs; whichever of the two ends, the other one is to end, too."""
    if collection is None:
        yield
        return
    collection.start(lambda: ending.begin("the collection ended"))
    try:
        yield
    finally:
        collection.stop()
        collection.join()


def _giving_up(collection: Collection | None, last: Callable[[], object] = lambda: None) -> Callable[[], None]:
    def give_up() -> None:
        if collection is not None:
            collection.abandon()
        last()

    return give_up


class HttpServer(uvicorn.Server):
    """uvicorn with our options, which leaves signals to others, and ends the clients that stay connected."""

    def __init__(self, app: FastAPI, options: ServerSettings) -> None:
        super().__init__(_uvicorn_config(app, options))
        logging.getLogger("uvicorn.error").addFilter(_CUTS)
        self._server: Server = app.state.server

    def ending(self, collection: Collection | None) -> Ending:
        """Return what ends this server, and the collection beside it."""
        if collection is not None:
            self._server.collects(collection)

        def stop() -> None:
            self._server.is_ending = self.should_exit = True
            if collection is not None:
                collection.stop()

        return Ending(
            self._server.options.shutdown_seconds, stop, _giving_up(collection, self._server.background.abandon)
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all connections, and what goes on in the application."""
        self._server.end_clients()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals as they are: the whole process ends in good order, of which requests are a part."""
        yield


class _Cuts(logging.Filter):
    """Tells of requests that are cut as the server ends in one line: uvicorn takes them for defects of the application."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info is None or not isinstance(record.exc_info[1], asyncio.CancelledError):
            return True
        _LOG.warning("a request was cut, as the server ends")
        return False


_CUTS = _Cuts()


def _uvicorn_config(app: FastAPI, options: ServerSettings) -> uvicorn.Config:
    """Return how uvicorn serves an application."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        http=connection_with(options),
        # Longer than clients keep a connection: httpx for 5 seconds. Else they send into one that ends at that moment.
        timeout_keep_alive=_KEEP_ALIVE,
        # Otherwise whoever calls from this machine could say that it calls from another one.
        proxy_headers=bool(options.proxies),
        forwarded_allow_ips=options.proxies,
        ws_max_size=_LARGEST_MESSAGE,
        # To compress rows on the event loop would keep all others waiting.
        ws_per_message_deflate=False,
        # Half of the time is for answers that were begun, the rest for what ends after them.
        timeout_graceful_shutdown=max(int(options.shutdown_seconds / 2), 1),
    )


def listen(options: ServerSettings) -> socket.socket:
    """Return the socket that the server listens on.

    Raises
    ------
    BadInput
    """
    if options.host != "localhost":
        _check_address(options.host)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listening = socket.socket(family)
    # Otherwise a server that is started again waits until the last connections of the one before are forgotten.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((options.host, options.port))
        # Now, and not once uvicorn does: who is told the address may connect before that, and would be refused.
        listening.listen(_WAITING)
    except OSError as error:
        listening.close()
        raise BadInput(
            f"{options.host}:{options.port} cannot be listened on ({error.strerror}): name another --port"
        ) from error
    return listening


def url_of(listening: socket.socket) -> str:
    """Return the address at which browsers reach a socket."""
    host, port = listening.getsockname()[:2]
    if ":" in host:
        host = f"[{host}]"
    return f"http://{host}:{port}"


def _check_address(host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise BadInput(f"host={host} is no address: write 127.0.0.1, ::1, or 0.0.0.0 for all of this machine") from None
