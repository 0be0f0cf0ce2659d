"""Binance's WebSocket market streams (spot and USD-M futures) over a simulated market: pure, no sockets.

Names, fields and answers follow Binance's public documentation of its WebSocket market streams.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ticklake.core.time import DAY
from ticklake.testing.exchange.binance_streams import BinanceStreams
from ticklake.testing.exchange.socket_faults import SubscriptionFaults
from ticklake.testing.exchange.streams import Stream

__all__ = ["BinanceSession"]

_MOST_STREAMS = 1024
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class BinanceSession:
    """One connection: ``/ws``, ``/ws/<stream>``, or ``/stream?streams=a/b``, whose messages name their stream."""

    lifetime = DAY

    def __init__(self, streams: BinanceStreams, path: str, query: Mapping[str, str]) -> None:
        self._streams = streams
        self.ping_every = streams.ping_every
        self.subscriptions: dict[str, str] = {}
        segments = path.strip("/").split("/")
        self.names_streams = "stream" in segments
        names = list(filter(None, query.get("streams", "").split("/")))
        if "ws" in segments:
            names += [name for name in segments[segments.index("ws") + 1 :] if "@" in name]
        self._subscribe(names)

    def greet(self, now: int) -> list[str]:  # noqa: ARG002
        """Say nothing: Binance waits for the client."""
        return []

    def receive(self, text: str, now: int, faults: SubscriptionFaults) -> list[str]:  # noqa: ARG002
        """Answer SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS and properties."""
        try:
            request = json.loads(text)
        except json.JSONDecodeError as error:
            return [_error(3, f"Invalid JSON: expected value at line {error.lineno} column {error.colno}", None)]
        if not isinstance(request, dict) or "method" not in request:
            return [_error(2, "Invalid request: missing field `method`", None)]
        return [self._answer(request, faults)]

    def stream(self, name: str) -> Stream | None:
        """Return a stream that this connection subscribed to."""
        return self._streams.stream(name)

    def wrap(self, name: str, text: str) -> str:
        """Add the stream's name, if the connection is a combined one."""
        if self.names_streams:
            return f'{{"stream":"{name}","data":{text}}}'
        return text

    def heartbeat(self) -> str | None:
        """Send nothing: Binance sends ping frames."""
        return None

    def _answer(self, request: dict[str, Any], faults: SubscriptionFaults) -> str:
        number, method, params = request.get("id"), request["method"], request.get("params", [])
        if method not in _METHODS:
            known = ", ".join(f"`{name}`" for name in _METHODS)
            return _error(2, f"Invalid request: unknown variant `{method}`, expected one of {known}", number)
        if method == "LIST_SUBSCRIPTIONS":
            return json.dumps({"result": list(self.subscriptions), "id": number})
        if not isinstance(params, list):
            return _error(2, "Invalid request: params must be a list", number)
        if method == "GET_PROPERTY":
            return json.dumps({"result": self.names_streams, "id": number})
        if method == "SET_PROPERTY":
            self.names_streams = params[-1:] == [True]
            return json.dumps({"result": None, "id": number})
        if not all(isinstance(name, str) for name in params):
            return _error(2, "Invalid request: stream names must be strings", number)
        if method == "UNSUBSCRIBE":
            for name in params:
                self.subscriptions.pop(name, None)
            return json.dumps({"result": None, "id": number})
        if len(self.subscriptions) + len(params) > _MOST_STREAMS:
            return _error(2, "Invalid request: too many parameters", number)
        if any(map(faults.rejects, params)):
            return _error(-1003, "Too many requests", number)
        # As at Binance, the name of a stream that does not exist is accepted; nothing comes then.
        self._subscribe(faults.accepted(params))
        return json.dumps({"result": None, "id": number})

    def _subscribe(self, names: list[str]) -> None:
        for name in names:
            self.subscriptions[name] = name
            # Its trades are made before the answer, so that its first messages are not late.
            self._streams.stream(name)


def _error(code: int, message: str, number: object) -> str:
    return json.dumps({"error": {"code": code, "msg": message}, "id": number})
