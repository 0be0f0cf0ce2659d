"""Schedules as a user sees them, and the scheduler that makes jobs of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ticklake.catalog.schedules import ScheduleTable
from ticklake.core.jobs import Job
from ticklake.core.schedules import Rhythm, Schedule, parse_every
from ticklake.core.selection import parse_text
from ticklake.errors import BadInput
from ticklake.jobs.cron import next_time, times_between
from ticklake.jobs.persistence import LONGEST_PAUSE, text_of, unexpected
from ticklake.jobs.queue import Jobs
from ticklake.log import Log

__all__ = ["Scheduler", "Schedules"]


_LOG = Log("schedules")


class Schedules:
    """Schedules of a lake: ``ticklake daemon`` makes a job of each whenever its time has come."""

    def __init__(self, table: ScheduleTable, jobs: Jobs, now: Callable[[], int]) -> None:
        self.table = table
        self._jobs = jobs
        self._now = now

    def add(
        self,
        name: str,
        operation: str,
        *what: Any,
        cron: str | None = None,
        every: str | None = None,
        zone: str = "UTC",
        priority: int = 0,
        managed: bool = False,
        **parameters: Any,
    ) -> Schedule:
        """Add a schedule, or change the one of that name.

        Parameters
        ----------
        operation, what, parameters
            As in :meth:`Jobs.create`.
        cron
            Minute, hour, day, month, weekday, as crontab(5) says: ``"5 * * * *"``. Weekdays in numbers begin with 0 for
            Sunday; where both day and weekday are given, either will do.
        every
            A length of time, like ``"15m"``, counted from 1970 in UTC: ``"1h"`` is at every full hour.
        zone
            The time zone of *cron*, like ``"Europe/Berlin"``.

        Raises
        ------
        BadInput
            If not exactly one of *cron* and *every* is given, or any value is invalid.
        """
        rhythm: dict[str, Any] = {"cron": cron, "every": every, "zone": zone, "priority": priority}
        return self.table.put(self.make(name, operation, *what, **rhythm, managed=managed, **parameters))

    def make(
        self,
        name: str,
        operation: str,
        *what: Any,
        cron: str | None = None,
        every: str | None = None,
        zone: str = "UTC",
        priority: int = 0,
        managed: bool = False,
        **parameters: Any,
    ) -> Schedule:
        """Return the schedule that :meth:`add` would add."""
        if (cron is None) == (every is None):
            raise BadInput(f"schedule {name!r} needs one of cron ('5 * * * *') and every ('15m')")
        if not parse_text("name", name).strip():
            raise BadInput("a schedule needs a name")
        zone = parse_text("zone", zone)
        if every is not None:
            rhythm = Rhythm(None, parse_every(parse_text("every", every)), zone)
        else:
            rhythm = Rhythm(parse_text("cron", cron), None, zone)
        job = self._jobs.new(operation, *what, priority=priority, **parameters)
        next_at = next_time(rhythm, self._now())
        if next_at is None:
            raise BadInput(f"schedule {name!r}: {rhythm} never comes")
        return Schedule(name, operation, rhythm, job.parameters, priority, managed=managed, next_at=next_at)

    def list(self) -> Sequence[Schedule]:
        """Return all schedules, sorted by name."""
        return self.table.list()

    def get(self, name: str) -> Schedule:
        """Return one schedule."""
        return self.table.get(name)

    def remove(self, name: str) -> None:
        """Remove a schedule. Its jobs stay."""
        self.table.remove(name)

    def pause(self, name: str) -> Schedule:
        """Make no more jobs of it until :meth:`resume`."""
        return self.table.put(replace(self.get(name), paused=True, next_at=None))

    def resume(self, name: str) -> Schedule:
        """Make jobs of it again, from its next time on. Times that passed while it was paused are skipped."""
        schedule = self.get(name)
        return self.table.put(replace(schedule, paused=False, next_at=next_time(schedule.rhythm, self._now())))

    def scheduler(self, told: Callable[[str], None] = lambda _text: None) -> Scheduler:
        """Return the scheduler that makes the jobs. It calls *told* with a text for each failure."""
        return Scheduler(self.table, self._jobs, self._now, told)


@dataclass
class Scheduler:
    """Makes jobs of schedules whose time has come: a single one if several times in a row were missed."""

    table: ScheduleTable
    jobs: Jobs
    now: Callable[[], int]
    report: Callable[[str], None] = lambda _text: None
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self, idle: float) -> None:
        """Look every *idle* seconds until stopped; an error is reported and does not prevent the next look."""
        pause = idle
        while not self.stopping.wait(pause):
            try:
                self.tick()
                pause = idle
            # Whatever fails now, a daemon that runs for months must make the jobs of the next tick.
            except Exception as error:
                _LOG.error("schedules could not be looked at", failure=unexpected(error), reason=text_of(error))
                self.report(text_of(error))
                pause = min(2 * pause, LONGEST_PAUSE)

    def tick(self) -> list[Job]:
        """Make the jobs that are due now, and return them. A job that has not ended is not made again."""
        jobs: list[Job] = []
        for schedule in self.table.due():
            job = self._fire(schedule)
            if job is not None:
                jobs.append(job)
        return jobs

    def _fire(self, schedule: Schedule) -> Job | None:
        now = self.now()
        try:
            job = self.jobs.new(schedule.operation, priority=schedule.priority, **schedule.parameters)
        except Exception as error:
            _LOG.error("schedule failed", failure=unexpected(error), schedule=schedule.name, reason=text_of(error))
            self.report(f"schedule {schedule.name!r} makes no job: {text_of(error)}")
            # Without its next time it would be due again, and fail, at every tick.
            self.table.skip(schedule, next_time(schedule.rhythm, now))
            return None
        missed = times_between(schedule.rhythm, schedule.next_at or now, now) - 1
        made = self.table.fire(schedule, job, next_time(schedule.rhythm, now), missed)
        # Without a job, another process was first.
        if made is not None:
            _LOG.info("schedule fired", schedule=schedule.name, job=made.id, missed=missed or None)
        return made
