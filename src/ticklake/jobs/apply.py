"""Making a lake be as a file wants it: what has to change, told first, then done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ticklake.core.coverage import Coverage
from ticklake.core.dataset import SNAPSHOTS, Dataset
from ticklake.core.jobs import NewJob
from ticklake.core.schedules import Schedule
from ticklake.core.time import format_time
from ticklake.errors import BadInput
from ticklake.jobs.manifest import Planned, Wanted
from ticklake.jobs.queue import Jobs
from ticklake.jobs.schedules import Schedules

__all__ = ["Applying", "Change"]

COLLECT_EVERY, KEEP_EVERY = "1h", "1d"
"""How often is collected, and how often old rows are removed, where the file does not say."""


@dataclass(frozen=True, slots=True)
class Change:
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

    @property
    def effect(self) -> tuple[Any, ...]:
        """What applying it does: two changes with the same effect are the same, however far a running job has come."""
        detail = "" if self.action == "begin" else self.detail
        return self.action, self.name, detail, self.schedule, self.job


@dataclass(frozen=True, slots=True)
class _Asked:
    """A schedule as the file wants it."""

    name: str
    operation: str
    parameters: dict[str, Any]
    rhythm: dict[str, Any]
    days: int | None = None
    warning: str = ""


@dataclass(frozen=True)
class Applying:
    """Compares what is wanted with what a lake has. Nothing that it holds is ever deleted by it."""

    jobs: Jobs
    schedules: Schedules
    coverage: Callable[[Dataset], Coverage]
    now: int

    def plan(self, wanted: Wanted) -> list[Change]:
        """Return what has to change; nothing if all is as wanted.

        Raises
        ------
        BadInput
            If an operation is unknown, or does not take its parameters; or a name is that of a schedule made by hand.
        """
        asked = list(self._asked(wanted))
        there = {one.name: one for one in self.schedules.list()}
        changes = [change for one in asked if (change := self._schedule(one, there.get(one.name))) is not None]
        gone = [one for one in there.values() if one.managed and one.name not in {wish.name for wish in asked}]
        changes += [Change("remove", one.name, f"{one.operation} {one.rhythm}") for one in gone]
        named = {change.name for change in changes}
        return changes + [one for part in wanted.parts() if (one := self._begin(part, part.name in named)) is not None]

    def apply(self, changes: Sequence[Change]) -> None:
        """Make the changes: schedules first, then all jobs in one transaction."""
        for change in changes:
            if change.action == "remove":
                self.schedules.remove(change.name)
            elif change.schedule is not None:
                self.schedules.add(change.name, **change.schedule, managed=True)
        self.jobs.create_all(change.job for change in changes if change.job is not None)

    def _asked(self, wanted: Wanted) -> Sequence[_Asked]:
        asked: list[_Asked] = []
        for part in wanted.parts():
            warning = part.warning(self.now)
            rhythm = part.wanted.rhythm(COLLECT_EVERY)
            asked.append(_Asked(part.name, "backfill", part.request.to_json(), rhythm, warning=warning))
            if part.days is not None:
                parameters = {"days_to_keep": part.days, "datasets": part.names}
                asked.append(_Asked(part.keep_name, "cleanup", parameters, {"every": KEEP_EVERY}, part.days))
        asked += [_Asked(one.name, one.operation, one.parameters, one.rhythm("")) for one in wanted.schedule]
        return asked

    def _schedule(self, asked: _Asked, there: Schedule | None) -> Change | None:
        """Return how a schedule has to change, compared with the one of its name that is there."""
        wish = self.schedules.make(asked.name, asked.operation, **asked.rhythm, managed=True, **asked.parameters)
        if there is not None and not there.managed:
            raise BadInput(f"a schedule {there.name!r} was made by hand: remove it, or give the file's another name")
        if there is not None and _same(wish, there):
            return None
        detail = f"{wish.operation} {wish.rhythm}{_words(wish.parameters)}"
        if there is not None:
            detail = f"{detail} (was {there.operation} {there.rhythm}{_words(there.parameters)})"
        given = {"operation": asked.operation, **asked.rhythm, **asked.parameters}
        action = "add" if there is None else "change"
        return Change(action, asked.name, detail, retention=asked.days, schedule=given, warning=asked.warning)

    def _begin(self, part: Planned, is_new: bool) -> Change | None:
        """Return the job that brings in what is missing at the beginning; none if it waits or runs already."""
        since = part.begins(self.now)
        wanted = None if part.wanted.since is None else since
        stands = {str(dataset): self._stands(dataset, wanted) for dataset in part.datasets}
        only_patterns = len(part.wanted.symbols) > len(part.datasets)
        if part.kind in SNAPSHOTS or not (
            any(text != "as wanted" for text in stands.values()) or (only_patterns and is_new)
        ):
            return None
        job = self.jobs.new("backfill", part.request, priority=part.wanted.priority)
        if self.jobs.is_active(job):
            return None
        count = f"{sum(text != 'as wanted' for text in stands.values()):,} datasets"
        detail = f"{job.subject} from {'the listing' if since is None else format_time(since)}"
        return Change("begin", part.name, f"{detail}: {count if stands else 'all that match'}", stands, job=job)

    def _stands(self, dataset: Dataset, wanted: int | None) -> str:
        spans = self.coverage(dataset).spans()
        if not spans:
            return "begins"
        first = spans[0].start
        if wanted is not None and dataset.timeframe is not None:
            wanted = dataset.timeframe.ceil(wanted, dataset.anchor)
        if wanted is not None and first > wanted:
            return f"goes back from {format_time(first)} to {format_time(wanted)}"
        return "as wanted"


def _same(wish: Schedule, there: Schedule) -> bool:
    names = ("operation", "rhythm", "parameters", "priority")
    return all(getattr(wish, name) == getattr(there, name) for name in names)


def _words(parameters: dict[str, Any]) -> str:
    told = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in parameters.items()
    }
    return "".join(f" {name}={value}" for name, value in told.items())
