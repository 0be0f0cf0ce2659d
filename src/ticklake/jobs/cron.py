"""When a schedule fires next. Only this module imports cronsim, which reads cron expressions as Debian's cron does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from ticklake.core.schedules import Rhythm
from ticklake.core.time import SECOND, parse_zone
from ticklake.errors import BadInput

__all__ = ["next_time", "times_between"]

_FIELDS = 5
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MOST = 1_000
"""The most missed times that are counted."""


def next_time(rhythm: Rhythm, after: int) -> int | None:
    """Return the first time later than *after* at which it fires, in nanoseconds; ``None`` if there is none.

    A wall time that a change of clocks skips fires right after the change. One that comes twice fires once, unless
    the minute or the hour begins with ``*``.

    Raises
    ------
    BadInput
        If the cron expression or the zone is invalid.
    """
    return next(_times(rhythm, after), None)


def times_between(rhythm: Rhythm, first: int, last: int) -> int:
    """Return how often it fires in ``[first, last]``, where it fires at *first*; no more than a thousand are counted."""
    if rhythm.every is not None:
        return min((last - first) // rhythm.every + 1, MOST)
    count = 1
    for time in _times(rhythm, first):
        if time > last or count == MOST:
            break
        count += 1
    return count


def _times(rhythm: Rhythm, after: int) -> Iterator[int]:
    """Yield the times later than *after* at which it fires, in order."""
    zone = parse_zone(rhythm.zone)
    if rhythm.every is not None:
        yield (after // rhythm.every + 1) * rhythm.every
        return
    moment = _EPOCH + dt.timedelta(seconds=after // SECOND)
    for fires_at in _cron(rhythm, moment.astimezone(zone)):
        time = (fires_at - _EPOCH) // dt.timedelta(seconds=1) * SECOND
        # An hour that comes twice: cronsim compares wall times, so its first answers can lie before *after*.
        if time > after:
            yield time


def _cron(rhythm: Rhythm, moment: dt.datetime) -> Iterator[dt.datetime]:
    from cronsim import CronSim, CronSimError

    expression = rhythm.cron or ""
    if len(expression.split()) != _FIELDS:
        raise BadInput(f"{expression!r} is not cron: write minute hour day month weekday, like '5 * * * *'")
    try:
        return CronSim(expression, moment)
    except CronSimError as error:
        raise BadInput(f"{expression!r} is not cron: {error}; write it like '5 * * * *' or '30 3 * * 1-5'") from error
