"""Fills the holes of live streams by calls, one hole of an exchange after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span, subtract
from ticklake.core.time import DAY
from ticklake.engine.delete import DELETED
from ticklake.engine.engine import Engine
from ticklake.errors import TicklakeError
from ticklake.log import Log

__all__ = ["FILLABLE", "LONGEST_FILLED", "Fill", "HoleFiller"]

FILLABLE = frozenset({"trades", "ohlcv", "mark_ohlcv", "index_ohlcv", "funding", "open_interest"})
"""Kinds of which exchanges serve the past by calls; of the others a hole stays a hole."""
LONGEST_FILLED = DAY
"""A hole is filled if it is not longer; a longer one is left to a backfill."""
TRIES = 3
_LOG = Log("streams")

Fill = Callable[[Dataset, Span], Awaitable[None]]
"""Asks the exchange by calls for the rows of a span, and commits them with their coverage."""


class HoleFiller:
    """Fills holes beside the streams.

    Parameters
    ----------
    delay
        Seconds until an exchange is asked: it serves new rows by call a little later.
    on_failure
        Is called with what could not be filled, and why.
    """

    def __init__(self, engine: Engine, fill: Fill, delay: float, on_failure: Callable[[Dataset, str], object]) -> None:
        self._engine = engine
        self._fill = fill
        self._delay = delay
        self._on_failure = on_failure
        self._queues: dict[str, asyncio.Queue[tuple[Dataset, Span, int]]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def ask_for(self, dataset: Dataset, span: Span) -> None:
        """Ask for the rows of a hole soon, if it is not too long."""
        if span.length > LONGEST_FILLED:
            return
        queue = self._queues.get(dataset.exchange)
        if queue is None:
            queue = self._queues[dataset.exchange] = asyncio.Queue()
            self._tasks.append(asyncio.create_task(self._work_off(queue)))
        queue.put_nowait((dataset, span, 1))

    def holes_left(self, dataset: Dataset, now: int) -> list[Span]:
        """Return the recent holes that nobody has asked for: whoever noted them was stopped before the answer."""
        since = now - LONGEST_FILLED
        return [
            piece.span
            for piece in self._engine.catalog.coverage(dataset).pieces
            if piece.found is Found.NOT_FETCHED and piece.reason != DELETED and piece.span.start >= since
        ]

    async def finish(self) -> None:
        """Wait until all holes were asked for."""
        for queue in self._queues.values():
            await queue.join()

    def stop(self) -> None:
        """Ask for nothing more: a repair fills what is left."""
        for task in self._tasks:
            task.cancel()

    async def _work_off(self, queue: asyncio.Queue[tuple[Dataset, Span, int]]) -> None:
        while True:
            dataset, span, attempt = await queue.get()
            await asyncio.sleep(self._delay)
            try:
                await self._fill_hole(dataset, span)
            except Exception as error:
                # Whatever goes wrong with one hole, the others are still to be filled.
                self._on_failure(dataset, str(error))
                said = {"dataset": dataset, "span": span, "attempt": attempt, "reason": error}
                if isinstance(error, TicklakeError):
                    _LOG.warning("stream gap not filled", **said)
                else:
                    _LOG.error("stream gap not filled", failure=error, **said)
                if getattr(error, "retriable", False) and attempt < TRIES:
                    queue.put_nowait((dataset, span, attempt + 1))
                else:
                    # A hole that cannot be noted as lost now is not fetched: a repair asks for it.
                    with suppress(TicklakeError):
                        await self._give_up(dataset, span, str(error))
            finally:
                queue.task_done()

    async def _fill_hole(self, dataset: Dataset, span: Span) -> None:
        if dataset.kind in FILLABLE:
            await self._fill(dataset, span)
            _LOG.info("stream gap filled", dataset=dataset, span=span)
        else:
            await self._give_up(dataset, span, f"exchanges serve no {dataset.kind} of the past")

    async def _give_up(self, dataset: Dataset, span: Span, reason: str) -> None:
        """Note what of a hole is lost: another collector may have had its rows."""

        def note() -> None:
            have = self._engine.catalog.coverage(dataset).spans(Found.DATA)
            lost = [Covered(part, Found.LOST, reason) for part in subtract(span, have)]
            if lost:
                origin = Provenance("live", f"{dataset.exchange} socket", self._engine.store.tool)
                self._engine.append(dataset, dataset.spec.empty(), origin, lost)

        await asyncio.to_thread(note)
