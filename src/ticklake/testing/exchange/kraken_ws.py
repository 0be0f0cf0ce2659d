"""Kraken's WebSocket API v2 over a simulated market, public channels: pure, no sockets.

Requests, answers and errors follow Kraken's public documentation of the Spot WebSocket API v2.
"""

from __future__ import annotations

import json
from typing import Any

from ticklake.testing.exchange.kraken import INTERVALS
from ticklake.testing.exchange.kraken_streams import DEPTHS, KrakenStreams, time_text
from ticklake.testing.exchange.socket_faults import SubscriptionFaults
from ticklake.testing.exchange.streams import Stream

__all__ = ["KrakenSession"]

_CHANNELS = ("trade", "book", "ticker", "ohlc", "instrument")


class KrakenSession:
    """One connection to ``/v2``."""

    names_streams = False
    ping_every = 0
    lifetime = 0

    def __init__(self, streams: KrakenStreams) -> None:
        self._streams = streams
        self.subscriptions: dict[str, str] = {}

    def greet(self, now: int) -> list[str]:
        """Tell the status of the exchange."""
        status = {"version": "2.0.10", "system": "online", "api_version": "v2", "connection_id": now}
        return [json.dumps({"channel": "status", "type": "update", "data": [status]})]

    def receive(self, text: str, now: int, faults: SubscriptionFaults) -> list[str]:
        """Answer ping, subscribe and unsubscribe; each symbol has an acknowledgement of its own."""
        try:
            request = json.loads(text)
        except json.JSONDecodeError:
            return [_failed("Malformed request", {}, now)]
        if not isinstance(request, dict):
            return [_failed("Malformed request", {}, now)]
        method = request.get("method")
        if method == "ping":
            return [_answer({"method": "pong"}, request, now)]
        params = request.get("params")
        if method not in ("subscribe", "unsubscribe") or not isinstance(params, dict):
            return [_failed("Malformed request", request, now)]
        wrong = _problem(params)
        if wrong:
            return [_failed(wrong, request, now)]
        if method == "unsubscribe":
            return self._unsubscribe(request, params, now)
        return self._subscribe(request, params, now, faults)

    def stream(self, name: str) -> Stream | None:
        """Return a stream that this connection subscribed to."""
        return self._streams.stream(name)

    def wrap(self, name: str, text: str) -> str:  # noqa: ARG002
        """Return the message as it is."""
        return text

    def heartbeat(self) -> str | None:
        """Return the heartbeat, which comes once something is subscribed to."""
        if not self.subscriptions:
            return None
        return '{"channel":"heartbeat"}'

    def _subscribe(
        self, request: dict[str, Any], params: dict[str, Any], now: int, faults: SubscriptionFaults
    ) -> list[str]:
        answers: list[str] = []
        for pair in faults.accepted(_pairs(params)):
            key, name = _names(params, pair)
            if pair and not self._streams.knows(pair, now):
                answers.append(_failed(f"Currency pair not supported {pair}", request, now, pair))
            elif key in self.subscriptions:
                answers.append(_failed("Already subscribed", request, now, pair))
            elif faults.rejects(name):
                answers.append(_failed("EService:Unavailable", request, now, pair))
            else:
                self.subscriptions[key] = name
                answers.append(_done(request, params, now, pair))
                if params.get("snapshot", True):
                    snapshot = self._streams.snapshot(name, now)
                    if snapshot is not None:
                        answers.append(snapshot)
        return answers

    def _unsubscribe(self, request: dict[str, Any], params: dict[str, Any], now: int) -> list[str]:
        answers: list[str] = []
        for pair in _pairs(params):
            key, _ = _names(params, pair)
            if self.subscriptions.pop(key, None) is None:
                answers.append(_failed("Subscription Not Found", request, now, pair))
            else:
                answers.append(_done(request, params, now, pair))
        return answers


def _problem(params: dict[str, Any]) -> str:
    """Return what is wrong with the parameters of a request, if something is."""
    channel, pairs = params.get("channel"), params.get("symbol", [])
    if channel not in _CHANNELS:
        return "Subscription name invalid"
    if channel != "instrument" and (not isinstance(pairs, list) or not pairs):
        return "Pair field must be an array"
    if channel == "book" and params.get("depth", 10) not in DEPTHS:
        return "Subscription depth not supported"
    if channel == "ohlc" and params.get("interval", 1) not in INTERVALS:
        return "Subscription ohlc interval not supported"
    return ""


def _pairs(params: dict[str, Any]) -> list[str]:
    if params["channel"] == "instrument":
        return [""]
    return list(map(str, params["symbol"]))


def _names(params: dict[str, Any], pair: str) -> tuple[str, str]:
    """Return the key of a subscription, of which a connection has one, and the name of its stream."""
    channel = params["channel"]
    match channel:
        case "instrument":
            return channel, channel
        case "book":
            return f"book:{pair}", f"book-{params.get('depth', 10)}:{pair}"
        case "ohlc":
            name = f"ohlc-{params.get('interval', 1)}:{pair}"
            return name, name
        case "ticker" if params.get("event_trigger") == "bbo":
            return f"ticker:{pair}", f"ticker-bbo:{pair}"
        case _:
            return f"{channel}:{pair}", f"{channel}:{pair}"


def _answer(body: dict[str, Any], request: dict[str, Any], now: int) -> str:
    at = time_text(now)
    if "req_id" in request:
        body["req_id"] = request["req_id"]
    return json.dumps({**body, "time_in": at, "time_out": at})


def _done(request: dict[str, Any], params: dict[str, Any], now: int, pair: str) -> str:
    result = {"channel": params["channel"]}
    if pair:
        result["symbol"] = pair
    for name, default in (("depth", 10), ("interval", 1)):
        if (params["channel"], name) in (("book", "depth"), ("ohlc", "interval")):
            result[name] = params.get(name, default)
    if request["method"] == "subscribe":
        result["snapshot"] = params.get("snapshot", True)
    return _answer({"method": request["method"], "result": result, "success": True}, request, now)


def _failed(problem: str, request: dict[str, Any], now: int, pair: str = "") -> str:
    body: dict[str, Any] = {"error": problem, "method": request.get("method"), "success": False}
    if pair:
        body["symbol"] = pair
    return _answer(body, request, now)
