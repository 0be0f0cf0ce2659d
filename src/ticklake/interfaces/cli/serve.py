"""The command serve: the lake over HTTP, and what is collected beside it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.output import print_error

if TYPE_CHECKING:
    from ticklake.config import Settings
    from ticklake.interfaces.collection import Collection
    from ticklake.lake import Lake

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
Collect = Annotated[
    bool,
    typer.Option("--collect", help="Also make jobs of schedules, do jobs, and collect streams, as the daemon does."),
]
Workers = Annotated[int, typer.Option("--workers", min=1, max=64, help="With --collect: jobs that are done at a time.")]
Processes = Annotated[
    int | None, typer.Option("--processes", min=1, max=64, help="Processes that answer requests. [default: 1]")
]
Listening = Annotated[int | None, typer.Option("--listening", hidden=True, help="The number of an open socket.")]


def serve(
    host: Host = None,
    port: Port = None,
    require_token: RequireToken = None,
    collect: Collect = False,
    workers: Workers = 1,
    processes: Processes = None,
    listening: Listening = None,
    lake_path: o.LakePath = None,
    exchange_url: o.ExchangeUrl = None,
) -> None:
    """Serve the lake over HTTP until interrupted.

    The lake must be there; only with --collect a new one is made.

    SIGTERM or Ctrl-C lets it answer what was asked, commit what streams have received, and give jobs back; a second one ends it at once.
    """
    from ticklake.config import load_settings
    from ticklake.errors import MissingExtra
    from ticklake.interfaces.logs import configure_logs, log_lost_threads

    settings = load_settings(exchange_url=exchange_url)
    options = settings.server.at(host, port, require_token, processes)
    try:
        from ticklake.interfaces.api import run
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{error.name} is not installed: pip install 'ticklake[server]'") from error
    # Before the lake is opened, whose warnings are records, too.
    configure_logs(settings.log, warnings=True)
    log_lost_threads()
    with _opened(lake_path, settings, create=collect) as lake:
        if listening is not None:
            return run.run_server(lake, options, _say_nothing, listening=run.socket_of(listening), sql=settings.sql)
        collection = None
        if collect:
            collection = _collection(lake, workers)

        def say(url: str) -> None:
            print_error(f"serving {lake.root} at {url}")
            if not lake.datasets():
                # A folder that was misspelt is made, as one that is collected into may be new.
                print_error(f"warning: the lake in {lake.root} is empty: is that the one you mean?")

        if options.processes == 1:
            return run.run_server(lake, options, say, collection=collection, sql=settings.sql)
        command = _command(lake_path, exchange_url, require_token=require_token, host=host)
        code = run.run_processes(lake, options, say, command, collection=collection)
    if code:
        raise typer.Exit(code)
    return None


def _opened(path: str | None, settings: Settings, *, create: bool) -> Lake:
    """Open the lake; a new one is made only to collect into it, and that is said: its name may be a typing error."""
    from ticklake.app import open_lake
    from ticklake.errors import NoLake

    try:
        return open_lake(path, create=False, settings=settings)
    except NoLake:
        if not create:
            raise
    lake = open_lake(path, create=True, settings=settings)
    print_error(f"made a new lake in {lake.root}")
    return lake


def _collection(lake: Lake, workers: int) -> Collection:
    from ticklake.interfaces.cli.long_running import collect_garbage_seldom
    from ticklake.interfaces.collection import Collection

    collect_garbage_seldom()
    # What happens is in the log.
    return Collection(lake, lambda _job: None, lambda _text: None, workers=workers)


def _command(
    lake_path: str | None, exchange_url: str | None, *, require_token: bool | None, host: str | None
) -> list[str]:
    """Return what starts one of several processes."""
    # Not the port: the socket is handed over. All else comes from the same file and environment.
    command = [sys.executable, "-m", "ticklake", "serve"]
    for option, value in (("--lake", lake_path), ("--exchange-url", exchange_url), ("--host", host)):
        if value:
            command += [option, value]
    if require_token is not None:
        command.append({True: "--require-token", False: "--no-require-token"}[require_token])
    return command


def _say_nothing(_url: str) -> None:
    """Say nothing: the process that watches over this one has said where it is."""
