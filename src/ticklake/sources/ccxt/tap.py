"""Live feeds through ccxt.pro: every message is taken before ccxt sees it.

What ``watch_*`` returns is never data: it loses trades when nobody asks for a while. Here ccxt connects, subscribes and answers pings; the
hook through which its client hands over each message gives it to Ticklake's own reader of the exchange, or, where there is none, takes what
ccxt's handler of that one message appended.
"""

from __future__ import annotations

import asyncio
import importlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument
from ticklake.errors import SourceError, TicklakeError, UnknownSymbol, Unsupported
from ticklake.sources.ccxt import tap_answers, tap_rows
from ticklake.sources.ccxt.client import translated
from ticklake.sources.ccxt.tap_client import tapped_exchange
from ticklake.sources.live.base import Control, Feed, LiveMessage, RowKey, Sink, Subscription, wanted_rows
from ticklake.sources.live.clock import SteeredClock
from ticklake.sources.live.continuity import TradeIds, complete_bars
from ticklake.sources.live.final_bars import FinalBars
from ticklake.sources.live.options import FeedOptions
from ticklake.sources.live.watchdog import Watchdog
from ticklake.sources.wire.channels import Channels
from ticklake.sources.wire.messages import READERS
from ticklake.sources.wire.reading import Memory, read_with
from ticklake.sources.wire.rows import Row
from ticklake.sources.wire.states import open_bars

__all__ = ["TapFeed", "tapped_feeds"]

_METHODS = {
    "trades": "watch_trades",
    "ohlcv": "watch_ohlcv",
    "quotes": "watch_ticker",
    "book": "watch_order_book",
}
_HAS = {"trades": "watchTrades", "ohlcv": "watchOHLCV", "quotes": "watchTicker", "book": "watchOrderBook"}
_STREAMS = 100
"""Streams of one instance. ccxt opens as many connections for them as the exchange needs."""
_MOST_WAITING = 5_000
"""Messages that wait for the sink before nothing more is read."""
_MESSAGES_AT_ONCE = 200
_LAST_SECONDS = 1.0
"""For so long a feed that is cancelled hands over what it has read."""


def tapped_feeds(
    exchange: str, subscriptions: Sequence[Subscription], listed: Mapping[str, Instrument], options: FeedOptions
) -> list[Feed]:
    """Return the feeds for subscriptions: one instance of ccxt for each kind and sort of markets.

    Kinds that share an instance get mixed up. So would markets: many exchanges call the spot market and the perpetual one by the same
    name, and messages do not say which they mean.

    Raises
    ------
    UnknownSymbol, Unsupported
        If the exchange does not list a symbol, or ccxt has no stream of it.
    """
    parts: dict[tuple[str, str, bool], list[Subscription]] = {}
    for subscription in dict.fromkeys(subscriptions):
        if str(subscription.dataset.symbol) not in listed:
            raise UnknownSymbol(f"{exchange} does not list {subscription.dataset.symbol}")
        market = listed[str(subscription.dataset.symbol)]
        part = (subscription.dataset.kind, market.market_type, bool(market.details.get("inverse")))
        parts.setdefault(part, []).append(subscription)
    feeds: list[Feed] = []
    for (kind, _, _), wanted in parts.items():
        _check_served(exchange, kind)
        starts = range(0, len(wanted), _STREAMS)
        feeds += [TapFeed(exchange, wanted[start : start + _STREAMS], listed, options) for start in starts]
    return feeds


def _check_served(exchange: str, kind: str) -> None:
    pro = importlib.import_module("ccxt.pro")
    served: Mapping[str, Any] = {}
    if exchange in pro.exchanges:
        served = getattr(pro, exchange)().has
    has_quotes = kind == "quotes" and served.get("watchBidsAsks")
    if kind not in _METHODS or not (served.get(_HAS[kind]) or has_quotes):
        raise Unsupported(f"{exchange} has no stream of {kind} that ccxt knows: collect it by calls")


