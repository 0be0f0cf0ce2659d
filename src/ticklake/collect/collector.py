"""The collector: from names and patterns to finished work, for callers that are not async."""

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
from ticklake.collect.plan import Asked, select_symbols
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

__all__ = ["Collector"]

T = TypeVar("T")
_PAUSE = 0.2
"""Seconds: Polars' handler of signals restarts waiting, so that one without an end is not interrupted."""


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
        """Fetch what is missing, or the book of now, and return the finished run."""
        asked = self._asked(request)

        async def go(source: Source) -> Run:
            try:
                datasets = await requested_datasets(source, request)
            except SourceError as error:
                await asyncio.to_thread(record_failure, self.runs, "backfill", request.subject, (), asked, error)
                raise
            if datasets[0].kind in SNAPSHOTS:
                return await take_snapshots(source, self.engine, self.runs, datasets, request.depth)
            return await self._backfill(source, watch, request.subject).run(datasets, asked)

        return self._with_source(request.exchange, go, archives=request.archives)

    def update(self, exchange: str, datasets: Sequence[Dataset], watch: Watch) -> Run:
        """Bring datasets of one exchange up to now, each from where its history in the lake begins.

        An exchange that cannot be asked is a run that failed: the others are to be asked all the same.
        """
        asked = Asked(known=True)

        async def go(source: Source) -> Run:
            return await self._backfill(source, watch).run(datasets, asked)

        try:
            return self._with_source(exchange, go)
        except (BadInput, BrokenPlugin, MissingExtra) as error:
            subject = str(datasets[0]) if len(datasets) == 1 else exchange
            return record_failure(self.runs, "backfill", subject, datasets, asked, error)

    def collected(self) -> frozenset[str]:
        """Return the names of the datasets that a source was ever asked for; others were only imported or saved."""
        return self.gap_notes.collected()

    def poll(self, exchange: str, datasets: Sequence[Dataset], every: float, watch: Watch) -> Run:
        """Keep datasets of one exchange up to now until it is cancelled, asking every so many seconds."""

        async def go(source: Source) -> Run:
            return await self._backfill(source, watch).run(datasets, Asked(known=True), every)

        return self._with_source(exchange, go)

    def repair(self, mended: Sequence[Mended], watch: Watch, *, retry: bool = False) -> list[Repaired]:
        """Close the gaps of datasets, as far as their sources can, given what was mended of each."""

        def ask(dataset: Dataset, spans: tuple[Span, ...]) -> Run:
            asked = Asked(retry=True, again=spans)
            return self._with_source(
                dataset.exchange, lambda source: self._backfill(source, watch).run([dataset], asked)
            )

        return list(Repairs(self.engine, self.gap_notes, ask).repair(mended, retry=retry))

    def plan(self, request: BackfillRequest) -> list[FetchPlan]:
        """Return what would be fetched."""
        asked = self._asked(request)

        async def go(source: Source) -> list[FetchPlan]:
            datasets = await requested_datasets(source, request)
            await recall(source, self.instruments, datasets)
            return await self._backfill(source).plan(datasets, asked)

        return self._with_source(request.exchange, go, archives=request.archives)

    def cross_check(self, dataset: Dataset, spans: Sequence[Span], tolerance: float) -> CrossCheck:
        """Ask the exchange's calls again for rows that the lake holds, store nothing, and compare."""

        async def go(source: Source) -> CrossCheck:
            return await against_source(self.engine, source, dataset, spans, tolerance)

        return self._with_source(dataset.exchange, go, archives=False)

    def listed(self, exchange: str) -> list[Instrument]:
        """Return what an exchange lists."""
        return self._with_source(exchange, lambda source: source.instruments())

    def look(self, exchange: str) -> Sighting:
        """Take what an exchange lists now."""
        return self._with_source(exchange, lambda source: look(source, self.instruments))

    def _asked(self, request: BackfillRequest) -> Asked:
        return Asked(request.start_at(self.engine.now()), request.end, request.retry)

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

        return _run(scoped())


async def requested_datasets(source: Source, request: BackfillRequest) -> list[Dataset]:
    """Return the datasets that a request means; patterns are expanded over what the exchange lists.

    Raises
    ------
    InvalidName
        If no symbol is named, or bars have no timeframe.
    """
    if not request.symbols and request.all_quote is None:
        raise InvalidName("no symbol was given: name one, like BTC/USDT, or a pattern, like 'BTC/*'")
    request.check_timeframe()
    symbols = await select_symbols(source, request.symbols, request.all_quote)
    return [request.dataset_of(symbol) for symbol in symbols]


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, also where an event loop is already running (notebooks), and in the same context."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def cancellable() -> T:
        started.append((asyncio.get_running_loop(), cast("asyncio.Task[Any]", asyncio.current_task())))
        return await work

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
