"""Commands that take data away or give it another name: delete, drop, rename. They ask first."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.datasets import OneDataset, as_dataset, complete_names, named_some, only
from ticklake.interfaces.cli.output import count_of, print_json, say

if TYPE_CHECKING:
    from ticklake.core.dataset import Dataset
    from ticklake.lake import Lake

__all__ = ["DryRun", "Yes", "ask", "delete", "drop", "rename"]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
UNDO = "older versions hold them until vacuum: 'ticklake read ... --at TIME'"


def delete(
    what: OneDataset,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    start: o.Start = None,
    end: o.End = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Remove the rows of a dataset in [START, END) and forget that they were looked at, so that they can be fetched again."""
    from ticklake.errors import BadInput

    with o.opened(lake_path) as lake:
        dataset = only(lake, what, timeframe, kind, default=False)
        if start is None and end is None:
            raise BadInput(f"from when to when? Say --start or --end; 'ticklake drop {dataset}' removes all of it")
        # Counted first, for the question: who is asked should know how much would go.
        rows = lake.delete(dataset, start, end, dry_run=True)
        if not dry_run:
            span = f"from {start or 'the beginning'} to {end or 'the end'}"
            ask(f"remove {count_of(rows, 'row')} of {dataset} {span}?", yes=yes, as_json=as_json)
            rows = lake.delete(dataset, start, end)
    if as_json:
        return print_json({"dataset": str(dataset), "rows": rows, "dry_run": dry_run})
    if dry_run:
        return say(f"would remove {count_of(rows, 'row')} of {dataset}")
    return say(f"removed {count_of(rows, 'row')} of {dataset}; {UNDO}")


def drop(
    what: OneDataset,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Remove datasets with all that is known of them; several only where their names, their exchange or a pattern is given."""
    with o.opened(lake_path) as lake:
        if len(what) == 2:
            datasets = [only(lake, what, timeframe, kind, default=False)]
        else:
            datasets = named_some(lake, what, timeframe, kind)
        rows = _drop_all(lake, datasets, dry_run=True)
        if not as_json:
            verb = "remove"
            if dry_run:
                verb = "would remove"
            for dataset, count in rows.items():
                say(f"{verb} {dataset}: {count:,} rows")
        if not dry_run:
            total = f"{count_of(len(rows), 'dataset')} with {count_of(sum(rows.values()), 'row')}"
            ask(f"remove {total}?", yes=yes, as_json=as_json)
            # Counted again: rows may have been added while the user read the question.
            rows = _drop_all(lake, datasets)
    if as_json:
        dropped = [{"dataset": str(dataset), "rows": count} for dataset, count in rows.items()]
        print_json({"datasets": dropped, "dry_run": dry_run})
    elif not dry_run:
        say(f"dropped {count_of(len(rows), 'dataset')}; {UNDO}")


def _drop_all(lake: Lake, datasets: Sequence[Dataset], *, dry_run: bool = False) -> dict[Dataset, int]:
    """Drop datasets; return how many rows each had."""
    return {dataset: lake.drop(dataset, dry_run=dry_run) for dataset in datasets}


def rename(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="OLD NEW",
            help="Two names, like binance:trades:A/USDT binance:trades:B/USDT; or EXCHANGE SYMBOL NEW with -t or -k.",
            autocompletion=complete_names,
        ),
    ],
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would move.")] = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Move a dataset to another name, with all that is known of it."""
    from ticklake.errors import BadInput

    if len(what) not in {2, 3}:
        raise BadInput(
            "a rename has an old and a new name: ticklake rename OLD NEW, or EXCHANGE SYMBOL NEW with -t or -k"
        )
    with o.opened(lake_path) as lake:
        old = only(lake, what[:-1], timeframe, kind, default=False)
        new = as_dataset([what[-1]], None, None)
        if dry_run and new in lake.datasets():
            raise BadInput(f"the lake already has {new}")
        if dry_run:
            # A dry run of drop counts the same rows.
            verb, rows = "would be", lake.drop(old, dry_run=True)
        else:
            verb, rows = "is now", lake.rename(old, new)
    if as_json:
        return print_json({"old": str(old), "new": str(new), "rows": rows, "dry_run": dry_run})
    return say(f"{old} {verb} {new}: {rows:,} rows")


def ask(question: str, *, yes: bool, as_json: bool) -> None:
    """Ask before something is taken away, unless *yes*; where nobody can be asked, it is an error."""
    from ticklake.errors import BadInput

    if yes:
        return
    # A program that reads JSON could not tell a question from the answer.
    if as_json or not sys.stdin.isatty():
        raise BadInput(
            f"{question} Nobody can be asked here: say --yes to do it, or --dry-run to see only what would go"
        )
    typer.confirm(question, abort=True)
