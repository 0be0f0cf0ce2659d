"""The feed of one exchange by Ticklake's own description of its protocol: connections that take over from each other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import urlsplit

import aiohttp

from ticklake.core.book_state import KEPT_DEPTHS
from ticklake.errors import AccessDenied, Banned, RateLimited, SourceError, SourceUnavailable
from ticklake.sources.address import at_base
from ticklake.sources.live.base import Control, Feed, LiveMessage, Sink
from ticklake.sources.live.clock import SteeredClock
from ticklake.sources.live.continuity import gap_of
from ticklake.sources.live.options import FeedOptions
from ticklake.sources.live.protocol import Protocol, Stream
from ticklake.sources.live.session import Carrier, Session
from ticklake.sources.pacing.headers import retry_after
from ticklake.sources.pacing.pace import Pace

__all__ = ["NativeFeed"]

_SNAPSHOT_MS = 500.0
"""The turn that a call for a whole book takes: of 1000 levels it counts ten times as much as an ordinary one."""


class NativeFeed(Feed):
    """One connection to an exchange at a time; two while one takes over from the other.

    Parameters
    ----------
    exchange
        CCXT's id.
    protocol
        What its messages mean.
    streams
        What it carries: streams of one address, within the limits of a connection.
    pace
        Gives turns to calls for whole books.
    fetch
        Returns the body of the answer to a call, in the place of HTTP.
    """

    def __init__(
        self,
        exchange: str,
        protocol: Protocol,
        streams: tuple[Stream, ...],
        options: FeedOptions,
        pace: Pace | None = None,
        fetch: Callable[[str], Awaitable[bytes]] | None = None,
        clock: SteeredClock | None = None,
    ) -> None:
        self.exchange = exchange
        self.streams = streams
        self.subscriptions = tuple(stream.subscription for stream in streams)
        self.datasets = {stream.key: stream.subscription.dataset for stream in streams}
        if self.exchange in KEPT_DEPTHS:
            self.depths = {stream.subscription.dataset: stream.depth for stream in streams if stream.depth is not None}
        self._protocol = protocol
        self._options = options
        self._pace = pace or Pace(exchange)
        self._fetch = fetch
        self._clock = clock or SteeredClock()
        self._numbers = 0

    async def run(self, sink: Sink) -> None:
        """Deliver messages until the task is cancelled.

        Raises
        ------
        TicklakeError
            What no new connection can cure: all subscriptions were refused, or this address is not served.
        """
        async with aiohttp.ClientSession() as http:
            fetch = self._fetch or _Calls(http, self._options, self._pace, self.exchange).get
            carrier = Carrier(self._protocol, self._options, self.streams, self.datasets, http, fetch, self._clock)
            running = _Running(self, carrier, sink)
            try:
                await running.serve()
            finally:
                await running.stop()

    def next_number(self) -> int:
        """Return the number of the next connection."""
        self._numbers += 1
        return self._numbers


class _Running:
    """A feed at work: its connection, and the one that is about to take over."""

    def __init__(self, feed: NativeFeed, carrier: Carrier, sink: Sink) -> None:
        self._feed = feed
        self._carrier = carrier
        self._options = carrier.options
        self._put = partial(sink.put, feed)
        self._tasks: dict[asyncio.Task[str], Session] = {}
        self._backoff = self._options.backoff()

    async def serve(self) -> None:
        current = self._start()
        while True:
            began = self._options.monotonic()
            while not current.done():
                current = await self._followed(current)
            reason = current.result()
            ended = self._tasks.pop(current)
            await self._put(LiveMessage(self._now(), controls=(Control("disconnected", self._now(), text=reason),)))
            if self._options.monotonic() - began > self._options.longest_pause:
                self._backoff.reset()
            await asyncio.sleep(self._backoff.pause())
            current = self._start(ended)
            # Ids go on over the gap: the first trade of the new connection tells how many are missing.
            list(self._tasks[current].trades.continue_from(ended.trades))

    async def stop(self) -> None:
        """End all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, before: Session | None = None, *, is_first: bool = True) -> asyncio.Task[str]:
        if all(stream.channel in self._carrier.refused for stream in self._carrier.streams):
            channel, text = next(iter(self._carrier.refused.items()))
            raise SourceError(f"{self._feed.exchange} refuses {channel} and every other stream: {text}")
        session = Session(self._feed.next_number(), self._carrier, before, is_first=is_first)
        task = asyncio.create_task(session.run(self._put))
        self._tasks[task] = session
        return task

    async def _followed(self, current: asyncio.Task[str]) -> asyncio.Task[str]:
        """Wait until a connection ends or is due; then let another take over, and return the one that goes on."""
        session = self._tasks[current]
        await _first_of(current, session.due)
        if current.done():
            return current
        successor = self._start(session, is_first=False)
        await _first_of(successor, self._tasks[successor].ready, current)
        if successor.done():
            return await self._keep(current, successor)
        if not current.done():
            await _first_of(current, None, successor, within=self._options.overlap)
        if successor.done():
            return await self._keep(current, successor)
        await self._hand_over(current, successor)
        return successor

    async def _keep(self, current: asyncio.Task[str], successor: asyncio.Task[str]) -> asyncio.Task[str]:
        """Go on with the old connection after the one that was to take over has failed."""
        failed = self._tasks.pop(successor)
        successor.result()
        if not current.done():
            self._tasks[current].take_back(failed.number)
            await _first_of(current, None, within=self._backoff.pause())
        return current

    async def _hand_over(self, current: asyncio.Task[str], successor: asyncio.Task[str]) -> None:
        """End the old connection, and say what neither of the two brought."""
        was_lost = current.done()
        old, new = self._tasks.pop(current), self._tasks[successor]
        if not was_lost:
            current.cancel()
            await asyncio.gather(current, return_exceptions=True)
        now = self._now()
        controls = []
        if was_lost:
            controls.append(Control("disconnected", now, text=current.result()))
            for streams in new.accepted.values():
                controls += [Control("subscribed", now, stream.subscription.dataset) for stream in streams]
        for dataset, jump in new.trades.continue_from(old.trades):
            controls.append(gap_of(jump, dataset, now))
        if controls:
            await self._put(LiveMessage(now, controls=tuple(controls)))

    def _now(self) -> int:
        return self._carrier.clock()


