"""Collection: schedules, jobs and streams in threads of one process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ticklake.jobs.persistence import CANNOT_PASS, Persistent

if TYPE_CHECKING:
    from ticklake.core.jobs import Job
    from ticklake.errors import TicklakeError
    from ticklake.lake import Lake

__all__ = ["Collection"]


class Collection:
    """Makes jobs of schedules whose time has come, and does the jobs of the queue, until it is told to stop.

    Streams are collected beside all other jobs.

    Parameters
    ----------
    report
        Called with every job when it begins and when it has ended.
    say
        Called with a text for each failure of a schedule, or of a loop, which then begins again.
    workers
        How many jobs are done at the same time, beside streams.
    """

    def __init__(
        self, lake: Lake, report: Callable[[Job], None], say: Callable[[str], None], *, workers: int = 1
    ) -> None:
        self._scheduler = lake.schedules.scheduler(say)
        self._workers = [lake.jobs.worker(report) for _ in range(workers)]
        # Streams never end by themselves: in the lane of other jobs they would hold up all that come later.
        self._streams = lake.jobs.worker(report)
        self._streams.lane = "streams"
        self.stopping = threading.Event()
        self._scheduler.stopping = self._streams.stopping = self.stopping
        for worker in self._workers:
            worker.stopping, worker.lane = self.stopping, "others"
        self._loops = [Persistent("worker", worker.run, self.stopping, say) for worker in self._workers]
        self._loops += [
            Persistent("streams", self._streams.run, self.stopping, say),
            Persistent("scheduler", partial(self._scheduler.run, self._streams.idle), self.stopping, say),
        ]
        self._failure: TicklakeError | None = None
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
        """Collect until stopped, the first worker in this thread; return how many jobs that one has taken.

        Raises
        ------
        TicklakeError
            If the lake cannot be worked on.
        """
        first, *others = self._loops
        threads = [threading.Thread(target=self._keep, args=(loop,), name=f"ticklake-{loop.name}") for loop in others]
        for thread in threads:
            thread.start()
        try:
            first.run()
        finally:
            # Also after an error of the worker: the process cannot end while the threads run.
            self.stop()
            for thread in threads:
                thread.join()
        if self._failure is not None:
            raise self._failure
        return self._workers[0].taken

    def problems(self) -> list[str]:
        """Return what keeps it from collecting now."""
        return [loop.problem for loop in self._loops if loop.problem is not None]

    def _keep(self, loop: Persistent) -> None:
        """Run one loop in its thread; an error that cannot pass ends all."""
        try:
            loop.run()
        except CANNOT_PASS as error:
            self._failure = error
            self.stop()

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
