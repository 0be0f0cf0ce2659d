"""The namespaces of a remote lake on what is done there: jobs, runs, schedules, streams."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

from ticklake.core.duration import DurationLike
from ticklake.core.jobs import Job, JobState
from ticklake.core.progress import Progress, Watch
from ticklake.core.runs import LogLine, Run, RunState
from ticklake.core.schedules import Schedule
from ticklake.core.selection import parse_count
from ticklake.core.streams import StreamStatus
from ticklake.errors import BadInput, Cancelled, ServerUnavailable, TicklakeError
from ticklake.interfaces.client.connection import Connection, json_of
from ticklake.interfaces.client.lacking import Lacking
from ticklake.interfaces.client.wire import as_list, json_value, json_values, parameters
from ticklake.interfaces.decoding import from_json

__all__ = ["RemoteJobs", "RemoteRuns", "RemoteSchedules", "RemoteStreams"]

T = TypeVar("T")
_PAGE = 1_000
"""The most members of a page of a list."""
_SOON, _LATER = 0.05, 1.0
"""Seconds between two looks at a job: the first and the longest."""
_STEPS = 1_000_000
"""A share that is done is shown as so many steps."""


_COLLECTS = "'ticklake serve --collect' does it, where the lake is"


class _Namespace(Lacking):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _get(self, kind: type[T], path: str) -> T:
        return from_json(kind, json_of(self._connection.get(path)))

    def _post(self, kind: type[T], path: str, body: Mapping[str, Any] | None = None, method: str = "POST") -> T:
        return from_json(kind, json_of(self._connection.send(method, path, dict(body or {}))))

    def _listed(self, kind: type[T], path: str, limit: int, **wanted: Any) -> list[T]:
        """Return the members of a list, page after page."""
        members: list[T] = []
        cursor: int | None = wanted.pop("before", None)
        while len(members) < limit:
            most = min(limit - len(members), _PAGE)
            asked = parameters({**wanted, "limit": most, "cursor": cursor})
            page = json_of(self._connection.get(path, asked))
            members += [from_json(kind, member) for member in page["data"]]
            cursor = page["next"]
            if cursor is None:
                break
        return members


class RemoteRuns(_Namespace):
    """What was executed and how it went: ``runs.list(state="failed")``, ``runs.get(id)``, ``runs.tail(id)``."""

    def create(self, operation: str, subject: str = "", parameters: Mapping[str, Any] | None = None) -> Run:
        """Record that something of your own began; the caller must :meth:`finish` the run."""
        body = {"operation": operation, "subject": subject, "parameters": json_value("", dict(parameters or {}))}
        return self._post(Run, "/runs", body)

    def update_progress(self, run_id: int, done: float, progress: Mapping[str, Any] | None = None) -> None:
        """Record the share of a run that is done, 0 to 1, and counts; without counts, the recorded ones stay."""
        self._post(
            Run, f"/runs/{_number('run_id', run_id)}/progress", json_values({"done": done, "progress": progress})
        )

    def append_log(self, run_id: int, message: str, level: str = "info") -> None:
        """Append a line to a run's log."""
        path = f"/runs/{_number('run_id', run_id)}/log"
        self._connection.send("POST", path, {"message": message, "level": level})

    def finish(
        self,
        run_id: int,
        state: RunState | str = RunState.SUCCEEDED,
        progress: Mapping[str, Any] | None = None,
        outcome: str = "",
    ) -> Run:
        """Record how a run ended, unless it has ended already, and return it."""
        body = json_values({"state": str(state), "progress": progress, "outcome": outcome})
        return self._post(Run, f"/runs/{_number('run_id', run_id)}/finish", body)

    def get(self, run_id: int) -> Run:
        """Return one run."""
        return self._get(Run, f"/runs/{_number('run_id', run_id)}")

    def list(
        self,
        *,
        state: str | None = None,
        subject: str | None = None,
        dataset: str | None = None,
        job: int | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> Sequence[Run]:
        """Return runs, newest first. With *before*, only those whose number is below it."""
        count = parse_count("limit", limit, of="runs")
        return self._listed(Run, "/runs", count, state=state, subject=subject, dataset=dataset, job=job, before=before)

    def active(self) -> Sequence[Run]:
        """Return the active runs, newest first."""
        return self.list(state="running", limit=_PAGE)

    def tail(self, run_id: int) -> Sequence[LogLine]:
        """Return the last lines of a run's log, the oldest first."""
        lines = json_of(self._connection.get(f"/runs/{_number('run_id', run_id)}/log"))
        return from_json(list[LogLine], lines["data"])


class RemoteJobs(_Namespace):
    """What is to be done there: ``jobs.create("backfill", "binance", "BTC/USDT", "1h")``, ``jobs.list(state="active")``."""

    lacking: ClassVar = {"worker": _COLLECTS}

    def create(
        self, operation: str, *what: Any, priority: int = 0, max_attempts: int | None = None, **parameters: Any
    ) -> Job:
        """Put a job into the queue, or return an identical one that waits or runs; a worker there does it."""
        return self._create(operation, what, parameters, priority=priority, max_attempts=max_attempts)

    def _create(self, operation: str, what: Sequence[Any], parameters: Mapping[str, Any], **options: Any) -> Job:
        body = {
            "operation": operation,
            "arguments": json_value("", list(what)),
            "parameters": json_values(parameters),
            **json_values(options),
        }
        return self._post(Job, "/jobs", body)

    def get(self, job_id: int) -> Job:
        """Return one job with its state, its share done and its outcome."""
        return self._get(Job, f"/jobs/{_number('job_id', job_id)}")

    def list(
        self,
        *,
        state: str | None = None,
        operation: str | None = None,
        search: str = "",
        limit: int = 50,
        before: int | None = None,
    ) -> Sequence[Job]:
        """Return jobs, newest first; *state* may be ``active``. With *before*, only those whose number is below it."""
        count = parse_count("limit", limit, of="jobs")
        return self._listed(Job, "/jobs", count, state=state, operation=operation, search=search or None, before=before)

    def counts(self) -> dict[str, int]:
        """Return how many jobs there are by state."""
        counts: dict[str, int] = json_of(self._connection.get("/jobs", {"limit": "1"}))["counts"]
        return counts

    def active(self, limit: int = 1_000) -> Sequence[Job]:
        """Return what waits or runs, newest first."""
        return self.list(state="active", limit=limit)

    def cancel(self, job_id: int) -> Job:
        """Cancel a job: a waiting one at once, a running one after its page; nothing that it committed is lost."""
        return self._post(Job, f"/jobs/{_number('job_id', job_id)}/cancel")

    def start(self, job_id: int, *, watch: Watch = lambda _progress: None) -> Job:
        """Let the server do a waiting job now, and return it as it ended."""
        job = self._post(Job, f"/jobs/{_number('job_id', job_id)}/start")
        return self.wait(job.id, watch=watch)

    def wait(self, job_id: int, *, watch: Watch = lambda _progress: None) -> Job:
        """Wait until a job has ended, and return it. If *watch* raises, or you interrupt, the job is cancelled."""
        pause = _SOON
        with self._cancelled_if_it_fails(job_id):
            while (job := self.get(job_id)).is_active:
                watch(_progress_of(job))
                time.sleep(pause)
                pause = min(pause * 1.5, _LATER)
            watch(_progress_of(job))
        return job

    @contextmanager
    def _cancelled_if_it_fails(self, job_id: int) -> Iterator[None]:
        try:
            yield
        except ServerUnavailable:
            # Only the connection is lost: the job goes on, and can be looked for again.
            raise
        except BaseException:
            # Of the two errors, the first one says what happened.
            with suppress(TicklakeError):
                self.cancel(job_id)
            raise

    def cleanup_completed(self, max_age: DurationLike = "30d") -> int:
        """Remove jobs that ended longer ago than *max_age*, and return how many. Their runs stay."""
        answer = self._connection.send("DELETE", "/jobs", None, parameters({"max_age": max_age}))
        return int(json_of(answer)["forgotten"])

    def do(self, path: str, body: Mapping[str, Any], watch: Watch) -> tuple[Job, Sequence[Run]]:
        """Let the server do what is asked for at an address, and return the job as it ended, with its runs, the first one first.

        Raises
        ------
        Cancelled
            If somebody cancelled it.
        TicklakeError
            If it failed and has no run that says why.
        """
        job = self._post(Job, path, body)
        if job.state is JobState.QUEUED:
            # A worker there may have been faster; and if its dataset is worked on, it waits in the queue.
            with suppress(BadInput):
                self._post(Job, f"/jobs/{job.id}/start")
        job = self.wait(job.id, watch=watch)
        if job.state is JobState.CANCELLED:
            raise Cancelled(f"job {job.id} was cancelled: what it had committed is kept")
        runs = RemoteRuns(self._connection).list(job=job.id, limit=_PAGE)
        if job.state is JobState.FAILED and not runs:
            raise TicklakeError(f"job {job.id} failed: {job.outcome}")
        return job, runs[::-1]


class RemoteSchedules(_Namespace):
    """What is done there again and again: ``schedules.add("bars", "update", cron="5 * * * *")``."""

    lacking: ClassVar = {"scheduler": _COLLECTS}

    def add(
        self,
        name: str,
        operation: str,
        *,
        cron: str | None = None,
        every: str | None = None,
        zone: str = "UTC",
        priority: int = 0,
        **parameters: Any,
    ) -> Schedule:
        """Add a schedule, or change the one of that name; its parameters are passed by name."""
        options = json_values({"cron": cron, "every": every, "zone": zone, "priority": priority})
        body = {"operation": operation, "parameters": json_values(parameters), **options}
        return self._post(Schedule, self._path(name), body, "PUT")

    def list(self) -> Sequence[Schedule]:
        """Return all schedules, sorted by name."""
        return from_json(list[Schedule], json_of(self._connection.get("/schedules"))["data"])

    def get(self, name: str) -> Schedule:
        """Return one schedule."""
        return self._get(Schedule, self._path(name))

    def remove(self, name: str) -> None:
        """Remove a schedule. Its jobs stay."""
        self._connection.send("DELETE", self._path(name))

    def pause(self, name: str) -> Schedule:
        """Make no more jobs of it until :meth:`resume`."""
        return self._post(Schedule, f"{self._path(name)}/pause")

    def resume(self, name: str) -> Schedule:
        """Make jobs of it again, from its next time on."""
        return self._post(Schedule, f"{self._path(name)}/resume")

    def run(self, name: str) -> Job:
        """Make a job of it now; its next time stays as it is."""
        return self._post(Job, f"{self._path(name)}/run")

    @staticmethod
    def _path(name: str) -> str:
        return f"/schedules/{quote(name, safe='')}"


class RemoteStreams(_Namespace):
    """Live collection there: ``streams.start("binance", "BTC/USDT")``, ``streams.status()``, ``streams.stop()``."""

    lacking: ClassVar = {"run": "streams.start(...) lets the server collect", "replay": "use it where the lake is"}

    def start(
        self,
        exchange: str,
        symbols: str | Sequence[str],
        kinds: str | Sequence[str] = ("trades",),
        *,
        timeframes: str | Sequence[str] = ("1m",),
        depth: int | None = None,
    ) -> Job:
        """Let the server collect streams until they are stopped; the answer is the job that does it."""
        body = {
            "exchange": exchange,
            "symbols": as_list("symbols", symbols),
            "kinds": as_list("kinds", kinds),
            "timeframes": as_list("timeframes", timeframes),
            "begin": True,
        }
        return self._post(Job, "/streams", {**body, **json_values({"depth": depth})})

    def stop(self, exchange: str | None = None) -> Sequence[Job]:
        """Stop streams, of one *exchange* or all, and return their jobs; what they received is committed."""
        answer = self._connection.send("POST", "/streams/stop", None, parameters({"exchange": exchange}))
        return from_json(list[Job], json_of(answer)["data"])

    def list(self) -> Sequence[str]:
        """Return the names of the datasets that are collected now."""
        return sorted({stream.dataset for stream in self.status()})

    def status(self) -> Sequence[StreamStatus]:
        """Return how each stream goes that is collected now, by whichever process there."""
        return from_json(list[StreamStatus], json_of(self._connection.get("/streams"))["data"])


def _number(name: str, value: int) -> int:
    return parse_count(name, value, 1, of=f"a {name.removesuffix('_id')}")


def _progress_of(job: Job) -> Progress:
    progress = Progress.of_steps(_STEPS)
    progress.finished["steps"] = round(job.done * _STEPS)
    progress.names = (job.subject,)
    return progress
