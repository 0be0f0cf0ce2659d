"""The messages of Binance's market streams (spot, USD-M and COIN-M futures), as its public documentation has them."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.symbol import Symbol
from ticklake.core.time import DAY, MINUTE, MS, SECOND
from ticklake.core.timeframe import Timeframe
from ticklake.errors import UnknownTimeframe
from ticklake.testing.exchange.bars import BarStream, FormingBar, contract_size
from ticklake.testing.exchange.binance import native_name
from ticklake.testing.exchange.book import STEP, Book, Books, Side, amount_text, contracts_text
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.streams import Message, Produce, Stream, grid
from ticklake.testing.exchange.tape import Tape, decimal_text

__all__ = ["BinanceStreams"]

_DEPTH = re.compile(r"depth(?P<levels>5|10|20)?(?:@(?P<speed>0ms|100ms|250ms|500ms|1000ms))?")
_LIQUIDATED = 50
_MOST_TICKERS = 10
_PRICE_BARS = {"markPriceKline": "mark_ohlcv", "indexPriceKline": "index_ohlcv"}
"""Streams of COIN-M futures, and the bars that they carry."""


def _family(symbol: Symbol) -> str:
    """Return the part of the exchange that a symbol belongs to."""
    if symbol.market_type == "spot":
        return "spot"
    if contract_size(symbol) is not None:
        return "inverse"
    return "linear"


class BinanceStreams:
    """The streams of one of Binance's sites; *family* is ``spot``, ``linear`` or ``inverse``. Connections share them."""

    def __init__(self, market: Market, exchange: str, family: str, books: Books, faults: Callable[[], Faults]) -> None:
        self._market = market
        self._exchange = exchange
        self._is_spot = family == "spot"
        # Binance pings spot clients every 20 seconds, those of futures every three minutes.
        self.ping_every = 20 * SECOND if self._is_spot else 3 * MINUTE
        self._books = books
        self._faults = faults
        self._streams: dict[str, Stream | None] = {}
        self._symbols: dict[str, Symbol] = {}
        for symbol in market.symbols(exchange):
            if _family(symbol) == family:
                self._symbols[native_name(symbol).lower()] = symbol

    def stream(self, name: str) -> Stream | None:
        """Return a stream by its name, like ``btcusdt@trade``; ``None`` if there is no such stream."""
        if name not in self._streams:
            self._streams[name] = self._made(name)
        return self._streams[name]

    def _made(self, name: str) -> Stream | None:
        native, _, channel = name.partition("@")
        symbol = self._symbols.get(native)
        if channel.startswith("indexPriceKline_"):
            # The contracts of a pair share an index, which has the pair's name.
            symbol = self._symbols.get(f"{native}_perp")
        if symbol is None:
            return None
        source = _Source(
            native.upper(),
            self._is_spot,
            contract_size(symbol),
            self._books.tape(self._exchange, symbol, self._faults()),
            self._books.book(self._exchange, symbol, self._faults()),
            self._faults,
        )
        if channel in ("trade", "aggTrade"):
            produce = _trades if channel == "trade" else _aggregates
            dataset = Dataset(self._exchange, "trades", symbol)
            return Stream(name, lambda start, end: produce(source, start, end), dataset)
        made = self._quotes(source, channel) or self._bars(source, symbol, channel)
        if made is None and not self._is_spot:
            made = self._futures(source, symbol, channel)
        if made is None:
            return None
        return Stream(name, made)

    def _quotes(self, source: _Source, channel: str) -> Produce | None:
        if channel == "bookTicker":
            return lambda start, end: _book_tickers(source, start, end)
        if channel in ("ticker", "miniTicker"):
            return lambda start, end: _tickers(source, channel, start, end)
        form = _DEPTH.fullmatch(channel)
        if form is None:
            return None
        steps = _steps(form["speed"] or ("1000ms" if self._is_spot else "250ms"))
        if form["levels"]:
            depth = int(form["levels"])
            return lambda start, end: _partial_books(source, depth, steps, start, end)
        return lambda start, end: _diffs(source, steps, start, end)

    def _bars(self, source: _Source, symbol: Symbol, channel: str) -> Produce | None:
        if not channel.startswith("kline_"):
            return None
        try:
            timeframe = Timeframe.parse(channel.removeprefix("kline_"))
        except UnknownTimeframe:
            return None
        bars = BarStream(self._market, self._exchange, symbol, timeframe, source.tape)
        return lambda start, end: _klines(source, bars, start, end)

    def _futures(self, source: _Source, symbol: Symbol, channel: str) -> Produce | None:
        is_inverse = contract_size(symbol) is not None
        for name, kind in _PRICE_BARS.items():
            if is_inverse and channel.startswith(f"{name}_"):
                return self._price_bars(source, symbol, kind, channel.removeprefix(f"{name}_"))
        if channel == "forceOrder":
            return lambda start, end: _liquidations(source, start, end)
        if channel in ("markPrice", "markPrice@1s"):
            funding = self._market.rows(self._exchange, symbol, "funding")
            rates = funding["ts"].to_physical().to_list(), funding["rate"].to_list()
            every = SECOND if channel.endswith("1s") else 3 * SECOND
            return lambda start, end: _mark_prices(source, rates, every, start, end)
        return None

    def _price_bars(self, source: _Source, symbol: Symbol, kind: str, interval: str) -> Produce | None:
        try:
            timeframe = Timeframe.parse(interval)
        except UnknownTimeframe:
            return None
        rows = self._market.rows(self._exchange, symbol, kind, timeframe)
        bars = rows.select(pl.col("ts").to_physical(), "open", "high", "low", "close").rows()
        return lambda start, end: _price_klines(source, kind, timeframe, bars, start, end)


