"""The command that makes a lake be as a file wants it: apply."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ticklake.ingest.applying import Change

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
    lake: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Make the lake collect what a file declares: shows what would change, and asks.

    Running it again changes nothing. What the lake holds is never deleted by it.
    """
    from ticklake.config import load_wanted

    wanted = load_wanted(file)
    with o.opened_for(lake, dry_run=dry_run) as held:
        changes = held.apply(wanted, dry_run=True)
        if not as_json:
            _show(changes)
        if changes and not dry_run:
            _ask(yes=yes)
            held.apply(wanted)
    if as_json:
        print_json({"applied": not dry_run, "changes": [_fields(change) for change in changes]})
    elif changes:
        say(
            "nothing was changed" if dry_run else "done: 'ticklake daemon' does the work, 'ticklake jobs list' shows it"
        )


def _show(changes: Sequence[Change]) -> None:
    if not changes:
        return say("nothing to do: the lake is as wanted")
    print_table(["", "schedule", "what"], [(change.action, change.name, change.detail) for change in changes])
    stands = [(name, text) for change in changes for name, text in change.datasets.items()]
    return print_table(["dataset", "stands"], stands) if stands else None


def _ask(*, yes: bool) -> None:
    from ticklake.errors import BadInput

    if yes:
        return
    if not sys.stdin.isatty():
        raise BadInput("nobody can be asked here: say --yes to make these changes, or --dry-run to see them only")
    typer.confirm("make these changes?", abort=True)


def _fields(change: Change) -> dict[str, Any]:
    return {
        "action": change.action,
        "name": change.name,
        "detail": change.detail,
        "datasets": change.datasets,
        "keep_days": change.retention,
    }
