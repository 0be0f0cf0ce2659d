"""What ccxt's handler of one message left in its caches, as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ticklake.core.time import MS
from ticklake.sources.ccxt.exact_time import exact_time, to_ns
from ticklake.sources.live.base import Subscription
from ticklake.sources.wire.reading import Memory
from ticklake.sources.wire.rows import Row
from ticklake.sources.wire.states import closed

__all__ = ["TakenRows"]

_LEVELS = 20
"""Levels of a book on each side, if nobody says how many."""


class TakenRows:
    """Takes rows of one kind from an instance of ccxt after each message.

    Trades and bars are taken out of ccxt's caches, so that each holds no more than the next message appends. Tickers and books, which
    ccxt's handlers change, stay; a row is made when they did change.

    Parameters
    ----------
    subscriptions
        Of one kind.
    """

    def __init__(self, subscriptions: Sequence[Subscription]) -> None:
        self._kind = subscriptions[0].dataset.kind
        self._depths = {str(entry.dataset.symbol): entry.depth or _LEVELS for entry in subscriptions}
        self._datasets = {str(entry.dataset.symbol): entry.dataset for entry in subscriptions}
        self._tickers: dict[str, Any] = {}
        self._books: dict[str, Any] = {}
        self.memory: Memory = {}
        """The bars that are not over."""

    @property
    def is_book(self) -> bool:
        """Whether books are taken: always ccxt's, which it builds from whole books and changes."""
        return self._kind == "book"

    def take(self, exchange: Any, received_at: int) -> list[Row]:
        """Return the rows that the last message brought. Rows name a market by its symbol."""
        if self._kind == "trades":
            return list(self._take_trades(exchange, received_at))
        if self._kind == "ohlcv":
            return list(self._take_bars(exchange, received_at))
        if self._kind == "quotes":
            return list(self._take_quotes(exchange, received_at))
        return list(self._take_books(exchange, received_at))

    def take_quietly(self, exchange: Any) -> None:
        """Empty the caches of trades after an error: what is in them belongs to the message that failed."""
        for cache in (exchange.trades or {}).values():
            cache.clear()

    def _take_trades(self, exchange: Any, received_at: int) -> Iterator[Row]:
        for symbol, cache in (exchange.trades or {}).items():
            trades = list(cache)
            cache.clear()
            for trade in trades:
                ident = trade.get("id")
                if ident is not None:
                    ident = str(ident)
                # Not the rule for answers to calls: messages have another form.
                ts = exact_time(trade)
                values = (ts, received_at, ident, trade["price"], trade["amount"], trade.get("side"))
                yield Row("trades", trade.get("symbol") or symbol, values)

    def _take_bars(self, exchange: Any, received_at: int) -> Iterator[Row]:
        for symbol, by_timeframe in (exchange.ohlcvs or {}).items():
            for timeframe, cache in by_timeframe.items():
                bars = []
                for ts, *values in cache:
                    bars.append(Row("ohlcv", symbol, (int(ts) * MS, *values[:5], None, None), timeframe))
                cache.clear()
                # ccxt does not say which are final.
                yield from closed(self.memory, bars, received_at)

    def _take_quotes(self, exchange: Any, received_at: int) -> Iterator[Row]:
        for symbol in self._datasets:
            ticker = (exchange.bidsasks or {}).get(symbol) or (exchange.tickers or {}).get(symbol)
            if ticker is None or ticker is self._tickers.get(symbol):
                continue
            self._tickers[symbol] = ticker
            sides = (ticker.get("bid"), ticker.get("bidVolume"), ticker.get("ask"), ticker.get("askVolume"))
            if sides[0] is None and sides[2] is None:
                continue
            ts = to_ns(ticker.get("timestamp")) or received_at
            yield Row("quotes", symbol, (ts, received_at, None, *sides))

    def _take_books(self, exchange: Any, received_at: int) -> Iterator[Row]:
        for symbol, depth in self._depths.items():
            book = (exchange.orderbooks or {}).get(symbol)
            if book is None:
                continue
            sides = {
                "bid": [level[:2] for level in book["bids"][:depth]],
                "ask": [level[:2] for level in book["asks"][:depth]],
            }
            if not sides["bid"] and not sides["ask"]:
                continue
            state = (book.get("nonce"), book.get("timestamp"), sides)
            if state == self._books.get(symbol):
                continue
            self._books[symbol] = state
            yield from _book_rows(symbol, book, sides, received_at)


def _book_rows(symbol: str, book: Any, sides: dict[str, list[Any]], received_at: int) -> Iterator[Row]:
    ts = to_ns(book.get("timestamp")) or received_at
    seq, space = book.get("nonce"), ""
    if seq is None:
        seq, space = ts, "time"
    for side, levels in sides.items():
        for price, amount in levels:
            yield Row("book", symbol, (ts, received_at, seq, side, price, amount, None, True), "", space)
