"""Running the server: uvicorn on an address of this machine."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from ticklake.config import ServerSettings
from ticklake.errors import BadInput
from ticklake.interfaces.api.app import make_app
from ticklake.interfaces.api.callers import check_public
from ticklake.interfaces.api.protocol import connection_with
from ticklake.lake import Lake

__all__ = ["HttpServer", "listen", "run_server"]

_KEEP_ALIVE = 15
"""Seconds until a connection without requests is ended."""
_LARGEST_MESSAGE = 64 * 1024
"""Bytes of a message that a client sends over a WebSocket: these are subscriptions."""
_LONGEST_END = 30
"""Seconds for which requests that were begun are waited for at the end."""


def run_server(lake: Lake, options: ServerSettings, on_ready: Callable[[str], None]) -> None:
    """Serve a lake until SIGTERM or Ctrl-C; requests that were begun are answered first.

    Raises
    ------
    BadInput
        If the address is in use, or other machines reach it and the lake has no valid token.
    """
    check_public(lake, options)
    with listen(options) as listening:
        server = HttpServer(make_app(lake, options), options)
        on_ready(url_of(listening))
        server.run(sockets=[listening])


class HttpServer(uvicorn.Server):
    """uvicorn with our options, which also ends the clients that stay connected."""

    def __init__(self, app: FastAPI, options: ServerSettings) -> None:
        super().__init__(_uvicorn_config(app, options))
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all connections, and what goes on in the application."""
        self._app.state.server.end_clients()
        await super().shutdown(sockets)


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
        timeout_graceful_shutdown=_LONGEST_END,
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
