"""How a lake is: one answer for HTTP and the shell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ticklake.core.display import moment
from ticklake.errors import CatalogDamaged, StorageError
from ticklake.interfaces.schema import to_json

if TYPE_CHECKING:
    from ticklake.lake import Lake

__all__ = ["lake_health"]

_FEW = 5
_READ = 500
"""So many jobs are read to see whether they can be."""


def lake_health(lake: Lake, *, only_stale: bool = False, search: str = "") -> dict[str, Any]:
    """Return how a lake is, as JSON: ``status`` is ``ok`` or ``degraded``, and ``problems`` says why.

    ``data`` has the datasets, those that are kept up to now judged by the rule by which alerts call them stale.
    """
    fresh = lake.alerts.freshness()
    kept_up, stale = sum(each.is_kept_up for each in fresh), sum(each.is_stale for each in fresh)
    streams = Counter(stream.state for stream in lake.streams.status())
    problems: list[str] = []
    if stale:
        problems.append(f"{stale:,} of {kept_up:,} datasets are stale")
    if silent := streams.total() - streams["live"]:
        problems.append(f"{silent:,} of {streams.total():,} streams are not live")
    problems += _of_jobs(lake)
    try:
        lake.engine.check_space()
    except StorageError:
        # Not the error's text, which names folders of the server.
        problems.append("the disk is almost full (min_free): nothing more is collected until some of it is free")
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


def _of_jobs(lake: Lake) -> Iterator[str]:
    """Yield what keeps jobs from being done."""
    queue = lake.jobs.queue
    try:
        # A worker reads those that wait, and takes none while one of them is damaged.
        queue.find(state="active", limit=_READ)
        failed = queue.failed_streams()
    except CatalogDamaged:
        yield "the jobs cannot be read, so that none is done: 'ticklake verify' says what is damaged"
        return
    if failed:
        numbers = ", ".join(str(job.id) for job in failed[:_FEW])
        yield f"{len(failed):,} jobs of streams failed, and nothing collects in their place: {numbers}"
