"""The conditions that alerts are about: failed runs, stale datasets, gaps, a disk that fills up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ticklake.audit.gaps import gap_report
from ticklake.catalog.runs import Runs
from ticklake.core.alerts import (
    AlertRule,
    Freshness,
    Key,
    Policy,
    Trouble,
    gap_trouble,
    is_late,
    late_after,
    stale_trouble,
)
from ticklake.core.dataset import Dataset
from ticklake.core.jobs import Job
from ticklake.core.runs import Run, RunState
from ticklake.core.span import Span
from ticklake.engine.engine import Engine
from ticklake.errors import StorageError

__all__ = ["Look", "Troubles", "run_subject"]

NEWEST_RUNS = 1_000
"""How many of the newest runs are checked."""
_ENDED = {RunState.SUCCEEDED, RunState.INCOMPLETE, RunState.FAILED, RunState.KILLED}
_FAILED = {RunState.FAILED, RunState.KILLED}
_JOB = "job "
"""Subjects of jobs begin with it."""


def run_subject(run: Run) -> str:
    """Return the subject of alerts about a run. A later run with the same subject that succeeds ends the alert."""
    return f"{run.operation} {run.subject}"


@dataclass(frozen=True, slots=True)
class Look:
    """The result of a check: the troubles, and whether the subject of a key was checked."""

    troubles: tuple[Trouble, ...]
    concerns: Callable[[Key], bool]


@dataclass(frozen=True, slots=True)
class Troubles:
    """Checks a lake for troubles. ``check_space`` raises if the disk of the folder ``place`` is nearly full."""

    engine: Engine
    runs: Runs
    policy: Policy
    check_space: Callable[[], None]
    place: str
    abandoned: Callable[[], Sequence[Job]] = tuple
    """Jobs that were to collect until they are cancelled, but failed, and have no successor."""

    def look(self, now: int, run: Run | None = None) -> Look:
        """Check the rules that are on, at *now*: for the whole lake, or only for what a *run* did."""
        existing: set[str] | None = None
        collected: Collection[str]
        if run is None:
            runs = self.runs.list(limit=NEWEST_RUNS)
            collected = self.runs.kept_up()
            existing = {name for name, *_ in self.engine.catalog.inventory()}
        else:
            runs = [run]
            collected = run.kept_up
        datasets = list(filter(self.policy.covers, map(Dataset.parse, sorted(collected))))
        names = set(map(str, datasets))
        subjects = {run_subject(ended) for ended in runs if ended.state in _ENDED}

        def concerns(key: Key) -> bool:
            rule, subject = key
            if rule not in self.policy.on:
                return False
            if rule == AlertRule.RUN_FAILED:
                return subject in subjects or (existing is not None and subject.startswith(_JOB))
            if rule == AlertRule.DISK or subject in names:
                return True
            return existing is not None and self._is_dismissed(subject, existing)

        return Look(tuple(self._troubles(runs, datasets, now, is_of_all=run is None)), concerns)

    def _troubles(
        self, runs: Sequence[Run], datasets: Sequence[Dataset], now: int, *, is_of_all: bool
    ) -> Iterator[Trouble]:
        if AlertRule.RUN_FAILED in self.policy.on:
            yield from self._failed(runs)
            if is_of_all:
                yield from self._abandoned()
        if AlertRule.STALE in self.policy.on:
            yield from self._stale(datasets, now)
        if AlertRule.GAPS in self.policy.on:
            yield from self._gaps(datasets, now)
        if AlertRule.DISK in self.policy.on:
            yield from self._disk()

    def _is_dismissed(self, subject: str, existing: Collection[str]) -> bool:
        """Whether a dataset was dropped or is no longer covered by the policy, so that its alerts end."""
        # A dataset without recent runs is not meant: that its runs are too old to be checked does not make it well.
        return subject not in existing or not self.policy.covers(Dataset.parse(subject))

    def _failed(self, runs: Iterable[Run]) -> Iterator[Trouble]:
        """Yield a trouble for every subject whose newest run failed. *runs* are the newest first."""
        seen: set[str] = set()
        for run in runs:
            subject = run_subject(run)
            if run.state in _ENDED and subject not in seen:
                seen.add(subject)
                if run.state in _FAILED:
                    yield Trouble(AlertRule.RUN_FAILED, subject, f"run {run.id} {run.state}: {run.outcome}")

    def _abandoned(self) -> Iterator[Trouble]:
        """Yield a trouble for every job without an end that failed, also when its runs are too many ago."""
        for job in self.abandoned():
            text = f"failed, and no later job collects in its place: {job.outcome}"
            yield Trouble(AlertRule.RUN_FAILED, f"{_JOB}{job.id} ({job.operation})", text)

    def _stale(self, datasets: Sequence[Dataset], now: int) -> Iterator[Trouble]:
        for dataset, row in self.engine.catalog.heads(datasets)[1].items():
            if row.max_ts is not None and self._expected_by(dataset, row.max_ts, now) < now:
                yield stale_trouble(dataset, row.max_ts)

    def freshness(self, now: int) -> Iterator[Freshness]:
        """Yield how fresh each dataset is, by name; nothing is expected of those that are not kept up, or that the policy does not cover."""
        kept_up = self.runs.kept_up()
        for row in self.engine.catalog.datasets():
            name, newest = str(row.dataset), row.max_ts
            if name not in kept_up or not self.policy.covers(row.dataset):
                yield Freshness(name, newest)
            elif newest is None:
                yield Freshness(name, newest, is_kept_up=True)
            else:
                expected_by = self._expected_by(row.dataset, newest, now)
                yield Freshness(name, newest, True, expected_by, expected_by < now)

    def _expected_by(self, dataset: Dataset, newest: int, now: int) -> int:
        """Return when a dataset is stale, whose *newest* row has that time."""
        # Without sessions first: most datasets are on time, and calendars are slow to make.
        if not is_late(dataset, newest, self.policy, now):
            return late_after(dataset, newest, self.policy)
        return late_after(dataset, newest, self.policy, self._closed(dataset, Span(newest, now)))

    def _closed(self, dataset: Dataset, span: Span) -> int:
        """Return for how many nanoseconds the market was closed in *span*."""
        if not dataset.spec.in_sessions:
            return 0
        closed = 0
        for stretch in self.engine.sessions.closed(dataset, span):
            inside = stretch.intersect(span)
            if inside is not None:
                closed += inside.length
        return closed

    def _gaps(self, datasets: Sequence[Dataset], now: int) -> Iterator[Trouble]:
        fetching: set[str] = set()
        for run in self.runs.active():
            fetching.update(run.kept_up)
        for dataset in datasets:
            span = self._looked_at(dataset, now, is_fetching=str(dataset) in fetching)
            trouble = span and gap_trouble(dataset, gap_report(self.engine, dataset, span, quick=True).gaps)
            if trouble:
                yield trouble

    def _looked_at(self, dataset: Dataset, now: int, *, is_fetching: bool) -> Span | None:
        """Return where rows may be missing: what was asked for counts, but not what a run that goes on has yet to fetch."""
        known = self.engine.known(dataset)
        if known is None:
            return None
        end = min(known.end, now)
        if is_fetching:
            row = self.engine.catalog.dataset(dataset)
            if row is None or row.max_ts is None:
                return None
            end = min(end, row.max_ts)
        start = max(known.start, now - self.policy.gap_window)
        return Span(start, end) if start < end else None

    def _disk(self) -> Iterator[Trouble]:
        try:
            self.check_space()
        except StorageError as error:
            yield Trouble(AlertRule.DISK, self.place, str(error))
