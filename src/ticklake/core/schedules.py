"""Schedules as values: what makes jobs again and again."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ticklake.core.display import Displayed, moment
from ticklake.core.jobs import NewJob
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND
from ticklake.errors import BadInput

__all__ = ["Change", "Rhythm", "Schedule", "format_every", "parse_every", "refuse_bare_number"]

_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_LONGEST = 36_500 * DAY
_EVERY = re.compile(r"(\d+)\s*([smhdw])")


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When a schedule fires: by cron in a time zone, or every so many nanoseconds counted from 1970, one of the two."""

    cron: str | None = None
    every: int | None = None
    zone: str = "UTC"

    def __str__(self) -> str:
        if self.every is None:
            return f"{self.cron} {self.zone}"
        return f"every {format_every(self.every)}"


@dataclass(frozen=True, slots=True, repr=False)
class Schedule(Displayed):
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

    def _summary(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "operation": self.operation,
            "when": str(self.rhythm),
            "paused": self.paused,
            "next": moment(self.next_at),
            "last": moment(self.last_at),
            "missed": self.missed,
        }


@dataclass(frozen=True, slots=True, repr=False)
class Change(Displayed):
    """One thing that has to change.

    ``action`` is ``add``, ``change`` or ``remove`` of a schedule, or ``begin``: a job that brings history in now. ``datasets``
    says of each dataset whether it is begun, goes back further, or is as wanted; ``retention`` is how many days are kept.
    """

    action: str
    name: str
    detail: str
    datasets: dict[str, str] = field(default_factory=dict)
    retention: int | None = None
    schedule: dict[str, Any] | None = None
    job: NewJob | None = None
    warning: str = ""

    def _summary(self) -> dict[str, Any]:
        return {
            "action": self.action,
            "name": self.name,
            "detail": self.detail,
            "retention": self.retention,
            "warning": self.warning,
        }

    @property
    def effect(self) -> tuple[Any, ...]:
        """What applying it does: two changes with the same effect are the same, however far a running job has come."""
        detail = self.detail
        if self.action == "begin":
            # It says how far the history has come, which moves on while a job runs.
            detail = ""
        return self.action, self.name, detail, self.schedule, self.job


def parse_every(text: str) -> int:
    """Read a length of time like ``90s``, ``15m``, ``1h``, ``1d`` or ``2w`` as nanoseconds."""
    match = _EVERY.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise BadInput(f"{text!r} is not a length of time: write it like 90s, 15m, 1h, 1d or 2w")
    length = int(match[1]) * _UNITS[match[2]]
    if length > _LONGEST:
        raise BadInput(f"{text!r} is too long: say at most {format_every(_LONGEST)}")
    return length


def refuse_bare_number(value: object) -> object:
    """Return what stands in the place of a length of time; a number without a unit may mean days as well as seconds.

    Raises
    ------
    BadInput
        If it is a number.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise BadInput(f"a length of time has a unit: write it like '{value}d' for days, or 90s, 15m, 1h, 2w")
    return value


def format_every(ns: int) -> str:
    """Write a length of time the short way.

    >>> format_every(900_000_000_000)
    '15m'
    """
    unit = next(unit for unit in reversed(_UNITS) if ns % _UNITS[unit] == 0)
    return f"{ns // _UNITS[unit]}{unit}"
