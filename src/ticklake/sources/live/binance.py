"""Binance: its spot market, USD-M and COIN-M futures. From its public documentation of WebSocket market streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ticklake.core.instrument import Instrument
from ticklake.core.native_ids import Market
from ticklake.sources.live.base import Subscription
from ticklake.sources.live.protocol import Limits, Protocol, Reply, Stream, market_of

__all__ = ["Binance"]

_URLS: dict[Market, str] = {
    "spot": "wss://stream.binance.com:9443/stream",
    "linear": "wss://fstream.binance.com/stream",
    "inverse": "wss://dstream.binance.com/stream",
}
_SNAPSHOTS: dict[Market, str] = {
    "spot": "https://api.binance.com/api/v3/depth",
    "linear": "https://fapi.binance.com/fapi/v1/depth",
    "inverse": "https://dapi.binance.com/dapi/v1/depth",
}
_DAY = 24 * 3600.0
# Requests, and answers to pings, count: 5 a second on the spot market, 10 on the others.
_SPOT = Limits(streams=1024, per_message=200, messages_per_second=4.0, lifetime=_DAY)
_FUTURES = Limits(streams=200, per_message=200, messages_per_second=4.0, lifetime=_DAY)
_TOP_DEPTHS = (5, 10, 20)
"""Depths of which the exchange sends the whole book each time."""
_SNAPSHOT_LEVELS = 1000
_PRICE_CHANNELS = {"mark_ohlcv": "markPriceKline", "index_ohlcv": "indexPriceKline"}
"""COIN-M futures alone send bars of other prices."""
_CONTRACT_CHANNELS = {"predicted_funding": "markPrice@1s", "liquidations": "forceOrder"}


class Binance(Protocol):
    """Binance. A book of all levels is made of changes and the answer to a call.

    Trades are aggregated ones, with the ids that calls for history return: a dataset has one numbering only, and what is missing can be
    filled.
    """

    exchange = "binance"
    needs_snapshots = True

    def stream(self, subscription: Subscription, instrument: Instrument) -> Stream:
        """Return the stream for a subscription."""
        dataset, market, native = subscription.dataset, market_of(instrument), instrument.native_id
        depth = None
        timeframe = dataset.timeframe_text or ""
        if dataset.kind == "trades":
            name = "aggTrade"
        elif dataset.kind == "quotes":
            name = "bookTicker"
        elif dataset.kind == "book":
            name = "depth@100ms"
            if subscription.depth in _TOP_DEPTHS:
                depth = subscription.depth
                name = f"depth{depth}@100ms"
        elif dataset.kind == "ohlcv":
            name = f"kline_{timeframe}"
        elif dataset.kind in _CONTRACT_CHANNELS and market != "spot":
            name = _CONTRACT_CHANNELS[dataset.kind]
        elif dataset.kind in _PRICE_CHANNELS and market == "inverse":
            name = f"{_PRICE_CHANNELS[dataset.kind]}_{timeframe}"
            if dataset.kind == "index_ohlcv":
                # The contracts of a pair share an index, which has the pair's name.
                native = native.partition("_")[0]
        else:
            raise self.unsupported(subscription)
        channel = f"{native.lower()}@{name}"
        return Stream(subscription, native, market, channel, (dataset.kind, native, timeframe), depth)

    def url(self, stream: Stream) -> str:
        """Return the address of combined streams: their messages name the stream, which best levels do not do themselves."""
        return _URLS[stream.market]

    def limits(self, market: Market) -> Limits:
        """Return the limits of a part of the exchange."""
        return _SPOT if market == "spot" else _FUTURES

    def subscribe(self, streams: Sequence[Stream], number: int) -> Mapping[str, Any]:
        """Return the request."""
        return {"method": "SUBSCRIBE", "params": [stream.channel for stream in streams], "id": number}

    def unsubscribe(self, streams: Sequence[Stream], number: int) -> Mapping[str, Any]:
        """Return the request."""
        return {"method": "UNSUBSCRIBE", "params": [stream.channel for stream in streams], "id": number}

    def reply(self, message: Any) -> Reply | None:
        """Read an answer. It is about all streams of the request, by its number."""
        if "stream" in message or "e" in message:
            return None
        if isinstance(message.get("result"), list):
            return Reply("listed", message.get("id"), tuple(message["result"]))
        if "result" in message:
            return Reply("accepted", message.get("id"))
        error = message.get("error", message)
        if isinstance(error, dict) and "code" in error:
            return Reply("refused", message.get("id"), text=f"{error['code']}: {error.get('msg', '')}")
        return None

    def list_request(self, number: int) -> Mapping[str, Any] | None:
        """Return the request for a list: Binance accepts a request as a whole, whatever becomes of its parts."""
        return {"method": "LIST_SUBSCRIPTIONS", "id": number}

    def snapshot_url(self, stream: Stream) -> str:
        """Return the address of the call for a whole book."""
        return f"{_SNAPSHOTS[stream.market]}?symbol={stream.native}&limit={_SNAPSHOT_LEVELS}"
