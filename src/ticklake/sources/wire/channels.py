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
        *("bts:error", "alert", "challenge", "subscribed_failed", "unsubscribed_failed", "connected"),
    }
)
_CONTROL_CHANNELS = frozenset(
    {
        *("subscriptions", "heartbeats", "heartbeat", "status", "instrument", "subscriptionResponse", "pong", "error"),
        *("spot.pong", "futures.pong"),
    }
)
_CONTROL_TYPES = frozenset({"welcome", "ack", "ping", "pong", "connected", "subscriptions", "heartbeat", "error"})
_CONTROL_CODES = frozenset({"0", "200000"})
_CONTROL_OPS = frozenset({"ping", "pong", "sub", "unsub", "close", "error", "auth"})
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
        """Return the channel of a message. It never raises, whatever is in the message.

        >>> Channels().of({"arg": {"channel": "books", "instId": "BTC-USDT"}, "data": []})
        Sort(channel='books', is_control=False)
        """
        if isinstance(message, list):
            return self._of_list(message)
        if isinstance(message, str) and message.strip().lower() in _WORDS:
            return Sort(CONTROL, is_control=True)
        if not isinstance(message, Mapping):
            return Sort("?")
        if isinstance(message.get("chanId"), int | str) and "channel" in message:
            self.numbered[message["chanId"]] = message
        self._keep_depth(message)
        if _is_control(message):
            return Sort(CONTROL, is_control=True)
        for find_name in _NAMES:
            name = find_name(message)
            if name and isinstance(name, str):
                return Sort(name[:_LONGEST])
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
        if message == [_POLONIEX_HEARTBEAT] or (len(message) == 2 and message[1] in (0, 1)):
            # Poloniex's first API: heartbeats, and answers to subscriptions.
            return Sort(CONTROL, is_control=True)
        if message[:2] == [_POLONIEX_TICKER, None]:
            return Sort("ticker")
        self._remember_poloniex(message)
        subscription = self.subscription_of(message)
        if subscription is None:
            return Sort("?")
        return Sort(str(subscription.get("channel"))[:_LONGEST])

    def _remember_poloniex(self, message: list[Any]) -> None:
        """Remember the market whose book an old message of Poloniex begins: later ones name it by its number."""
        if len(message) != 3 or not isinstance(message[0], int) or not isinstance(message[2], list):
            return
        for entry in message[2]:
            if isinstance(entry, list) and entry[:1] == ["i"] and len(entry) > 1 and isinstance(entry[1], Mapping):
                self.numbered[message[0]] = {"channel": "book", "currencyPair": entry[1].get("currencyPair")}

    def subscription_of(self, message: Any) -> Mapping[str, Any] | None:
        """Return the message that gave the channel of a list its number, or ``None`` if none did."""
        if not isinstance(message, list) or not message or not isinstance(message[0], int):
            return None
        number: Any = message[0]
        if message[:2] == [_POLONIEX_TICKER, None] and len(message) > 2 and isinstance(message[2], list):
            number = next(iter(message[2]), None)
        if not isinstance(number, int):
            return None
        return self.numbered.get(number)


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
    channel = message.get("ch") or message.get("rep")
    steps = str(channel).split(".")
    if len(steps) > 2:
        return steps[2]
    return channel


def _word(message: Mapping[str, Any], name: str) -> str:
    """Return the text at *name*, empty if there is none."""
    value = message.get(name)
    if not isinstance(value, str):
        return ""
    return value


def _topic(message: Mapping[str, Any]) -> str:
    """Return the name in a topic: ``level2`` of ``/market/level2:BTC-USDT``, ``publicTrade`` of ``publicTrade.BTCUSDT``."""
    topic = _word(message, "topic").partition(":")[0].rpartition("/")[2]
    if topic.startswith("public."):
        return topic.rpartition(".")[2]
    return topic.partition(".")[0]


def _in_params(message: Mapping[str, Any]) -> str:
    """Return the channel in the parameters of a call: of Deribit, Bitflyer (which adds the market), or HitBTC, where the call names it."""
    channel = _word(_inner(message, "params"), "channel")
    if channel.startswith("lightning_"):
        return _LIGHTNING.sub(r"\1", channel)
    if not channel and _inner(message, "params"):
        return _word(message, "method")
    return channel.partition(".")[0]