async def _first_of(
    task: asyncio.Task[str], event: asyncio.Event | None, *others: asyncio.Task[str], within: float | None = None
) -> None:
    """Wait until a task is done, the event is set, or the time is over."""
    waited: set[asyncio.Task[object]] = {task, *others}
    waiter = None
    if event is not None:
        waiter = asyncio.create_task(event.wait())
        waited.add(waiter)
    try:
        await asyncio.wait(waited, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if waiter is not None:
            waiter.cancel()


class _Calls:
    """Calls for whole books, at the pace that all processes share."""

    def __init__(self, http: aiohttp.ClientSession, options: FeedOptions, pace: Pace, exchange: str) -> None:
        self._http = http
        self._options = options
        self._pace = pace
        self._exchange = exchange

    async def get(self, url: str) -> bytes:
        """Return the body of an answer.

        Raises
        ------
        SourceError
            If there is none.
        """
        address = at_base(url, self._options.url)
        await self._pace.turn(_SNAPSHOT_MS)
        with self._pace.pause_on_refusal():
            try:
                async with asyncio.timeout(self._options.connect_timeout), self._http.get(address) as response:
                    body = await response.read()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise SourceUnavailable(f"{address}: no answer ({error}); trying again") from error
            self._pace.pause_by_headers(urlsplit(url).path, response.headers)
            if response.status != 200:
                raise self._refusal(address, response)
            return body

    def _refusal(self, address: str, response: aiohttp.ClientResponse) -> SourceError:
        status = response.status
        lowered = {name.lower(): value for name, value in response.headers.items()}
        after = retry_after(lowered, time.time())
        if status == 429:
            return RateLimited(f"{address}: too many requests", after)
        if status == 418:
            return Banned(f"{address}: the exchange has banned this address for a while", after)
        if status in {401, 403, 451}:
            return AccessDenied(f"{address}: the exchange does not serve this address ({status})")
        return SourceUnavailable(f"{address}: the exchange answers {status}; trying again")
