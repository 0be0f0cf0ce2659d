"""Commands about what is done again and again: schedule add, list, remove, pause, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.core.display import pairs_text
from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.jobs import OperationName, Priority, Setting, What, parameters_of
from ticklake.interfaces.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from ticklake.core.schedules import Schedule

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="What is done again and again: add, list, remove, pause, resume.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the schedule.")]
Cron = Annotated[
    str | None, typer.Option("--cron", metavar="TEXT", help="Minute hour day month weekday, like '5 * * * *'.")
]
Every = Annotated[str | None, typer.Option("--every", metavar="LENGTH", help="A length of time: 90s, 15m, 1h, 1d, 2w.")]
Zone = Annotated[str, typer.Option("--zone", help="The time zone of --cron, like Europe/Berlin.")]


@app.command("add")
def add_schedule(
    name: Name,
    operation: OperationName,
    what: What = None,
    cron: Cron = None,
    every: Every = None,
    zone: Zone = "UTC",
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    start: o.Start = None,
    end: o.End = None,
    settings: Setting = None,
    priority: Priority = 0,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Add a schedule, or change the one of that name; 'ticklake daemon' makes its jobs."""
    given = {"timeframe": timeframe, "kind": kind, "start": start, "end": end}
    with o.opened(lake_path, create=True) as lake:
        positional, named = parameters_of(operation, what or [], given, settings or [])
        rhythm: dict[str, Any] = {"cron": cron, "every": every, "zone": zone, "priority": priority}
        added = lake.schedules.add(name, operation, *positional, **rhythm, **named)
    if as_json:
        return print_json(added)
    return say(f"schedule {added.name} makes jobs {added.rhythm}, next at {o.moment(added.next_at)}")


@app.command("list")
def list_schedules(lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """List the schedules."""
    with o.opened(lake_path) as lake:
        schedules = lake.schedules.list()
    if as_json:
        return print_json(schedules)
    columns = ["name", "operation", "when", "next", "last", "job", "missed", "parameters"]
    return print_table(columns, map(_row, schedules), numbers=("job", "missed"))


@app.command("remove")
def remove_schedule(name: Name, lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Remove a schedule; jobs that it made stay."""
    with o.opened(lake_path) as lake:
        lake.schedules.remove(name)
    if as_json:
        return print_json({"removed": name})
    return say(f"schedule {name} is gone")


@app.command("pause")
def pause_schedule(name: Name, lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Make no more jobs of it for now."""
    with o.opened(lake_path) as lake:
        paused = lake.schedules.pause(name)
    if as_json:
        return print_json(paused)
    return say(f"schedule {name} is paused: 'ticklake schedule resume {name}' goes on")


@app.command("resume")
def resume_schedule(name: Name, lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Make jobs of it again, from its next time on."""
    with o.opened(lake_path) as lake:
        resumed = lake.schedules.resume(name)
    if as_json:
        return print_json(resumed)
    return say(f"schedule {name} makes its next job at {o.moment(resumed.next_at)}")


def _row(schedule: Schedule) -> tuple[Any, ...]:
    parameters = pairs_text(schedule.parameters, " ")
    next_time = o.moment(schedule.next_at)
    if schedule.paused:
        next_time = "paused"
    timing = (str(schedule.rhythm), next_time, o.moment(schedule.last_at), schedule.last_job, schedule.missed)
    return schedule.name, schedule.operation, *timing, parameters
