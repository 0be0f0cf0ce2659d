"""How a lake is: one answer for HTTP and the shell."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ticklake.core.display import moment
from ticklake.core.time import MINUTE
from ticklake.errors import CatalogDamaged, StorageError
from ticklake.interfaces.schema import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ticklake.core.jobs import Job
    from ticklake.lake import Lake

__all__ = ["LONG_WAIT", "failed_for_good", "lake_health"]

LONG_WAIT = 15 * MINUTE
"""So long does no job wait that is due, if workers do jobs."""


def lake_health(lake: Lake, *, only_stale: bool = False, search: str = "", known: Sequence[str] = ()) -> dict[str, Any]:
    """Return how a lake is, as JSON: ``status`` is ``ok`` or ``degraded``, and ``problems`` says why.

    ``data`` has the datasets, those that are kept up to now judged by the rule by which alerts call them stale. *known* are problems
    of this process, which the lake does not know of.
    """
    fresh = lake.alerts.freshness()
    kept_up, stale = sum(each.is_kept_up for each in fresh), sum(each.is_stale for each in fresh)
    streams = Counter(stream.state for stream in lake.streams.status())
    problems = list(known)
    if stale:
        problems.append(f"{stale:,} of {kept_up:,} datasets are stale")
    if silent := streams.total() - streams["live"]:
        problems.append(f"{silent:,} of {streams.total():,} streams are not live")
    try:
        lake.engine.check_space()
    except StorageError:
        # Not the error's text, which names folders of the server.
        problems.append("the disk is almost full (min_free): nothing more is collected until some of it is free")
    problems += _of_jobs(lake)
    chosen = [each for each in fresh if search in each.dataset and (each.is_stale or not only_stale)]
    return {
        "status": "degraded" if problems else "ok",
        "problems": problems,
        "version": lake.engine.catalog.version(),
        "checked_at": moment(lake.engine.now()),
        "streams": dict(streams),
        "jobs": lake.jobs.queue.active_counts(),
        "kept_up": kept_up,
        "stale": stale,
        "data": to_json(chosen),
    }


def failed_for_good(job: Job) -> str:
    """Return what is wrong with a job of streams, or a poll, that failed and has no successor."""
    return f"job {job.id} ({job.operation}) failed, and no later one collects in its place: {job.outcome}"


def _of_jobs(lake: Lake) -> Iterator[str]:
    """Yield what keeps jobs from being done."""
    queue = lake.jobs.queue
    try:
        queue.check_active()
        for job in queue.abandoned():
            yield failed_for_good(job)
    except CatalogDamaged:
        # Not the error's text, which names files of the server.
        yield "jobs of the catalog are damaged, and may keep all others from being done: see ticklake doctor"
    since = queue.waiting_since()
    if since is not None and lake.engine.now() - since > LONG_WAIT:
        yield f"a job has been due for {(lake.engine.now() - since) // MINUTE:,} minutes: no worker takes it"
