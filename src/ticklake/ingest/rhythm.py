"""When a rhythm strikes next: the one door to APScheduler."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ticklake.core.schedules import Rhythm, weekdays
from ticklake.core.time import SECOND
from ticklake.errors import BadInput

__all__ = ["next_time", "times_between"]

_FIELDS = ("minute", "hour", "day", "month", "day_of_week")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MOST = 1_000
"""So many missed times are counted, not more."""


def next_time(rhythm: Rhythm, after: int) -> int | None:
    """Return the first time later than *after* at which it strikes, in nanoseconds; ``None`` if there is none.

    A wall time that a change of clocks skips strikes when the clocks have changed; one that comes twice strikes once, unless
    the hour is ``*``.

    Raises
    ------
    BadInput
        If the cron expression or the zone cannot be meant.
    """
    if rhythm.every is not None:
        return (after // rhythm.every + 1) * rhythm.every
    moment = _EPOCH + dt.timedelta(microseconds=after // 1_000 + 1)
    found = [time for strike in _strikes(rhythm) if (time := strike(moment)) is not None]
    return (min(found) - _EPOCH) // dt.timedelta(seconds=1) * SECOND if found else None


def times_between(rhythm: Rhythm, first: int, last: int) -> int:
    """Return how often it strikes in ``[first, last]``, where it strikes at *first*; no more than a thousand are counted."""
    if rhythm.every is not None:
        return min((last - first) // rhythm.every + 1, MOST)
    count, time = 1, first
    while count < MOST and (following := next_time(rhythm, time)) is not None and following <= last:
        count, time = count + 1, following
    return count


@lru_cache(maxsize=1_024)
def _strikes(rhythm: Rhythm) -> tuple[Callable[[dt.datetime], dt.datetime | None], ...]:
    """Return what tells the next time from a moment on: two if both day and weekday are given, as crontab(5) wants."""
    fields = (rhythm.cron or "").split()
    if len(fields) != len(_FIELDS):
        raise BadInput(f"{rhythm.cron!r} is not cron: write minute hour day month weekday, like '5 * * * *'")
    given = dict(zip(_FIELDS, fields, strict=True))
    given["day_of_week"] = weekdays(given["day_of_week"])
    if given["day"] == "*" or given["day_of_week"] == "*":
        return (_strike(rhythm, given),)
    return _strike(rhythm, {**given, "day_of_week": "*"}), _strike(rhythm, {**given, "day": "*"})


def _strike(rhythm: Rhythm, fields: dict[str, str]) -> Callable[[dt.datetime], dt.datetime | None]:
    from apscheduler.triggers.cron import CronTrigger

    try:
        zone = ZoneInfo(rhythm.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadInput(f"{rhythm.zone!r} is not a time zone: write it like Europe/Berlin or UTC") from error
    try:
        trigger: Any = CronTrigger(**fields, second=0, timezone=zone)
    except ValueError as error:
        raise BadInput(f"{rhythm.cron!r} is not cron: {error}") from error

    def strike(moment: dt.datetime) -> dt.datetime | None:
        found: dt.datetime | None = trigger.get_next_fire_time(None, moment)
        while found is not None and found.fold and fields["hour"] != "*" and _exists_before(found):
            found = trigger.get_next_fire_time(None, found.astimezone(dt.UTC) + dt.timedelta(microseconds=1))
        return None if found is None else found.astimezone(dt.UTC)

    return strike


def _exists_before(moment: dt.datetime) -> bool:
    """Whether the same wall time was there an offset earlier."""
    return moment.replace(fold=0).utcoffset() != moment.utcoffset()
