"""Binance's WebSocket market streams (spot and USD-M futures) over a simulated market: pure, no sockets.

Names, fields and answers follow Binance's public documentation of its WebSocket market streams.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ticklake.core.dataset import Dataset
from ticklake.core.symbol import Symbol
from ticklake.core.time import MS
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.streams import Message, Produce, Stream
from ticklake.testing.exchange.tape import Tape, decimal_text

__all__ = ["BinanceSession", "BinanceStreams"]

_MOST_STREAMS = 1024
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class BinanceStreams:
    """The streams of one of Binance's sites; *family* is ``spot`` or ``linear``. Connections share them."""

    def __init__(self, market: Market, exchange: str, family: str, faults: Faults) -> None:
        self._market = market
        self._exchange = exchange
        self._is_spot = family == "spot"
        self._faults = faults
        self._tapes: dict[Symbol, Tape] = {}
        self._streams: dict[str, Stream | None] = {}
        market_type = "spot" if self._is_spot else "swap"
        self._symbols: dict[str, Symbol] = {}
        for symbol in market.symbols(exchange):
            if symbol.market_type == market_type:
                self._symbols[f"{symbol.base}{symbol.quote}".lower()] = symbol

    def stream(self, name: str) -> Stream | None:
        """Return a stream by its name, like ``btcusdt@trade``; ``None`` if there is no such stream."""
        if name not in self._streams:
            self._streams[name] = self._made(name)
        return self._streams[name]

    def _made(self, name: str) -> Stream | None:
        native, _, channel = name.partition("@")
        symbol = self._symbols.get(native)
        if symbol is None:
            return None
        tape = self._tape(symbol)
        produce: Produce
        if channel in ("trade", "aggTrade"):
            produce = _Trades(tape, native.upper(), channel, self._is_spot, self._skew)
            return Stream(name, produce, Dataset(self._exchange, "trades", symbol))
        return None

    def _tape(self, symbol: Symbol) -> Tape:
        if symbol not in self._tapes:
            self._tapes[symbol] = Tape(self._market, self._exchange, symbol, self._faults)
        return self._tapes[symbol]

    @property
    def _skew(self) -> int:
        """How many milliseconds the times of events are off."""
        return 0


class _Trades:
    """``@trade`` and ``@aggTrade``: every trade is an aggregate of its own, as in the answers to calls."""

    def __init__(self, tape: Tape, native: str, channel: str, is_spot: bool, skew: int) -> None:
        self._tape = tape
        self._skew = skew
        self._native = native
        self._is_aggregate = channel == "aggTrade"
        self._is_spot = is_spot

    def __call__(self, start: int, end: int) -> list[Message]:
        tape, native, skew = self._tape, self._native, self._skew
        tail = '"M":true}' if self._is_spot else '"X":"MARKET"}'
        if self._is_aggregate and not self._is_spot:
            tail = '"nq":"0"}'
        messages: list[Message] = []
        for place in tape.between(start, end):
            ts, trade = tape.ts[place], tape.ids[place]
            at = ts // MS
            maker = "true" if tape.sides[place] == "sell" else "false"
            price, amount = decimal_text(tape.prices[place]), decimal_text(tape.amounts[place])
            if self._is_aggregate:
                text = (
                    f'{{"e":"aggTrade","E":{at + skew},"s":"{native}","a":{trade},"p":"{price}","q":"{amount}",'
                    f'"f":{trade},"l":{trade},"T":{at},"m":{maker},{tail}'
                )
            else:
                text = (
                    f'{{"e":"trade","E":{at + skew},"s":"{native}","t":{trade},"p":"{price}","q":"{amount}",'
                    f'"T":{at},"m":{maker},{tail}'
                )
            messages.append(Message(ts, text, (trade,)))
        return messages


class BinanceSession:
    """One connection: ``/ws``, ``/ws/<stream>``, or ``/stream?streams=a/b``, whose messages name their stream."""

    def __init__(self, streams: BinanceStreams, path: str, query: Mapping[str, str]) -> None:
        self._streams = streams
        self.subscriptions: dict[str, str] = {}
        segments = path.strip("/").split("/")
        self._is_combined = "stream" in segments
        names = [name for name in query.get("streams", "").split("/") if name]
        if "ws" in segments:
            names += [name for name in segments[segments.index("ws") + 1 :] if "@" in name]
        for name in names:
            self.subscriptions[name] = name

    def greet(self, now: int) -> list[str]:  # noqa: ARG002
        """Say nothing: Binance waits for the client."""
        return []

    def receive(self, text: str, now: int, faults: Faults) -> list[str]:  # noqa: ARG002
        """Answer SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS and properties."""
        try:
            request = json.loads(text)
        except json.JSONDecodeError as error:
            return [_error(3, f"Invalid JSON: expected value at line {error.lineno} column {error.colno}", None)]
        if not isinstance(request, dict) or "method" not in request:
            return [_error(2, "Invalid request: missing field `method`", None)]
        return [self._answer(request)]

    def stream(self, name: str) -> Stream | None:
        """Return a stream that this connection subscribed to."""
        return self._streams.stream(name)

    def wrap(self, name: str, text: str) -> str:
        """Add the stream's name, if the connection is a combined one."""
        if self._is_combined:
            return f'{{"stream":"{name}","data":{text}}}'
        return text

    def heartbeat(self, now: int) -> str | None:  # noqa: ARG002
        """Send nothing: Binance sends ping frames."""
        return None

    def _answer(self, request: dict[str, Any]) -> str:
        number, method, params = request.get("id"), request["method"], request.get("params", [])
        if method not in _METHODS:
            known = ", ".join(f"`{name}`" for name in _METHODS)
            return _error(2, f"Invalid request: unknown variant `{method}`, expected one of {known}", number)
        if method == "LIST_SUBSCRIPTIONS":
            return json.dumps({"result": list(self.subscriptions), "id": number})
        if not isinstance(params, list):
            return _error(2, "Invalid request: params must be a list", number)
        if method == "GET_PROPERTY":
            return json.dumps({"result": self._is_combined, "id": number})
        if method == "SET_PROPERTY":
            self._is_combined = params[-1:] == [True]
            return json.dumps({"result": None, "id": number})
        if not all(isinstance(name, str) for name in params):
            return _error(2, "Invalid request: stream names must be strings", number)
        if method == "UNSUBSCRIBE":
            for name in params:
                self.subscriptions.pop(name, None)
            return json.dumps({"result": None, "id": number})
        if len(self.subscriptions) + len(params) > _MOST_STREAMS:
            return _error(2, "Invalid request: too many parameters", number)
        # As at Binance, the name of a stream that does not exist is accepted; nothing comes then.
        for name in params:
            self.subscriptions[name] = name
        return json.dumps({"result": None, "id": number})


def _error(code: int, message: str, number: object) -> str:
    return json.dumps({"error": {"code": code, "msg": message}, "id": number})