class TapFeed(Feed):
    """The streams of one kind of an exchange, through one instance of ccxt.pro."""

    def __init__(
        self,
        exchange: str,
        subscriptions: Sequence[Subscription],
        listed: Mapping[str, Instrument],
        options: FeedOptions,
        clock: SteeredClock | None = None,
    ) -> None:
        self.exchange = exchange
        self.subscriptions = tuple(subscriptions)
        self.datasets: dict[RowKey, Dataset] = {}
        self.instruments = listed
        self.options = options
        self.clock = clock or SteeredClock()
        self.trades = TradeIds()
        datasets = [subscription.dataset for subscription in subscriptions]
        for dataset in datasets:
            self.datasets[dataset.kind, listed[str(dataset.symbol)].native_id, dataset.timeframe_text or ""] = dataset
        for dataset in datasets:
            for name in _names_of(listed[str(dataset.symbol)]):
                self.datasets.setdefault((dataset.kind, name, dataset.timeframe_text or ""), dataset)

    async def run(self, sink: Sink) -> None:
        """Deliver messages until the task is cancelled."""
        backoff = self.options.backoff()
        refused: dict[Dataset, str] = {}
        tapped: _Tapped | None = None
        while True:
            began = self.options.monotonic()
            tapped = _Tapped(self, sink, refused, tapped)
            reason = await tapped.run()
            now = self.clock()
            await sink.put(self, LiveMessage(now, controls=(Control("disconnected", now, text=reason),)))
            if self.options.monotonic() - began > self.options.longest_pause:
                backoff.reset()
            await asyncio.sleep(backoff.pause())


