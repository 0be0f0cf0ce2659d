"""A feed that asks by calls, for kinds of which an exchange has no stream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument
from ticklake.core.span import Span
from ticklake.errors import TicklakeError, UnknownSymbol
from ticklake.sources.ccxt.calls import OPEN_INTEREST
from ticklake.sources.ccxt.paging import AskSpan
from ticklake.sources.live.base import Control, Feed, LiveMessage, RowKey, Sink, Subscription
from ticklake.sources.live.clock import SteeredClock
from ticklake.sources.live.options import FeedOptions
from ticklake.sources.wire.rows import Row

__all__ = ["POLLED", "PolledFeed"]

POLLED: Mapping[str, frozenset[str]] = dict.fromkeys(
    ("binance", "binanceusdm", "binancecoinm"), frozenset({"open_interest"})
)
"""The kinds that are asked for by calls, by exchange."""
EVERY = 60.0
"""Seconds between two rounds of calls: a new value comes every five minutes."""


class PolledFeed(Feed):
    """Asks for the newest rows again and again, one dataset after the other; they are those that calls for the past return.

    Parameters
    ----------
    ask
        Returns the function that asks for a dataset's rows of a span.
    now
        The exchange's time.
    every
        Seconds between two rounds.
    """

    endpoint = "calls"

    def __init__(
        self,
        exchange: str,
        subscriptions: Sequence[Subscription],
        listed: Mapping[str, Instrument],
        ask: Callable[[Dataset], AskSpan],
        now: Callable[[], Awaitable[int]],
        options: FeedOptions,
        every: float = EVERY,
    ) -> None:
        self.exchange = exchange
        self.subscriptions = tuple(subscriptions)
        self.datasets: dict[RowKey, Dataset] = {}
        for subscription in subscriptions:
            symbol = str(subscription.dataset.symbol)
            if symbol not in listed:
                raise UnknownSymbol(f"{exchange} does not list {symbol}")
            self.datasets[subscription.dataset.kind, listed[symbol].native_id, ""] = subscription.dataset
        self._ask = ask
        self._now = now
        self._options = options
        self._every = every
        self._clock = SteeredClock()
        self._left = dict(self.datasets)
        self._newest: dict[Dataset, int] = {}
        self._subscribed: set[Dataset] = set()

    async def run(self, sink: Sink) -> None:
        """Deliver rows until the task is cancelled.

        Raises
        ------
        TicklakeError
            If the exchange refuses all calls.
        """
        backoff = self._options.backoff()
        await self._tell(sink, Control("connected", self._clock()))
        while True:
            pause = self._every
            try:
                await self._round(sink)
                backoff.reset()
            except TicklakeError as error:
                if not error.retriable:
                    raise
                self._subscribed.clear()
                await self._tell(sink, Control("disconnected", self._clock(), text=str(error)))
                pause = backoff.pause()
            await asyncio.sleep(pause)

    async def _round(self, sink: Sink) -> None:
        now = await self._now()
        for key, dataset in list(self._left.items()):
            try:
                await self._poll(sink, key, dataset, now)
            except TicklakeError as error:
                if error.retriable or len(self._left) == 1:
                    raise
                del self._left[key]
                await self._tell(sink, Control("refused", self._clock(), dataset, str(error)))

    async def _poll(self, sink: Sink, key: RowKey, dataset: Dataset, now: int) -> None:
        # The first time two values are asked for: the newest one may not be served yet.
        since = self._newest.get(dataset, now - 2 * OPEN_INTEREST.length)
        frame = await self._ask(dataset)(Span(since, now + 1))
        kind, native, _ = key
        rows: list[Row] = []
        for values in frame.select(pl.col(dataset.spec.names).to_physical()).sort("ts").rows():
            if values[0] > self._newest.get(dataset, 0):
                self._newest[dataset] = values[0]
                rows.append(Row(kind, native, values))
        controls: tuple[Control, ...] = ()
        if dataset not in self._subscribed:
            self._subscribed.add(dataset)
            controls = (Control("subscribed", self._clock(), dataset),)
        await sink.put(self, LiveMessage(self._clock(), rows, controls))

    async def _tell(self, sink: Sink, control: Control) -> None:
        await sink.put(self, LiveMessage(control.at, controls=(control,)))
