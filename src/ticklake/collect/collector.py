"""The collector: opens sources and runs backfills, for callers that are not async."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from ticklake.audit.crosscheck import against_source
from ticklake.audit.repair import Repairs
from ticklake.catalog.gap_notes import GapNotes
from ticklake.catalog.instruments import Instruments
from ticklake.catalog.runs import Runs
from ticklake.collect.backfill import Backfill, record_failure
from ticklake.collect.current import take_snapshots
from ticklake.collect.instruments import look, recall
from ticklake.collect.plan import FetchScope, select_symbols
from ticklake.core.crosscheck import CrossCheck
from ticklake.core.dataset import SNAPSHOTS, Dataset
from ticklake.core.fetch_plan import FetchPlan
from ticklake.core.instrument import Instrument, Sighting
from ticklake.core.progress import Watch
from ticklake.core.repair_plan import Repaired
from ticklake.core.requests import BackfillRequest
from ticklake.core.results import Mended
from ticklake.core.runs import Run
from ticklake.core.span import Span
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput, BrokenPlugin, InvalidName, MissingExtra, SourceError
from ticklake.sources.base import Source

__all__ = ["Collector", "run_async"]

T = TypeVar("T")
_PAUSE = 0.2
"""Seconds. Polars' signal handler restarts a wait, so that Ctrl-C would not end one without a time limit."""


@dataclass(frozen=True, slots=True)
class Collector:
    """Opens the source of an exchange for one piece of work at a time.

    ``source`` makes the source of an exchange, with its dump site or without; ``at_once`` says how many datasets of an exchange are fetched at the same time.
    """

    engine: Engine
    runs: Runs
    instruments: Instruments
    source: Callable[[str, bool], Source]
    at_once: Callable[[str], int]
    gap_notes: GapNotes

    def backfill(self, request: BackfillRequest, watch: Watch) -> Run:
        """Fetch what is missing, or a snapshot, and return the finished run."""
        scope = self._scope(request)

        async def go(source: Source) -> Run:
            try:
                datasets = await requested_datasets(source, request)
            except SourceError as error:
                await asyncio.to_thread(record_failure, self.runs, "backfill", request.subject, (), scope, error)
                raise
            if datasets[0].kind in SNAPSHOTS:
                return await take_snapshots(source, self.engine, self.runs, datasets, request.depth)
            return await self._backfill(source, watch, request.subject).run(datasets, scope)

        return self._with_source(request.exchange, go, archives=request.archives)

    def update(self, exchange: str, datasets: Sequence[Dataset], watch: Watch) -> Run:
        """Fetch what is new of datasets of one exchange, each from where its history in the lake begins.

        If the exchange cannot be reached, the run has failed and nothing is raised: other exchanges come next.
        """
        scope = FetchScope(known=True)

        async def go(source: Source) -> Run:
            return await self._backfill(source, watch).run(datasets, scope)

        try:
            return self._with_source(exchange, go)
        except (BadInput, BrokenPlugin, MissingExtra) as error:
            subject = exchange
            if len(datasets) == 1:
                subject = str(datasets[0])
            return record_failure(self.runs, "backfill", subject, datasets, scope, error)

    def collected(self) -> frozenset[str]:
        """Return the names of the datasets that were ever fetched; others were only imported or saved."""
        return self.gap_notes.collected()

    def poll(self, exchange: str, datasets: Sequence[Dataset], every: float, watch: Watch) -> Run:
        """Fetch what is new of datasets of one exchange every so many seconds, until cancelled."""

        async def go(source: Source) -> Run:
            return await self._backfill(source, watch).run(datasets, FetchScope(known=True), every)

        return self._with_source(exchange, go)

    def repair(self, mended: Sequence[Mended], watch: Watch, *, retry: bool = False) -> list[Repaired]:
        """Close the gaps of datasets as far as their sources can. *mended* is what was repaired from files before."""

        def fetch(dataset: Dataset, spans: tuple[Span, ...]) -> Run:
            scope = FetchScope(retry=True, again=spans)
            return self._with_source(
                dataset.exchange, lambda source: self._backfill(source, watch).run([dataset], scope)
            )

        return list(Repairs(self.engine, self.gap_notes, fetch).repair(mended, retry=retry))

    def plan(self, request: BackfillRequest) -> list[FetchPlan]:
        """Return what would be fetched."""
        scope = self._scope(request)

        async def go(source: Source) -> list[FetchPlan]:
            datasets = await requested_datasets(source, request)
            await recall(source, self.instruments, datasets)
            return await self._backfill(source).plan(datasets, scope)

        return self._with_source(request.exchange, go, archives=request.archives)

    def cross_check(self, dataset: Dataset, spans: Sequence[Span], tolerance: float) -> CrossCheck:
        """Fetch rows that the lake has from the exchange's calls again, compare them, and store nothing."""

        async def go(source: Source) -> CrossCheck:
            return await against_source(self.engine, source, dataset, spans, tolerance)

        return self._with_source(dataset.exchange, go, archives=False)

    def listed(self, exchange: str) -> list[Instrument]:
        """Return the instruments that an exchange lists."""
        return self._with_source(exchange, lambda source: source.instruments())

    def look(self, exchange: str) -> Sighting:
        """Store the instruments that an exchange lists now, and return what has changed."""
        return self._with_source(exchange, lambda source: look(source, self.instruments))

    def _scope(self, request: BackfillRequest) -> FetchScope:
        return FetchScope(request.start_at(self.engine.now()), request.end, request.retry)

    def _backfill(self, source: Source, watch: Watch = lambda _progress: None, subject: str = "") -> Backfill:
        at_once = self.at_once(source.exchange)
        return Backfill(
            source, self.engine, self.runs, self.instruments, watch, at_once, self.gap_notes, subject=subject
        )

    def _with_source(
        self, exchange: str, go: Callable[[Source], Coroutine[Any, Any, T]], *, archives: bool = True
    ) -> T:
        async def scoped() -> T:
            source = self.source(exchange, archives)
            try:
                return await go(source)
            finally:
                await source.close()

        return run_async(scoped())


async def requested_datasets(source: Source, request: BackfillRequest) -> list[Dataset]:
    """Return the datasets of a request. Patterns are expanded over the instruments that the exchange lists.

    Raises
    ------
    InvalidName
        If no symbol is named, or bars have no timeframe.
    """
    if not request.symbols and request.all_quote is None:
        raise InvalidName("no symbol was given: name one, like BTC/USDT, or a pattern, like 'BTC/*'")
    request.check_timeframe()
    symbols = await select_symbols(source, request.symbols, request.all_quote)
    return list(map(request.dataset_of, symbols))


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, also where an event loop is already running (notebooks), and in the same context."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def cancellable() -> T:
        started.append((asyncio.get_running_loop(), cast("asyncio.Task[Any]", asyncio.current_task())))
        return await work

    # The context goes along: it holds the fence of the job and the number of its run.
    with ThreadPoolExecutor(1, "ticklake") as thread:
        going = thread.submit(copy_context().run, asyncio.run, cancellable())
        try:
            while not wait([going], _PAUSE).done:
                pass
        except KeyboardInterrupt:
            for loop, task in started:
                with suppress(RuntimeError):  # it ended just now
                    loop.call_soon_threadsafe(task.cancel)
            raise
    return going.result()
