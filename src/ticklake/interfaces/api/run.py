"""Running the server: uvicorn on an address of this machine."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from ticklake.config import ServerSettings, SqlSettings
from ticklake.errors import BadInput
from ticklake.interfaces.api.app import make_app
from ticklake.interfaces.api.callers import check_public
from ticklake.interfaces.api.protocol import connection_with
from ticklake.lake import Lake

__all__ = ["listen", "run_server", "uvicorn_config"]

_LARGEST_MESSAGE = 1024**2
"""Bytes of a message that a client sends over a WebSocket: these are subscriptions."""


def run_server(
    lake: Lake, options: ServerSettings, on_ready: Callable[[str], None], sql: SqlSettings | None = None
) -> None:
    """Serve a lake until SIGTERM or Ctrl-C; requests that were begun are answered first.

    Raises
    ------
    BadInput
        If the address is in use, or other machines reach it and the lake has no valid token.
    """
    check_public(lake, options)
    with listen(options) as listening:
        server = uvicorn.Server(uvicorn_config(make_app(lake, options, sql=sql), options))
        on_ready(url_of(listening))
        server.run(sockets=[listening])


def uvicorn_config(app: FastAPI, options: ServerSettings) -> uvicorn.Config:
    """Return how uvicorn serves an application."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        http=connection_with(options),
        # Otherwise whoever calls from this machine could say that it calls from another one.
        proxy_headers=bool(options.proxies),
        forwarded_allow_ips=options.proxies,
        ws_max_size=_LARGEST_MESSAGE,
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
