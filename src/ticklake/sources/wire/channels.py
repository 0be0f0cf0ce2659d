"""The channel of an exchange's message, by the exchange's own name, and whether the message has market data at all.

The rules are rows of tables, made from the exchanges' public API documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ticklake.sources.wire.reading import Memory

__all__ = ["CONTROL", "Channels", "Sort"]

CONTROL = "control"
"""The channel of messages that have none: greetings, heartbeats, answers to subscriptions."""
_CONTROL_EVENTS = frozenset(
    {
        *("subscribe", "subscribed", "unsubscribe", "unsubscribed", "subscriptionStatus", "systemStatus", "heartbeat"),
        *("info", "conf", "auth", "login", "error", "notice", "ping", "pong", "channel-conn-count"),
        *("bts:subscription_succeeded", "bts:unsubscription_succeeded", "bts:heartbeat", "bts:request_reconnect"),
    }
)
_CONTROL_CHANNELS = frozenset(
    {"subscriptions", "heartbeats", "heartbeat", "status", "instrument", "subscriptionResponse", "pong", "error"}
)
_CONTROL_TYPES = frozenset({"welcome", "ack", "ping", "pong", "connected", "subscriptions", "heartbeat", "error"})
_CONTROL_METHODS = frozenset({"heartbeat", "public/heartbeat", "ping", "pong", "subscribe", "unsubscribe"})
_TRAIL = re.compile(r"[@:.\d_-].*$")


@dataclass(frozen=True, slots=True)
class Sort:
    """The channel of a message, and whether it is a control message, without market data."""

    channel: str
    is_control: bool = False


@dataclass
class Channels:
    """Finds the channels of the messages of one connection.

    It remembers the numbers that Bitfinex gives to channels, the depth of Kraken's books, and keeps the memory of its readers.
    """

    numbered: dict[Any, Mapping[str, Any]] = field(default_factory=dict)
    memory: Memory = field(default_factory=dict)

    def of(self, message: Any) -> Sort:
        """Return the channel of a message.

        >>> Channels().of({"arg": {"channel": "books", "instId": "BTC-USDT"}, "data": []})
        Sort(channel='books', is_control=False)
        """
        if isinstance(message, list):
            return self._of_list(message)
        if message in ("ping", "pong"):
            return Sort(CONTROL, is_control=True)
        if not isinstance(message, Mapping):
            return Sort("?")
        if "chanId" in message and "channel" in message:
            self.numbered[message["chanId"]] = message
        self._keep_depth(message)
        if _is_control(message):
            return Sort(CONTROL, is_control=True)
        for find_name in _NAMES:
            name = find_name(message)
            if name:
                return Sort(str(name))
        return Sort("?")

    def _keep_depth(self, message: Mapping[str, Any]) -> None:
        """Keep how many levels a book of Kraken has, which only the answer to the subscription says."""
        if message.get("method") == "subscribe":
            answer = _inner(message, "result")
            if answer.get("channel") == "book" and "depth" in answer:
                self.memory["depth", answer.get("symbol")] = answer["depth"]

    def _of_list(self, message: list[Any]) -> Sort:
        """Return the channel of a list: Kraken's end with channel and pair, Bitfinex's begin with a channel's number."""
        if len(message) > 3 and isinstance(message[-2], str) and isinstance(message[-1], str):
            return Sort(_TRAIL.sub("", message[-2]))
        if len(message) > 1 and message[1] == "hb":
            return Sort(CONTROL, is_control=True)
        if not message:
            return Sort("?")
        subscription = self.subscription_of(message)
        if subscription is None:
            return Sort("?")
        return Sort(str(subscription["channel"]))

    def subscription_of(self, message: Any) -> Mapping[str, Any] | None:
        """Return the message that gave the channel of a list its number, or ``None`` if none did."""
        if not isinstance(message, list) or not message or not isinstance(message[0], int):
            return None
        return self.numbered.get(message[0])


def _is_control(message: Mapping[str, Any]) -> bool:
    try:
        return any(fits(message) for fits in _CONTROLS)
    except TypeError:  # a list or an object where a name belongs
        return False


def _inner(message: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object at *name*, empty if it is none."""
    value = message.get(name)
    if not isinstance(value, Mapping):
        return {}
    return value


def _stream(message: Mapping[str, Any]) -> str:
    """Return the name of Binance's combined streams: ``depth`` of ``btcusdt@depth20@100ms``."""
    stream = message.get("stream")
    if not isinstance(stream, str):
        return ""
    return _TRAIL.sub("", stream.partition("@")[2])


def _htx_channel(message: Mapping[str, Any]) -> Any:
    """Return the name of HTX's channels: ``trade`` of ``market.btcusdt.trade.detail``."""
    channel = message.get("ch")
    steps = str(channel).split(".")
    if len(steps) > 2:
        return steps[2]
    return channel


def _form(message: Mapping[str, Any]) -> str:
    """Return the channel of Binance's messages that do not name it, by their keys."""
    if {"u", "s", "b", "B", "a", "A"} <= set(message):
        return "bookTicker"
    if {"lastUpdateId", "bids", "asks"} <= set(message):
        return "depth"
    return ""


def _book(message: Mapping[str, Any]) -> str:
    return "book" if {"bids", "asks"} <= set(message) else ""


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
    _stream,
    lambda m: _EVENTS.get(str(m.get("e")), m.get("e")),
    _form,
    lambda m: _inner(m, "arg").get("channel"),
    lambda m: _inner(m, "result").get("channel"),
    lambda m: str(_inner(m, "params").get("channel", "")).partition(".")[0],
    _htx_channel,
    lambda m: str(m.get("topic", "")).removeprefix("/market/").partition(":")[0].partition(".")[0],
    lambda m: m.get("table") or m.get("channel"),
    lambda m: m.get("ty") or m.get("event") or m.get("type"),
    _book,
)
"""The places of the channel's name, by exchange. The first that has a name is used."""
