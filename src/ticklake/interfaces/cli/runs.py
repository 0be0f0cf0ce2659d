"""Commands about what was executed: runs list, runs show, runs tail."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.datasets import Datasets, all_of
from ticklake.interfaces.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ticklake.core.runs import LogLine, Run

__all__ = ["app"]

RunId = Annotated[int, typer.Argument(metavar="ID", help="The number of the run.")]
LOOK_EVERY = 0.5
"""Seconds between two reads of a log that is followed."""


class _Runs(TyperGroup):
    """``runs`` alone lists, ``runs 7`` shows."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the command that was left out."""
        first = next((word for word in args if word != "--json"), "")
        if first in self.commands or "--help" in args:
            return super().parse_args(ctx, args)
        command = "list"
        if first.isdecimal():
            command = "show"
        return super().parse_args(ctx, [command, *args])


app = typer.Typer(cls=_Runs, help="What was executed and how it went: list, show, tail. A number alone shows that run.")


@app.command("list")
def list_runs(
    what: Datasets = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    state: Annotated[
        str | None, typer.Option("--state", help="running, succeeded, incomplete, failed, cancelled, killed.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Only runs that worked on this dataset, known or not.")
    ] = None,
    job: Annotated[int | None, typer.Option("--job", help="Only the tries of this job.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most this many, newest first.")] = 20,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Show what was executed and how it went."""
    with o.opened(lake_path) as lake:
        datasets = all_of(lake, what, timeframe, kind)
        names: list[str | None] = [dataset]
        if datasets is not None:
            names = list(map(str, datasets))
        # One run may have worked on several of the datasets.
        by_id: dict[int, Run] = {}
        for name in names:
            for run in lake.runs.list(state=state, dataset=name, job=job, limit=limit):
                by_id[run.id] = run
    # Each dataset gave its own newest ones: the newest of all are among them, and the limit is for all together.
    newest_first = sorted(by_id.values(), key=lambda run: run.id, reverse=True)
    listed = newest_first[:limit]
    if as_json:
        return print_json(listed)
    columns = ["id", "state", "operation", "subject", "started", "outcome"]
    return print_table(columns, map(_row, listed), numbers=("id",))


def _row(run: Run) -> tuple[Any, ...]:
    return run.id, run.state, run.operation, run.subject, o.moment(run.started_at), run.outcome


@app.command("show")
def show_run(run_id: RunId, lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Show one run with its log."""
    from ticklake.interfaces.schema import to_json

    with o.opened(lake_path) as lake:
        run, lines = lake.runs.get(run_id), lake.runs.tail(run_id)
    shown = to_json(run)
    if as_json:
        return print_json({**shown, "log": lines})
    for name, value in {**shown, "done": f"{run.done:.0%}"}.items():
        say(f"{name:11} {value}")
    if lines:
        print_table(["at", "level", "message"], to_json(lines))
    return None


@app.command("tail")
def tail_run(
    run_id: RunId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more until the run ends.")] = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Show the last lines of a run's log."""
    with o.opened(lake_path) as lake:
        if not follow:
            lines = lake.runs.tail(run_id)
            if as_json:
                return print_json(lines)
            for line in lines:
                _print_line(line, as_json=False)
            return None
        shown: Sequence[LogLine] = ()
        while True:
            # Asked before its log is read: what a run writes last is there once it has ended.
            goes_on = lake.runs.get(run_id).is_active
            lines = lake.runs.tail(run_id)
            for line in _lines_after(shown, lines):
                _print_line(line, as_json=as_json)
            shown = lines
            if not goes_on:
                return None
            time.sleep(LOOK_EVERY)


def _lines_after(before: Sequence[LogLine], now: Sequence[LogLine]) -> Sequence[LogLine]:
    """Return the lines of *now* that *before*, an earlier look at the same log, did not have."""
    # A log keeps its last lines only, so its length says nothing: the old look ends where the new one begins.
    for dropped in range(len(before)):
        kept = before[dropped:]
        if now[: len(kept)] == kept:
            return now[len(kept) :]
    return now


def _print_line(line: LogLine, *, as_json: bool) -> None:
    if as_json:
        print_json(line)
    else:
        say(f"{o.moment(line.at)} {line.level:7} {line.message}")