class _Tapped:
    """One instance of ccxt at work, until its connection ends."""

    def __init__(self, feed: TapFeed, sink: Sink, refused: dict[Dataset, str], before: _Tapped | None) -> None:
        self._feed = feed
        self._sink = sink
        self._options = feed.options
        self._refused = refused
        self._readers = READERS.get(feed.exchange, ())
        self._channels = Channels()
        self._memory: Memory = {}
        self._pending: dict[Dataset, str] = {}
        self._waiting: deque[LiveMessage] = deque()
        self._arrived = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._taken = tap_rows.TakenRows(feed.subscriptions)
        self._ccxt = tapped_exchange(feed.exchange, self._options, self)
        before_watchdog: Watchdog | None = None
        self._markets: dict[str, Any] | None = None
        if before is not None:
            before_watchdog = before.watchdog
            self._markets = before._markets
        self.watchdog: Watchdog = Watchdog(self._options.silence, self._options.monotonic(), before_watchdog)
        self._has_message = False
        self._final_bars = FinalBars(feed.datasets)

    async def run(self) -> str:
        """Deliver messages until the connection ends, and return why it did."""
        tasks = [asyncio.create_task(work) for work in (self._subscribe(), self._hand_over(), self._tend())]
        waited: list[asyncio.Future[Any]] = [self._ended, *tasks]
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not self._ended.done():
                for task in tasks:
                    if task.done():
                        task.result()
            await self._drain()
        except asyncio.CancelledError:
            await _ended(tasks)
            # What was read is stored, unless the sink takes no more: it may be at its end, too.
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_SECONDS):
                    await self._drain()
            raise
        finally:
            await _ended(tasks)
            await self._close()
        return self._ended.result()

    async def _close(self) -> None:
        """Close ccxt's connections; what its own tasks say about that is of no interest."""
        for client in dict(self._ccxt.clients or {}).values():
            for future in client.futures.values():
                future.cancel()
        await self._ccxt.close()

    # Hooks that ccxt calls

    def on_message(self, handle: Callable[[], object], message: Any) -> None:
        """Take a message: it is read, then ccxt's handler gets it. Neither can end the connection by an error."""
        received_at, now = self._feed.clock(), self._options.monotonic()
        self._has_message = True
        self.watchdog.data(now)
        rows: list[Row] = []
        is_known = False
        # Whatever becomes of the message: it may give a channel its number.
        is_control = self._channels.of(message).is_control
        try:
            reading = None
            if not self._taken.is_book:
                reading = self._read(message, received_at)
            if reading is not None:
                rows, is_known = reading, True
        except Exception:
            is_known = False
        try:
            handle()
            taken = self._taken.take(self._ccxt, received_at)
            if not is_known:
                rows, is_known = taken, True
        except Exception:
            # A rejection is raised, too: below it is looked at as a message.
            self._taken.take_quietly(self._ccxt)
        self._queue(message, rows, received_at, is_known or is_control)

    def on_unreadable(self, data: bytes | str) -> None:
        """Take a message that ccxt cannot decode or unpack, or that cannot be handed over."""
        if isinstance(data, str):
            data = data.encode()
        self._has_message = True
        self._put(LiveMessage(self._feed.clock(), is_known=False, raw=data))

    def on_end(self, reason: str) -> None:
        """Take note that a connection has ended: all streams begin anew."""
        if not self._ended.done():
            self._ended.set_result(reason)

    async def gate(self) -> None:
        """Wait while the sink is slow: nothing is read from the socket meanwhile."""
        await self._may_read.wait()

    # Messages

    def _read(self, message: Any, received_at: int) -> list[Row] | None:
        reading = read_with(self._readers, message, received_at, self._channels.subscription_of(message), self._memory)
        if reading is None:
            return None
        return reading.rows

    def _queue(self, message: Any, rows: list[Row], received_at: int, is_known: bool) -> None:
        datasets = self._feed.datasets
        wanted = wanted_rows(rows, datasets)
        self._final_bars.note(wanted)
        controls = self._answers(message, received_at, bool(wanted))
        if self._pending:
            controls += self._first_rows(wanted, received_at)
        controls += self._feed.trades.gaps(wanted, datasets, received_at)
        raw = b""
        if self._options.capture or not is_known:
            raw = tap_answers.text_of(message).encode()
        # An answer to a request is understood, whatever ccxt makes of it.
        is_known = is_known or bool(controls)
        self._put(LiveMessage(received_at, wanted, tuple(controls), is_known, raw))
        self._complete(wanted, received_at)

    def _complete(self, rows: list[Row], at: int) -> None:
        complete = complete_bars(rows, self._feed.datasets, at)
        if complete:
            self._put(LiveMessage(at, controls=complete))

    def _give_final_bars(self, now: float) -> None:
        """Give out the bars that are over. Where our own readers read them, those that ccxt made of them are not wanted."""
        memory = self._memory
        if not open_bars(memory):
            memory = self._taken.memory
        for message in self._final_bars.messages(memory, self._feed.clock(), now):
            self._put(message)

    def _put(self, message: LiveMessage) -> None:
        self._waiting.append(message)
        self._arrived.set()
        if len(self._waiting) >= _MOST_WAITING:
            self._may_read.clear()

    def _first_rows(self, rows: Sequence[Row], received_at: int) -> list[Control]:
        """Return that streams are subscribed, as their rows come: ccxt hides the answers of exchanges."""
        controls = []
        for row in rows:
            dataset = self._feed.datasets[row.kind, row.native, row.timeframe]
            if self._pending.pop(dataset, None) is not None:
                controls.append(Control("subscribed", received_at, dataset))
        return controls

    def _answers(self, message: Any, received_at: int, has_rows: bool) -> list[Control]:
        """Return what an answer of the exchange to a subscription says, as far as it shows whom it is about."""
        if has_rows or not self._pending or not isinstance(message, dict):
            return []
        refuses = tap_answers.refuses(message)
        if not refuses and not self._channels.of(message).is_control:
            return []
        text = tap_answers.text_of(message)
        meant = [dataset for dataset, native in self._pending.items() if tap_answers.names(text, native, dataset)]
        if not meant and len(self._pending) == 1 and (refuses or "id" in message):
            meant = list(self._pending)
        controls = []
        for dataset in meant:
            if refuses:
                controls.append(self._refuse(dataset, text[:300], received_at))
            elif tap_answers.accepts(message):
                del self._pending[dataset]
                controls.append(Control("subscribed", received_at, dataset))
        return controls

    def _refuse(self, dataset: Dataset, text: str, received_at: int) -> Control:
        self._pending.pop(dataset, None)
        self._refused[dataset] = text
        if len(self._refused) == len(self._feed.subscriptions):
            self.on_end("everything was refused")
        return Control("refused", received_at, dataset, text)

    async def _hand_over(self) -> None:
        """Give what came to the sink."""
        now = self._feed.clock()
        await self._sink.put(self._feed, LiveMessage(now, controls=(Control("connected", now),)))
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            await self._drain()

    async def _drain(self) -> None:
        count = 0
        while self._waiting:
            message = self._waiting.popleft()
            if not self._may_read.is_set() and len(self._waiting) < _MOST_WAITING // 2:
                now = self._feed.clock()
                slow = Control("slow", now, text=f"{_MOST_WAITING} messages waited")
                message = LiveMessage(
                    message.received_at, message.rows, (slow, *message.controls), message.is_known, message.raw
                )
                self._may_read.set()
            await self._sink.put(self._feed, message)
            count += 1
            if count % _MESSAGES_AT_ONCE == 0:
                await asyncio.sleep(0)

    # Subscribing and keeping alive

    async def _subscribe(self) -> None:
        """Call ``watch_*`` once for each stream."""
        try:
            if self._markets is None:
                await self._ccxt.load_markets()
                self._markets = self._ccxt.markets
            else:
                # A new connection needs no call; ccxt begins to run with its first one.
                self._ccxt.open()
                self._ccxt.set_markets(list(self._markets.values()))
        except Exception as error:
            raise_or_end(translated(error, self._feed.exchange), self.on_end)
            return
        wanted = [entry for entry in self._feed.subscriptions if entry.dataset not in self._refused]
        if not wanted:
            dataset, text = next(iter(self._refused.items()))
            raise SourceError(f"{self._feed.exchange} refuses {dataset} and every other stream: {text}")
        for subscription in wanted:
            native = self._feed.instruments[str(subscription.dataset.symbol)].native_id
            self._pending[subscription.dataset] = native
        await asyncio.gather(*(self._watch(subscription) for subscription in wanted))
        await asyncio.Event().wait()

    async def _watch(self, subscription: Subscription) -> None:
        """Let ccxt subscribe. What the call returns is of no interest; books are watched again, so that ccxt mends them."""
        dataset = subscription.dataset
        arguments: list[Any] = [str(dataset.symbol)]
        if dataset.timeframe is not None:
            arguments.append(str(dataset.timeframe))
        method = getattr(self._ccxt, _METHODS[dataset.kind])
        if dataset.kind == "quotes" and self._ccxt.has.get("watchBidsAsks"):
            # Tickers come every second at best, quotes whenever they change.
            method, arguments = self._ccxt.watch_bids_asks, [[str(dataset.symbol)]]
        while True:
            try:
                await method(*arguments)
            except asyncio.CancelledError:
                if self._ended.done():
                    return
                raise
            except Exception as error:
                self._failed(dataset, translated(error, self._feed.exchange))
                return
            if not self._taken.is_book:
                return

    def _failed(self, dataset: Dataset, error: TicklakeError) -> None:
        if dataset in self._refused:
            return
        if error.retriable or dataset not in self._pending:
            self.on_end(str(error))
            return
        now = self._feed.clock()
        self._put(LiveMessage(now, controls=(self._refuse(dataset, str(error), now),)))

    async def _tend(self) -> None:
        """Look after deadlines, pings and silence."""
        deadline = self._options.monotonic() + self._options.connect_timeout + self._options.acknowledge_timeout
        pinged_at = self._options.monotonic()
        while True:
            await asyncio.sleep(self._options.tick)
            now = self._options.monotonic()
            self._give_final_bars(now)
            if not self._has_message and now > deadline:
                self.on_end(f"no answer in {self._options.acknowledge_timeout:g} s")
            if not self._may_read.is_set():
                self.watchdog.pause(self._options.tick)
                continue
            if now - pinged_at >= (self._options.ping_every or 15.0):
                pinged_at = now
                await self._ping(now)
            if self._has_message and self.watchdog.verdict(now) != "alive":
                self.on_end("the connection fell silent")

    async def _ping(self, now: float) -> None:
        for client in dict(self._ccxt.clients or {}).values():
            if client.lastPong is not None and client.lastPong > getattr(client, "ticklake_pong", 0):
                client.ticklake_pong = client.lastPong
                self.watchdog.sign(now)
                at = self._feed.clock()
                self._put(LiveMessage(at, controls=(Control("heartbeat", at),)))
            if client.connection is not None and not client.connection.closed:
                try:
                    await client.connection.ping()
                except (OSError, RuntimeError) as error:
                    self.on_end(f"the connection broke: {error}")


def raise_or_end(error: TicklakeError, end: Callable[[str], object]) -> None:
    """Raise an error that no new connection can cure; otherwise end the connection."""
    if not error.retriable:
        raise error
    end(str(error))


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _names_of(market: Instrument) -> list[str]:
    """Return what messages, and their readers, may call a market besides its id.

    The id in capital letters (HTX, Bitstamp), a symbol like ccxt's (Kraken), or base and quote in this order (Upbit's ids have the
    quote first). All markets of a feed are of one sort: no name stands for two of them.
    """
    names = [market.symbol, market.native_id.upper()]
    if market.market_type == "spot":
        names += [f"{market.base}{between}{market.quote}" for between in ("-", "_", "/", "")]
    if market.exchange == "hyperliquid" and market.market_type != "spot":
        # Its ids are places in a list; messages name the coin.
        names += [str(market.details.get("baseName") or market.base), market.base]
    return names
