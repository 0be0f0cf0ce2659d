"""The command that makes a lake collect what a manifest declares: apply."""

from __future__ import annotations

import sys
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.output import print_error, print_json, print_table, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ticklake.core.schedules import Change

__all__ = ["apply"]

File = Annotated[
    Path, typer.Argument(metavar="[FILE]", help="TOML that says what is wanted: see docs/how-to/apply.md.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def apply(
    file: File = Path("collect.toml"),
    dry_run: DryRun = False,
    yes: Yes = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Make the lake collect what a file declares: shows what would change, and asks.

    What was shown is what is done: if the file or the lake has changed meanwhile, it shows that and asks again.
    Running it again changes nothing. What the lake holds is never deleted by it.
    """
    from ticklake.config import load_wanted
    from ticklake.errors import Conflict

    with o.opened_for(lake_path, dry_run=dry_run) as lake:
        # The lake or the file may change while the user reads: apply() then raises Conflict, and the user is asked again.
        while True:
            changes = lake.apply(load_wanted(file), dry_run=True)
            _show(changes, as_json=as_json)
            if not changes or dry_run:
                break
            _ask(yes=yes, as_json=as_json)
            try:
                lake.apply(load_wanted(file), shown=changes)
                break
            except Conflict as error:
                print_error(f"note: {error}")
    if as_json:
        print_json({"applied": not dry_run, "changes": changes})
    elif changes and dry_run:
        say("nothing was changed")
    elif changes:
        say("done: 'ticklake daemon' does the work, 'ticklake jobs list' shows it")


def _show(changes: Sequence[Change], *, as_json: bool) -> None:
    for change in changes:
        if change.warning:
            print_error(f"warning: {change.warning}")
    if as_json:
        return
    if not changes:
        say("nothing to do: the lake is as wanted")
        return
    print_table(["", "schedule", "what"], map(attrgetter("action", "name", "detail"), changes))
    statuses: list[tuple[str, str]] = []
    for change in changes:
        statuses += change.datasets.items()
    if statuses:
        print_table(["dataset", "stands"], statuses)


def _ask(*, yes: bool, as_json: bool) -> None:
    from ticklake.errors import BadInput

    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise BadInput("nobody can be asked here: say --yes to make these changes, or --dry-run to see them only")
    typer.confirm("make these changes?", abort=True)
