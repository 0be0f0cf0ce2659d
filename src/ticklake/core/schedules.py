"""Schedules as values: what makes jobs again and again, and the words in which times of cron are written."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ticklake.core.time import DAY, HOUR, MINUTE, SECOND
from ticklake.errors import BadInput

__all__ = ["Rhythm", "Schedule", "format_every", "parse_every", "weekdays"]

_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_LONGEST = 36_500 * DAY
_EVERY = re.compile(r"(\d+)\s*([smhdw])")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_PART = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\d+))?")


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When a schedule fires: by cron in a time zone, or every so many nanoseconds counted from 1970, one of the two."""

    cron: str | None = None
    every: int | None = None
    zone: str = "UTC"

    def __str__(self) -> str:
        return f"every {format_every(self.every)}" if self.every is not None else f"{self.cron} {self.zone}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """What makes a job whenever its time has come.

    Times are nanoseconds. ``next_at`` is ``None`` while it is paused; ``missed`` counts the times at which nobody was there to
    make a job: all that were missed in a row make one. ``managed`` schedules belong to ``ticklake apply``.
    """

    name: str
    operation: str
    rhythm: Rhythm
    parameters: dict[str, Any] = field(default_factory=dict)
    priority: int = 0
    paused: bool = False
    managed: bool = False
    created_at: int = 0
    next_at: int | None = None
    last_at: int | None = None
    last_job: int | None = None
    missed: int = 0


def parse_every(text: str) -> int:
    """Read a length of time like ``90s``, ``15m``, ``1h``, ``1d`` or ``2w`` as nanoseconds."""
    match = _EVERY.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise BadInput(f"{text!r} is not a length of time: write it like 90s, 15m, 1h, 1d or 2w")
    length = int(match[1]) * _UNITS[match[2]]
    if length > _LONGEST:
        raise BadInput(f"{text!r} is too long: say at most {format_every(_LONGEST)}")
    return length


def format_every(ns: int) -> str:
    """Write a length of time the short way.

    >>> format_every(900_000_000_000)
    '15m'
    """
    unit = next(unit for unit in reversed(_UNITS) if ns % _UNITS[unit] == 0)
    return f"{ns // _UNITS[unit]}{unit}"


def weekdays(text: str) -> str:
    """Write the weekday field of cron with names: in numbers, 0 and 7 are Sunday, as crontab(5) says.

    >>> weekdays("1-5"), weekdays("0,6"), weekdays("*/2")
    ('mon,tue,wed,thu,fri', 'sun,sat', 'sun,tue,thu,sat')

    Raises
    ------
    BadInput
        If it is none.
    """
    if text in {"*", "?"}:
        return "*"
    chosen: set[int] = set()
    for part in text.lower().split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise BadInput(f"{text!r} is no weekday of cron: write it like 1-5, 0,6 or mon-fri")
        chosen |= set(_weekdays_of(match))
    return ",".join(_DAYS[day] for day in sorted(chosen))


def _weekdays_of(match: re.Match[str]) -> list[int]:
    step = int(match["step"] or 1)
    if match["first"] == "*":
        return list(range(0, 7, max(step, 1)))
    first = _weekday(match["first"])
    last = _weekday(match["last"]) if match["last"] else 6 if match["step"] else first
    last = 7 if last == 0 and match["last"] and first else last
    if first > last or step == 0:
        raise BadInput(f"{match[0]!r} is no range of weekdays: write it like 1-5 or mon-fri")
    return [day % 7 for day in range(first, last + 1, step)]


def _weekday(text: str) -> int:
    if text in _DAYS:
        return _DAYS.index(text)
    if text.isdecimal() and int(text) <= 7:
        return int(text) if int(text) < 7 else 0
    raise BadInput(f"{text!r} is no weekday: write 0 (Sunday) to 7 (Sunday), or mon, tue, ...")
