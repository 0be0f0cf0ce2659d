"""Watch: what has changed in the lake, looked for once for all clients, and only while there are any."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ticklake.core.jobs import Job
from ticklake.core.results import DatasetChange
from ticklake.core.runs import Run
from ticklake.core.streams import StreamStatus
from ticklake.errors import CatalogError, NotFound, TicklakeError
from ticklake.lake import Lake
from ticklake.log import Log

__all__ = ["Look", "Watch", "ended_since"]

_LOG = Log("api")
_NEWEST = 50
"""So many of the newest jobs and runs are looked at, beside the active ones."""
_VERSIONS = 100
"""So many versions are read at a time; the next look goes on after them."""


@dataclass(frozen=True, slots=True)
class Look:
    """What has changed since the look before.

    ``version`` is the newest version of which all commits are known, and ``at`` the time, in nanoseconds. ``missed`` is true if
    commits were removed by vacuum before they were looked at.
    """

    version: int
    at: int
    commits: Sequence[DatasetChange] = ()
    jobs: Sequence[Job] = ()
    runs: Sequence[Run] = ()
    streams: Sequence[StreamStatus] = ()
    missed: bool = False


class Watch:
    """Looks every so many seconds, and at once after a commit of this process, and tells all listeners.

    Parameters
    ----------
    read
        Calls a function in a thread: nothing that reads the lake runs on the event loop.
    """

    def __init__(self, lake: Lake, read: Callable[..., Awaitable[Any]], seconds: float) -> None:
        self._lake = lake
        self._read = read
        self._seconds = seconds
        self._listeners: tuple[Callable[[Look], None], ...] = ()
        self._task: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()

    async def add(self, listener: Callable[[Look], None]) -> None:
        """Tell a listener, in the event loop, of all that changes after this has returned. The listener must return at once."""
        self._listeners = (*self._listeners, listener)
        if self._task is None:
            self._begun = asyncio.Event()
            self._task = asyncio.create_task(self._go(), name="ticklake-watch")
        await self._begun.wait()

    def remove(self, listener: Callable[[Look], None]) -> None:
        """Tell it no more; without listeners nothing is looked at."""
        self._listeners = tuple(each for each in self._listeners if each != listener)
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _go(self) -> None:
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(changed.set)

        commits = self._lake.engine.catalog.listeners
        listener = commits.add(wake)
        # Made anew each time: of what happened while nobody listened, nobody is told.
        differences = _Differences(self._lake)
        try:
            while True:
                changed.clear()
                await self._look(differences)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds):
                        await changed.wait()
        finally:
            commits.remove(listener)

    async def _look(self, differences: _Differences) -> None:
        try:
            look = await self._read(differences.look)
        except TicklakeError as error:
            # A busy catalog: the next look comes soon.
            _LOG.info("could not look for what has changed", reason=error)
            return
        except Exception as error:
            # Whatever it was, all clients would wait for ever if nobody looked again.
            _LOG.error("could not look for what has changed", failure=error)
            return
        self._begun.set()
        for listener in self._listeners:
            listener(look)


class _Differences:
    """Compares what is with what was at the last look."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._version: int | None = None
        self._jobs: dict[int, Job] = {}
        self._runs: dict[int, Run] = {}
        self._streams: dict[str, StreamStatus] = {}

    def look(self) -> Look:
        """Return what has changed; the first time, nothing has."""
        is_first = self._version is None
        commits, missed = self._new_commits()
        jobs, runs, streams = self._changed_jobs(), self._changed_runs(), self._changed_streams()
        look = Look(self._version or 0, self._lake.engine.now())
        if is_first:
            return look
        return Look(look.version, look.at, commits, jobs, runs, streams, missed)

    def _new_commits(self) -> tuple[Sequence[DatasetChange], bool]:
        newest = self._lake.engine.catalog.version()
        if self._version is None or newest <= self._version:
            self._version = newest
            return (), False
        try:
            changes = self._lake.changes_since(self._version, limit=_VERSIONS)
        except CatalogError:
            self._version = newest
            return (), True
        self._version = newest
        # As many as were asked for: there may be more, which the next look reads.
        versions = {change.version for change in changes}
        if len(versions) == _VERSIONS:
            self._version = max(versions)
        return changes, False

    def _changed_jobs(self) -> Sequence[Job]:
        jobs = self._lake.jobs
        found = {job.id: job for job in (*jobs.active(), *jobs.list(limit=_NEWEST))}
        # One that ended since the last look may be neither active nor among the newest.
        for number, job in self._jobs.items():
            if job.is_active and number not in found:
                with suppress(NotFound):
                    found[number] = jobs.get(number)
        changed = [job for job in found.values() if _look_of_job(job) != _look_of_job(self._jobs.get(job.id))]
        self._jobs = found
        return sorted(changed, key=lambda job: job.id)

    def _changed_runs(self) -> Sequence[Run]:
        runs = self._lake.runs
        found = {run.id: run for run in (*runs.active(), *runs.list(limit=_NEWEST))}
        for number, run in self._runs.items():
            if run.is_active and number not in found:
                found[number] = runs.get(number)
        changed = [run for run in found.values() if _look_of_run(run) != _look_of_run(self._runs.get(run.id))]
        self._runs = found
        return sorted(changed, key=lambda run: run.id)

    def _changed_streams(self) -> Sequence[StreamStatus]:
        found = {stream.dataset: stream for stream in self._lake.streams.status()}
        changed = [stream for name, stream in found.items() if stream != self._streams.get(name)]
        self._streams = found
        return changed


def _look_of_job(job: Job | None) -> Any:
    # Without its lease, which every heartbeat extends.
    if job is None:
        return None
    return job.state, job.done, job.attempts, job.cancelling, job.outcome, job.due_at


def _look_of_run(run: Run | None) -> Any:
    if run is None:
        return None
    return run.state, run.done, run.progress, run.outcome


def ended_since(lake: Lake, at: int) -> tuple[Sequence[Job], Sequence[Run]]:
    """Return the jobs and runs that are active or have ended since *at*, in nanoseconds: what a client that was away has missed."""
    jobs = {job.id: job for job in (*lake.jobs.active(), *_since(lake.jobs.list(limit=_NEWEST), at))}
    runs = {run.id: run for run in (*lake.runs.active(), *_since(lake.runs.list(limit=_NEWEST), at))}
    return sorted(jobs.values(), key=lambda job: job.id), sorted(runs.values(), key=lambda run: run.id)


def _since(ended: Iterable[Any], at: int) -> list[Any]:
    return [each for each in ended if each.finished_at is not None and each.finished_at >= at]
