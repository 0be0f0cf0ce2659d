"""Apply a manifest to a lake: changes are planned and shown first, then made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from ticklake.core.coverage import Coverage
from ticklake.core.dataset import SNAPSHOTS, Dataset
from ticklake.core.schedules import Change, Schedule
from ticklake.core.time import format_time
from ticklake.errors import BadInput
from ticklake.jobs.manifest import STREAMS, Planned, Wanted
from ticklake.jobs.queue import Jobs
from ticklake.jobs.schedules import Schedules

__all__ = ["Applying"]

COLLECT_EVERY, KEEP_EVERY = "1h", "1d"
"""How often data is collected and old rows are removed, if the manifest does not say."""
STREAMS_EVERY = "1m"
"""How often it is made sure that the job of the streams runs."""
AS_WANTED = "as wanted"
"""The state of a dataset whose history goes back far enough."""
_SETTINGS = attrgetter("operation", "rhythm", "parameters", "priority")
"""What a manifest declares of a schedule: if one differs, the schedule is changed."""


@dataclass(frozen=True, slots=True)
class _WantedSchedule:
    """A schedule as the manifest declares it."""

    name: str
    operation: str
    parameters: dict[str, Any]
    rhythm: dict[str, Any]
    days: int | None = None
    warning: str = ""


@dataclass(frozen=True)
class Applying:
    """Compares a manifest with a lake and makes the changes. It never deletes data."""

    jobs: Jobs
    schedules: Schedules
    coverage: Callable[[Dataset], Coverage]
    now: int

    def plan(self, wanted: Wanted) -> list[Change]:
        """Return the changes that the lake needs; none if it is as wanted.

        Raises
        ------
        BadInput
            If an operation is unknown, or does not take its parameters; or a name is that of a schedule made by hand.
        """
        declared = self._declared(wanted)
        existing = {schedule.name: schedule for schedule in self.schedules.list()}
        changes = list(self._schedule_changes(declared, existing))
        changed = {change.name for change in changes}
        for part in wanted.parts():
            change = self._begin(part, is_new=part.name in changed)
            if change is not None:
                changes.append(change)
        return changes

    def apply(self, changes: Sequence[Change]) -> None:
        """Make the changes: schedules first, then all jobs in one transaction."""
        for change in changes:
            if change.action in {"change", "remove"}:
                self._end_streams(change.name)
            if change.action == "remove":
                self.schedules.remove(change.name)
            elif change.schedule is not None:
                self.schedules.add(change.name, **change.schedule, managed=True)
        self.jobs.create_all(change.job for change in changes if change.job is not None)

    def _end_streams(self, name: str) -> None:
        """Cancel the job that collects the streams of a schedule: it would go on with what is no longer wanted."""
        schedule = self.schedules.get(name)
        if schedule.operation != "stream":
            return
        for job in self.jobs.list(state="active", operation="stream"):
            if job.parameters == schedule.parameters:
                self.jobs.cancel(job.id)

    def _declared(self, wanted: Wanted) -> Sequence[_WantedSchedule]:
        """Return the schedules that the manifest declares."""
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
        if wanted.stream:
            streams = [stream.request.to_json() for stream in wanted.stream]
            declared.append(_WantedSchedule(STREAMS, "stream", {"streams": streams}, {"every": STREAMS_EVERY}))
        declared += [
            _WantedSchedule(again.name, again.operation, again.parameters, again.rhythm(""))
            for again in wanted.schedule
        ]
        return declared

    def _schedule_changes(
        self, declared: Sequence[_WantedSchedule], existing: Mapping[str, Schedule]
    ) -> Iterator[Change]:
        """Yield the changes of schedules, and the removal of those that an earlier manifest declared."""
        undeclared = dict(existing)
        for wanted in declared:
            change = self._schedule_change(wanted, undeclared.pop(wanted.name, None))
            if change is not None:
                yield change
        # Schedules that are not managed were made by hand: a manifest does not remove them.
        for schedule in undeclared.values():
            if schedule.managed:
                yield Change("remove", schedule.name, f"{schedule.operation} {schedule.rhythm}")

    def _schedule_change(self, wanted: _WantedSchedule, existing: Schedule | None) -> Change | None:
        """Return the change of one schedule, or ``None`` if the existing one is as wanted."""
        schedule = self.schedules.make(
            wanted.name, wanted.operation, **wanted.rhythm, managed=True, **wanted.parameters
        )
        if existing is not None and not existing.managed:
            raise BadInput(f"a schedule {existing.name!r} was made by hand: remove it, or give the file's another name")
        if existing is not None and _same(schedule, existing):
            return None
        action, detail = "add", f"{schedule.operation} {schedule.rhythm}{_words(schedule.parameters)}"
        if existing is not None:
            action = "change"
            detail += f" (was {existing.operation} {existing.rhythm}{_words(existing.parameters)})"
        arguments = {"operation": wanted.operation, **wanted.rhythm, **wanted.parameters}
        return Change(action, wanted.name, detail, retention=wanted.days, schedule=arguments, warning=wanted.warning)

    def _begin(self, part: Planned, *, is_new: bool) -> Change | None:
        """Return the job that fetches history that is missing at the start, or ``None`` if it is not needed or active."""
        if part.kind in SNAPSHOTS:
            # They have no past.
            return None
        start = part.begins(self.now)
        wanted_start = start
        # The listing is not known here: any history goes back far enough.
        if part.wanted.since is None:
            wanted_start = None
        states = {str(dataset): self._state(dataset, wanted_start) for dataset in part.datasets}
        incomplete = sum(state != AS_WANTED for state in states.values())
        has_patterns = len(part.wanted.symbols) > len(part.datasets)
        # Only the exchange knows what patterns match: their history is fetched once, when their schedule is new.
        if not incomplete and not (has_patterns and is_new):
            return None
        job = self.jobs.new("backfill", part.request, priority=part.wanted.priority)
        if self.jobs.is_active(job):
            return None
        start_text = "the listing"
        if start is not None:
            start_text = format_time(start)
        count = "all that match"
        if states:
            count = f"{incomplete:,} datasets"
        return Change("begin", part.name, f"{job.subject} from {start_text}: {count}", states, job=job)

    def _state(self, dataset: Dataset, wanted_start: int | None) -> str:
        """Return how far the history of a dataset is from the wanted start."""
        spans = self.coverage(dataset).spans()
        if not spans:
            return "begins"
        first = spans[0].start
        if wanted_start is not None and dataset.timeframe is not None:
            # Only whole bars are fetched, so coverage begins at a bar.
            wanted_start = dataset.timeframe.ceil(wanted_start, dataset.anchor)
        if wanted_start is not None and first > wanted_start:
            return f"goes back from {format_time(first)} to {format_time(wanted_start)}"
        return AS_WANTED


def _same(schedule: Schedule, existing: Schedule) -> bool:
    return bool(_SETTINGS(schedule) == _SETTINGS(existing))


def _words(parameters: dict[str, Any]) -> str:
    words = ""
    for name, value in parameters.items():
        if isinstance(value, list):
            value = ", ".join(map(str, value))
        words += f" {name}={value}"
    return words
