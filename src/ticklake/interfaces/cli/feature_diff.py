"""The command ``features diff``, and how differences are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.output import print_json, print_records, print_table, say
from ticklake.interfaces.cli.read import Limit, version_or_time

if TYPE_CHECKING:
    from ticklake.core.feature_values import FeatureDiff
    from ticklake.core.features import FeatureRef

__all__ = ["diff", "show_rows"]


def diff(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME@VERSION [NAME@VERSION]", help="Two versions; one with --at.")
    ],
    at: Annotated[list[str] | None, typer.Option("--at", help="A version or time of the lake; twice.")] = None,
    symbols: Annotated[list[str] | None, typer.Option("--symbol", help="Only of this. May be repeated.")] = None,
    start: o.Start = None,
    end: o.End = None,
    limit: Limit = 20,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Compare the values of two versions of a feature set, or of one at two versions of the lake. Exit code 3: they differ."""
    from ticklake.core.features import FeatureRef

    refs = list(map(FeatureRef.parse, names))
    versions = _versions_to_compare(refs, at or ())
    with o.opened(lake_path) as lake:
        found = lake.features.diff(
            refs[0].name,
            refs[0].version,
            refs[-1].version,
            start=start,
            end=end,
            symbols=symbols,
            at=versions,
        )
    if as_json:
        print_json(found)
    else:
        _show_diff(found, limit)
    if not found.is_empty:
        raise typer.Exit(3)


def _versions_to_compare(refs: Sequence[FeatureRef], at: Sequence[str]) -> tuple[int | str, int | str] | None:
    """Return the two versions of the lake to compare; ``None`` if two versions of a feature set are named."""
    from ticklake.errors import BadInput

    named = " ".join([*map(str, refs), *(f"--at {moment}" for moment in at)])
    if len({ref.name for ref in refs}) == 1:
        if (len(refs), len(at)) == (2, 0):
            return None
        if (len(refs), len(at)) == (1, 2):
            return version_or_time(at[0]), version_or_time(at[1])
    raise BadInput(
        f"{named}: these are not two to compare: name two versions of one feature set, like momentum@v1 momentum@v2; or one, and --at twice"
    )


def _show_diff(diff: FeatureDiff, limit: int) -> None:
    say(
        f"{diff.before} and {diff.after}: {diff.equal:,} rows equal, {diff.added:,} added, {diff.removed:,} removed, {diff.changed:,} changed"
    )
    if diff.only_before or diff.only_after:
        say(f"columns not compared: {', '.join((*diff.only_before, *diff.only_after))}")
    changed = [(name, f"{count:,}") for name, count in diff.columns.items() if count]
    if changed:
        print_table(["column", "changed"], changed, numbers=("changed",))
    show_rows(diff, limit)


def show_rows(diff: FeatureDiff, limit: int) -> None:
    """Print the rows that differ, at most so many."""
    from ticklake.interfaces.schema import to_json

    rows = diff.rows
    if limit:
        rows = rows.head(limit)
    if rows.height:
        print_records(rows.columns, to_json(rows))
    if rows.height < diff.rows.height:
        say(f"{diff.rows.height - rows.height:,} more")
