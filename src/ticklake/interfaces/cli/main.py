"""``ticklake``: parses, calls, renders. Importing it loads neither polars nor SQLAlchemy."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ticklake.errors import TicklakeError
from ticklake.interfaces.cli import (
    alerts,
    apply,
    backfill,
    book,
    condition,
    delete,
    derive,
    doctor,
    features,
    frame,
    import_files,
    instruments,
    jobs,
    key,
    lakes,
    maintenance,
    mcp,
    panel,
    quality,
    read,
    runs,
    schedule,
    serve,
    simulate,
    sql,
    stream,
    token,
    worker,
)
from ticklake.interfaces.cli.command import Command
from ticklake.interfaces.cli.output import errors, print_error, say

__all__ = ["app", "main"]

INTERRUPTED = 130
UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Of click, or of the copy of it in typer, which does not offer it by name."""


class _Group(TyperGroup):
    """Turns errors into one line and an exit code."""

    def make_context(self, *words: Any, **extra: Any) -> Any:
        """Read the options that stand before the command."""
        with _one_line():
            return super().make_context(*words, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _one_line():
            return super().invoke(ctx)

    def format_help(self, ctx: Any, _formatter: Any) -> None:
        """Print the commands by panel."""
        from ticklake.interfaces.cli.overview import print_overview

        print_overview(self, ctx)


@contextmanager
def _one_line() -> Iterator[None]:
    """Print an error that ends the block as one line, and exit with its code."""
    try:
        yield
    except TicklakeError as error:
        print_error(f"error: {error}")
        raise typer.Exit(error.exit_code) from error
    except UsageError as error:
        # typer prints the help then. It does not export the class.
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        raise typer.Exit(_say_usage(error)) from error
    except KeyboardInterrupt:
        errors().print("interrupted; what was committed is kept, the same command goes on from there")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # Python flushes standard output at exit, and would print a traceback: see "Note on SIGPIPE" in its documentation.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except OverflowError as error:
        # Integers of Python have no bound, but SQLite and Polars hold 64 bits.
        print_error(f"error: a number is larger than 64 bits hold ({error}): say a smaller one")
        raise typer.Exit(2) from None
    except MemoryError:
        print_error("error: there is not enough memory: what was committed is kept; ask for less at once")
        raise typer.Exit(1) from None
    except OSError as error:
        text = error.strerror or str(error)
        if error.filename:
            text = f"{error.filename}: {error.strerror}"
        print_error(f"error: {text}: check the disk's space and limits")
        raise typer.Exit(1) from error


def _say_usage(error: Any) -> int:
    """Print in one line what is wrong with the arguments of a command, and where its help is."""
    # typer breaks long messages into lines, and whoever searches a log for an error expects one.
    text = " ".join(error.format_message().split()) + _refused_value(error)
    text = text.rstrip(".")
    command = "ticklake"
    if error.ctx:
        command = error.ctx.command_path
    # typer proposes the nearest option as a question.
    if not text.endswith("?"):
        text += ":"
    print_error(f"error: {text} '{command} --help' says how it is used")
    return int(error.exit_code)


def _refused_value(error: Any) -> str:
    """Return the refused value, which the message of typer leaves out."""
    problems = getattr(error.__cause__, "errors", None)
    if problems is None:
        return ""
    return f" (it is {problems()[0]['input']!r})"


def _version(is_given: bool) -> None:
    if is_given:
        from importlib.metadata import version

        say(f"ticklake {version('ticklake')}")
        raise typer.Exit


def _root(
    _version_option: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


_PANELS: dict[str, tuple[tuple[str, Any], ...]] = {
    "Begin": (
        ("init", maintenance.init),
        ("demo", simulate.demo),
        ("simulate", simulate.simulate),
        ("config", maintenance.config),
        ("doctor", doctor.doctor),
    ),
    "Collect": (
        ("exchanges", backfill.exchanges),
        ("symbols", backfill.symbols),
        ("instruments", instruments.instruments),
        ("backfill", backfill.backfill),
        ("update", backfill.update),
        ("stream", stream.stream),
        ("streams", stream.streams),
        ("replay", stream.replay),
        ("import", import_files.import_files),
    ),
    "With other lakes": (("import-lake", lakes.import_lake), ("export", lakes.export), ("migrate", lakes.migrate)),
    "Answer": (
        ("list", read.list_datasets),
        ("read", read.read),
        ("frame", frame.frame),
        ("panel", panel.panel),
        ("sql", sql.sql),
        ("resample", read.resample),
        ("book", book.book),
        ("estimate", condition.estimate),
        ("condition", condition.condition),
        ("gaps", read.gaps),
        ("quarantine", read.quarantine),
        ("stats", maintenance.stats),
    ),
    "Prove": (
        ("quality", quality.quality),
        ("cross-check", quality.cross_check),
        ("continuity", quality.continuity),
        ("provenance", quality.provenance),
    ),
    "Keep": (
        ("compact", maintenance.compact),
        ("verify", maintenance.verify),
        ("repair", maintenance.repair),
        ("backup", maintenance.backup),
        ("cleanup", maintenance.cleanup),
        ("vacuum", maintenance.vacuum),
        ("rebuild", maintenance.rebuild),
        ("delete", delete.delete),
        ("drop", delete.drop),
        ("rename", delete.rename),
    ),
    "Work": (("worker", worker.worker), ("daemon", worker.daemon), ("apply", apply.apply)),
    "Serve": (("serve", serve.serve), ("mcp", mcp.mcp), ("audit", token.audit)),
}
_GROUPS: dict[str, tuple[tuple[str, typer.Typer], ...]] = {
    "Collect": (("key", key.app),),
    "Answer": (("derive", derive.app), ("features", features.app)),
    "Work": (("jobs", jobs.app), ("schedule", schedule.app), ("runs", runs.app), ("alerts", alerts.app)),
    "Serve": (("token", token.app),),
}

_HIDDEN: tuple[tuple[str, Any], ...] = (("ingest", backfill.backfill),)
"""The first name of this command, which scripts still use."""


def _made(is_called: Callable[[str], bool]) -> typer.Typer:
    """Return the command line. Commands that are not called have a name and a help, and none of their options.

    typer reads the options of every command, however few of them are used: it took a third of the time of most commands.
    """
    made = typer.Typer(
        cls=_Group,
        no_args_is_help=True,
        add_completion=True,
        # An error that nobody expected ends with a plain traceback, which can be pasted into an issue.
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        help="A complete, correct, deduplicated copy of market data on your own machine.",
    )
    made.callback()(_root)
    # From tables and not where each command is written: the help lists commands in the order of the tables.
    for heading, commands in _PANELS.items():
        for name, command in commands:
            if is_called(name):
                made.command(name, rich_help_panel=heading)(command)
            else:
                made.command(name, rich_help_panel=heading, help=inspect.getdoc(command))(_not_called)
    for name, command in _HIDDEN:
        if is_called(name):
            made.command(name, hidden=True)(command)
    for heading, groups in _GROUPS.items():
        for name, group in groups:
            if is_called(name):
                made.add_typer(group, name=name, rich_help_panel=heading)
            else:
                made.command(name, rich_help_panel=heading, help=group.info.help)(_not_called)
            _with_shared_behaviour(group)
    _with_shared_behaviour(made)
    return made


def _with_shared_behaviour(made: typer.Typer) -> None:
    for command in made.registered_commands:
        command.cls = Command


def _not_called() -> None:
    """Stand for a command that the command line does not name."""


app = _made(lambda _name: True)
"""All commands, with all of their options."""


def main() -> None:
    """Run the command line."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    is_completion = any(name.startswith("_") and name.endswith("_COMPLETE") for name in os.environ)
    if is_completion:
        app()
    else:
        _made(lambda name: name in words[:1])()
