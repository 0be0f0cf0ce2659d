"""The feeds for subscriptions: Ticklake's own protocol where there is one, ccxt's for every other exchange."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from ticklake.core.instrument import Instrument
from ticklake.errors import UnknownSymbol
from ticklake.sources.live.base import Feed, RowKey, Subscription
from ticklake.sources.live.binance import Binance
from ticklake.sources.live.bybit import Bybit
from ticklake.sources.live.coinbase import Coinbase
from ticklake.sources.live.feed import NativeFeed
from ticklake.sources.live.kraken import Kraken
from ticklake.sources.live.okx import Okx
from ticklake.sources.live.options import FeedOptions
from ticklake.sources.live.protocol import Protocol, Stream
from ticklake.sources.pacing.pace import Pace
from ticklake.sources.wire.proofs import By, proof_of

__all__ = ["PROTOCOLS", "live_feeds", "proof_of_stream"]

_BINANCE = Binance()
PROTOCOLS: Mapping[str, Protocol] = {
    "binance": _BINANCE,
    "binanceusdm": _BINANCE,
    "binancecoinm": _BINANCE,
    "kraken": Kraken(),
    "okx": Okx(),
    "bybit": Bybit(),
    "coinbase": Coinbase(),
}
"""The protocols that Ticklake speaks itself, by ccxt's id."""


def proof_of_stream(exchange: str, kind: str) -> By:
    """Return what proves a live stream; ``none`` where ccxt reads its messages, which passes no numbers and checksums on.

    >>> proof_of_stream("okx", "book"), proof_of_stream("bitget", "book")
    ('chain', 'none')
    """
    if exchange not in PROTOCOLS:
        return "none"
    return proof_of(exchange, kind)


def live_feeds(
    exchange: str,
    subscriptions: Sequence[Subscription],
    instruments: Iterable[Instrument],
    options: FeedOptions | None = None,
    pace: Pace | None = None,
) -> list[Feed]:
    """Return the feeds that carry *subscriptions*, divided over as many connections as the exchange's limits ask for.

    Parameters
    ----------
    exchange
        CCXT's id.
    instruments
        What the exchange lists.
    pace
        Gives turns to the calls that feeds make.

    Raises
    ------
    UnknownSymbol
        If the exchange does not list a symbol.
    Unsupported
        If the exchange has no stream of a kind.
    """
    options = options or FeedOptions()
    listed = {instrument.symbol: instrument for instrument in instruments}
    protocol = PROTOCOLS.get(exchange)
    if protocol is None or not options.native:
        from ticklake.sources.ccxt.tap import tapped_feeds

        return tapped_feeds(exchange, subscriptions, listed, options)
    streams = [
        protocol.stream(subscription, _listed(exchange, subscription, listed))
        for subscription in dict.fromkeys(subscriptions)
    ]
    feeds: list[Feed] = []
    for layer in _apart(streams):
        feeds += [NativeFeed(exchange, protocol, tuple(part), options, pace) for part in divided(protocol, layer)]
    return feeds


def _apart(streams: Sequence[Stream]) -> list[list[Stream]]:
    """Divide streams so that no two have the same rows: one connection gives a row to one dataset.

    The contracts of a pair share an index: each has the index bars as its own.
    """
    layers: list[dict[RowKey, Stream]] = []
    for stream in streams:
        for layer in layers:
            if stream.key not in layer:
                layer[stream.key] = stream
                break
        else:
            layers.append({stream.key: stream})
    return [list(layer.values()) for layer in layers]


def divided(protocol: Protocol, streams: Sequence[Stream]) -> list[list[Stream]]:
    """Divide streams over connections: those of one address together, as many as a connection may carry, evenly."""
    by_url: dict[str, dict[str, list[Stream]]] = {}
    for stream in streams:
        by_url.setdefault(protocol.url(stream), {}).setdefault(stream.channel, []).append(stream)
    parts: list[list[Stream]] = []
    for channels in by_url.values():
        sharing = list(channels.values())
        most = protocol.limits(sharing[0][0].market).streams
        count = -(-len(sharing) // most)
        parts += [list(chain.from_iterable(sharing[place::count])) for place in range(count)]
    return parts


def _listed(exchange: str, subscription: Subscription, listed: Mapping[str, Instrument]) -> Instrument:
    symbol = str(subscription.dataset.symbol)
    if symbol not in listed:
        raise UnknownSymbol(f"{exchange} does not list {symbol}: 'ticklake instruments {exchange}' shows what it lists")
    return listed[symbol]
