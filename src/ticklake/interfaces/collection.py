"""Collection: schedules, jobs and streams in threads of one process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ticklake.errors import CatalogBusy, TicklakeError
from ticklake.log import Log

if TYPE_CHECKING:
    from ticklake.core.jobs import Job
    from ticklake.jobs.worker import Worker
    from ticklake.lake import Lake

__all__ = ["Collection"]

_AGAIN = 15.0
"""Seconds after which a worker that failed tries again."""
_LOG = Log("jobs")


class Collection:
    """Makes jobs of schedules whose time has come, and does the jobs of the queue, until it is told to stop.

    Streams are collected beside all other jobs.

    Parameters
    ----------
    report
        Called with every job when it begins and when it has ended.
    say
        Called with a text for each failure of a schedule, and of a worker that cannot take jobs.
    workers
        How many jobs are done at the same time, beside streams.
    """

    def __init__(
        self, lake: Lake, report: Callable[[Job], None], say: Callable[[str], None], *, workers: int = 1
    ) -> None:
        self._lake = lake
        self._say = say
        self._unreadable: TicklakeError | None = None
        self._scheduler = lake.schedules.scheduler(say)
        self._workers = [lake.jobs.worker(report) for _ in range(workers)]
        # Streams never end by themselves: in the lane of other jobs they would hold up all that come later.
        self._streams = lake.jobs.worker(report)
        self._streams.lane = "streams"
        self.stopping = threading.Event()
        self._scheduler.stopping = self._streams.stopping = self.stopping
        for worker in self._workers:
            worker.stopping, worker.lane = self.stopping, "others"
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def stop(self) -> None:
        """Finish the current pages, commit what streams have received, give the jobs back, and take no more."""
        self.stopping.set()

    def abandon(self) -> None:
        """Give back at once what still runs: this process ends before it does."""
        for worker in (self._streams, *self._workers):
            worker.abandon()

    def run(self) -> int:
        """Collect until stopped, the first worker in this thread; return how many jobs were taken.

        What fails is said, and tried again: what collects for months must not end with a failure of one moment.

        Raises
        ------
        TicklakeError
            If the lake cannot be read any more.
        """
        threads = [
            threading.Thread(target=self._scheduler.run, args=(self._streams.idle,), name="ticklake-scheduler"),
            threading.Thread(target=self._work, args=(self._streams,), name="ticklake-streams"),
        ]
        others = self._workers[1:]
        threads += [threading.Thread(target=self._work, args=(each,), name="ticklake-worker") for each in others]
        for thread in threads:
            thread.start()
        try:
            count = self._work(self._workers[0])
        finally:
            # Also after an interruption: the process cannot end while the threads run.
            self.stop()
            for thread in threads:
                thread.join()
        if self._unreadable is not None:
            raise self._unreadable
        return count

    def _work(self, worker: Worker) -> int:
        """Let a worker work until it is told to stop; return how many jobs it took since it failed last."""
        while True:
            try:
                return worker.run()
            except TicklakeError as error:
                _LOG.error("no jobs can be taken", reason=error)
                self._say(f"no jobs can be taken: {error}")
            except Exception as error:
                _LOG.error("no jobs can be taken", failure=error)
                self._say(f"no jobs can be taken: {type(error).__name__}: {error}")
            if not self._can_go_on() or self.stopping.wait(_AGAIN):
                return 0

    def _can_go_on(self) -> bool:
        """Whether the lake can be read; if not, all threads are told to stop."""
        try:
            self._lake.engine.catalog.version()
        except CatalogBusy:
            return True
        except TicklakeError as error:
            self._unreadable = error
            self.stop()
            return False
        return True

    def start(self, on_end: Callable[[], object]) -> None:
        """Begin to collect in a thread; *on_end* is called in it once that has ended, also if nobody stopped it."""

        def work() -> None:
            try:
                self.run()
            except BaseException as error:
                self._error = error
            finally:
                on_end()

        self._thread = threading.Thread(target=work, name="ticklake-collection")
        self._thread.start()

    def join(self) -> None:
        """Wait until all has ended, and raise the error that ended it, if there was one."""
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error
