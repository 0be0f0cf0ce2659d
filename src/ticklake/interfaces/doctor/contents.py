"""Checks of an open lake: its catalog, backups, datasets, jobs, runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ticklake.core.runs import RunState
from ticklake.core.time import DAY, MINUTE, SECOND
from ticklake.errors import CatalogOutdated
from ticklake.interfaces.cli.output import big, count_of
from ticklake.interfaces.doctor.findings import Finding, ok, warning, wrong
from ticklake.interfaces.health import LONG_WAIT, failed_for_good
from ticklake.lake import Lake

__all__ = ["backups", "catalog", "freshness", "jobs", "runs"]

_LARGE_LOG = 1024**3
"""Bytes of a write-ahead log that cannot be usual: SQLite begins it anew at some megabytes."""
_OLD_BACKUP = 7 * DAY
_AHEAD = 10 * SECOND
_FEW = 3


def catalog(lake: Lake) -> Iterator[Finding]:
    """Check that the catalog is whole and not too large, and that its newest commit is not of the future."""
    engine = lake.engine
    try:
        engine.catalog.check_current()
    except CatalogOutdated as error:
        yield wrong("catalog", str(error), "restore what is missing before anything is written")
    version = engine.catalog.version()
    committed_at = engine.catalog.committed_at(version)
    size, log_size = engine.catalog.database.sizes()
    age = "no commits yet"
    if committed_at is not None:
        age = f"the last commit was {_ago(engine.now() - committed_at)}"
        # Vacuum, freshness and retention all go by the clock.
        if committed_at > engine.now() + _AHEAD:
            text = f"the newest commit is {_length(committed_at - engine.now())} in the future"
            yield wrong("clock", text, "set the clock: it was ahead then, or is behind now")
    text = f"version {version}, {big(size)}, its log {big(log_size)}; {age}"
    # SQLite cannot begin its log anew while anybody reads an old state of the catalog.
    if log_size > _LARGE_LOG:
        yield warning("catalog", text, "a reader that never ends keeps the log: end it, or restart the processes")
    else:
        yield ok("catalog", text)
    yield from _waste(lake)


def _waste(lake: Lake) -> Iterator[Finding]:
    """Yield what maintenance would free."""
    stats = lake.admin.stats()
    retired, inline = stats.total("retired_bytes"), stats.total("inline_segments")
    if retired > max(stats.bytes, _LARGE_LOG):
        yield warning("space", f"{big(retired)} are of older versions, more than all rows take", "ticklake vacuum")
    if inline > 100 * max(stats.datasets, 100):
        yield warning("space", f"{inline:,} small segments wait in the catalog", "ticklake compact; schedule it daily")


def backups(lake: Lake) -> Iterator[Finding]:
    """Check that there is a recent backup."""
    at = lake.admin.last_done().get("backup")
    if not lake.datasets():
        yield ok("backup", "there is nothing to back up yet")
    elif at is None:
        yield warning("backup", "this lake was never backed up", "ticklake backup FOLDER, on another disk, every day")
    elif lake.engine.now() - at > _OLD_BACKUP:
        yield warning("backup", f"the last one was {_ago(lake.engine.now() - at)}", "ticklake backup FOLDER")
    else:
        yield ok("backup", f"the last one was {_ago(lake.engine.now() - at)}")


def freshness(lake: Lake) -> Iterator[Finding]:
    """Check that what is collected up to now has its newest rows."""
    fresh = [each for each in lake.alerts.freshness() if each.is_kept_up]
    stale = [each.dataset for each in fresh if each.is_stale]
    if stale:
        text = f"{len(stale):,} stale of {count_of(len(fresh), 'dataset')}: {_some(stale)}"
        yield warning("datasets", text, "ticklake update; is the daemon running?")
    else:
        yield ok("datasets", f"{count_of(len(fresh), 'dataset')} kept up to now, none stale")


def jobs(lake: Lake) -> Iterator[Finding]:
    """Check that jobs are being done."""
    now, queue = lake.engine.now(), lake.jobs.queue
    queue.check_active()
    ended = queue.abandoned()
    for job in ended[:_FEW]:
        yield wrong("jobs", failed_for_good(job), "create it again; one that is cancelled counts, too")
    since = queue.waiting_since()
    stuck = [
        job for job in queue.find(state="running", limit=1_000) if job.expires_at is not None and job.expires_at < now
    ]
    if stuck:
        names = [f"{job.id} ({job.operation} {job.subject})" for job in stuck]
        text = f"{count_of(len(stuck), 'job')} lost the worker: {_some(names)}"
        yield warning("jobs", text, "ticklake daemon, or ticklake worker, goes on with them")
    if since is not None and now - since > LONG_WAIT:
        yield warning("jobs", f"a job has been due for {_length(now - since)}", "ticklake daemon, or ticklake worker")
    elif not stuck and not ended:
        counts = queue.active_counts()
        yield ok("jobs", f"{counts.get('running', 0):,} running, {counts.get('queued', 0):,} waiting")


def runs(lake: Lake) -> Iterator[Finding]:
    """Check that no run is open whose process is gone; reading them marks such runs as killed."""
    # Counted before they are read, because reading settles them.
    recorded = lake.runs.counts().get(RunState.RUNNING, 0)
    active = lake.runs.active()
    dead = recorded - len(active)
    if dead > 0:
        text = f"{count_of(dead, 'run')} ended with a process that died: marked as killed now"
        yield warning("runs", text, "ticklake runs list --state killed; the same commands go on from there")
    else:
        yield ok("runs", f"{len(active):,} running")


def _some(names: Sequence[str]) -> str:
    text = ", ".join(names[:_FEW])
    if len(names) > _FEW:
        text += f" and {len(names) - _FEW:,} more"
    return text


def _ago(ns: int) -> str:
    return f"{_length(ns)} ago"


def _length(ns: int) -> str:
    """Write a length of time in its largest unit of which there are at least two."""
    for unit, length in (("days", DAY), ("hours", 60 * MINUTE), ("minutes", MINUTE)):
        if ns >= 2 * length:
            return f"{ns // length:,} {unit}"
    return f"{max(ns, 0) / SECOND:.0f} seconds"
