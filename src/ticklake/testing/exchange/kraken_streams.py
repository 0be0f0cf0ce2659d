"""The messages of Kraken's WebSocket API v2 (spot), as its public documentation has them.

Numbers are JSON numbers with all decimals of the pair: the checksum of a book depends on their text.
"""

from __future__ import annotations

import datetime as dt
import json
import zlib
from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache

from ticklake.core.dataset import Dataset
from ticklake.core.time import DAY, SECOND, US
from ticklake.core.timeframe import Timeframe
from ticklake.testing.exchange.bars import BarStream, BarUpdate, FormingBar
from ticklake.testing.exchange.book import STEP, Book, Books, Ladder, Side
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.kraken import AMOUNT_DECIMALS, INTERVALS, PRICE_DECIMALS
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.streams import Message, Stream, grid
from ticklake.testing.exchange.tape import Tape

__all__ = ["DEPTHS", "KrakenStreams", "time_text"]

DEPTHS = (10, 25, 100, 500, 1000)
_CHECKED = 10
_RECENT_TRADES = 50
_RECENT_BARS = 100
_MOST_TICKERS = 10
_TOP = tuple[Side, Side]


class KrakenStreams:
    """The streams of Kraken; connections share them.

    Names are ``trade:BTC/USD``, ``ticker:BTC/USD`` (``ticker-bbo:``), ``book-10:BTC/USD``, ``ohlc-1:BTC/USD``, ``instrument``.
    """

    def __init__(self, market: Market, exchange: str, books: Books, faults: Callable[[], Faults]) -> None:
        self._market = market
        self._exchange = exchange
        self._books = books
        self._faults = faults
        self._streams: dict[str, Stream] = {}
        self._symbols = {str(symbol): symbol for symbol in market.symbols(exchange) if symbol.market_type == "spot"}

    def knows(self, name: str, now: int) -> bool:
        """Whether a pair is listed."""
        symbol = self._symbols.get(name)
        return symbol is not None and symbol in self._market.listed(self._exchange, now)

    def stream(self, name: str) -> Stream:
        """Return a stream by its name."""
        if name not in self._streams:
            self._streams[name] = self._made(name)
        return self._streams[name]

    def snapshot(self, name: str, now: int) -> str | None:
        """Return the first message of a stream, where it has one."""
        channel, _, pair = name.partition(":")
        if channel == "instrument":
            return _message("instrument", "snapshot", self._instruments(now))
        if channel == "trade":
            return self._recent_trades(pair, now)
        if channel.startswith("ticker"):
            ticker = self._ticker(pair, now)
            return None if ticker is None else _message("ticker", "snapshot", f"[{ticker}]")
        if channel.startswith("book-"):
            return self._book(name).snapshot(now)
        bars = self._bars(name).recent(now, _RECENT_BARS)
        return _message("ohlc", "snapshot", f"[{','.join(self._bar(name, bar) for bar in bars)}]", now)

    def _made(self, name: str) -> Stream:
        channel, _, pair = name.partition(":")
        if channel == "trade":
            dataset = Dataset(self._exchange, "trades", self._symbols[pair])
            return Stream(name, lambda start, end: self._trades(pair, start, end), dataset)
        if channel == "instrument":
            return Stream(name, lambda _start, _end: [])
        if channel.startswith("ticker"):
            return Stream(name, lambda start, end: self._tickers(pair, channel.endswith("bbo"), start, end))
        if channel.startswith("book-"):
            return Stream(name, self._book(name).updates)
        bars = self._bars(name)
        return Stream(name, lambda start, end: self._bar_updates(name, bars, start, end))

    def _tape(self, pair: str) -> Tape:
        return self._books.tape(self._exchange, self._symbols[pair], self._faults())

    def _book(self, name: str) -> _BookStream:
        channel, _, pair = name.partition(":")
        book = self._books.book(self._exchange, self._symbols[pair], self._faults())
        return _BookStream(book, pair, int(channel.removeprefix("book-")), self._skew)

    def _bars(self, name: str) -> BarStream:
        channel, _, pair = name.partition(":")
        timeframe = Timeframe.parse(INTERVALS[int(channel.removeprefix("ohlc-"))])
        return BarStream(self._market, self._exchange, self._symbols[pair], timeframe, self._tape(pair))

    def _skew(self) -> int:
        """Return how far the times of events are off, in nanoseconds."""
        return round(self._faults().socket_skew * SECOND)

    def _trades(self, pair: str, start: int, end: int) -> list[Message]:
        """Return a message for all trades of one instant."""
        tape = self._tape(pair)
        messages: list[Message] = []
        texts: list[str] = []
        ids: list[int] = []
        places = tape.between(start, end)
        for place in places:
            texts.append(_trade(tape, pair, place))
            ids.append(tape.ids[place])
            ts = tape.ts[place]
            if place + 1 == places.stop or tape.ts[place + 1] != ts:
                messages.append(Message(ts, _message("trade", "update", f"[{','.join(texts)}]"), tuple(ids)))
                texts, ids = [], []
        return messages

    def _recent_trades(self, pair: str, now: int) -> str:
        tape = self._tape(pair)
        past = bisect_right(tape.ts, now)
        texts = [_trade(tape, pair, place) for place in range(max(past - _RECENT_TRADES, 0), past)]
        return _message("trade", "snapshot", f"[{','.join(texts)}]")

    def _tickers(self, pair: str, is_bbo: bool, start: int, end: int) -> list[Message]:
        """Return a ticker at every trade, or at every change of the best prices; the last few where time runs fast."""
        if is_bbo:
            times = list(grid(start, end, STEP))
        else:
            tape = self._tape(pair)
            times = sorted({tape.ts[place] for place in tape.between(start, end)})
        messages: list[Message] = []
        for ts in times[-_MOST_TICKERS:]:
            ticker = self._ticker(pair, ts)
            if ticker is not None:
                messages.append(Message(ts, _message("ticker", "update", f"[{ticker}]")))
        return messages

    def _ticker(self, pair: str, ts: int) -> str | None:
        tape = self._tape(pair)
        book = self._books.book(self._exchange, self._symbols[pair], self._faults())
        day = tape.since(ts - DAY, ts)
        if not day or not book.is_open(ts // STEP):
            return None
        bar = FormingBar.of(tape, day)
        (bid, bid_amount), (ask, ask_amount) = (side[0] for side in book.top(ts // STEP, 1))
        return (
            f'{{"symbol":"{pair}","bid":{book.price_text(bid, PRICE_DECIMALS)},"bid_qty":{_amount(bid_amount)},'
            f'"ask":{book.price_text(ask, PRICE_DECIMALS)},"ask_qty":{_amount(ask_amount)},"last":{_price(bar.close)},'
            f'"volume":{bar.volume:.8f},"vwap":{_price(bar.quote_volume / bar.volume)},"low":{_price(bar.low)},'
            f'"high":{_price(bar.high)},"change":{_price(bar.close - bar.open)},'
            f'"change_pct":{100 * (bar.close - bar.open) / bar.open:.2f}}}'
        )

    def _bar_updates(self, name: str, bars: BarStream, start: int, end: int) -> list[Message]:
        messages: list[Message] = []
        for update in bars.updates(start, end):
            text = _message("ohlc", "update", f"[{self._bar(name, update)}]", update.ts + self._skew())
            messages.append(Message(update.ts, text))
        return messages

    def _bar(self, name: str, update: BarUpdate) -> str:
        channel, _, pair = name.partition(":")
        interval = int(channel.removeprefix("ohlc-"))
        bar = update.bar
        vwap = bar.close
        if bar.volume and bar.quote_volume:
            vwap = bar.quote_volume / bar.volume
        end = Timeframe.parse(INTERVALS[interval]).length + update.opened
        return (
            f'{{"symbol":"{pair}","open":{_price(bar.open)},"high":{_price(bar.high)},"low":{_price(bar.low)},'
            f'"close":{_price(bar.close)},"trades":{bar.trades},"volume":{bar.volume:.8f},"vwap":{_price(vwap)},'
            f'"interval_begin":"{time_text(update.opened)[:-1]}000Z","interval":{interval},"timestamp":"{time_text(end)}"}}'
        )

    def _instruments(self, now: int) -> str:
        names = [name for name in self._symbols if self.knows(name, now)]
        coins = sorted({coin for name in names for coin in name.split("/")})
        assets = [{"id": coin, "status": "enabled", "precision": 10, "precision_display": 5} for coin in coins]
        pairs = list(map(_pair, names))
        return json.dumps({"assets": assets, "pairs": pairs})


class _BookStream:
    """The best levels of a book, as a client keeps them that drops what is beyond its depth."""

    def __init__(self, book: Book, pair: str, depth: int, skew: Callable[[], int]) -> None:
        self._book = book
        self._pair = pair
        self._depth = depth
        self._skew = skew
        self._ladder: Ladder | None = None
        self._last: tuple[int, _TOP] = (-1, ([], []))

    def snapshot(self, now: int) -> str | None:
        number = now // STEP
        if not self._book.is_open(number):
            return None
        top = self._book.top(number, self._depth)
        return _message("book", "snapshot", self._data(number, top, top))

    def updates(self, start: int, end: int) -> list[Message]:
        messages: list[Message] = []
        for ts in grid(start, end, STEP):
            number = ts // STEP
            if not self._book.is_open(number - 1):
                continue
            if self._ladder is None or self._last[0] != number - 1:
                self._ladder = Ladder(self._book, number - 1)
                self._last = (number - 1, self._ladder.top(self._depth))
            self._ladder.advance()
            top = self._ladder.top(self._depth)
            old = self._last[1]
            self._last = (number, top)
            changed = _changed(old[0], top[0], 1), _changed(old[1], top[1], -1)
            if changed[0] or changed[1]:
                messages.append(Message(ts, _message("book", "update", self._data(number, changed, top))))
        return messages

    def _data(self, number: int, sent: _TOP, top: _TOP) -> str:
        bids, asks = (f"[{','.join(map(self._level, side))}]" for side in sent)
        at = time_text(number * STEP + self._skew())
        return (
            f'[{{"symbol":"{self._pair}","bids":{bids},"asks":{asks},'
            f'"checksum":{self._checksum(top)},"timestamp":"{at}"}}]'
        )

    def _level(self, level: tuple[int, int]) -> str:
        return f'{{"price":{self._book.price_text(level[0], PRICE_DECIMALS)},"qty":{_amount(level[1])}}}'

    def _checksum(self, top: _TOP) -> int:
        """Return the CRC32 of the ten best asks and bids: digits without points and leading zeros."""
        digits: list[str] = []
        for side in (top[1], top[0]):
            for index, amount in side[:_CHECKED]:
                digits.append(self._book.price_text(index, PRICE_DECIMALS).replace(".", "").lstrip("0"))
                digits.append(_amount(amount).replace(".", "").lstrip("0"))
        return zlib.crc32("".join(digits).encode())


def _changed(old: Side, new: Side, sign: int) -> Side:
    """Return the levels that a client with *old* needs for *new*; *sign* is 1 for bids, which fall, and -1 for asks.

    What is worse than all of *new* is not removed: the client drops it by itself.
    """
    amounts = dict(old)
    changed = [level for level in new if amounts.get(level[0]) != level[1]]
    kept = dict(new)
    worst = new[-1][0] * sign if new else 0
    removed = [(index, 0) for index, _ in old if index not in kept and index * sign > worst]
    return [*removed, *changed]


def _message(channel: str, kind: str, data: str, at: int | None = None) -> str:
    timestamp = ""
    if at is not None:
        timestamp = f'"timestamp":"{time_text(at)[:-1]}000Z",'
    return f'{{"channel":"{channel}","type":"{kind}",{timestamp}"data":{data}}}'


def _trade(tape: Tape, pair: str, place: int) -> str:
    return (
        f'{{"symbol":"{pair}","side":"{tape.sides[place] or "buy"}","price":{_price(tape.prices[place])},'
        f'"qty":{tape.amounts[place]:.{AMOUNT_DECIMALS}f},"ord_type":"market","trade_id":{tape.ids[place]},'
        f'"timestamp":"{time_text(tape.ts[place])}"}}'
    )


def _price(value: float) -> str:
    return f"{value:.{PRICE_DECIMALS}f}"


def _amount(units: int) -> str:
    """Write an amount of the book, which is in units of 0.00001."""
    return f"{units // 100_000}.{units % 100_000:05d}000"


def _pair(name: str) -> dict[str, object]:
    base, quote = name.split("/")
    tick = 10.0**-PRICE_DECIMALS
    return {
        "symbol": name,
        "base": base,
        "quote": quote,
        "status": "online",
        "qty_precision": AMOUNT_DECIMALS,
        "qty_increment": 10.0**-AMOUNT_DECIMALS,
        "qty_min": 0.0001,
        "price_precision": PRICE_DECIMALS,
        "price_increment": tick,
        "tick_size": tick,
        "cost_precision": PRICE_DECIMALS,
        "cost_min": 0.5,
        "marginable": False,
        "has_index": False,
    }


def time_text(ts: int) -> str:
    """Write a time as Kraken does, with microseconds."""
    return f"{_second_text(ts // SECOND)}.{ts % SECOND // US:06d}Z"


@lru_cache(maxsize=1024)
def _second_text(second: int) -> str:
    return dt.datetime.fromtimestamp(second, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
