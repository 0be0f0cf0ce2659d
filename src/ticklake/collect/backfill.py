"""Backfill: fetch a span of datasets page by page, and record the run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ticklake.audit.gaps import gap_report
from ticklake.audit.sequence import cover_seams
from ticklake.catalog.gap_notes import GapNotes
from ticklake.catalog.instruments import Instruments
from ticklake.catalog.runs import Runs
from ticklake.collect.daily_check import check_empty_start
from ticklake.collect.instruments import delisted_text, look_daily, recall
from ticklake.collect.plan import FetchScope, plan_dataset
from ticklake.core.dataset import Dataset
from ticklake.core.fetch_plan import FetchPlan, horizon
from ticklake.core.gaps import Gap, missing_in, missing_words
from ticklake.core.progress import Progress, Watch
from ticklake.core.runs import Run, RunState
from ticklake.core.span import Span
from ticklake.core.time import format_time
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput, Banned, Cancelled, SourceError, TicklakeError, UnknownSymbol
from ticklake.sources.base import Page, Source

__all__ = ["Backfill", "record_failure"]

MOST_FAILURES = 3
"""A dataset is given up after this many failed windows in a row."""
STOP_CHECK = 1.0
"""Seconds between two checks whether polling shall stop while it waits."""
ROUNDS = 2
"""How often a dataset is planned and fetched, if windows failed."""
SEAMS = 100
"""How many of the newest seams are checked after each run; complete ones become coverage."""
UNKNOWN = "since when rows were asked for is not known, nor what is missing"
"""The outcome if planning failed before the start of a history was known."""
BANNED = ""
"""The name under which a ban is recorded: it concerns all datasets."""


def record_failure(
    runs: Runs, operation: str, subject: str, datasets: Sequence[Dataset], scope: FetchScope, error: TicklakeError
) -> Run:
    """Record a failed run of datasets of which nothing could be fetched. Alerts look at runs."""
    progress = Progress(len(datasets), names=list(map(str, datasets)))
    for name in progress.names or [subject]:
        progress.failed(name, error)
    run = runs.create(operation, subject, _parameters(datasets, scope))
    runs.append_log(run.id, str(error), "error")
    return runs.finish(run.id, RunState.FAILED, progress.to_dict(), str(error))


@dataclass
class Backfill:
    """One backfill of some datasets of one exchange.

    Rows and coverage are committed page by page: if it is killed, nothing is lost, and the next run continues there.
    """

    source: Source
    engine: Engine
    runs: Runs
    instruments: Instruments
    watch: Watch = lambda _progress: None
    at_once: int = 4
    gap_notes: GapNotes | None = None
    subject: str = ""
    plans: dict[Dataset, FetchPlan] = field(default_factory=dict)
    """The newest plan of each dataset. If planning failed, it has the requested span and nothing else."""

    async def plan(self, datasets: Sequence[Dataset], scope: FetchScope) -> list[FetchPlan]:
        """Return what a run would fetch, without fetching it."""
        return [await self._plan(dataset, scope) for dataset in datasets]

    async def run(self, datasets: Sequence[Dataset], scope: FetchScope, every: float | None = None) -> Run:
        """Fetch what is missing and return the finished run.

        Parameters
        ----------
        every
            Seconds. If given, new rows are fetched at this interval until the run is cancelled or three rounds in a
            row have failed.

        Raises
        ------
        TicklakeError
            If nothing could be fetched: bad input, the exchange cannot be reached, or the lake cannot be written.
        """
        operation = _operation(scope, every)
        try:
            remarks = await self._prepare(datasets, scope)
        except SourceError as error:
            # The exchange did not answer: our own clock says what can be final (docs/adr/0031).
            await self._want_unplanned(datasets, scope, self.engine.now())
            failed = await asyncio.to_thread(
                record_failure, self.runs, operation, self._subject(datasets), datasets, scope, error
            )
            # An update goes on with other exchanges: the failed run is enough for alerts.
            if scope.known and every is None:
                return failed
            raise
        progress = Progress(len(datasets), names=list(map(str, datasets)))
        subject = self._subject(datasets)
        run = await asyncio.to_thread(self.runs.create, operation, subject, _parameters(datasets, scope))
        try:
            self.watch(progress)
            for remark in remarks:
                await self._log(run.id, "info", remark)
            if every is None:
                await self._fetch_all(run.id, datasets, scope, progress)
            else:
                await self._follow(run.id, datasets, scope, progress, every)
            state, outcome = await asyncio.to_thread(self._judge, list(self.plans.values()), progress)
        except (asyncio.CancelledError, Cancelled):
            outcome = "interrupted; run the same command again to go on where it stopped"
            self.runs.finish(run.id, RunState.CANCELLED, progress.to_dict(), outcome)
            raise
        except BaseException as error:
            self._fail(run.id, progress, error)
            raise
        return await asyncio.to_thread(self.runs.finish, run.id, state, progress.to_dict(), outcome)

    async def _plan(self, dataset: Dataset, scope: FetchScope) -> FetchPlan:
        return await plan_dataset(self.source, self.engine, self.instruments, dataset, scope)

    async def _prepare(self, datasets: Sequence[Dataset], scope: FetchScope) -> list[str]:
        """Update the list of instruments, refuse what the exchange does not serve, and return remarks for the log."""
        remarks = await look_daily(self.source, self.instruments)
        # Before capabilities are checked: exchanges often serve the history of markets that they no longer list.
        await recall(self.source, self.instruments, datasets)
        now = await self.source.now()
        if not scope.known:
            for dataset in datasets:
                await self.source.capability(dataset, now)
            await self._want_unplanned(datasets, scope, now)
        return remarks

    async def _want_unplanned(self, datasets: Sequence[Dataset], scope: FetchScope, now: int) -> None:
        """Record the requested spans that are known without a plan, because a source may fail during planning."""
        if scope.again:
            # A repair collects nothing new.
            return
        for dataset in datasets:
            coverage = await asyncio.to_thread(self.engine.catalog.coverage, dataset)
            start = scope.begins(coverage)
            if start is None:
                continue
            span = scope.final_part(dataset, start, now)
            if span is not None:
                self.plans[dataset] = FetchPlan(dataset, span)
                await self._want(dataset, span)

    async def _want(self, dataset: Dataset, span: Span, final: int | None = None) -> None:
        """Record that a span of a dataset is requested, so that it counts as missing if anything fails."""
        await asyncio.to_thread(self.engine.want, dataset, span, final)
        if self.gap_notes is not None:
            await asyncio.to_thread(self.gap_notes.want, dataset, span)

    def _subject(self, datasets: Sequence[Dataset]) -> str:
        if len(datasets) == 1:
            return str(datasets[0])
        return self.subject or datasets[0].exchange

    def _fail(self, run_id: int, progress: Progress, error: BaseException) -> None:
        """Record the failure, if the lake can still be written. The caller raises the error itself."""
        try:
            self.runs.finish(run_id, RunState.FAILED, progress.to_dict(), str(error))
        except TicklakeError:
            return

    async def _fetch_all(self, run_id: int, datasets: Sequence[Dataset], scope: FetchScope, progress: Progress) -> None:
        """Fetch the datasets, ``at_once`` of them at the same time."""
        slots = asyncio.Semaphore(self.at_once)

        async def fetch(dataset: Dataset) -> None:
            async with slots:
                await self._fetch_dataset(run_id, dataset, scope, progress)

        try:
            async with asyncio.TaskGroup() as group:
                for dataset in datasets:
                    group.create_task(fetch(dataset))
        except BaseExceptionGroup as errors:
            # Callers know the errors of one dataset: the group is of no use to them, its first error is.
            raise errors.exceptions[0] from None

    async def _follow(
        self, run_id: int, datasets: Sequence[Dataset], scope: FetchScope, progress: Progress, every: float
    ) -> None:
        """Fetch new rows at an interval, until too many rounds in a row have failed."""
        failures = 0
        while True:
            await self._fetch_all(run_id, datasets, scope, progress)
            if progress.failures:
                failures += 1
            else:
                failures = 0
            if failures == MOST_FAILURES or BANNED in progress.failures:
                return
            await self._wait(every, progress)
            progress.failures.clear()

    async def _wait(self, seconds: float, progress: Progress) -> None:
        """Wait, and let ``watch`` raise meanwhile if the run is cancelled."""
        while seconds > 0:
            self.watch(progress)
            await asyncio.sleep(min(seconds, STOP_CHECK))
            seconds -= STOP_CHECK

    async def _fetch_dataset(self, run_id: int, dataset: Dataset, scope: FetchScope, progress: Progress) -> None:
        """Plan and fetch one dataset, and once more if windows failed."""
        name = str(dataset)
        try:
            for _ in range(ROUNDS):
                if BANNED in progress.failures:
                    break
                plan = await self._planned_and_wanted(dataset, scope)
                # Each round plans what is still missing, so it begins without failed windows.
                progress.skipped.pop(name, None)
                progress.again.discard(name)
                await self._fetch_round(run_id, plan, progress)
                await self._check_start(run_id, plan)
                if name not in progress.skipped:
                    break
            # If other windows were fetched, the dataset has not failed: it is incomplete.
            if name in progress.skipped and name not in progress.reached:
                progress.failures[name] = progress.skipped.pop(name)
        except Banned as error:
            # The exchange bans the address: calls for other datasets would make it worse.
            progress.failures[BANNED] = str(error)
            await self._log(run_id, "error", str(error))
        except UnknownSymbol as error:
            progress.failures[name] = await asyncio.to_thread(self._gone, dataset, scope, error)
            await self._log(run_id, "error", progress.failures[name])
        except SourceError as error:
            progress.failed(name, error)
            await self._log(run_id, "error", f"{name}: {error}")
        except BadInput as error:
            if not scope.known:
                raise
            # A dataset that is no longer served must not keep the others from being updated.
            progress.failed(name, error)
            await self._log(run_id, "error", f"{name}: {error}")

    async def _planned_and_wanted(self, dataset: Dataset, scope: FetchScope) -> FetchPlan:
        """Plan a dataset and record the requested span, but not for a repair, which collects nothing new."""
        try:
            plan = await self._plan(dataset, scope)
        except SourceError:
            if dataset not in self.plans:
                await self._want_unplanned([dataset], scope, self.engine.now())
            raise
        self.plans[dataset] = plan
        if plan.want is not None and not scope.again:
            await self._want(dataset, plan.want, horizon(dataset, plan.now))
        return plan

    def _gone(self, dataset: Dataset, scope: FetchScope, error: UnknownSymbol) -> str:
        """Return a message that says when a symbol was delisted. If it never was listed, the error stands."""
        instrument = self.instruments.get(dataset.exchange, str(dataset.symbol))
        if instrument is None or instrument.delisted_at is None:
            if scope.known:
                return str(error)
            raise error
        return delisted_text(instrument, self.instruments)

    async def _check_start(self, run_id: int, plan: FetchPlan) -> None:
        reason = await check_empty_start(self.source, self.engine, plan)
        if reason is not None:
            await self._log(run_id, "warning", f"{plan.dataset}: {reason}")

    async def _fetch_round(self, run_id: int, plan: FetchPlan, progress: Progress) -> None:
        """Fetch the plan's spans."""
        await self._cover_known(plan)
        progress.planned[str(plan.dataset)] = sum(span.length for span in plan.spans)
        for span in plan.spans:
            await self._fetch_span(run_id, plan, span, progress)

    async def _fetch_span(self, run_id: int, plan: FetchPlan, span: Span, progress: Progress) -> None:
        """Fetch one span. Windows that fail are skipped."""
        cursor, failures = span.start, 0
        await asyncio.to_thread(self._hint, plan.dataset, span)
        while cursor < span.end and BANNED not in progress.failures:
            try:
                # Taken before the request: a page that is committed late must not replace what was observed meanwhile.
                requested_at = self.engine.now()
                async for page in self.source.history(plan.dataset, Span(cursor, span.end)):
                    cursor = page.covered_until(cursor)
                    await self._commit(run_id, plan, page, progress, requested_at)
                    requested_at = self.engine.now()
                    failures = 0
                    if BANNED in progress.failures:
                        return
                return
            except SourceError as error:
                failures += 1
                if not error.retriable or failures == MOST_FAILURES:
                    raise
                progress.skipped[str(plan.dataset)] = str(error)
                progress.again.add(str(plan.dataset))
                await self._log(run_id, "warning", f"{plan.dataset} at {format_time(cursor)}: {error}")
                # A window that the exchange cannot answer must not keep the ones after it from being fetched.
                cursor += plan.page_span

    def _hint(self, dataset: Dataset, span: Span) -> None:
        """Tell the source the time of the dataset's newest row, unless that row lies after the span."""
        row = self.engine.catalog.dataset(dataset)
        if row is not None and row.rows and row.max_ts is not None and row.max_ts < span.end:
            self.source.hint(dataset, row.max_ts)

    async def _cover_known(self, plan: FetchPlan) -> None:
        if plan.known:
            # What is known without a call, like the time before the listing, is committed as coverage without rows.
            empty, origin = plan.dataset.spec.empty(), self.source.provenance(plan.dataset)
            await asyncio.to_thread(self.engine.append, plan.dataset, empty, origin, plan.known)

    async def _commit(self, run_id: int, plan: FetchPlan, page: Page, progress: Progress, requested_at: int) -> None:
        """Commit one page with its coverage, and report the progress."""
        dataset = plan.dataset
        origin = page.origin or self.source.provenance(dataset)
        receipt = await asyncio.to_thread(
            self.engine.append, dataset, page.frame, origin, page.covered, plan.now, requested_at
        )
        progress.page(dataset, page.spans, receipt, page.requests)
        for note in page.notes:
            await self._log(run_id, "warning", f"{dataset}: {note}")
        await asyncio.to_thread(self.runs.update_progress, run_id, progress.done, progress.to_dict())
        self.watch(progress)

    async def _log(self, run_id: int, level: str, message: str) -> None:
        await asyncio.to_thread(self.runs.append_log, run_id, message, level)

    def _judge(self, plans: Sequence[FetchPlan], progress: Progress) -> tuple[RunState, str]:
        """Return the state and the outcome of the run, by what is missing in the lake now."""
        gaps: list[Gap] = []
        for plan in plans:
            if plan.want is not None:
                # Before the report: what consecutive numbers prove complete is no gap.
                cover_seams(self.engine, plan.dataset, SEAMS)
                gaps += gap_report(self.engine, plan.dataset, plan.want).gaps
        counts = progress.counts
        missing = missing_words(gaps)
        if len(plans) < progress.datasets and not missing_in(gaps):
            missing = UNKNOWN
        outcome = (
            f"{counts['new']:,} new, {counts['changed']:,} changed, {counts['duplicate']:,} already there; {missing}"
        )
        if progress.failures or progress.skipped:
            problems = "; ".join([*progress.failures.values(), *progress.skipped.values()])
            return _state_after_failures(progress), f"{problems}; {outcome}"
        if missing_in(gaps):
            return RunState.INCOMPLETE, outcome
        return RunState.SUCCEEDED, outcome


def _state_after_failures(progress: Progress) -> RunState:
    if BANNED in progress.failures or len(progress.failures) == progress.datasets:
        return RunState.FAILED
    return RunState.INCOMPLETE


def _operation(scope: FetchScope, every: float | None) -> str:
    """Return the name of the operation of a run."""
    if scope.again:
        return "repair"
    if every is not None:
        return "poll"
    return "backfill"


def _parameters(datasets: Sequence[Dataset], scope: FetchScope) -> dict[str, Any]:
    return {
        "datasets": list(map(str, datasets)),
        "start": _time_text(scope.start),
        "end": _time_text(scope.end),
    }


def _time_text(ts: int | None) -> str | None:
    if ts is None:
        return None
    return format_time(ts)
