"""Background: jobs that this server does itself, because a caller said so."""

from __future__ import annotations

import threading
from contextlib import suppress

from ticklake.core.jobs import Job
from ticklake.errors import LeaseHeld, TicklakeError
from ticklake.jobs.worker import Worker
from ticklake.lake import Lake

__all__ = ["Background"]


class _Task:
    """One job, and the thread that does it."""

    def __init__(self, lake: Lake, job_id: int) -> None:
        self._lake = lake
        self._job_id = job_id
        self.has_begun = threading.Event()
        """Set once the job runs, or cannot run."""
        self.error: TicklakeError | None = None
        self.worker: Worker = lake.jobs.worker(lambda _job: self.has_begun.set())
        self.thread = threading.Thread(target=self._run, name=f"ticklake-job-{job_id}")

    def _run(self) -> None:
        try:
            self._lake.jobs.start(self._job_id, self.worker)
        except TicklakeError as error:
            self.error = error
        finally:
            self.has_begun.set()


class Background:
    """Does jobs in threads of this process, at most so many at a time.

    Parameters
    ----------
    most
        How many; more are refused, and wait in the queue for a worker.
    """

    def __init__(self, lake: Lake, most: int) -> None:
        self._lake = lake
        self._most = most
        self._lock = threading.Lock()
        self._tasks: list[_Task] = []
        self._is_closed = False

    def start(self, job_id: int) -> Job:
        """Begin a waiting job, and return it as it is then.

        Raises
        ------
        NotFound
            If there is no such job.
        BadInput
            If it does not wait, or another job works on its dataset.
        LeaseHeld
            If this server does as many jobs as it may, or is about to end.
        """
        self._lake.jobs.get(job_id)
        task = _Task(self._lake, job_id)
        with self._lock:
            # Those that have ended are forgotten here: nobody else looks.
            self._tasks = [each for each in self._tasks if each.thread.is_alive()]
            if self._is_closed or len(self._tasks) >= self._most:
                raise LeaseHeld(
                    f"this server does {len(self._tasks)} jobs already: job {job_id} waits for a worker, or for a later start"
                )
            self._tasks.append(task)
            task.thread.start()
        # Milliseconds: until the job is claimed, or cannot be.
        task.has_begun.wait()
        if task.error is not None:
            raise task.error
        return self._lake.jobs.get(job_id)

    def close(self) -> None:
        """Let each job finish its page and go back into the queue, and wait for that."""
        with self._lock:
            self._is_closed = True
            tasks = list(self._tasks)
        # All are told first, so that they end side by side.
        for task in tasks:
            task.worker.stop()
        for task in tasks:
            with suppress(RuntimeError):  # it was not started
                task.thread.join()

    def abandon(self) -> None:
        """Give the jobs back that still run, because this process ends before they do."""
        for task in tuple(self._tasks):
            task.worker.abandon()
