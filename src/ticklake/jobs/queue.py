"""Jobs as a user sees them: they are created, listed, cancelled and started here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ticklake.catalog.jobs import JobQueue
from ticklake.core.duration import DurationLike, parse_duration
from ticklake.core.jobs import Job, NewJob
from ticklake.core.requests import BackfillRequest
from ticklake.core.retry import RetryPolicy
from ticklake.core.selection import parse_count, parse_text
from ticklake.core.time import DAY
from ticklake.errors import BadInput
from ticklake.jobs.operations import Operations

if TYPE_CHECKING:
    from ticklake.jobs.worker import Worker

__all__ = ["Jobs"]

_MOST_HOURS = 24 * 36_500


class Jobs:
    """Jobs of a lake: ``ticklake worker`` does them, or :meth:`start` here and now.

    Parameters
    ----------
    worker
        Makes a worker of this process.
    """

    def __init__(
        self,
        queue: JobQueue,
        operations: Operations,
        retry: RetryPolicy,
        worker: Callable[[Callable[[Job], None]], Worker],
    ) -> None:
        self.queue = queue
        self.operations = operations
        self._retry = retry
        self._worker = worker

    def create(
        self, operation: str, *what: Any, priority: int = 0, max_attempts: int | None = None, **parameters: Any
    ) -> Job:
        """Put a job into the queue, or return an identical one that waits or runs.

        Parameters
        ----------
        operation
            ``backfill``, ``update``, ``repair``, ``compact``, or one that a package adds.
        what, parameters
            What the lake's method of that name takes: ``create("backfill", "binance", "BTC/USDT", "1h", start="2024")``,
            ``create("compact", "binance:ohlcv:1h:BTC/USDT")``.
        priority
            Jobs with a higher priority come first.
        max_attempts
            How often it is tried if its errors can be retried; the setting ``jobs.attempts`` by default.

        Raises
        ------
        BadInput
            If there is no such operation, or it does not take that.
        """
        job = self.new(operation, *what, priority=priority, max_attempts=max_attempts, **parameters)
        return self.queue.add([job])[0]

    def create_all(self, jobs: Iterable[NewJob]) -> list[Job]:
        """Put many jobs, made with :meth:`new`, into the queue in one transaction."""
        return self.queue.add(list(jobs))

    def new(
        self, operation: str, *what: Any, priority: int = 0, max_attempts: int | None = None, **parameters: Any
    ) -> NewJob:
        """Return the job that :meth:`create` would put into the queue."""
        parse_text("operation", operation)
        parse_count("priority", priority, least=-(2**31), of="a priority")
        attempts = self._retry.attempts
        if max_attempts is not None:
            attempts = parse_count("max_attempts", max_attempts, 1, "tries")
        stored = self.operations[operation].parameters(*what, **parameters)
        dataset, subject = _dataset_and_subject(operation, stored)
        return NewJob(operation, subject, dataset, stored, priority, attempts)

    def is_active(self, job: NewJob) -> bool:
        """Whether an identical job waits or runs."""
        return self.queue.active_like(job) is not None

    def get(self, job_id: int) -> Job:
        """Return one job with its state, its share done and its outcome."""
        return self.queue.get(job_id)

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
        # A list must not show jobs as running whose worker is dead.
        self.queue.recover()
        parse_text("search", search)
        if operation is not None:
            parse_text("operation", operation)
        found = self.queue.find(state=state, operation=operation, search=search, limit=limit, before=before)
        if operation is not None and not found:
            self.operations[operation]  # refuses a name that there is not
        return found

    def counts(self) -> dict[str, int]:
        """Return how many jobs there are by state."""
        return self.queue.counts()

    def active(self, limit: int = 1_000) -> Sequence[Job]:
        """Return what waits or runs, newest first."""
        return self.list(state="active", limit=limit)

    def cancel(self, job_id: int) -> Job:
        """Cancel a job: a waiting one at once, a running one after its page; nothing that it committed is lost."""
        return self.queue.cancel(job_id)

    def start(self, job_id: int, worker: Worker | None = None) -> Job:
        """Do a waiting job here and now, and return it as it ended.

        Parameters
        ----------
        worker
            Does it; with one of your own (:meth:`worker`) it can be stopped.

        Raises
        ------
        BadInput
            If it does not wait, or another job works on its dataset.
        """
        self.get(job_id)
        job = (worker or self.worker()).run_one(job_id)
        if job is None:
            current = self.get(job_id)
            raise BadInput(
                f"job {job_id} is {current.state}, or another job works on {current.subject}: it cannot start now"
            )
        return job

    def worker(self, told: Callable[[Job], None] = lambda _job: None) -> Worker:
        """Return a worker of this process; it calls *told* with every job when it begins and when it has ended."""
        return self._worker(told)

    def cleanup_completed(self, max_age: DurationLike = 30 * DAY, *, max_age_hours: float | None = None) -> int:
        """Remove jobs that ended longer ago than *max_age*, and return how many. Their runs stay.

        Parameters
        ----------
        max_age
            A length of time: ``"30d"`` (the default), ``"24h"``, a timedelta, or 0 for all that have ended.
        max_age_hours
            The same as a number of hours, instead.

        Raises
        ------
        BadInput
            If *max_age* is a small integer, which has no unit, or *max_age_hours* is no length.
        """
        if max_age_hours is not None:
            max_age = _hours(max_age_hours)
        return self.queue.cleanup_completed(parse_duration(max_age))


def _hours(count: float) -> dt.timedelta:
    if isinstance(count, bool) or not isinstance(count, int | float) or not 0 <= count < _MOST_HOURS:
        raise BadInput(f"max_age_hours={count!r} is no length of time: pass a number of hours from 0 on")
    return dt.timedelta(hours=count)


def _dataset_and_subject(operation: str, parameters: dict[str, Any]) -> tuple[str | None, str]:
    """Return the dataset that a job works on, if it is a single one, and the job's subject as text."""
    if "dataset" in parameters:
        dataset = str(parameters["dataset"])
        return dataset, dataset
    if operation != "backfill":
        return None, " ".join(parameters.get("datasets", [])) or "all datasets"
    request = BackfillRequest.from_json(parameters)
    if request.dataset is None:
        return None, request.subject
    return str(request.dataset), str(request.dataset)
