"""The table of schedules: each fires once at a time, however many processes watch it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, Update, delete, update

from ticklake.catalog import schema
from ticklake.catalog.checksums import rows_of
from ticklake.catalog.database import Database
from ticklake.catalog.jobs import JobQueue
from ticklake.catalog.parameters import attributes
from ticklake.catalog.upsert import insert_or_replace
from ticklake.core.jobs import Job, NewJob
from ticklake.core.schedules import Rhythm, Schedule
from ticklake.errors import NotFound

__all__ = ["ScheduleTable"]

_TABLE = schema.schedules
_PLAIN_COLUMNS = (
    *("name", "operation", "priority", "paused", "managed"),
    *("created_at", "next_at", "last_at", "last_job", "missed"),
)
"""The columns that are attributes of a :class:`Schedule`."""


class ScheduleTable:
    """Schedules in the catalog, by name."""

    def __init__(self, database: Database, queue: JobQueue, now: Callable[[], int]) -> None:
        self._database = database
        self._queue = queue
        self._now = now

    def put(self, schedule: Schedule) -> Schedule:
        """Write a schedule; it replaces one of the same name and keeps that one's history."""
        stored = replace(schedule, created_at=self._now())
        with self._database.write() as connection:
            old = connection.execute(rows_of(_TABLE).where(_TABLE.c.name == schedule.name)).first()
            if old is not None:
                stored = replace(stored, **attributes(old, ("created_at", "last_at", "last_job", "missed")))
            connection.execute(insert_or_replace(_TABLE), _values(stored))
        return stored

    def get(self, name: str) -> Schedule:
        """Return one schedule.

        Raises
        ------
        NotFound
            If there is none of that name.
        """
        with self._database.read() as connection:
            row = connection.execute(rows_of(_TABLE).where(_TABLE.c.name == name)).first()
        if row is None:
            raise NotFound(f"there is no schedule {name!r}: 'ticklake schedule list' shows them")
        return _schedule(row)

    def list(self) -> Sequence[Schedule]:
        """Return all schedules, sorted by name."""
        with self._database.read() as connection:
            return list(map(_schedule, connection.execute(rows_of(_TABLE).order_by(_TABLE.c.name))))

    def due(self) -> Sequence[Schedule]:
        """Return the schedules that are due, the longest overdue first."""
        query = rows_of(_TABLE).where(_TABLE.c.next_at <= self._now()).order_by(_TABLE.c.next_at)
        with self._database.read() as connection:
            return list(map(_schedule, connection.execute(query)))

    def remove(self, name: str) -> None:
        """Remove a schedule; jobs that it made stay."""
        self.get(name)
        with self._database.write() as connection:
            connection.execute(delete(_TABLE).where(_TABLE.c.name == name))

    def fire(self, schedule: Schedule, job: NewJob, next_at: int | None, missed: int) -> Job | None:
        """Queue the job and advance to the next time in one transaction; ``None`` if another process was first."""
        with self._database.write() as connection:
            if not connection.execute(_advance(schedule, next_at)).rowcount:
                return None
            (queued,) = self._queue.add_within(connection, [job])
            values = {"last_at": self._now(), "last_job": queued.id, "missed": _TABLE.c.missed + missed}
            connection.execute(update(_TABLE).where(_TABLE.c.name == schedule.name).values(**values))
        return queued

    def skip(self, schedule: Schedule, next_at: int | None) -> None:
        """Advance to the next time without a job, unless the schedule was changed, paused or removed meanwhile."""
        with self._database.write() as connection:
            connection.execute(_advance(schedule, next_at))


def _advance(schedule: Schedule, next_at: int | None) -> Update:
    """Return the update to the next time; it changes nothing if another process has moved the schedule since it was read."""
    unmoved = (_TABLE.c.name == schedule.name, _TABLE.c.next_at == schedule.next_at)
    return update(_TABLE).where(*unmoved).values(next_at=next_at)


def _values(schedule: Schedule) -> dict[str, Any]:
    return {
        **attributes(schedule, _PLAIN_COLUMNS),
        "parameters": json.dumps(schedule.parameters, ensure_ascii=False),
        "cron": schedule.rhythm.cron,
        "every": schedule.rhythm.every,
        "zone": schedule.rhythm.zone,
    }


def _schedule(row: Row[Any]) -> Schedule:
    values = dict(row._mapping)
    rhythm = Rhythm(values.pop("cron"), values.pop("every"), values.pop("zone"))
    values["parameters"] = json.loads(values["parameters"])
    values["paused"] = bool(values["paused"])
    values["managed"] = bool(values["managed"])
    return Schedule(rhythm=rhythm, **values)