@dataclass(frozen=True)
class _Source:
    """What the messages of a symbol are made of."""

    native: str
    is_spot: bool
    contract: float | None
    tape: Tape
    book: Book
    faults: Callable[[], Faults]

    @property
    def pair(self) -> str:
        """The pair of a COIN-M contract, as a part of its messages; nothing for other markets."""
        if self.contract is None:
            return ""
        return f'"ps":"{self.native.removesuffix("_PERP")}",'

    def amount_text(self, amount: int) -> str:
        """Write an amount of the book."""
        if self.contract is None:
            return amount_text(amount)
        return contracts_text(amount)

    def volumes(self, bar: FormingBar) -> tuple[str, str]:
        """Return the volume, and that of the quote currency; for COIN-M contracts, and in its place the amount of the coin."""
        if self.contract is None:
            return decimal_text(bar.volume), decimal_text(bar.quote_volume)
        return str(round(bar.quote_volume / self.contract)), decimal_text(bar.volume)

    def event_time(self, ts: int) -> int:
        """Return the time that a message of *ts* bears, in milliseconds: by the exchange's clock, which may be off."""
        return ts // MS + round(self.faults().socket_skew * 1000)


def _steps(speed: str) -> int:
    """Return how many steps of the book one message covers; real time is every step, 250 ms is two."""
    return max(int(speed.removesuffix("ms")) * MS // STEP, 1)


def _trades(source: _Source, start: int, end: int) -> list[Message]:
    tail = '"M":true' if source.is_spot else '"X":"MARKET"'
    return _trade_messages(source, start, end, "trade", "t", "", tail)


def _aggregates(source: _Source, start: int, end: int) -> list[Message]:
    """Return ``aggTrade`` messages: every trade is an aggregate of its own, as in the answers to calls."""
    tail = '"M":true' if source.is_spot else ""
    return _trade_messages(source, start, end, "aggTrade", "a", '"f":{0},"l":{0},', tail)


def _trade_messages(
    source: _Source, start: int, end: int, event: str, id_name: str, more: str, tail: str
) -> list[Message]:
    """Return a message for each trade; *more* stands before its time, with the id in the place of ``{0}``."""
    tape, native, skew = source.tape, source.native, source.event_time(0)
    last = f",{tail}}}" if tail else "}"
    messages: list[Message] = []
    for place in tape.between(start, end):
        ts, trade = tape.ts[place], tape.ids[place]
        at = ts // MS
        maker = "true" if tape.sides[place] == "sell" else "false"
        price, amount = decimal_text(tape.prices[place]), decimal_text(tape.amounts[place])
        text = (
            f'{{"e":"{event}","E":{at + skew},"s":"{native}","{id_name}":{trade},"p":"{price}","q":"{amount}",'
            f'{more.format(trade)}"T":{at},"m":{maker}{last}'
        )
        messages.append(Message(ts, text, (trade,)))
    return messages


def _levels(source: _Source, side: Side) -> str:
    texts = [f'["{source.book.price_text(index)}","{source.amount_text(amount)}"]' for index, amount in side]
    return f"[{','.join(texts)}]"


def _diffs(source: _Source, steps: int, start: int, end: int) -> list[Message]:
    book = source.book
    messages: list[Message] = []
    for ts in grid(start, end, steps * STEP):
        number = ts // STEP
        before = number - steps
        if not book.is_open(before):
            continue
        bids, asks = book.changes(before, number)
        at = source.event_time(ts)
        futures = ""
        if not source.is_spot:
            futures = f'"T":{ts // MS},"pu":{book.last_id(before)},{source.pair}'
        text = (
            f'{{"e":"depthUpdate","E":{at},"s":"{source.native}","U":{book.first_id(before + 1)},'
            f'"u":{book.last_id(number)},{futures}"b":{_levels(source, bids)},"a":{_levels(source, asks)}}}'
        )
        messages.append(Message(ts, text))
    return messages


def _partial_books(source: _Source, depth: int, steps: int, start: int, end: int) -> list[Message]:
    book = source.book
    messages: list[Message] = []
    for ts in grid(start, end, steps * STEP):
        number = ts // STEP
        if not book.is_open(number):
            continue
        bids, asks = book.top(number, depth)
        if source.is_spot:
            text = f'{{"lastUpdateId":{book.last_id(number)},"bids":{_levels(source, bids)},"asks":{_levels(source, asks)}}}'
        else:
            text = (
                f'{{"e":"depthUpdate","E":{source.event_time(ts)},"T":{ts // MS},"s":"{source.native}",{source.pair}'
                f'"U":{book.first_id(number - steps + 1)},"u":{book.last_id(number)},'
                f'"pu":{book.last_id(number - steps)},"b":{_levels(source, bids)},"a":{_levels(source, asks)}}}'
            )
        messages.append(Message(ts, text))
    return messages


def _book_tickers(source: _Source, start: int, end: int) -> list[Message]:
    book = source.book
    messages: list[Message] = []
    for ts in grid(start, end, STEP):
        number = ts // STEP
        if not book.is_open(number):
            continue
        (bid, bid_amount), (ask, ask_amount) = (side[0] for side in book.top(number, 1))
        head = f'"u":{book.last_id(number)},"s":"{source.native}"'
        if not source.is_spot:
            head = f'"e":"bookTicker",{source.pair}{head},"T":{ts // MS},"E":{source.event_time(ts)}'
        text = (
            f'{{{head},"b":"{book.price_text(bid)}","B":"{source.amount_text(bid_amount)}",'
            f'"a":"{book.price_text(ask)}","A":"{source.amount_text(ask_amount)}"}}'
        )
        messages.append(Message(ts, text))
    return messages


def _tickers(source: _Source, channel: str, start: int, end: int) -> list[Message]:
    """Return a message each second; the last few alone where time runs so fast that they would be many."""
    tape, book = source.tape, source.book
    messages: list[Message] = []
    for ts in list(grid(start, end, SECOND))[-_MOST_TICKERS:]:
        day = tape.since(ts - DAY, ts)
        if not day:
            continue
        bar = FormingBar.of(tape, day, source.contract)
        volume, quote_volume = source.volumes(bar)
        shared = (
            f'"E":{source.event_time(ts)},"s":"{source.native}",{source.pair}"c":"{decimal_text(bar.close)}",'
            f'"o":"{decimal_text(bar.open)}","h":"{decimal_text(bar.high)}","l":"{decimal_text(bar.low)}",'
            f'"v":"{volume}","q":"{quote_volume}"'
        )
        if channel == "miniTicker":
            messages.append(Message(ts, f'{{"e":"24hrMiniTicker",{shared}}}'))
            continue
        (bid, bid_amount), (ask, ask_amount) = (side[0] for side in book.top(ts // STEP, 1))
        change = bar.close - bar.open
        best = (
            f'"b":"{book.price_text(bid)}","B":"{source.amount_text(bid_amount)}",'
            f'"a":"{book.price_text(ask)}","A":"{source.amount_text(ask_amount)}",'
        )
        text = (
            f'{{"e":"24hrTicker",{shared},"p":"{change:.8f}","P":"{100 * change / bar.open:.3f}",'
            f'"w":"{bar.quote_volume / bar.volume:.8f}","x":"{decimal_text(bar.open)}",'
            f'"Q":"{decimal_text(tape.amounts[day[-1]])}",{best if source.is_spot else ""}'
            f'"O":{(ts - DAY) // MS},"C":{ts // MS},"F":{tape.ids[day[0]]},"L":{tape.ids[day[-1]]},"n":{len(day)}}}'
        )
        messages.append(Message(ts, text))
    return messages


def _klines(source: _Source, bars: BarStream, start: int, end: int) -> list[Message]:
    messages: list[Message] = []
    for update in bars.updates(start, end):
        bar, interval = update.bar, str(bars.timeframe)
        volume, quote_volume = source.volumes(bar)
        text = (
            f'{{"e":"kline","E":{source.event_time(update.ts)},"s":"{source.native}",{source.pair}"k":{{"t":{update.opened // MS},'
            f'"T":{bars.timeframe.next(update.opened) // MS - 1},"s":"{source.native}","i":"{interval}",'
            f'"f":{bar.first_id},"L":{bar.last_id},"o":"{decimal_text(bar.open)}","c":"{decimal_text(bar.close)}",'
            f'"h":"{decimal_text(bar.high)}","l":"{decimal_text(bar.low)}","v":"{volume}",'
            f'"n":{bar.trades},"x":{"true" if update.is_final else "false"},"q":"{quote_volume}",'
            f'"V":"0","Q":"0","B":"0"}}}}'
        )
        messages.append(Message(update.ts, text))
    return messages


def _price_klines(
    source: _Source, kind: str, timeframe: Timeframe, bars: Sequence[tuple[Any, ...]], start: int, end: int
) -> list[Message]:
    """Return the bars of a mark or an index price as they end."""
    messages: list[Message] = []
    event = {"mark_ohlcv": "markPrice_kline", "index_ohlcv": "indexPrice_kline"}[kind]
    name = source.native if kind == "mark_ohlcv" else "0"
    # A bar is over a timeframe after it opened: those that open two before may end inside.
    place = bisect_left(bars, start - 2 * timeframe.length, key=itemgetter(0))
    for opened, *prices in bars[place:]:
        over = timeframe.next(opened)
        if over > end:
            break
        if over > start:
            open_, high, low, close = map(decimal_text, prices)
            text = (
                f'{{"e":"{event}","E":{source.event_time(over)},"ps":"{source.native.removesuffix("_PERP")}","k":{{'
                f'"t":{opened // MS},"T":{over // MS - 1},"s":"{name}","i":"{timeframe}","f":0,"L":0,"o":"{open_}",'
                f'"c":"{close}","h":"{high}","l":"{low}","v":"0","n":60,"x":true,"q":"0","V":"0","Q":"0","B":"0"}}}}'
            )
            messages.append(Message(over, text))
    return messages


def _mark_prices(
    source: _Source, rates: tuple[list[int], list[float]], every: int, start: int, end: int
) -> list[Message]:
    """Return mark prices, which are those of the last trades, with the next funding rate as the calls have it."""
    times, prices = source.tape.quotes
    messages: list[Message] = []
    for ts in grid(start, end, every):
        place = bisect_right(times, ts) - 1
        following = min(bisect_right(rates[0], ts), len(rates[0]) - 1)
        if place < 0 or following < 0:
            continue
        price = decimal_text(prices[place])
        text = (
            f'{{"e":"markPriceUpdate","E":{source.event_time(ts)},"s":"{source.native}","p":"{price}","i":"{price}",'
            f'"P":"{price}","r":"{decimal_text(rates[1][following])}","T":{rates[0][following] // MS}}}'
        )
        messages.append(Message(ts, text))
    return messages


def _liquidations(source: _Source, start: int, end: int) -> list[Message]:
    """Return orders of the liquidation engine: some trades are filled by it."""
    tape, native = source.tape, source.native
    messages: list[Message] = []
    for place in tape.between(start, end):
        if tape.ids[place] % _LIQUIDATED:
            continue
        ts, side = tape.ts[place], (tape.sides[place] or "buy").upper()
        price, amount = decimal_text(tape.prices[place]), decimal_text(tape.amounts[place])
        text = (
            f'{{"e":"forceOrder","E":{source.event_time(ts)},"o":{{"s":"{native}",{source.pair}"S":"{side}","o":"LIMIT","f":"IOC",'
            f'"q":"{amount}","p":"{price}","ap":"{price}","X":"FILLED","l":"{amount}","z":"{amount}","T":{ts // MS}}}}}'
        )
        messages.append(Message(ts, text))
    return messages
