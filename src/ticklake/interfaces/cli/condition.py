"""Commands that say what one can rely on, and what a read would bring, before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.datasets import Datasets, OneDataset, chosen, only
from ticklake.interfaces.cli.output import big, print_json, print_table, say

if TYPE_CHECKING:
    from ticklake.core.estimate import Estimate

__all__ = ["condition", "estimate"]

_FACTS = ("condition", "reasons", "changed_in", "changed_at")


def condition(
    what: Datasets = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    start: o.Start = None,
    end: o.End = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Look at coverage and calendar only, not at ids and other symbols.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="A line for each day.")] = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Say in a word for each UTC day whether all is there: complete, gaps, pending, missing or unknown; days that are alike share a line.

    JSON has each day. Exit code 3: something is missing.
    """
    from ticklake.interfaces.schema import rows_of, to_json

    rows: list[dict[str, Any]] = []
    with o.opened(lake_path) as lake:
        for dataset in chosen(lake, what, timeframe, kind):
            rows += rows_of(dataset, to_json(lake.condition(dataset, start, end, quick=quick)))
    if as_json:
        print_json(rows)
    elif not rows:
        say("the lake holds no such day")
    else:
        _print_days(rows, every=every)
    if any(row["condition"] in ("gaps", "missing") for row in rows):
        raise typer.Exit(3)


def _print_days(rows: list[dict[str, Any]], *, every: bool) -> None:
    alike = ["dataset", *_FACTS]
    if every:
        alike.append("day")
    columns = ("dataset", "from", "to", "days", "condition", "missing", "reasons", "changed in", "changed at")
    print_table(columns, _lines(groupby(rows, itemgetter(*alike))), numbers=("days", "missing", "changed in"))


def _lines(groups: Iterable[tuple[Any, Iterable[dict[str, Any]]]]) -> Iterator[list[Any]]:
    """Yield a line for consecutive days that are alike."""
    for _, group in groups:
        days = list(group)
        first, last = days[0], days[-1]
        missing = sum(day["missing"] for day in days)
        span = [first["day"][:10], last["day"][:10], f"{len(days):,}"]
        yield [first["dataset"], *span, first["condition"], f"{missing:,}", *(first[name] for name in _FACTS[1:])]


def estimate(
    what: OneDataset,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    start: o.Start = None,
    end: o.End = None,
    columns: Annotated[
        list[str] | None, typer.Option("--columns", help="Only these, separated by commas. May be repeated.")
    ] = None,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Say how many rows a read would bring, and about what they take in each format; no row is read."""
    from ticklake.interfaces.schema import to_json

    with o.opened(lake_path) as lake:
        dataset = only(lake, what, timeframe, kind)
        found = lake.estimate(dataset, start, end, columns=o.names_in(columns))
    if as_json:
        return print_json(to_json(found))
    return _print_estimate(found)


def _print_estimate(found: Estimate) -> None:
    about = "about "
    if found.is_exact:
        about = ""
    say(f"{about}{found.rows:,} rows, in {found.files:,} files")
    rows = [(form, big(size), f"{found.seconds[form]:.1f}") for form, size in found.bytes.items()]
    print_table(("format", "bytes", "seconds"), rows, numbers=("bytes", "seconds"))
