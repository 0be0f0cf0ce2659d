"""Streaming: one run of the live service, from requests to feeds of many exchanges, recorded like any other run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ticklake.catalog.database import busy_at_most
from ticklake.catalog.gap_notes import GapNotes
from ticklake.catalog.instruments import Instruments
from ticklake.catalog.runs import Runs
from ticklake.collect.backfill import Backfill
from ticklake.collect.capture import Capture
from ticklake.collect.hole_filler import FILLABLE
from ticklake.collect.live import LONGEST_TRY, Listener, LiveService
from ticklake.collect.plan import FetchScope, select_symbols
from ticklake.collect.replay import ReplayFeed
from ticklake.collect.stream_log import StreamLog
from ticklake.core.dataset import Dataset
from ticklake.core.runs import Run, RunState
from ticklake.core.span import Span
from ticklake.core.streams import LiveOptions, StreamRequest, StreamStatus
from ticklake.core.timeframe import Timeframe
from ticklake.engine.engine import Engine
from ticklake.errors import Cancelled, InvalidData, SourceUnavailable, TicklakeError
from ticklake.sources.base import Source
from ticklake.sources.live.base import Feed, Subscription

__all__ = ["StreamWatch", "Streaming"]

REPORT_EVERY = 1.0
"""Seconds between two looks at the streams: whoever watches is told, and may stop them."""
RECHECKED_BARS = 20
"""So many of the newest bars are asked for again."""
RECORD_EVERY = 5.0
"""Seconds between two records of how the streams go, for other processes to read."""

StreamWatch = Callable[[Sequence[StreamStatus]], None]
"""Is called with how the streams go; what it raises ends them: :class:`~ticklake.errors.Cancelled` in good order."""


@dataclass(frozen=True)
class Streaming:
    """Collects streams of any number of exchanges in one run.

    Parameters
    ----------
    source
        Makes the source of an exchange.
    options
        How live rows are collected.
    """

    engine: Engine
    runs: Runs
    instruments: Instruments
    gap_notes: GapNotes
    source: Callable[[str], Source]
    options: LiveOptions

    async def run(
        self,
        requests: Sequence[StreamRequest],
        watch: StreamWatch = lambda _status: None,
        seconds: float | None = None,
        listeners: Iterable[Listener] = (),
        capture: Path | None = None,
        stop: asyncio.Event | None = None,
        claim: Callable[[Collection[Dataset]], None] = lambda _datasets: None,
    ) -> Run:
        """Collect until cancelled, until *watch* raises, *stop* is set, or for so many *seconds*; return the finished run.

        Messages are written as they were received to files in the folder *capture*, if there is one. *claim* is called with the
        datasets before anything is collected, and may raise.

        Raises
        ------
        TicklakeError
            If streams cannot be opened at all, or the lake cannot be written.
        """
        async with AsyncExitStack() as stack:
            sources: dict[str, Source] = {}
            for request in requests:
                if request.exchange not in sources:
                    sources[request.exchange] = self.source(request.exchange)
                    stack.push_async_callback(sources[request.exchange].close)
            feeds = await _feeds(sources, requests, capture=capture is not None)
            datasets = {dataset for feed in feeds for dataset in feed.datasets.values()}
            await asyncio.to_thread(self._check_ids, sources, datasets)
            claim(datasets)
            captured = None
            if capture is not None:
                captured = Capture(capture)
            told = [*listeners, StreamLog()]
            service = LiveService(self.engine, self._filler(sources), self.options, self.engine.now, told, captured)
            rechecks = [asyncio.create_task(self._recheck_often(source, service)) for source in sources.values()]
            try:
                return await self._recorded(service, feeds, watch, seconds, stop=stop)
            finally:
                for recheck in rechecks:
                    recheck.cancel()
                await asyncio.gather(*rechecks, return_exceptions=True)

    def _check_ids(self, sources: Mapping[str, Source], datasets: Iterable[Dataset]) -> None:
        """Refuse to collect trades whose ids are numbered otherwise than those of the lake: the first commit would end all streams."""
        _, rows = self.engine.catalog.heads(list(datasets))
        for dataset, row in rows.items():
            space = sources[dataset.exchange].provenance(dataset).id_space
            if space and row.id_space and space != row.id_space:
                raise InvalidData(
                    f"{dataset} holds {row.id_space!r} trade ids and {dataset.exchange} sends {space!r} ones: two id spaces in one "
                    "dataset would double its trades; rename the dataset, or collect into another lake"
                )

    async def replay(
        self, captures: Sequence[Path], speed: float = 0.0, watch: StreamWatch = lambda _status: None
    ) -> Run:
        """Send captures through the pipeline again; their holes are not filled, a repair does that.

        Raises
        ------
        InvalidData
            If a capture is cut short or damaged, after what can be read of it was committed.
        """
        feeds: list[Feed] = [ReplayFeed(path, speed) for path in captures]
        service = LiveService(self.engine, None, self.options, self.engine.now)
        return await self._recorded(service, feeds, watch, None, "replay")

    async def _recorded(
        self,
        service: LiveService,
        feeds: Sequence[Feed],
        watch: StreamWatch,
        seconds: float | None,
        operation: str = "stream",
        stop: asyncio.Event | None = None,
    ) -> Run:
        datasets = sorted({dataset for feed in feeds for dataset in feed.datasets.values()}, key=str)
        names = list(map(str, datasets))
        subject = ", ".join(names[:3])
        if len(names) > 3:
            subject = f"{len(names):,} streams of {', '.join(sorted({dataset.exchange for dataset in datasets}))}"
        run = await asyncio.to_thread(self.runs.create, operation, subject, {"datasets": names})
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._watched(service, feeds, run, watch, stop or asyncio.Event())
        except (asyncio.CancelledError, Cancelled) as error:
            self._finish(run, service, RunState.CANCELLED)
            if isinstance(error, Cancelled):
                error.run_id = run.id
            raise
        except BaseException as error:
            # If the lake cannot be written, this fails, too: the first error says more.
            with suppress(TicklakeError), busy_at_most(LONGEST_TRY):
                self.runs.finish(run.id, RunState.FAILED, _progress(service.status()), str(error))
            raise
        return await asyncio.to_thread(self._finish, run, service, RunState.SUCCEEDED)

    async def _watched(
        self, service: LiveService, feeds: Sequence[Feed], run: Run, watch: StreamWatch, stop: asyncio.Event
    ) -> None:
        collecting = asyncio.create_task(service.run(feeds))
        stopped = asyncio.create_task(stop.wait())
        recording = asyncio.create_task(self._record_often(service, run))
        try:
            while not collecting.done() and not stop.is_set():
                watch(service.status())
                await asyncio.wait([collecting, stopped], timeout=REPORT_EVERY, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            recording.cancel()
            collecting.cancel()
            await asyncio.gather(collecting, return_exceptions=True)
            # An error of the last commit counts more than the reason to end.
            if not collecting.cancelled():
                collecting.result()

    async def _record_often(self, service: LiveService, run: Run) -> None:
        """Record how the streams go. Whether the lake can be written is decided by the commits, which are tried for longer."""
        while True:
            with suppress(TicklakeError), busy_at_most(LONGEST_TRY):
                await asyncio.to_thread(self.runs.update_progress, run.id, 0.0, _progress(service.status()))
                await asyncio.to_thread(self._note_collected, run, service)
            await asyncio.sleep(RECORD_EVERY)

    def _note_collected(self, run: Run, service: LiveService) -> None:
        """Note that streams were asked for from their first covered time on: an update brings them up to now, once nobody streams."""
        if run.operation != "stream":
            return
        known = self.gap_notes.collected()
        for stream in service.status():
            dataset = Dataset.parse(stream.dataset)
            if dataset.kind in FILLABLE and stream.dataset not in known:
                reach = self.engine.catalog.coverage(dataset).reach
                if reach is not None:
                    self.gap_notes.want(dataset, reach)

    def _finish(self, run: Run, service: LiveService, state: RunState) -> Run:
        status = service.status()
        self._note_collected(run, service)
        stored = sum(stream.stored for stream in status)
        gaps = sum(stream.gaps for stream in status)
        outcome = f"{stored:,} rows of {len(status):,} streams, {gaps:,} holes"
        refused = [f"{stream.dataset}: {stream.text}" for stream in status if stream.state == "refused"]
        if refused:
            outcome = f"{'; '.join(refused)}; {outcome}"
            if state is RunState.SUCCEEDED:
                state = RunState.INCOMPLETE
        return self.runs.finish(run.id, state, _progress(status), outcome)

    async def _recheck_often(self, source: Source, service: LiveService) -> None:
        """Ask by calls for the newest bars of an exchange again and again, so that late corrections come in."""
        while True:
            await asyncio.sleep(self.options.recheck_seconds)
            for datasets, start in _newest_bars(source.exchange, service.status()):
                backfill = Backfill(source, self.engine, self.runs, self.instruments, gap_notes=self.gap_notes)
                # What fails is recorded as the failure of that run; the next one is soon.
                with suppress(TicklakeError):
                    await backfill.run(datasets, FetchScope(start=start))

    def _filler(self, sources: dict[str, Source]) -> Callable[[Dataset, Span], Any]:
        async def fill(dataset: Dataset, span: Span) -> None:
            backfill = Backfill(
                sources[dataset.exchange], self.engine, self.runs, self.instruments, gap_notes=self.gap_notes
            )
            run = await backfill.run([dataset], FetchScope(retry=True, again=(span,)))
            if run.state is RunState.FAILED:
                error: type[TicklakeError] = TicklakeError
                if run["retriable"]:
                    error = SourceUnavailable
                raise error(run.outcome)

        return fill


def _newest_bars(exchange: str, status: Sequence[StreamStatus]) -> Iterator[tuple[list[Dataset], int]]:
    """Yield the bars of an exchange that came, those of one length together, and the time from which they are asked for again."""
    datasets: dict[Timeframe, list[Dataset]] = {}
    newest: dict[Timeframe, int] = {}
    for stream in status:
        dataset = Dataset.parse(stream.dataset)
        timeframe = dataset.timeframe
        if dataset.exchange == exchange and timeframe is not None and stream.last_event is not None:
            datasets.setdefault(timeframe, []).append(dataset)
            newest[timeframe] = max(newest.get(timeframe, 0), stream.last_event)
    for timeframe, group in datasets.items():
        yield group, newest[timeframe] - RECHECKED_BARS * timeframe.length


async def _feeds(sources: dict[str, Source], requests: Sequence[StreamRequest], *, capture: bool) -> list[Feed]:
    """Return the feeds of all requests: streams that are named twice are collected once."""
    wanted: dict[str, dict[Dataset, Subscription]] = {}
    for request in requests:
        source = sources[request.exchange]
        for symbol in await select_symbols(source, request.symbols):
            for dataset in request.datasets_of(symbol):
                of_exchange = wanted.setdefault(request.exchange, {})
                of_exchange[dataset] = Subscription(dataset, request.depth if dataset.kind == "book" else None)
    feeds: list[Feed] = []
    for exchange, subscriptions in wanted.items():
        feeds += await sources[exchange].feeds(list(subscriptions.values()), capture=capture)
    return feeds


def _progress(status: Sequence[StreamStatus]) -> dict[str, Any]:
    """Return the counts of all streams, and how each goes, for the record of the run."""
    counts = {
        name: sum(getattr(stream, name) for stream in status) for name in ("received", "duplicate", "quarantined")
    }
    counts["new"] = sum(stream.stored for stream in status)
    return {**counts, "streams": list(map(asdict, status))}
