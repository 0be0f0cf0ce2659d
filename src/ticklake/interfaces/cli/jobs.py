"""Commands about what is to be done: jobs list, show, create, start, cancel, cleanup."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.core.display import counts_text
from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.datasets import as_dataset, complete_names, to_collect
from ticklake.interfaces.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from ticklake.core.jobs import Job
    from ticklake.core.runs import Run

__all__ = ["EXIT_CODES", "app", "parameters_of"]

app = typer.Typer(no_args_is_help=True, help="What is to be done: list, show, create, start, cancel, cleanup.")

_OF_A_DATASET = frozenset({"update", "poll", "repair", "compact", "quality"})
"""Operations whose first parameter is the name of a dataset: EXCHANGE SYMBOL are joined to it."""
EXIT_CODES = {"succeeded": 0, "queued": 0, "running": 0, "incomplete": 3, "cancelled": 130}
JobId = Annotated[int, typer.Argument(metavar="ID", help="The number of the job.")]
OperationName = Annotated[
    str,
    typer.Argument(
        metavar="OPERATION",
        help="backfill, update, stream, repair, compact, quality, export, cleanup, alerts, or one that a package adds.",
    ),
]
What = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[WHAT]...",
        help="EXCHANGE SYMBOL with -t or -k, or a dataset's name; several symbols for a backfill. [default: all]",
        autocompletion=complete_names,
    ),
]
Priority = Annotated[int, typer.Option("--priority", help="Those with a higher one come first.")]
Attempts = Annotated[int | None, typer.Option("--attempts", min=1, help="Tries while trying again can help.")]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any other parameter; the value is JSON or text."),
]


@app.command("list")
def list_jobs(
    state: Annotated[
        str | None,
        typer.Option("--state", help="active, queued, running, succeeded, incomplete, failed or cancelled."),
    ] = None,
    operation: Annotated[str | None, typer.Option("--operation", help="Only jobs of this operation.")] = None,
    search: Annotated[str, typer.Option("--search", help="Only jobs whose subject contains this.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most this many, newest first.")] = 20,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """List jobs, newest first."""
    with o.opened(lake_path) as lake:
        jobs = lake.jobs.list(state=state, operation=operation, search=search, limit=limit)
        counts = lake.jobs.counts()
    if as_json:
        return _print_jobs(jobs)
    columns = ["id", "status", "operation", "subject", "tries", "progress", "left", "outcome"]
    print_table(columns, map(_row, jobs), numbers=("id",))
    return say(counts_text(dict(sorted(counts.items()))) or "no jobs")


@app.command("show")
def show_job(job_id: JobId, lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Show one job and its tries."""
    with o.opened(lake_path) as lake:
        job, runs = lake.jobs.get(job_id), lake.runs.list(job=job_id)
    if as_json:
        return print_json({**_fields(job), "runs": [run.id for run in runs]})
    for name, value in _fields(job).items():
        say(f"{name:12} {value}")
    if runs:
        print_table(["run", "state", "started", "outcome"], map(_try_row, runs), numbers=("run",))
    return None


def _try_row(run: Run) -> tuple[Any, ...]:
    return run.id, run.state, o.moment(run.started_at), run.outcome


