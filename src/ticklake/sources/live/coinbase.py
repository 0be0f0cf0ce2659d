"""Coinbase. From its public documentation of the Advanced Trade WebSocket: the channels of market data need no key, level2 included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ticklake.core.instrument import Instrument
from ticklake.core.native_ids import Market
from ticklake.errors import Unsupported
from ticklake.sources.live.base import Subscription
from ticklake.sources.live.protocol import Limits, Protocol, Reply, Stream, market_of
from ticklake.sources.wire.reading import Mark

__all__ = ["Coinbase"]

# Eight messages a second without a key; more than one is never under way, as answers carry no number.
_LIMITS = Limits(streams=100, per_message=50, messages_per_second=5.0)
_CHANNELS = {"trades": "market_trades", "quotes": "ticker", "book": "level2", "ohlcv": "candles"}
_BARS = "5m"
"""The only timeframe of its candles."""


class Coinbase(Protocol):
    """Coinbase. It numbers all messages of a connection, and answers with everything that is subscribed."""

    exchange = "coinbase"
    sends_heartbeats = True
    numbers_requests = False

    def stream(self, subscription: Subscription, instrument: Instrument) -> Stream:
        """Return the stream for a subscription."""
        dataset, native = subscription.dataset, instrument.native_id
        if dataset.kind not in _CHANNELS:
            raise self.unsupported(subscription)
        timeframe = dataset.timeframe_text or ""
        if dataset.kind == "ohlcv" and timeframe != _BARS:
            raise Unsupported(
                f"coinbase has a stream of bars of {_BARS} only, none of {timeframe}: collect them by calls"
            )
        channel = f"{_CHANNELS[dataset.kind]}:{native}"
        return Stream(subscription, native, market_of(instrument), channel, (dataset.kind, native, timeframe))

    def url(self, stream: Stream) -> str:  # noqa: ARG002
        """Return the address."""
        return "wss://advanced-trade-ws.coinbase.com"

    def limits(self, market: Market) -> Limits:  # noqa: ARG002
        """Return the limits."""
        return _LIMITS

    def greetings(self) -> Sequence[Mapping[str, Any]]:
        """Return the subscription to heartbeats, without which quiet connections are closed."""
        return ({"type": "subscribe", "channel": "heartbeats"},)

    def group(self, stream: Stream) -> str:
        """Return the channel: a request names one, and many markets."""
        return stream.channel.partition(":")[0]

    def subscribe(self, streams: Sequence[Stream], number: int) -> Mapping[str, Any]:  # noqa: ARG002
        """Return the request."""
        return _request("subscribe", streams)

    def unsubscribe(self, streams: Sequence[Stream], number: int) -> Mapping[str, Any]:  # noqa: ARG002
        """Return the request."""
        return _request("unsubscribe", streams)

    def reply(self, message: Any) -> Reply | None:
        """Read an answer, which lists everything that is subscribed, or a heartbeat."""
        channel = message.get("channel")
        if channel == "heartbeats":
            return Reply("alive")
        if channel == "subscriptions":
            return Reply("accepted", None, _listed(message))
        if message.get("type") == "error":
            return Reply("refused", text=str(message.get("message", "")))
        return None

    def connection_mark(self, message: Any) -> Mark | None:
        """Return the number of a message: all messages of a connection share one numbering."""
        number = message.get("sequence_num")
        if number is None:
            return None
        return Mark("", "", number, number, starts=number == 0)


def _request(kind: str, streams: Sequence[Stream]) -> dict[str, Any]:
    channel = streams[0].channel.partition(":")[0]
    return {"type": kind, "product_ids": [stream.native for stream in streams], "channel": channel}


def _listed(message: Mapping[str, Any]) -> tuple[str, ...]:
    channels = []
    for event in message.get("events", ()):
        for channel, natives in event.get("subscriptions", {}).items():
            channels += [f"{channel}:{native}" for native in natives]
    return tuple(channels)
