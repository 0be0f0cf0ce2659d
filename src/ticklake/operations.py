"""What jobs can do: one function an operation, over the verbs of the lake. An operation more is a row more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ticklake.core.dataset import Dataset
from ticklake.core.jobs import JobState
from ticklake.core.requests import BackfillRequest
from ticklake.errors import CorruptSegment
from ticklake.jobs.operations import Operation, Outcome, Work

if TYPE_CHECKING:
    from ticklake.core.runs import Run
    from ticklake.lake import Lake

__all__ = ["BUILT_IN"]


def backfill(
    lake: Lake,
    work: Work,
    exchange: str,
    symbols: Sequence[str] = (),
    timeframe: str | None = None,
    *,
    kind: str | None = None,
    start: str | None = None,
    end: str | None = None,
    all_quote: str | None = None,
    retry: bool = False,
    depth: int | None = None,
    archives: bool = True,
    last_days: int | None = None,
) -> Outcome:
    """Bring history into the lake; with *last_days*, nothing that cleanup would remove again after so many days."""
    request = BackfillRequest.of(
        exchange,
        symbols,
        timeframe,
        kind=kind,
        start=start,
        end=end,
        all_quote=all_quote,
        retry=retry,
        depth=depth,
        archives=archives,
        last_days=last_days,
    )
    return Outcome.of(lake.backfill(request, watch=work.watch))


def update(lake: Lake, work: Work, dataset: str | None = None) -> Outcome:
    """Bring a dataset, or all that were collected, up to now."""
    outcome = _together(lake.update(dataset, watch=work.watch), "there was nothing to bring up to now")
    left_alone = len(lake.datasets()) - len(lake.collected())
    if dataset is not None or not left_alone:
        return outcome
    note = f"{left_alone:,} datasets that no source collected were left alone"
    return replace(outcome, text=f"{outcome.text}; {note}")


def poll(lake: Lake, work: Work, dataset: str, *, every: str = "5s") -> Outcome:
    """Keep a dataset up to now until the job is cancelled."""
    return Outcome.of(lake.poll(dataset, every=every, watch=work.watch))


def repair(lake: Lake, work: Work, dataset: str | None = None, *, fetch: bool = True) -> Outcome:
    """Replace what is damaged, and close the gaps that can be closed."""
    done = [one for name in _each(lake, work, dataset) for one in lake.repair(name, fetch=fetch, watch=work.watch)]
    told = "; ".join(
        f"{one.mended.dataset}: {one.mended.replaced} segments replaced, {len(one.closed)} gaps closed, {len(one.left)} stay"
        for one in done
    )
    lost = any(one.left or (one.mended.lost and one.run is None) for one in done)
    return Outcome(JobState.INCOMPLETE if lost else JobState.SUCCEEDED, told or "nothing is damaged or missing")


def compact(lake: Lake, work: Work, dataset: str | None = None) -> Outcome:
    """Make few large files of many small segments."""
    before = after = 0
    damaged: list[str] = []
    for name in _each(lake, work, dataset):
        try:
            for one in lake.admin.compact(name):
                before, after = before + one.segments_before, after + one.segments_after
        except CorruptSegment as error:
            damaged.append(str(error))
    told = "; ".join([*damaged, f"{before:,} segments became {after:,}"])
    return Outcome(JobState.INCOMPLETE if damaged else JobState.SUCCEEDED, told)


def quality(
    lake: Lake, work: Work, dataset: str | None = None, start: str | None = None, end: str | None = None
) -> Outcome:
    """Measure how complete and sound a dataset is, or all; the figures are kept by day."""
    found = [lake.quality(one, start, end) for one in _each(lake, work, dataset)]
    short = sum(not one.is_complete for one in found)
    scored = [(one.score, str(one.dataset)) for one in found if one.score is not None]
    worst = "; the worst is {1} with {0:.0f} of 100".format(*min(scored)) if scored else ""
    return Outcome(JobState.SUCCEEDED, f"{len(found):,} datasets measured, {short:,} miss something{worst}")


def export(
    lake: Lake,
    work: Work,
    path: str,
    layout: str,
    datasets: Sequence[str] | None = None,
    *,
    start: str | None = None,
    end: str | None = None,
    overwrite: bool = False,
) -> Outcome:
    """Write rows as files that another program reads."""
    report = lake.export(
        path,
        layout=layout,
        datasets=datasets,
        start=start,
        end=end,
        overwrite=overwrite,
        watch=lambda progress: work.check(progress.done),
    )
    counts = report.counts
    told = f"{counts.get('written', 0):,} files written, {counts.get('unchanged', 0):,} as they were"
    refused = "; ".join(f"{file.dataset}: {file.note}" for file in report.files if file.state == "refused")
    state = JobState.SUCCEEDED if report.is_complete else JobState.INCOMPLETE
    return Outcome(state, f"{told}; refused {refused}" if refused else told)


def cleanup(
    lake: Lake, work: Work, days_to_keep: int | None = None, *, datasets: Sequence[str] | None = None
) -> Outcome:
    """Remove rows that are older than they are kept: of datasets, or of all that match patterns."""
    chosen = None
    if datasets is not None:
        chosen = [str(one) for one in lake.datasets() if any(one.matches(name) for name in datasets)]
    if chosen is not None:
        work.hold(chosen)
    work.check()
    done = lake.admin.cleanup(days_to_keep, datasets=chosen)
    return Outcome(JobState.SUCCEEDED, f"{done.rows:,} rows went")


def alerts(lake: Lake, work: Work) -> Outcome:
    """Look for what is wrong with the lake, and tell."""
    from ticklake.alerts.service import check_alerts

    work.check()
    told = check_alerts(lake)
    return Outcome(JobState.SUCCEEDED, f"messages sent: {len(told):,}" if lake.alerts.is_on else "nobody is to be told")


BUILT_IN = {
    "backfill": Operation("backfill", backfill, records_runs=True),
    "update": Operation("update", update, records_runs=True),
    "poll": Operation("poll", poll, records_runs=True),
    "repair": Operation("repair", repair),
    "compact": Operation("compact", compact),
    "quality": Operation("quality", quality),
    "export": Operation("export", export),
    "cleanup": Operation("cleanup", cleanup),
    "alerts": Operation("alerts", alerts),
}
"""Ticklake's own operations, by name."""


def _each(lake: Lake, work: Work, dataset: str | None) -> Iterator[Dataset]:
    """Yield the one dataset, or all of the lake, and stop between them if told to."""
    chosen = [Dataset.parse(dataset)] if dataset is not None else lake.datasets()
    for number, one in enumerate(chosen):
        work.check(number / len(chosen))
        yield one


def _together(runs: Sequence[Run], nothing: str) -> Outcome:
    """Say how several runs ended as one: it failed only if all of them did."""
    outcomes = [Outcome.of(run) for run in runs]
    states = {outcome.state for outcome in outcomes}
    state = JobState.SUCCEEDED
    if states == {JobState.FAILED}:
        state = JobState.FAILED
    elif JobState.CANCELLED in states:
        state = JobState.CANCELLED
    elif states & {JobState.FAILED, JobState.INCOMPLETE}:
        state = JobState.INCOMPLETE
    text = "; ".join(f"{run.subject}: {run.outcome}" for run in runs)
    return Outcome(state, text or nothing, any(outcome.retriable for outcome in outcomes))
