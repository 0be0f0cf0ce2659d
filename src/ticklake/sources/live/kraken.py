"""Kraken's spot market. From its public documentation of the WebSocket API v2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ticklake.core.instrument import Instrument
from ticklake.core.native_ids import Market
from ticklake.core.time import MINUTE
from ticklake.sources.live.base import Subscription
from ticklake.sources.live.protocol import Limits, Protocol, Reply, Stream, market_of, smallest_of

__all__ = ["Kraken"]

_LIMITS = Limits(streams=200, per_message=100, messages_per_second=5.0)
_CHANNELS = {"trades": "trade", "quotes": "ticker", "book": "book", "ohlcv": "ohlc"}
_DEPTHS = (10, 25, 100, 500, 1000)
_SIGNS_OF_LIFE = frozenset({"heartbeat", "status"})


class Kraken(Protocol):
    """Kraken. It answers each market of a request by itself, sends heartbeats, and the whole book first."""

    exchange = "kraken"
    ping = '{"method":"ping"}'
    sends_heartbeats = True

    def stream(self, subscription: Subscription, instrument: Instrument) -> Stream:
        """Return the stream for a subscription. Messages name markets as ccxt does, ``BTC/USD``."""
        dataset, native = subscription.dataset, str(subscription.dataset.symbol)
        if dataset.kind not in _CHANNELS:
            raise self.unsupported(subscription)
        depth, channel = None, f"{_CHANNELS[dataset.kind]}:{native}"
        if dataset.kind == "book":
            depth = smallest_of(_DEPTHS, subscription.depth)
        if dataset.kind == "ohlcv":
            channel = f"{channel}:{_minutes(dataset.timeframe)}"
        key = (dataset.kind, native, dataset.timeframe_text or "")
        return Stream(subscription, native, market_of(instrument), channel, key, depth)

    def url(self, stream: Stream) -> str:  # noqa: ARG002
        """Return the address."""
        return "wss://ws.kraken.com/v2"

    def limits(self, market: Market) -> Limits:  # noqa: ARG002
        """Return the limits."""
        return _LIMITS

    def group(self, stream: Stream) -> str:
        """Return the channel with its options: a request names one channel and many markets."""
        channel, _, options = stream.channel.replace(stream.native, "").partition(":")
        return f"{channel}{options}{stream.depth or ''}"

    def subscribe(self, streams: Sequence[Stream], number: int) -> Mapping[str, Any]:
        """Return the request. Quotes are sent when the best price or its amount changes, not only after trades."""
        return {"method": "subscribe", "params": _params(streams), "req_id": number}

    def unsubscribe(self, streams: Sequence[Stream], number: int) -> Mapping[str, Any]:
        """Return the request."""
        return {"method": "unsubscribe", "params": _params(streams), "req_id": number}

    def reply(self, message: Any) -> Reply | None:
        """Read an answer, a heartbeat, or the state of the exchange."""
        method = message.get("method")
        if method == "pong" or message.get("channel") in _SIGNS_OF_LIFE:
            return Reply("alive")
        if method == "subscribe":
            return _answer(message)
        if method is not None:
            return Reply("notice")
        if message.get("error") and "channel" not in message:
            return Reply("refused", message.get("req_id"), text=str(message["error"]))
        return None


def _params(streams: Sequence[Stream]) -> dict[str, Any]:
    channel, _, _ = streams[0].channel.partition(":")
    params: dict[str, Any] = {"channel": channel, "symbol": [stream.native for stream in streams]}
    if channel == "book":
        params["depth"] = streams[0].depth
    elif channel == "ticker":
        params["event_trigger"] = "bbo"
    elif channel == "ohlc":
        params["interval"] = int(streams[0].channel.rpartition(":")[2])
    return params


def _answer(message: Mapping[str, Any]) -> Reply:
    number = message.get("req_id")
    if message.get("success"):
        result = message["result"]
        channel = f"{result['channel']}:{result['symbol']}"
        if "interval" in result:
            channel = f"{channel}:{result['interval']}"
        return Reply("accepted", number, (channel,))
    channels: tuple[str, ...] = ()
    if message.get("symbol"):
        # The channel is not repeated: the request tells.
        channels = (f":{message['symbol']}",)
    return Reply("refused", number, channels, str(message.get("error", "")))


def _minutes(timeframe: Any) -> int:
    return int(timeframe.length // MINUTE)
