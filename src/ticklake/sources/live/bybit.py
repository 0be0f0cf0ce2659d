"""Bybit: its spot market, linear and inverse contracts. From its public documentation of the WebSocket API v5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ticklake.core.instrument import Instrument
from ticklake.core.native_ids import Market
from ticklake.core.time import MINUTE
from ticklake.sources.live.base import Subscription
from ticklake.sources.live.protocol import Limits, Protocol, Reply, Stream, market_of, smallest_of

__all__ = ["Bybit"]

# The arguments of all requests of a connection may have 21,000 characters: about 500 of them. A request to the spot market has ten.
_SPOT = Limits(streams=400, per_message=10, messages_per_second=5.0)
_CONTRACTS = Limits(streams=400, per_message=100, messages_per_second=5.0)
_DEPTHS = (50, 200, 1000)
"""Depth 1 is the best quote alone."""
_ON_CONTRACTS = {"quotes", "predicted_funding", "open_interest"}
"""Kinds that the tickers of contracts tell; spot tickers have none of them."""
_LETTERS = {"1d": "D", "1w": "W", "1M": "M"}


class Bybit(Protocol):
    """Bybit. It answers a request as a whole, and sends the whole book first."""

    exchange = "bybit"
    ping = '{"op":"ping"}'

    def stream(self, subscription: Subscription, instrument: Instrument) -> Stream:
        """Return the stream for a subscription."""
        dataset, native, depth = subscription.dataset, instrument.native_id, None
        market = market_of(instrument)
        if dataset.kind == "trades":
            topic = "publicTrade"
        elif dataset.kind == "book":
            depth = smallest_of(_DEPTHS, subscription.depth)
            topic = f"orderbook.{depth}"
        elif dataset.kind == "ohlcv":
            topic = f"kline.{_interval(dataset.timeframe)}"
        elif dataset.kind == "liquidations" and market != "spot":
            topic = "allLiquidation"
        elif dataset.kind in _ON_CONTRACTS and market != "spot":
            topic = "tickers"
        else:
            raise self.unsupported(subscription)
        key = (dataset.kind, native, dataset.timeframe_text or "")
        return Stream(subscription, native, market, f"{topic}.{native}", key, depth)

    def url(self, stream: Stream) -> str:
        """Return the address of a part of the exchange."""
        return f"wss://stream.bybit.com/v5/public/{stream.market}"

    def limits(self, market: Market) -> Limits:
        """Return the limits of a part of the exchange."""
        return _SPOT if market == "spot" else _CONTRACTS

    def subscribe(self, streams: Sequence[Stream], number: int) -> Mapping[str, Any]:
        """Return the request."""
        return {"req_id": str(number), "op": "subscribe", "args": [stream.channel for stream in streams]}

    def unsubscribe(self, streams: Sequence[Stream], number: int) -> Mapping[str, Any]:
        """Return the request."""
        return {"req_id": str(number), "op": "unsubscribe", "args": [stream.channel for stream in streams]}

    def reply(self, message: Any) -> Reply | None:
        """Read an answer. Its part for contracts answers pings with the operation, its spot part with a text."""
        operation = message.get("op")
        if operation in {"ping", "pong"}:
            return Reply("alive")
        if operation == "subscribe":
            number = None
            if str(message.get("req_id")).isdigit():
                number = int(message["req_id"])
            if message.get("success"):
                return Reply("accepted", number)
            return Reply("refused", number, text=str(message.get("ret_msg", "")))
        if operation is not None:
            return Reply("notice")
        return None


def _interval(timeframe: Any) -> str:
    """Return Bybit's name of a timeframe: minutes, or a letter."""
    if str(timeframe) in _LETTERS:
        return _LETTERS[str(timeframe)]
    return str(timeframe.length // MINUTE)
