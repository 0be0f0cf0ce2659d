"""On which channel a message of an exchange came, in the exchange's own word, and whether it has any market data at all.

Every rule is a row of a table: what a message looks like, by the exchanges' public API documentation, and where its channel stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CONTROL", "Channels", "Sort"]

CONTROL = "control"
"""The name of what has no channel: greetings, heartbeats, answers to subscriptions."""
_CONTROL_EVENTS = frozenset(
    {
        *("subscribe", "subscribed", "unsubscribe", "unsubscribed", "subscriptionStatus", "systemStatus", "heartbeat"),
        *("info", "conf", "auth", "login", "error", "notice", "ping", "pong", "channel-conn-count"),
        *("bts:subscription_succeeded", "bts:unsubscription_succeeded", "bts:heartbeat", "bts:request_reconnect"),
    }
)
_CONTROL_CHANNELS = frozenset(
    {"subscriptions", "heartbeats", "heartbeat", "status", "subscriptionResponse", "pong", "error"}
)
_CONTROL_TYPES = frozenset({"welcome", "ack", "ping", "pong", "connected", "subscriptions", "heartbeat", "error"})
_CONTROL_METHODS = frozenset({"heartbeat", "public/heartbeat", "ping", "pong", "subscribe", "unsubscribe"})
_TRAIL = re.compile(r"[@:.\d_-].*$")


@dataclass(frozen=True, slots=True)
class Sort:
    """The channel of a message, and whether it is no more than control."""

    channel: str
    is_control: bool = False


@dataclass
class Channels:
    """Tells the channels of the messages of one connection; some exchanges number theirs when they are subscribed."""

    numbered: dict[Any, str] = field(default_factory=dict)

    def of(self, message: Any) -> Sort:
        """Return on which channel a message came.

        >>> Channels().of({"arg": {"channel": "books", "instId": "BTC-USDT"}, "data": []})
        Sort(channel='books', is_control=False)
        """
        if isinstance(message, list):
            return self._of_list(message)
        if not isinstance(message, Mapping):
            return Sort(CONTROL if message in {"ping", "pong"} else "?", message in {"ping", "pong"})
        if "chanId" in message and "channel" in message:
            self.numbered[message["chanId"]] = str(message["channel"])
        if any(fits(message) for fits in _CONTROLS):
            return Sort(CONTROL, is_control=True)
        return Sort(next((str(name) for find in _NAMES if (name := find(message))), "?"))

    def _of_list(self, message: list[Any]) -> Sort:
        """Tell Kraken's lists, which name channel and pair at their end, and those of Bitfinex, which begin with a number."""
        if len(message) > 3 and isinstance(message[-2], str) and isinstance(message[-1], str):
            return Sort(_TRAIL.sub("", message[-2]))
        if len(message) > 1 and message[1] == "hb":
            return Sort(CONTROL, is_control=True)
        return Sort(self.numbered.get(message[0] if message else None, "?"))


def _inner(message: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = message.get(name)
    return found if isinstance(found, Mapping) else {}


_CONTROLS: tuple[Callable[[Mapping[str, Any]], bool], ...] = (
    lambda m: m.get("event") in _CONTROL_EVENTS,
    lambda m: "success" in m or "subbed" in m or "unsubbed" in m,  # Bybit, BitMEX, HTX
    lambda m: "ping" in m or "pong" in m or m.get("op") in {"ping", "pong"},
    lambda m: m.get("channel") in _CONTROL_CHANNELS,
    lambda m: m.get("type") in _CONTROL_TYPES and "channel" not in m,
    lambda m: m.get("method") in _CONTROL_METHODS and "channel" not in _inner(m, "result"),
    lambda m: "id" in m and "result" in m and "method" not in m and "params" not in m,  # Binance, Deribit
    lambda m: "info" in m and "version" in m,  # BitMEX
)
_EVENTS = {"depthUpdate": "depth"}
_NAMES: tuple[Callable[[Mapping[str, Any]], Any], ...] = (
    lambda m: _TRAIL.sub("", m["stream"].partition("@")[2]) if isinstance(m.get("stream"), str) else "",
    lambda m: _EVENTS.get(str(m.get("e")), m.get("e")),
    lambda m: "bookTicker" if {"u", "s", "b", "B", "a", "A"} <= set(m) else "",
    lambda m: "depth" if {"lastUpdateId", "bids", "asks"} <= set(m) else "",
    lambda m: _inner(m, "arg").get("channel"),
    lambda m: _inner(m, "result").get("channel"),
    lambda m: str(_inner(m, "params").get("channel", "")).partition(".")[0],
    lambda m: str(m["ch"]).split(".")[2] if str(m.get("ch")).count(".") > 1 else m.get("ch"),
    lambda m: str(m.get("topic", "")).removeprefix("/market/").partition(":")[0].partition(".")[0],
    lambda m: m.get("table") or m.get("channel"),
    lambda m: m.get("ty") or m.get("event") or m.get("type"),
    lambda m: "book" if {"bids", "asks"} <= set(m) else "",
)
"""Where the name of the channel stands, by exchange: the first that is there."""
