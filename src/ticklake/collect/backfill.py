"""Backfill: bring a span of datasets into the lake, page by page, and record the run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ticklake.audit.gaps import gap_report
from ticklake.audit.sequence import cover_seams
from ticklake.catalog.gap_notes import GapNotes
from ticklake.catalog.instruments import Instruments
from ticklake.catalog.runs import Run, Runs, RunState
from ticklake.collect.daily_check import doubt_silence
from ticklake.collect.instruments import gone_words, look_daily, recall
from ticklake.collect.plan import Asked, plan_dataset
from ticklake.core.dataset import Dataset
from ticklake.core.fetch_plan import FetchPlan, horizon
from ticklake.core.gaps import Gap, missing_in, missing_words
from ticklake.core.progress import Progress, Watch
from ticklake.core.span import Span
from ticklake.core.time import format_time
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput, Banned, Cancelled, SourceError, TicklakeError, UnknownSymbol
from ticklake.sources.base import Page, Source

__all__ = ["Backfill", "record_failure"]

PATIENCE = 3
"""After this many windows in a row that failed for good, a dataset is given up."""
GLANCE = 1.0
"""Seconds between two checks, while polling waits, whether it shall stop."""
ROUNDS = 2
"""Windows that failed are asked once more at the end."""
SEAMS = 100
"""After each run the newest seams are looked at; what they prove is known from then on."""
UNKNOWN = "since when rows were asked for is not known, nor what is missing"
"""The outcome where planning failed before the start of a history was known."""
BANNED = ""
"""The name of a failure that concerns all datasets: the exchange has banned this address."""


def record_failure(
    runs: Runs, operation: str, subject: str, datasets: Sequence[Dataset], asked: Asked, error: TicklakeError
) -> Run:
    """Record that datasets were asked for and nothing could be begun, as a run that failed; alerts hear of it."""
    progress = Progress(len(datasets), names=[str(dataset) for dataset in datasets])
    for name in progress.names or [subject]:
        progress.failed(name, error)
    run = runs.create(operation, subject, _parameters(datasets, asked))
    runs.append_log(run.id, str(error), "error")
    return runs.finish(run.id, RunState.FAILED, progress.to_dict(), str(error))


@dataclass
class Backfill:
    """One backfill of some datasets of one exchange.

    Rows and coverage are committed page by page: killed at any moment, nothing is lost, and the next run
    goes on where this one stood.
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
    """The newest plan of each dataset; where planning failed, it says what was asked for and nothing else."""

    async def plan(self, datasets: Sequence[Dataset], asked: Asked) -> list[FetchPlan]:
        """Return what a run would fetch, without fetching it."""
        return [await self._plan(dataset, asked) for dataset in datasets]

    async def run(self, datasets: Sequence[Dataset], asked: Asked, every: float | None = None) -> Run:
        """Fetch what is missing and return the finished run.

        Parameters
        ----------
        every
            Seconds. If given, what is new is asked for again and again, and only cancelling ends it, or so many
            rounds in a row that failed as windows may.

        Raises
        ------
        TicklakeError
            If nothing could be done at all: bad input, the exchange cannot be reached, or the lake cannot be written.
        """
        operation = _operation(asked, every)
        try:
            remarks = await self._prepare(datasets, asked)
        except SourceError as error:
            await self._want_unplanned(datasets, asked, self.engine.now())
            failed = await asyncio.to_thread(
                record_failure, self.runs, operation, self._subject(datasets), datasets, asked, error
            )
            if asked.known and every is None:
                return failed
            raise
        progress = Progress(len(datasets), names=[str(dataset) for dataset in datasets])
        subject = self._subject(datasets)
        run = await asyncio.to_thread(self.runs.create, operation, subject, _parameters(datasets, asked))
        try:
            self.watch(progress)
            for remark in remarks:
                await self._log(run.id, "info", remark)
            if every is None:
                await self._fetch_all(run.id, datasets, asked, progress)
            else:
                await self._follow(run.id, datasets, asked, progress, every)
            state, outcome = await asyncio.to_thread(self._judge, list(self.plans.values()), progress)
        except (asyncio.CancelledError, Cancelled):
            outcome = "interrupted; run the same command again to go on where it stopped"
            self.runs.finish(run.id, RunState.CANCELLED, progress.to_dict(), outcome)
            raise
        except BaseException as error:
            self._fail(run.id, progress, error)
            raise
        return await asyncio.to_thread(self.runs.finish, run.id, state, progress.to_dict(), outcome)

    async def _plan(self, dataset: Dataset, asked: Asked) -> FetchPlan:
        return await plan_dataset(self.source, self.engine, self.instruments, dataset, asked)

    async def _prepare(self, datasets: Sequence[Dataset], asked: Asked) -> list[str]:
        """Look at what the exchange lists, refuse what it does not serve, and return what there is to say."""
        remarks = await look_daily(self.source, self.instruments)
        await recall(self.source, self.instruments, datasets)
        now = await self.source.now()
        if not asked.known:
            for dataset in datasets:
                await self.source.capability(dataset, now)
            await self._want_unplanned(datasets, asked, now)
        return remarks

    async def _want_unplanned(self, datasets: Sequence[Dataset], asked: Asked, now: int) -> None:
        """Note what is asked for as far as that is known without a plan: a source may fail while it is planned."""
        if asked.again:
            return
        for dataset in datasets:
            coverage = await asyncio.to_thread(self.engine.catalog.coverage, dataset)
            start = asked.begins(coverage)
            if start is None:
                continue
            span = asked.final_part(dataset, start, now)
            if span is not None:
                self.plans[dataset] = FetchPlan(dataset, span)
                await self._want(dataset, span)

    async def _want(self, dataset: Dataset, span: Span, final: int | None = None) -> None:
        """Note that a span of a dataset is asked for, before anything can go wrong."""
        await asyncio.to_thread(self.engine.want, dataset, span, final)
        if self.gap_notes is not None:
            await asyncio.to_thread(self.gap_notes.want, dataset, span)

    def _subject(self, datasets: Sequence[Dataset]) -> str:
        if len(datasets) == 1:
            return str(datasets[0])
        return self.subject or datasets[0].exchange

    def _fail(self, run_id: int, progress: Progress, error: BaseException) -> None:
        """Record the failure if the lake still takes it; the error itself goes on to the caller."""
        try:
            self.runs.finish(run_id, RunState.FAILED, progress.to_dict(), str(error))
        except TicklakeError:
            return

    async def _fetch_all(self, run_id: int, datasets: Sequence[Dataset], asked: Asked, progress: Progress) -> None:
        """Fetch the datasets, some at a time."""
        turns = asyncio.Semaphore(self.at_once)

        async def fetch(dataset: Dataset) -> None:
            async with turns:
                await self._fetch_dataset(run_id, dataset, asked, progress)

        try:
            async with asyncio.TaskGroup() as group:
                for dataset in datasets:
                    group.create_task(fetch(dataset))
        except BaseExceptionGroup as errors:
            # Callers know the errors of one dataset: the group is of no use to them, its first error is.
            raise errors.exceptions[0] from None

    async def _follow(
        self, run_id: int, datasets: Sequence[Dataset], asked: Asked, progress: Progress, every: float
    ) -> None:
        """Ask for what is new again and again, until it is given up."""
        failed = 0
        while True:
            await self._fetch_all(run_id, datasets, asked, progress)
            if progress.failures:
                failed += 1
            else:
                failed = 0
            if failed == PATIENCE or BANNED in progress.failures:
                return
            await self._rest(every, progress)
            progress.failures.clear()

    async def _rest(self, seconds: float, progress: Progress) -> None:
        """Wait, and let those who watch stop it meanwhile."""
        while seconds > 0:
            self.watch(progress)
            await asyncio.sleep(min(seconds, GLANCE))
            seconds -= GLANCE

    async def _fetch_dataset(self, run_id: int, dataset: Dataset, asked: Asked, progress: Progress) -> None:
        """Plan and fetch one dataset; windows that failed are planned and asked once more."""
        name = str(dataset)
        try:
            for _ in range(ROUNDS):
                if BANNED in progress.failures:
                    break
                plan = await self._planned_and_wanted(dataset, asked)
                progress.skipped.pop(name, None)
                progress.again.discard(name)
                await self._fetch_round(run_id, plan, progress)
                await self._doubt(run_id, plan)
                if name not in progress.skipped:
                    break
            if name in progress.skipped and name not in progress.reached:
                progress.failures[name] = progress.skipped.pop(name)
        except Banned as error:
            progress.failures[BANNED] = str(error)
            await self._log(run_id, "error", str(error))
        except UnknownSymbol as error:
            progress.failures[name] = await asyncio.to_thread(self._gone, dataset, asked, error)
            await self._log(run_id, "error", progress.failures[name])
        except SourceError as error:
            progress.failed(name, error)
            await self._log(run_id, "error", f"{name}: {error}")
        except BadInput as error:
            if not asked.known:
                raise
            # What was served once and is no longer must not keep the others from being brought up to now.
            progress.failed(name, error)
            await self._log(run_id, "error", f"{name}: {error}")

    async def _planned_and_wanted(self, dataset: Dataset, asked: Asked) -> FetchPlan:
        """Plan a dataset and note what is asked for; a repair makes no dataset one that is collected."""
        try:
            plan = await self._plan(dataset, asked)
        except SourceError:
            if dataset not in self.plans:
                await self._want_unplanned([dataset], asked, self.engine.now())
            raise
        self.plans[dataset] = plan
        if plan.want is not None and not asked.again:
            await self._want(dataset, plan.want, horizon(dataset, plan.now))
        return plan

    def _gone(self, dataset: Dataset, asked: Asked, error: UnknownSymbol) -> str:
        """Say since when a symbol is gone, or let the exchange's refusal stand if it never was there."""
        known = self.instruments.get(dataset.exchange, str(dataset.symbol))
        if known is None or known.delisted_at is None:
            if asked.known:
                return str(error)
            raise error
        return gone_words(known, self.instruments)

    async def _doubt(self, run_id: int, plan: FetchPlan) -> None:
        why = await doubt_silence(self.source, self.engine, plan)
        if why is not None:
            await self._log(run_id, "warning", f"{plan.dataset}: {why}")

    async def _fetch_round(self, run_id: int, plan: FetchPlan, progress: Progress) -> None:
        """Fetch the plan's spans."""
        await self._cover_known(plan)
        progress.planned[str(plan.dataset)] = sum(span.length for span in plan.spans)
        for span in plan.spans:
            await self._fetch_span(run_id, plan, span, progress)

    async def _fetch_span(self, run_id: int, plan: FetchPlan, span: Span, progress: Progress) -> None:
        """Fetch one span, passing over windows that keep failing."""
        cursor, failures = span.start, 0
        await asyncio.to_thread(self._hint, plan.dataset, span)
        while cursor < span.end and BANNED not in progress.failures:
            try:
                # Taken before the question: a page that is committed late must not replace what was observed meanwhile.
                asked_at = self.engine.now()
                async for page in self.source.history(plan.dataset, Span(cursor, span.end)):
                    cursor = max([cursor, *(piece.span.end for piece in page.covered)])
                    await self._commit(run_id, plan, page, progress, asked_at)
                    asked_at = self.engine.now()
                    failures = 0
                    if BANNED in progress.failures:
                        return
                return
            except SourceError as error:
                failures += 1
                if not error.retriable or failures == PATIENCE:
                    raise
                progress.skipped[str(plan.dataset)] = str(error)
                progress.again.add(str(plan.dataset))
                await self._log(run_id, "warning", f"{plan.dataset} at {format_time(cursor)}: {error}")
                cursor += plan.page_span

    def _hint(self, dataset: Dataset, span: Span) -> None:
        """Tell the source of the newest row of all, if that does not lie after the span: its head is asked for again."""
        row = self.engine.catalog.dataset(dataset)
        if row is not None and row.rows and row.max_ts is not None and row.max_ts < span.end:
            self.source.hint(dataset, row.max_ts)

    async def _cover_known(self, plan: FetchPlan) -> None:
        if plan.known:
            empty, origin = plan.dataset.spec.empty(), self.source.provenance(plan.dataset)
            await asyncio.to_thread(self.engine.append, plan.dataset, empty, origin, plan.known)

    async def _commit(self, run_id: int, plan: FetchPlan, page: Page, progress: Progress, asked_at: int) -> None:
        """Make one page durable, with its coverage, and tell those who watch."""
        dataset, origin = plan.dataset, page.origin or self.source.provenance(plan.dataset)
        receipt = await asyncio.to_thread(
            self.engine.append, dataset, page.frame, origin, page.covered, plan.now, asked_at
        )
        progress.page(dataset, page.spans, receipt, page.requests)
        for note in page.notes:
            await self._log(run_id, "warning", f"{dataset}: {note}")
        await asyncio.to_thread(self.runs.update_progress, run_id, progress.done, progress.to_dict())
        self.watch(progress)

    async def _log(self, run_id: int, level: str, message: str) -> None:
        await asyncio.to_thread(self.runs.append_log, run_id, message, level)

    def _judge(self, plans: Sequence[FetchPlan], progress: Progress) -> tuple[RunState, str]:
        """Return the state and the outcome of the run, by what the lake now knows to be missing."""
        gaps: list[Gap] = []
        for plan in plans:
            if plan.want is not None:
                # Before the report: what consecutive numbers prove complete is no gap.
                cover_seams(self.engine, plan.dataset, SEAMS)
                gaps += gap_report(self.engine, plan.dataset, plan.want).gaps
        counts = progress.counts
        is_known = len(plans) == progress.datasets or missing_in(gaps)
        missing = missing_words(gaps) if is_known else UNKNOWN
        outcome = (
            f"{counts['new']:,} new, {counts['changed']:,} changed, {counts['duplicate']:,} already there; {missing}"
        )
        if progress.failures or progress.skipped:
            problems = "; ".join([*progress.failures.values(), *progress.skipped.values()])
            return _state_after_failures(progress), f"{problems}; {outcome}"
        return (RunState.INCOMPLETE if missing_in(gaps) else RunState.SUCCEEDED), outcome


def _state_after_failures(progress: Progress) -> RunState:
    if BANNED in progress.failures or len(progress.failures) == progress.datasets:
        return RunState.FAILED
    return RunState.INCOMPLETE


def _operation(asked: Asked, every: float | None) -> str:
    """Return what a run is called, by what it was asked for."""
    if asked.again:
        return "repair"
    return "backfill" if every is None else "poll"


def _parameters(datasets: Sequence[Dataset], asked: Asked) -> dict[str, Any]:
    return {
        "datasets": [str(dataset) for dataset in datasets],
        "start": _time_text(asked.start),
        "end": _time_text(asked.end),
    }


def _time_text(ts: int | None) -> str | None:
    return None if ts is None else format_time(ts)
