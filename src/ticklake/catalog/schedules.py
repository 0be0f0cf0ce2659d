"""The table of schedules: each fires once for a time, whoever looks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, Update, delete, insert, update

from ticklake.catalog import schema
from ticklake.catalog.checksums import rows_of
from ticklake.catalog.database import Database
from ticklake.catalog.jobs import JobQueue
from ticklake.core.jobs import Job, NewJob
from ticklake.core.schedules import Rhythm, Schedule
from ticklake.errors import BadInput

__all__ = ["ScheduleTable"]

_TABLE = schema.schedules


class ScheduleTable:
    """Schedules in the catalog, by name."""

    def __init__(self, database: Database, queue: JobQueue, now: Callable[[], int]) -> None:
        self._database = database
        self._queue = queue
        self._now = now

    def put(self, schedule: Schedule) -> Schedule:
        """Write a schedule, in place of one with its name, of which when it fired last is kept."""
        kept = replace(schedule, created_at=self._now())
        with self._database.write() as connection:
            old = connection.execute(rows_of(_TABLE).where(_TABLE.c.name == schedule.name)).first()
            if old is not None:
                history = {name: getattr(old, name) for name in ("created_at", "last_at", "last_job", "missed")}
                kept = replace(kept, **history)
                connection.execute(delete(_TABLE).where(_TABLE.c.name == schedule.name))
            connection.execute(insert(_TABLE), _values(kept))
        return kept

    def get(self, name: str) -> Schedule:
        """Return one schedule.

        Raises
        ------
        BadInput
            If there is none of that name.
        """
        with self._database.read() as connection:
            row = connection.execute(rows_of(_TABLE).where(_TABLE.c.name == name)).first()
        if row is None:
            raise BadInput(f"there is no schedule {name!r}: 'ticklake schedule list' shows them")
        return _schedule(row)

    def list(self) -> Sequence[Schedule]:
        """Return all schedules, sorted by name."""
        with self._database.read() as connection:
            return [_schedule(row) for row in connection.execute(rows_of(_TABLE).order_by(_TABLE.c.name))]

    def due(self) -> Sequence[Schedule]:
        """Return those whose time has come, the one that waits longest first."""
        query = rows_of(_TABLE).where(_TABLE.c.next_at <= self._now()).order_by(_TABLE.c.next_at)
        with self._database.read() as connection:
            return [_schedule(row) for row in connection.execute(query)]

    def remove(self, name: str) -> None:
        """Remove a schedule; jobs that it made stay."""
        self.get(name)
        with self._database.write() as connection:
            connection.execute(delete(_TABLE).where(_TABLE.c.name == name))

    def fire(self, schedule: Schedule, job: NewJob, next_at: int | None, missed: int) -> Job | None:
        """Make the job and go on to the next time, together; ``None`` if another process was first."""
        with self._database.write() as connection:
            if not connection.execute(_go_on(schedule, next_at)).rowcount:
                return None
            (made,) = self._queue.add_within(connection, [job])
            values = {"last_at": self._now(), "last_job": made.id, "missed": _TABLE.c.missed + missed}
            connection.execute(update(_TABLE).where(_TABLE.c.name == schedule.name).values(**values))
        return made

    def skip(self, schedule: Schedule, next_at: int | None) -> None:
        """Go on to the next time without a job, unless it was changed, paused or removed meanwhile."""
        with self._database.write() as connection:
            connection.execute(_go_on(schedule, next_at))


def _go_on(schedule: Schedule, next_at: int | None) -> Update:
    """Return what moves a schedule on to its next time if it still stands at the one that was looked at."""
    same = (_TABLE.c.name == schedule.name, _TABLE.c.next_at == schedule.next_at)
    return update(_TABLE).where(*same).values(next_at=next_at)


def _values(schedule: Schedule) -> dict[str, Any]:
    same = (
        "name",
        "operation",
        "priority",
        "paused",
        "managed",
        "created_at",
        "next_at",
        "last_at",
        "last_job",
        "missed",
    )
    return {
        **{name: getattr(schedule, name) for name in same},
        "parameters": json.dumps(schedule.parameters, ensure_ascii=False),
        "cron": schedule.rhythm.cron,
        "every": schedule.rhythm.every,
        "zone": schedule.rhythm.zone,
    }


def _schedule(row: Row[Any]) -> Schedule:
    values = dict(row._mapping)
    rhythm = Rhythm(values.pop("cron"), values.pop("every"), values.pop("zone"))
    values["parameters"] = json.loads(values["parameters"])
    values |= {name: bool(values[name]) for name in ("paused", "managed")}
    return Schedule(rhythm=rhythm, **values)
