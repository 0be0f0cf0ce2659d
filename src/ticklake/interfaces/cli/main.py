"""``ticklake``: parses, calls, renders. Importing it loads neither polars nor SQLAlchemy."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ticklake.errors import TicklakeError
from ticklake.interfaces.cli import (
    alerting,
    applying,
    collect,
    history,
    importing,
    jobs,
    keeping,
    markets,
    moving,
    proving,
    reading,
    scheduling,
    simulating,
    working,
)
from ticklake.interfaces.cli.output import errors, say

__all__ = ["app", "main"]

INTERRUPTED = 130


class _Group(TyperGroup):
    """Turns errors into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except TicklakeError as error:
            errors().print(f"error: {error}", markup=False, soft_wrap=True)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt:
            errors().print("interrupted; what was committed is kept, the same command goes on from there")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except MemoryError:
            words = "error: there is not enough memory: what was committed is kept; ask for less at once"
            errors().print(words, soft_wrap=True)
            raise typer.Exit(1) from None
        except OSError as error:
            what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error
            errors().print(f"error: {what}: check the disk's space and limits", markup=False, soft_wrap=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="A complete, correct, deduplicated copy of market data on your own machine.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"ticklake {version('ticklake')}")
        raise typer.Exit


@app.callback()
def _root(
    _wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


_PANELS: dict[str, tuple[tuple[str, Any], ...]] = {
    "Begin": (
        ("init", keeping.init),
        ("demo", simulating.demo),
        ("simulate", simulating.simulate),
        ("config", keeping.config),
    ),
    "Collect": (
        ("exchanges", collect.exchanges),
        ("symbols", collect.symbols),
        ("instruments", markets.instruments),
        ("ingest", collect.ingest),
        ("import", importing.import_files),
    ),
    "With other lakes": (("import-lake", moving.import_lake), ("export", moving.export), ("migrate", moving.migrate)),
    "Answer": (("list", reading.list_datasets), ("read", reading.read), ("gaps", reading.gaps)),
    "Prove": (("quality", proving.quality), ("cross-check", proving.cross_check), ("continuity", proving.continuity)),
    "Keep": (
        ("compact", keeping.compact),
        ("verify", keeping.verify),
        ("repair", keeping.repair),
        ("backup", keeping.backup),
        ("cleanup", keeping.cleanup),
        ("vacuum", keeping.vacuum),
        ("rebuild", keeping.rebuild),
    ),
    "Work": (("worker", working.worker), ("daemon", working.daemon), ("apply", applying.apply)),
}
_GROUPS: dict[str, tuple[tuple[str, typer.Typer], ...]] = {
    "Work": (("jobs", jobs.app), ("schedule", scheduling.app), ("runs", history.app), ("alerts", alerting.app))
}

for _panel, _commands in _PANELS.items():
    for _name, _command in _commands:
        app.command(_name, rich_help_panel=_panel)(_command)
for _panel, _groups in _GROUPS.items():
    for _name, _group in _groups:
        app.add_typer(_group, name=_name, rich_help_panel=_panel)


def main() -> None:
    """Run the command line."""
    app()
