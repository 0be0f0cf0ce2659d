"""The worker: takes jobs from the queue, one at a time, and runs them until it is stopped."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from ticklake.catalog.claims import Lane
from ticklake.catalog.heartbeat import Heartbeat
from ticklake.catalog.jobs import JobQueue, Statement
from ticklake.catalog.processes import this_process
from ticklake.catalog.runs import Runs
from ticklake.core.jobs import Job, JobState
from ticklake.core.progress import Progress
from ticklake.core.retry import RetryPolicy
from ticklake.core.runs import Run, RunState
from ticklake.core.time import SECOND
from ticklake.errors import Cancelled, CatalogBusy, LeaseHeld, LeaseLost, TicklakeError
from ticklake.jobs.operations import Operation, Operations, Outcome, Work
from ticklake.log import Log

__all__ = ["Worker"]

TELL_EVERY = 1.0
"""Seconds between two updates of the queue while a job runs: its progress is stored, and a cancellation is read."""
Execute = Callable[[Operation, Work, Mapping[str, Any]], Outcome]
_LOG = Log("jobs")
_LEVELS = {JobState.INCOMPLETE: logging.WARNING, JobState.FAILED: logging.ERROR}
HELD_WAIT = 15 * SECOND
"""How long a job waits for another one that works on one of its datasets."""


@dataclass
class Worker:
    """Does jobs of a lake.

    Parameters
    ----------
    execute
        Runs an operation with the parameters of a job.
    idle
        Seconds between two looks at an empty queue.
    report
        Called with every job when it begins and when it has ended.
    lane
        Which jobs it takes: ``all``, those of ``streams``, which never end by themselves, or the ``others``.
    """

    execute: Execute
    queue: JobQueue
    runs: Runs
    operations: Operations
    retry: RetryPolicy
    idle: float = 1.0
    report: Callable[[Job], None] = lambda _job: None
    stopping: threading.Event = field(default_factory=threading.Event)
    lane: Lane = "all"

    def __post_init__(self) -> None:
        self.taken = 0
        """How many jobs it has taken, in all its runs."""
        self._shifts: dict[int, _Shift] = {}
        self._heart = Heartbeat(self._beat, self.queue.lease / 4 / SECOND)

    def stop(self) -> None:
        """Finish the current page, give the job back, and take no more."""
        self.stopping.set()

    def abandon(self) -> None:
        """Give the jobs back that still run, because this process ends before they do: another worker takes them at once.

        What they would commit from now on is refused.
        """
        reason = "its worker ended before it did"
        for shift in tuple(self._shifts.values()):
            with suppress(TicklakeError):
                self.queue.give_back(shift.job, reason)
                for run in self.runs.active():
                    # Otherwise it would count as killed, and alerts would tell of it.
                    if run.job_id == shift.job.id:
                        self.runs.finish(run.id, RunState.CANCELLED, outcome=reason)

    def run(self, *, once: bool = False) -> int:
        """Run jobs until stopped, with *once* until none is due, and return how many were taken."""
        # Reading the active runs marks those whose process was killed.
        self.runs.active()
        count, recovered_at = 0, -self.idle
        while not self.stopping.is_set():
            try:
                if time.monotonic() - recovered_at >= self.idle:
                    self.queue.recover()
                    recovered_at = time.monotonic()
                job = self.run_one()
            except CatalogBusy:
                # Another process is writing for long: that is no reason to end, it may be done the next time.
                job = None
            if job is not None:
                count += 1
                self.taken += 1
            elif once:
                break
            else:
                self.stopping.wait(self.idle)
        return count

    def run_one(self, job_id: int | None = None) -> Job | None:
        """Take one job and run it. Return it as it ended, or ``None`` if none could be taken."""
        try:
            job = self.queue.claim(this_process(), job_id, self.lane)
        except LeaseHeld:
            return None
        if job is None:
            return None
        self._tell(job, "taken")
        ended = self._do(job)
        # A job that waits again was given back, or failed in a way that may pass.
        self._tell(ended, "waits again" if ended.state is JobState.QUEUED else ended.state)
        return ended

    def _tell(self, job: Job, what: str) -> None:
        """Log and report a change of a job."""
        said = {"job": job.id, "operation": job.operation, "subject": job.subject, "attempt": job.attempts}
        _LOG.at(_LEVELS.get(job.state, logging.INFO), f"job {what}", **said, outcome=job.outcome or None)
        self.report(job)

    def _do(self, job: Job) -> Job:
        """Run a claimed job inside one run, and record in the queue how it ended."""
        run: Run | None = None
        # Whether the operation recorded a run of its own shows by comparing with this.
        newest = self.queue.newest_run(job)
        try:
            operation = self.operations[job.operation]
            with self._shift(job) as shift, self.runs.of_job(job.id), self.queue.fenced(job):
                if not operation.records_runs:
                    run = self.runs.create(job.operation, job.subject, job.parameters)
                outcome = self.execute(operation, shift, job.parameters)
            return self._ended(job, run, outcome)
        except LeaseLost as error:
            return self._lost(job, run, error)
        except Cancelled as error:
            return self._stopped(job, run, str(error))
        except LeaseHeld as error:
            return self._given_back(job, run, str(error), HELD_WAIT)
        except TicklakeError as error:
            waits = getattr(error, "retry_after", None) or 0.0
            run = run or self._record_try(job, newest)
            return self._ended(job, run, Outcome(JobState.FAILED, str(error), error.retriable), waits)
        except Exception as error:
            # The queue keeps one line of it; where it came from stands in the log alone.
            _LOG.error("job raised an error that nobody expected", failure=error, job=job.id, operation=job.operation)
            run = run or self._record_try(job, newest)
            return self._ended(job, run, Outcome(JobState.FAILED, f"{type(error).__name__}: {error}"))
        except BaseException:
            # Ctrl-C, or the end of the process: without this the job would wait until its lease is over.
            self._given_back(job, run, "its worker was interrupted")
            raise

    def _record_try(self, job: Job, newest: int) -> Run | None:
        """Record the run of a try that failed before its operation recorded one: alerts look at runs."""
        if self.queue.newest_run(job) > newest:
            return None
        with self.runs.of_job(job.id):
            return self.runs.create(job.operation, job.subject, job.parameters)

    @contextmanager
    def _shift(self, job: Job) -> Iterator[_Shift]:
        """Keep the lease of *job* alive while the block runs."""
        shift = self._shifts[job.id] = _Shift(self.queue, job, self.stopping)
        self._heart.begin(job.id)
        try:
            yield shift
        finally:
            self._heart.end(job.id)
            del self._shifts[job.id]

    def _beat(self, numbers: Collection[int]) -> None:
        for number in numbers:
            if (shift := self._shifts.get(number)) is not None:
                shift.beat()

    def _ended(self, job: Job, run: Run | None, outcome: Outcome, at_least: float = 0.0) -> Job:
        """End the job and its run together: a worker that is killed has ended both or neither."""
        tries = job.counted_tries(self.queue.now())
        if not outcome.retriable or (tries >= job.max_attempts and not job.is_endless):
            return self._finished(job, run, outcome.state, outcome.text)
        wait = self.retry.wait(tries, random.random(), at_least)  # noqa: S311
        closing = self._closing(run, RunState(outcome.state), outcome.text)
        return self._leave(job, run, lambda: self.queue.retry(job, outcome.text, wait, closing, tries))

    def _stopped(self, job: Job, run: Run | None, outcome: str) -> Job:
        if not self.queue.get(job.id).cancelling:
            return self._given_back(job, run, outcome)
        return self._finished(job, run, JobState.CANCELLED, outcome)

    def _finished(self, job: Job, run: Run | None, state: JobState, outcome: str) -> Job:
        closing = self._closing(run, RunState(state), outcome)
        return self._leave(job, run, lambda: self.queue.finish(job, state, outcome, closing))

    def _given_back(self, job: Job, run: Run | None, outcome: str, wait: int = 0) -> Job:
        closing = self._closing(run, RunState.CANCELLED, outcome)
        return self._leave(job, run, lambda: self.queue.give_back(job, outcome, wait, closing))

    def _leave(self, job: Job, run: Run | None, end: Callable[[], Job]) -> Job:
        """Record how a try ended, then report the end of its run. A job that another worker has taken over is left alone."""
        try:
            ended = end()
        except LeaseLost as error:
            return self._lost(job, run, error)
        if run is not None:
            self.runs.note_end(self.runs.get(run.id))
        return ended

    def _lost(self, job: Job, run: Run | None, error: LeaseLost) -> Job:
        if run is not None:
            self.runs.finish(run.id, RunState.FAILED, {}, str(error))
        # The job belongs to another worker by now: only the run of this try is ended.
        return self.queue.get(job.id)

    def _closing(self, run: Run | None, state: RunState, outcome: str) -> Statement | None:
        if run is None:
            return None
        return self.runs.closing(run.id, state, {}, outcome)


class _Shift:
    """One try of a job. It raises in the work when the work must stop."""

    def __init__(self, queue: JobQueue, job: Job, stopping: threading.Event) -> None:
        self._queue = queue
        self.job = job
        self._stopping = stopping
        self._lost = self._cancelled = False
        self._held_datasets = set[str]()
        if job.dataset:
            self._held_datasets.add(job.dataset)
        self._last_beat = time.monotonic()

    def watch(self, progress: Progress) -> None:
        """Lock the datasets of a backfill, store its progress, and raise if it must stop."""
        more = set(progress.names) - self._held_datasets
        # Which datasets a pattern matches is known only once the exchange has listed its markets.
        if more:
            self.hold(sorted(more))
        self.check(progress.done)

    def hold(self, datasets: Sequence[str]) -> None:
        """Let no other job work on these datasets."""
        self._queue.hold(self.job, datasets)
        self._held_datasets |= set(datasets)

    def check(self, done: float | None = None) -> None:
        """Raise if the work must stop."""
        if time.monotonic() - self._last_beat >= TELL_EVERY:
            self._last_beat = time.monotonic()
            self.beat(done)
        if self._lost:
            raise LeaseLost(f"job {self.job.id} was taken over by another worker")
        if self._cancelled:
            raise Cancelled(f"job {self.job.id} was cancelled; what it committed is kept")
        if self._stopping.is_set():
            raise Cancelled("its worker was told to stop; it goes on from there")

    def beat(self, done: float | None = None) -> None:
        """Extend the lease and store the progress; remember whether the job was cancelled or its lease is lost."""
        try:
            self._cancelled |= self._queue.beat(self.job, done)
        except LeaseLost:
            # The heartbeat's thread must not raise: the work itself raises at its next check.
            self._lost = True
