"""The command serve: the lake over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.output import errors

__all__ = ["serve"]

Host = Annotated[str | None, typer.Option("--host", help="Address to listen on. [default: 127.0.0.1]")]
Port = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="[default: 8470; 0 takes a free one]")]


RequireToken = Annotated[
    bool | None,
    typer.Option(
        "--require-token/--no-require-token",
        help="Whether each request needs a token. [default: once the lake has one]",
    ),
]


def serve(
    host: Host = None, port: Port = None, require_token: RequireToken = None, lake_path: o.LakePath = None
) -> None:
    """Serve the lake over HTTP until interrupted."""
    from ticklake.config import load_settings
    from ticklake.errors import MissingExtra

    settings = load_settings()
    try:
        from ticklake.interfaces.api.run import run_server
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{error.name} is not installed: pip install 'ticklake[server]'") from error
    with o.opened(lake_path, create=True) as lake:
        run_server(
            lake,
            settings.server.at(host, port, require_token),
            on_ready=lambda url: errors().print(f"serving {lake.root} at {url}"),
            sql=settings.sql,
        )
