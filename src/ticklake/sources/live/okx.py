"""OKX. From its public documentation of the WebSocket API v5."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ticklake.core.instrument import Instrument
from ticklake.core.native_ids import Market
from ticklake.sources.live.base import Subscription
from ticklake.sources.live.protocol import Limits, Protocol, Reply, Stream, market_of

__all__ = ["Okx"]

# 480 requests an hour; a request of a hundred channels is far below the 64 KB that it may have.
_LIMITS = Limits(streams=200, per_message=100, messages_per_second=2.0)
_PUBLIC, _BUSINESS = "wss://ws.okx.com:8443/ws/v5/public", "wss://ws.okx.com:8443/ws/v5/business"
# The channel "trades" joins trades of one taker and price; "trades-all" has each, with the id that calls return.
_CHANNELS = {
    "trades": "trades-all",
    "quotes": "bbo-tbt",
    "book": "books",
    "predicted_funding": "funding-rate",
    "open_interest": "open-interest",
}
_CONTRACT_KINDS = frozenset({"predicted_funding", "open_interest", "liquidations", "mark_ohlcv", "index_ohlcv"})
_CANDLES = {"ohlcv": "candle", "mark_ohlcv": "mark-price-candle", "index_ohlcv": "index-candle"}
_ON_BUSINESS = (*_CANDLES.values(), "trades-all")
_LIQUIDATIONS = "liquidation-orders"
"""The channel of the liquidations of all contracts of one sort."""
_SORTS = {"swap": "SWAP", "future": "FUTURES", "option": "OPTION"}
_DAYS = {"d", "w", "M"}
_NAMED = re.compile(r"channel:\s*([\w-]+).*?inst(?:Id|Type):\s*([\w-]+)")
"""How the text of an error names the channel: OKX repeats no arguments with it."""


class Okx(Protocol):
    """OKX. It answers each channel of a request by itself, and sends the whole book first."""

    exchange = "okx"
    ping = "ping"
    # The exchange closes a connection that was silent for 30 seconds.
    ping_every = 15.0

    def stream(self, subscription: Subscription, instrument: Instrument) -> Stream:
        """Return the stream for a subscription."""
        dataset, native, depth = subscription.dataset, instrument.native_id, None
        market = market_of(instrument)
        name, about = _CHANNELS.get(dataset.kind, ""), native
        if dataset.kind in _CANDLES:
            name = f"{_CANDLES[dataset.kind]}{_timeframe(str(dataset.timeframe))}"
        elif dataset.kind == "liquidations":
            name, about = _LIQUIDATIONS, _SORTS.get(instrument.market_type, "")
        if not name or (market == "spot" and dataset.kind in _CONTRACT_KINDS):
            raise self.unsupported(subscription)
        if dataset.kind == "book":
            depth = 400
            if subscription.depth is not None and subscription.depth <= 5:
                name, depth = "books5", 5
        elif dataset.kind == "index_ohlcv":
            # Contracts of a pair share an index, which has the pair's name.
            about = native = "-".join(native.split("-")[:2]).partition("_")[0]
        key = (dataset.kind, native, dataset.timeframe_text or "")
        return Stream(subscription, native, market, f"{name}:{about}", key, depth)

    def url(self, stream: Stream) -> str:
        """Return the address: bars and all trades are served by another one."""
        if stream.channel.startswith(_ON_BUSINESS):
            return _BUSINESS
        return _PUBLIC

    def limits(self, market: Market) -> Limits:  # noqa: ARG002
        """Return the limits."""
        return _LIMITS

    def subscribe(self, streams: Sequence[Stream], number: int) -> Mapping[str, Any]:
        """Return the request."""
        return {"id": str(number), "op": "subscribe", "args": list(map(_argument, streams))}

    def unsubscribe(self, streams: Sequence[Stream], number: int) -> Mapping[str, Any]:
        """Return the request."""
        return {"id": str(number), "op": "unsubscribe", "args": list(map(_argument, streams))}

    def reply(self, message: Any) -> Reply | None:
        """Read an answer, or what is said of the connection."""
        if message == "pong":
            return Reply("alive")
        if not isinstance(message, dict) or "event" not in message:
            return None
        number = _number(message.get("id"))
        if message["event"] == "subscribe":
            argument = message.get("arg", {})
            about = argument.get("instId") or argument.get("instType")
            return Reply("accepted", number, (f"{argument.get('channel')}:{about}",))
        if message["event"] == "error":
            text = str(message.get("msg", ""))
            named = _NAMED.search(text)
            channels = (f"{named[1]}:{named[2]}",) if named else ()
            return Reply("refused", number, channels, f"{message.get('code')}: {text}")
        return Reply("notice")


def _argument(stream: Stream) -> dict[str, str]:
    channel, _, about = stream.channel.partition(":")
    if channel == _LIQUIDATIONS:
        return {"channel": channel, "instType": about}
    return {"channel": channel, "instId": about}


def _timeframe(text: str) -> str:
    """Return OKX's name of a timeframe. Days begin at midnight UTC only where the name says so.

    >>> _timeframe("1m"), _timeframe("4h"), _timeframe("1d"), _timeframe("6h")
    ('1m', '4H', '1Dutc', '6Hutc')
    """
    count, unit = int(text[:-1]), text[-1]
    name = f"{count}{unit}"
    if unit in {"h", "d", "w"}:
        name = name.upper()
    if unit in _DAYS or (unit == "h" and count >= 6):
        name += "utc"
    return name


def _number(text: Any) -> int | None:
    if isinstance(text, str) and text.isdigit():
        return int(text)
    return None
