"""Which commands work on a lake that is served elsewhere, and what to do instead of the others."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ticklake.errors import TicklakeError, Unsupported
from ticklake.interfaces.opening import is_served

__all__ = ["SERVED", "refuse_served"]

SERVED = frozenset(
    {
        *("list", "read", "frame", "panel", "sql", "resample", "book", "estimate", "condition", "gaps"),
        *("quarantine", "stats", "quality", "continuity", "provenance", "instruments"),
        *("backfill", "ingest", "update", "streams", "delete", "drop", "rename"),
        *("derive add", "derive list", "derive drop"),
        *("features list", "features describe", "features read", "features join"),
        *("features register", "features write", "features deprecate", "features delete"),
        *("jobs list", "jobs show", "jobs create", "jobs start", "jobs cancel", "jobs cleanup"),
        *("schedule add", "schedule list", "schedule remove", "schedule pause", "schedule resume"),
        *("runs list", "runs show", "runs tail"),
    }
)
"""The commands that work through a server. Any other one needs the lake itself."""

_THERE = "run it where the lake is"
_COLLECT = "'ticklake serve --collect' does it, where the lake is"
_JOB = "run it where the lake is, or let the server do it: 'ticklake jobs create {}'"
_CURES = {
    "init": "name a folder",
    "demo": "name a folder",
    "serve": "name the folder of a lake, on the machine that has it",
    "mcp": "run it where the lake is, or name a lake of this machine",
    "doctor": "run it where the lake is; of a server, GET /api/v1/health says how its lake is",
    "worker": _COLLECT,
    "daemon": _COLLECT,
    "stream": f"{_COLLECT}, and lake.streams.start(...) of Python tells it what",
    "import": "run it where the lake is, or send rows with lake.save(...) of Python",
    "export": "run it where the lake is, or write what 'ticklake read --output FILE' returns",
    **{name: _JOB.format(name) for name in ("compact", "repair", "verify", "vacuum", "cleanup")},
}


def refuse_served(ctx: Any) -> None:
    """Refuse a command that needs the lake itself, if its lake is the address of a server.

    Raises
    ------
    Unsupported
        It says what to do instead.
    """
    name = _name_of(ctx)
    if name in SERVED:
        return
    for param in ctx.command.params:
        names_lake = "--lake" in param.opts or (name, param.name) == ("init", "path")
        if names_lake and is_served(ctx.params[param.name] or _usual_place()):
            cure = _CURES.get(name, _THERE)
            raise Unsupported(f"'ticklake {name}' does not work on a lake that is served elsewhere: {cure}")


def _name_of(ctx: Any) -> str:
    """Return the words of a command after that of the program."""
    words: list[str] = []
    while ctx.parent is not None:
        words.insert(0, ctx.info_name)
        ctx = ctx.parent
    return " ".join(words)


def _usual_place() -> object:
    """Return the lake of the settings."""
    from ticklake.config import load_settings

    # Wrong settings are for the command to tell; doctor lists them.
    with suppress(TicklakeError):
        return load_settings().lake
    return None
