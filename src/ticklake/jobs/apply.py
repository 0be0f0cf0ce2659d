"""Making a lake match a file: what has to change is planned and shown first, then done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ticklake.core.coverage import Coverage
from ticklake.core.dataset import SNAPSHOTS, Dataset
from ticklake.core.schedules import Change, Schedule
from ticklake.core.time import format_time
from ticklake.errors import BadInput
from ticklake.jobs.manifest import Planned, Wanted
from ticklake.jobs.queue import Jobs
from ticklake.jobs.schedules import Schedules

__all__ = ["Applying"]

COLLECT_EVERY, KEEP_EVERY = "1h", "1d"
"""How often is collected, and how often old rows are removed, where the file does not say."""
AS_WANTED = "as wanted"
"""The state of a dataset whose history goes back far enough."""


@dataclass(frozen=True, slots=True)
class _WantedSchedule:
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
        declared = self._declared(wanted)
        existing = {schedule.name: schedule for schedule in self.schedules.list()}
        changes = [self._schedule(wish, existing.get(wish.name)) for wish in declared]
        changes += _removals(existing.values(), {wish.name for wish in declared})
        changed = {change.name for change in changes if change is not None}
        changes += [self._begin(part, part.name in changed) for part in wanted.parts()]
        return [change for change in changes if change is not None]

    def apply(self, changes: Sequence[Change]) -> None:
        """Make the changes: schedules first, then all jobs in one transaction."""
        for change in changes:
            if change.action == "remove":
                self.schedules.remove(change.name)
            elif change.schedule is not None:
                self.schedules.add(change.name, **change.schedule, managed=True)
        self.jobs.create_all(change.job for change in changes if change.job is not None)

    def _declared(self, wanted: Wanted) -> Sequence[_WantedSchedule]:
        """Return the schedules that the file asks for."""
        declared: list[_WantedSchedule] = []
        for part in wanted.parts():
            warning = part.warning(self.now)
            rhythm = part.wanted.rhythm(COLLECT_EVERY)
            declared.append(_WantedSchedule(part.name, "backfill", part.request.to_json(), rhythm, warning=warning))
            if part.days is not None:
                parameters = {"days_to_keep": part.days, "datasets": part.names}
                declared.append(
                    _WantedSchedule(part.keep_name, "cleanup", parameters, {"every": KEEP_EVERY}, part.days)
                )
        declared += [
            _WantedSchedule(again.name, again.operation, again.parameters, again.rhythm(""))
            for again in wanted.schedule
        ]
        return declared

    def _schedule(self, wish: _WantedSchedule, existing: Schedule | None) -> Change | None:
        """Return how a schedule has to change, compared with the existing one of its name."""
        schedule = self.schedules.make(wish.name, wish.operation, **wish.rhythm, managed=True, **wish.parameters)
        if existing is not None and not existing.managed:
            raise BadInput(f"a schedule {existing.name!r} was made by hand: remove it, or give the file's another name")
        if existing is not None and _same(schedule, existing):
            return None
        action, detail = "add", f"{schedule.operation} {schedule.rhythm}{_words(schedule.parameters)}"
        if existing is not None:
            action = "change"
            detail += f" (was {existing.operation} {existing.rhythm}{_words(existing.parameters)})"
        arguments = {"operation": wish.operation, **wish.rhythm, **wish.parameters}
        return Change(action, wish.name, detail, retention=wish.days, schedule=arguments, warning=wish.warning)

    def _begin(self, part: Planned, is_new: bool) -> Change | None:
        """Return the job that brings in what is missing at the beginning; none if it waits or runs already."""
        since = part.begins(self.now)
        wanted = None if part.wanted.since is None else since
        states = {str(dataset): self._state(dataset, wanted) for dataset in part.datasets}
        incomplete = sum(state != AS_WANTED for state in states.values())
        has_patterns = len(part.wanted.symbols) > len(part.datasets)
        # Snapshots have no past to begin with; what patterns match is known only to the exchange.
        if part.kind in SNAPSHOTS or not (incomplete or (has_patterns and is_new)):
            return None
        job = self.jobs.new("backfill", part.request, priority=part.wanted.priority)
        if self.jobs.is_active(job):
            return None
        start = "the listing" if since is None else format_time(since)
        count = f"{incomplete:,} datasets" if states else "all that match"
        return Change("begin", part.name, f"{job.subject} from {start}: {count}", states, job=job)

    def _state(self, dataset: Dataset, wanted: int | None) -> str:
        """Say how far the history of a dataset is from what is wanted."""
        spans = self.coverage(dataset).spans()
        if not spans:
            return "begins"
        first = spans[0].start
        if wanted is not None and dataset.timeframe is not None:
            wanted = dataset.timeframe.ceil(wanted, dataset.anchor)
        if wanted is not None and first > wanted:
            return f"goes back from {format_time(first)} to {format_time(wanted)}"
        return AS_WANTED


def _removals(existing: Iterable[Schedule], declared: Collection[str]) -> list[Change | None]:
    """Return the changes that remove schedules which an earlier file made and this one does not declare."""
    gone = [schedule for schedule in existing if schedule.managed and schedule.name not in declared]
    return [Change("remove", schedule.name, f"{schedule.operation} {schedule.rhythm}") for schedule in gone]


def _same(schedule: Schedule, existing: Schedule) -> bool:
    names = ("operation", "rhythm", "parameters", "priority")
    return all(getattr(schedule, name) == getattr(existing, name) for name in names)


def _words(parameters: dict[str, Any]) -> str:
    words = ""
    for name, value in parameters.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        words += f" {name}={text}"
    return words