@app.command("create")
def create_job(
    operation: OperationName,
    what: What = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    start: o.Start = None,
    end: o.End = None,
    settings: Setting = None,
    priority: Priority = 0,
    attempts: Attempts = None,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Put a job into the queue; an identical one that waits or runs is named instead."""
    given = {"timeframe": timeframe, "kind": kind, "start": start, "end": end}
    with o.opened(lake_path, create=True) as lake:
        positional, named = parameters_of(operation, what or [], given, settings or [])
        job = lake.jobs.create(operation, *positional, priority=priority, max_attempts=attempts, **named)
    if as_json:
        return print_json(_fields(job))
    return say(f"job {job.id} is {job.state}: {job.operation} {job.subject}; 'ticklake worker' does it")


@app.command("start")
def start_job(
    job_id: JobId, lake_path: o.LakePath = None, exchange_url: o.ExchangeUrl = None, as_json: o.AsJson = False
) -> None:
    """Do a waiting job here and now."""
    with o.opened(lake_path, exchange_url=exchange_url) as lake:
        job = lake.jobs.start(job_id)
    if as_json:
        print_json(_fields(job))
    else:
        say(f"job {job.id} is {job.state}: {job.outcome}")
    raise typer.Exit(EXIT_CODES.get(job.state, 1))


@app.command("cancel")
def cancel_jobs(
    job_ids: Annotated[list[int], typer.Argument(metavar="ID...", help="The numbers of the jobs.")],
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Cancel jobs: a waiting one at once, a running one after its page."""
    with o.opened(lake_path) as lake:
        jobs = list(map(lake.jobs.cancel, job_ids))
    if as_json:
        return _print_jobs(jobs)
    for job in jobs:
        line = f"job {job.id} is {job.state}"
        if job.cancelling and job.is_active:
            line += ", and is told to stop"
        say(line)
    return None


@app.command("cleanup")
def cleanup_jobs(
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="LENGTH", help="Forget jobs that ended longer ago: 30d, 24h, 0.")
    ] = "30d",
    days: Annotated[float | None, typer.Option("--days", min=0, hidden=True)] = None,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Forget jobs that ended; their runs stay."""
    with o.opened(lake_path) as lake:
        forgotten = lake.jobs.cleanup_completed(o.length_of(older_than, days))
    if as_json:
        return print_json({"forgotten": forgotten})
    return say(f"{forgotten:,} jobs were forgotten; their runs stay")


def parameters_of(
    operation: str, what: list[str], given: dict[str, Any], settings: list[str]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and the named parameters of an operation.

    Parameters
    ----------
    what
        The words of the command, like ``binance BTC/USDT``.
    given
        The values of its options by parameter; those that are ``None`` were left out.
    settings
        Texts like ``retry=true``.
    """
    named = _without_none(given)
    for text in settings:
        name, sign, value = text.partition("=")
        if not sign:
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--set")
        # Options have hyphens, and parameters of operations underscores: whoever knows the one may write it here, too.
        named[name.replace("-", "_")] = _value(value)
    # timeframe and kind become part of a name, or are said by it: the operation must not get them twice.
    if operation == "backfill" and what:
        exchange, symbols, timeframe, kind = to_collect(what, named.pop("timeframe", None), named.pop("kind", None))
        return [exchange, symbols], {**named, **_without_none({"timeframe": timeframe, "kind": kind})}
    if operation in _OF_A_DATASET and len(what) == 2:
        return [str(as_dataset(what, named.pop("timeframe", None), named.pop("kind", None)))], named
    return list(what), named


def _without_none(options: dict[str, Any]) -> dict[str, Any]:
    """Leave out the options that were not given: the defaults of the operation are used."""
    return {name: value for name, value in options.items() if value is not None}


def _print_jobs(jobs: Sequence[Job]) -> None:
    print_json(list(map(_fields, jobs)))


def _fields(job: Job) -> dict[str, Any]:
    """Return a job as JSON, with the seconds that are left of it by the clock of this machine."""
    from ticklake.interfaces.schema import job_to_json

    return job_to_json(job, time.time_ns())


def _row(job: Job) -> tuple[Any, ...]:
    left = ""
    seconds_left = job.seconds_left(time.time_ns())
    if seconds_left is not None:
        left = f"{seconds_left:,.0f} s"
    tries = job.tries.replace(" of ", "/")
    return job.id, job.state, job.operation, job.subject, tries, f"{job.done:.0%}", left, job.outcome


def _value(text: str) -> Any:
    # Whoever types --set kind=trades should not have to quote it twice, for the shell and as JSON.
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
