"""What is wrong with a lake now: failed runs, stale datasets, gaps, a disk that fills up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ticklake.audit.gaps import gap_report
from ticklake.catalog.runs import Runs
from ticklake.core.alerts import AlertRule, Key, Policy, Trouble, gap_trouble, is_late, stale_trouble
from ticklake.core.dataset import Dataset
from ticklake.core.runs import Run, RunState
from ticklake.core.span import Span
from ticklake.engine.engine import Engine
from ticklake.errors import StorageError

__all__ = ["Look", "Troubles", "run_subject"]

LOOKED_AT = 1_000
"""So many of the newest runs are looked at."""
_OVER = {RunState.SUCCEEDED, RunState.INCOMPLETE, RunState.FAILED, RunState.KILLED}
_BAD = {RunState.FAILED, RunState.KILLED}


def run_subject(run: Run) -> str:
    """Return whose trouble it is if a run fails: a later run of the same makes it well."""
    return f"{run.operation} {run.subject}"


@dataclass(frozen=True, slots=True)
class Look:
    """What was wrong, and which keys were looked at."""

    troubles: tuple[Trouble, ...]
    concerns: Callable[[Key], bool]


@dataclass(frozen=True, slots=True)
class Troubles:
    """Looks for troubles. ``check_space`` raises if the disk is nearly full; ``place`` is the folder it asks about."""

    engine: Engine
    runs: Runs
    policy: Policy
    check_space: Callable[[], None]
    place: str

    def look(self, now: int, run: Run | None = None) -> Look:
        """Return what is wrong at *now*, as far as the rules that are on ask; only with what a *run* did, if given."""
        runs = self.runs.list(limit=LOOKED_AT) if run is None else [run]
        kept_up = self.runs.kept_up() if run is None else run.kept_up
        current = [one for one in map(Dataset.parse, sorted(kept_up)) if self.policy.covers(one)]
        looks: dict[AlertRule, Callable[[], Iterable[Trouble]]] = {
            AlertRule.RUN_FAILED: lambda: self._failed(runs),
            AlertRule.STALE: lambda: self._stale(current, now),
            AlertRule.GAPS: lambda: self._gaps(current, now),
            AlertRule.DISK: self._disk,
        }
        chosen = [look for rule, look in looks.items() if rule in self.policy.on]
        found = (trouble for look in chosen for trouble in look())
        names, subjects = {str(one) for one in current}, {run_subject(one) for one in runs if one.state in _OVER}

        held = None if run else {name for name, *_ in self.engine.catalog.inventory()}

        def concerns(key: Key) -> bool:
            rule, subject = key
            if rule == AlertRule.RUN_FAILED:
                return subject in subjects
            return rule == AlertRule.DISK or subject in names or (held is not None and self._is_left(subject, held))

        return Look(tuple(found), lambda key: key[0] in self.policy.on and concerns(key))

    def _is_left(self, subject: str, held: Collection[str]) -> bool:
        """Whether nobody minds a dataset any more; one whose runs are only too long ago to be looked at is not well."""
        return subject not in held or not self.policy.covers(Dataset.parse(subject))

    def _failed(self, runs: Iterable[Run]) -> Iterator[Trouble]:
        """Yield a trouble for every subject whose newest run went wrong; *runs* are the newest first."""
        seen: set[str] = set()
        for run in runs:
            subject = run_subject(run)
            if run.state in _OVER and subject not in seen:
                seen.add(subject)
                if run.state in _BAD:
                    yield Trouble(AlertRule.RUN_FAILED, subject, f"run {run.id} {run.state}: {run.outcome}")

    def _stale(self, datasets: Sequence[Dataset], now: int) -> Iterator[Trouble]:
        for dataset, row in self.engine.catalog.heads(datasets)[1].items():
            newest = row.max_ts
            if newest is None or not is_late(dataset, newest, self.policy, now):
                continue
            if is_late(dataset, newest, self.policy, now, self._closed(dataset, Span(newest, now))):
                yield stale_trouble(dataset, newest)

    def _closed(self, dataset: Dataset, span: Span) -> int:
        """Return for how long the market was closed in *span*."""
        stretches = self.engine.sessions.closed(dataset, span) if dataset.spec.in_sessions else ()
        return sum(part.length for part in (one.intersect(span) for one in stretches) if part)

    def _gaps(self, datasets: Sequence[Dataset], now: int) -> Iterator[Trouble]:
        fetching = {name for run in self.runs.active() for name in run.kept_up}
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