def _update(message: Mapping[str, Any]) -> str:
    """Return the name of a call that brings data in a list (Gate's third API): ``depth`` of ``depth.update``."""
    name, _, word = _word(message, "method").rpartition(".")
    if word == "update" and isinstance(message.get("params"), list):
        return name
    return ""


def _channel(message: Mapping[str, Any]) -> str:
    """Return the name of a channel, without the market that Bitstamp adds."""
    channel = _word(message, "channel")
    return _BITSTAMP.sub(r"\1", channel)


def _phemex(message: Mapping[str, Any]) -> str:
    """Return the name under which Phemex' messages have their data."""
    return next((name for name in _PHEMEX if name in message), "")


def _form(message: Mapping[str, Any]) -> str:
    """Return the channel of Binance's messages that do not name it, by their keys."""
    if {"u", "s", "b", "B", "a", "A"} <= set(message):
        return "bookTicker"
    if {"lastUpdateId", "bids", "asks"} <= set(message):
        return "depth"
    return ""


def _book(message: Mapping[str, Any]) -> str:
    return "book" if {"bids", "asks"} <= set(message) else ""


_WORDS = frozenset({"ping", "pong"})
_LONGEST = 80
_POLONIEX_TICKER, _POLONIEX_HEARTBEAT = 1002, 1010
_LIGHTNING = re.compile(r"^(lightning_(?:board_snapshot|board|ticker|executions))_.*$")
_BITSTAMP = re.compile(r"^((?:live|diff|detail)_(?:trades|orders|order_book)|order_book|funding_rate)_.*$")
_PHEMEX = (
    *("book", "orderbook_p", "trades", "trades_p", "kline", "kline_p", "tick", "tick_p", "market24h", "spot_market24h"),
)

_CONTROLS: tuple[Callable[[Mapping[str, Any]], bool], ...] = (
    lambda m: _word(m, "event") in _CONTROL_EVENTS,
    lambda m: "success" in m or "subbed" in m or "unsubbed" in m,  # Bybit, BitMEX, HTX
    lambda m: "ping" in m or "pong" in m or _word(m, "op") in _CONTROL_OPS,
    lambda m: _word(m, "channel") in _CONTROL_CHANNELS,
    lambda m: _word(m, "type") in _CONTROL_TYPES and "channel" not in m,
    lambda m: _word(m, "type") in {"error", "unsubscribed"} and "contents" not in m,  # dYdX
    lambda m: _word(m, "method") in _CONTROL_METHODS and "channel" not in _inner(m, "result"),
    lambda m: "id" in m and "result" in m and "method" not in m and "params" not in m,  # Binance, Deribit
    lambda m: "info" in m and "version" in m,  # BitMEX
    lambda m: _word(m, "feed") == "heartbeat",  # Kraken Futures
    lambda m: ("status" in m and "resmsg" in m) or set(m) == {"status"},  # Bithumb, Upbit
    lambda m: set(m) == {"error"} or _word(m, "result") == "error" or "err-msg" in m,  # Poloniex, Upbit, Gemini, HTX
    lambda m: "id" in m and set(m) <= {"id", "code", "msg"} and str(m.get("code")) in _CONTROL_CODES,  # MEXC, BingX
)
_EVENTS = {"depthUpdate": "depth"}
_NAMES: tuple[Callable[[Mapping[str, Any]], Any], ...] = (
    _stream,
    lambda m: _EVENTS.get(_word(m, "e"), _word(m, "e")),
    _form,
    lambda m: _word(_inner(m, "arg"), "channel") or _word(_inner(m, "arg"), "topic"),
    lambda m: _word(_inner(m, "result"), "channel"),
    _in_params,
    _update,
    _htx_channel,
    _topic,
    lambda m: _word(m, "table") or _channel(m),
    lambda m: _word(m, "feed"),
    _phemex,
    lambda m: _word(m, "ty") or _word(m, "event") or _word(m, "type"),
    _book,
)
"""The places of the channel's name, by exchange. The first that has a name is used."""
