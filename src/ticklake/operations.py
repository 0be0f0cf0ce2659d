"""The operations of jobs: a function each that calls a method of the lake. To add one, add it to :data:`BUILT_IN`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ticklake.core.access import Role
from ticklake.core.dataset import Dataset
from ticklake.core.jobs import JobState
from ticklake.core.requests import BackfillRequest
from ticklake.core.streams import StreamRequest, StreamStatus
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
    """Bring history into the lake; with *last_days*, no rows that are older and that cleanup would remove again."""
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
    outcome = _outcome_of(lake.update(dataset, watch=work.watch))
    # Derived datasets follow theirs by themselves.
    left_alone = sum(each.variant is None for each in lake.datasets()) - len(lake.collected())
    if dataset is not None or not left_alone:
        return outcome
    note = f"{left_alone:,} datasets that no source collected were left alone"
    return replace(outcome, text=f"{outcome.text}; {note}")


def poll(lake: Lake, work: Work, dataset: str, *, every: str = "5s") -> Outcome:
    """Keep a dataset up to now until the job is cancelled."""
    return Outcome.of(lake.poll(dataset, every=every, watch=work.watch))


def stream(lake: Lake, work: Work, streams: Sequence[dict[str, Any]]) -> Outcome:
    """Collect streams of any number of exchanges until the job is cancelled; each is what :meth:`StreamRequest.of` takes."""
    requests = [StreamRequest.of(**request) for request in streams]

    def watch(_status: Sequence[StreamStatus]) -> None:
        work.check()

    return Outcome.of(lake.streams.run(requests, watch=watch))


def repair(lake: Lake, work: Work, dataset: str | None = None, *, fetch: bool = True) -> Outcome:
    """Replace what is damaged, and close the gaps that can be closed."""
    state = JobState.SUCCEEDED
    lines: list[str] = []
    for name in _each(lake, work, dataset):
        for result in lake.repair(name, fetch=fetch, watch=work.watch):
            mended = result.mended
            counts = f"{mended.replaced} segments replaced, {len(result.closed)} gaps closed, {len(result.left)} stay"
            lines.append(f"{mended.dataset}: {counts}")
            # Where a run asked again for what damage took, the gaps that are left say what of it is still missing.
            if result.left or (mended.lost and result.run is None):
                state = JobState.INCOMPLETE
    return Outcome(state, "; ".join(lines) or "nothing is damaged or missing")


def compact(lake: Lake, work: Work, dataset: str | None = None) -> Outcome:
    """Make few large files of many small segments."""
    before = after = 0
    state = JobState.SUCCEEDED
    lines: list[str] = []
    for name in _each(lake, work, dataset):
        # A damaged dataset must not keep all others from being compacted.
        try:
            compactions = lake.admin.compact(name)
        except CorruptSegment as error:
            lines.append(str(error))
            state = JobState.INCOMPLETE
            continue
        for compaction in compactions:
            before += compaction.segments_before
            after += compaction.segments_after
    lines.append(f"{before:,} segments became {after:,}")
    return Outcome(state, "; ".join(lines))


def quality(
    lake: Lake, work: Work, dataset: str | None = None, start: str | None = None, end: str | None = None
) -> Outcome:
    """Measure how complete and sound a dataset is, or all; the figures of each day are stored in the catalog."""
    count = incomplete = 0
    scores: list[tuple[float, str]] = []
    for each in _each(lake, work, dataset):
        quality = lake.quality(each, start, end)
        count += 1
        incomplete += not quality.is_complete
        if quality.score is not None:
            scores.append((quality.score, str(each)))
    text = f"{count:,} datasets measured, {incomplete:,} miss something"
    if scores:
        score, worst = min(scores)
        text += f"; the worst is {worst} with {score:.0f} of 100"
    return Outcome(JobState.SUCCEEDED, text)


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
    text = f"{counts.get('written', 0):,} files written, {counts.get('unchanged', 0):,} as they were"
    refused = [f"{file.dataset}: {file.note}" for file in report.files if file.state == "refused"]
    if refused:
        text += f"; refused {'; '.join(refused)}"
    if report.is_complete:
        return Outcome(JobState.SUCCEEDED, text)
    return Outcome(JobState.INCOMPLETE, text)


def cleanup(
    lake: Lake, work: Work, days_to_keep: int | None = None, *, datasets: Sequence[str] | None = None
) -> Outcome:
    """Remove rows past their retention: of all datasets, or of those that names or patterns mean."""
    from ticklake.lake.arguments import present_datasets

    chosen = None
    if datasets is not None:
        chosen = list(map(str, present_datasets(lake.engine, datasets)))
        work.hold(chosen)
    work.check()
    done = lake.admin.cleanup(days_to_keep, datasets=chosen)
    return Outcome(JobState.SUCCEEDED, f"{done.rows:,} rows went")


def derive(lake: Lake, work: Work, name: str | None = None) -> Outcome:
    """Bring what a rule makes, or all rules, up to date."""
    names = lake.derived.names()
    if name is not None:
        names = [name]
    new = changed = removed = 0
    for number, each in enumerate(names):
        work.check(number / len(names))
        for done in lake.derived.refresh(each):
            new, changed, removed = new + done.new, changed + done.changed, removed + done.removed
    return Outcome(JobState.SUCCEEDED, f"{new:,} rows new, {changed:,} changed, {removed:,} removed")


def alerts(lake: Lake, work: Work) -> Outcome:
    """Check the alert rules, and send the messages that are due."""
    from ticklake.alerts.service import check_alerts

    work.check()
    messages = check_alerts(lake)
    if not lake.alerts.is_on:
        return Outcome(JobState.SUCCEEDED, "nobody is to be told")
    return Outcome(JobState.SUCCEEDED, f"messages sent: {len(messages):,}")


def verify(lake: Lake, work: Work, dataset: str | None = None, *, deep: bool = False) -> Outcome:
    """Check that every segment is there and is what was written."""
    work.check()
    problems = lake.admin.verify(dataset, deep=deep)
    if not problems:
        return Outcome(JobState.SUCCEEDED, "all is as it was written")
    first = problems[0]
    text = f"{len(problems):,} problems; the first is of {first.dataset or 'the lake'}: {first.problem}"
    return Outcome(JobState.INCOMPLETE, text)


def vacuum(lake: Lake, work: Work, keep: str = "7d") -> Outcome:
    """Remove versions older than *keep*, and garbage."""
    work.check()
    done = lake.admin.vacuum(keep)
    return Outcome(JobState.SUCCEEDED, f"{done.segments:,} old segments and {done.garbage:,} files nobody names went")


def backup(lake: Lake, work: Work, folder: str) -> Outcome:
    """Copy the lake to a folder that becomes a lake itself."""
    work.check()
    done = lake.admin.backup(folder)
    return Outcome(JobState.SUCCEEDED, f"{done.copied:,} files copied, {done.kept:,} already there")


BUILT_IN = {
    "backfill": Operation("backfill", backfill, records_runs=True, role=Role.COLLECT),
    "update": Operation("update", update, records_runs=True, role=Role.COLLECT),
    "poll": Operation("poll", poll, records_runs=True, role=Role.COLLECT),
    "stream": Operation("stream", stream, records_runs=True, role=Role.COLLECT),
    "repair": Operation("repair", repair, role=Role.COLLECT),
    "compact": Operation("compact", compact),
    "quality": Operation("quality", quality, role=Role.COLLECT),
    "export": Operation("export", export, folder="path"),
    "cleanup": Operation("cleanup", cleanup),
    "derive": Operation("derive", derive, role=Role.COLLECT),
    "alerts": Operation("alerts", alerts),
    "verify": Operation("verify", verify, role=Role.COLLECT),
    "vacuum": Operation("vacuum", vacuum),
    "backup": Operation("backup", backup, folder="folder"),
}
"""Ticklake's own operations, by name."""


def _each(lake: Lake, work: Work, dataset: str | None) -> Iterator[Dataset]:
    """Yield the named dataset, or all of the lake; stop between two of them if the job is cancelled."""
    datasets = lake.datasets()
    if dataset is not None:
        datasets = [Dataset.parse(dataset)]
    for number, each in enumerate(datasets):
        work.check(number / len(datasets))
        yield each


def _outcome_of(runs: Sequence[Run]) -> Outcome:
    """Return the outcome of a job that made several runs: it failed only if all of them did."""
    states: set[JobState] = set()
    texts: list[str] = []
    retriable = False
    for run in runs:
        outcome = Outcome.of(run)
        states.add(outcome.state)
        texts.append(f"{run.subject}: {run.outcome}")
        retriable = retriable or outcome.retriable
    state = JobState.SUCCEEDED
    if states == {JobState.FAILED}:
        state = JobState.FAILED
    elif JobState.CANCELLED in states:
        state = JobState.CANCELLED
    elif states & {JobState.FAILED, JobState.INCOMPLETE}:
        state = JobState.INCOMPLETE
    return Outcome(state, "; ".join(texts) or "there was nothing to bring up to now", retriable)
