"""Read messages of exchanges: one table of the readers of all of them, for recordings and for live data.

Rows are read of what is final and belongs to a kind: trades, best quotes, price levels, closed bars. Orders of single
participants (L3), statistics of a day and instruments do not. Coinbase reports the maker's side, all other exchanges here the
taker's.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from ticklake.sources.wire import (
    binance,
    bitfinex,
    bitflyer,
    bitget,
    bithumb,
    bitmex,
    bitstamp,
    bybit,
    coinbase,
    cryptocom,
    deribit,
    dydx,
    gate,
    gemini,
    hitbtc,
    htx,
    hyperliquid,
    kraken,
    krakenfutures,
    kucoin,
    okx,
    phemex,
    poloniex,
    upbit,
)
from ticklake.sources.wire.reading import Memory, Reader, Reading, read_with

__all__ = ["READERS", "read_message"]

READERS: dict[str, tuple[Reader, ...]] = {
    "binance": binance.READERS,
    "hyperliquid": hyperliquid.READERS,
    "bybit": bybit.READERS,
    "kucoin": kucoin.READERS,
    "okx": okx.READERS,
    "coinbase": coinbase.READERS,
    "gate": gate.READERS,
    "cryptocom": cryptocom.READERS,
    "bitmex": bitmex.READERS,
    "dydx": dydx.READERS,
    "upbit": upbit.READERS,
    "htx": htx.READERS,
    "kraken": kraken.READERS,
    "bitget": bitget.READERS,
    "bitstamp": bitstamp.READERS,
    "gemini": gemini.READERS,
    "krakenfutures": krakenfutures.READERS,
    "phemex": phemex.READERS,
    "poloniex": poloniex.READERS,
    "hitbtc": hitbtc.READERS,
    "bithumb": bithumb.READERS,
    "bitflyer": bitflyer.READERS,
    "deribit": deribit.READERS,
    "bitfinex": bitfinex.READERS,
}
"""The readers of each exchange. Where the exchange is not known, the first of all that fits reads a message."""
_SAME_AS = {
    "binanceus": "binance",
    "binanceusdm": "binance",
    "binancecoinm": "binance",
    "coinbaseexchange": "coinbase",
    "coinbaseinternational": "coinbase",
    "kucoinfutures": "kucoin",
}
"""Exchanges that send the messages of another one."""
for _name, _other in _SAME_AS.items():
    READERS[_name] = READERS[_other]
_ALL = tuple(sorted(dict.fromkeys(chain.from_iterable(READERS.values())), key=lambda reader: reader.unread))


def read_message(
    message: Any,
    received_at: int | None,
    subscription: Mapping[str, Any] | None = None,
    memory: Memory | None = None,
    exchange: str = "",
) -> Reading | None:
    """Return what one message of an exchange says, or ``None`` if no reader knows it.

    Parameters
    ----------
    message
        The parsed JSON. Numbers with a fraction may be text, as :func:`~ticklake.sources.wire.decode.decode` leaves them.
    received_at
        When it was received, in nanoseconds, if that was recorded. Rows without a time of their own get it.
    subscription
        The message that gave this one's channel its number.
    memory
        What the connection has said so far.
    exchange
        CCXT's id. Without it, or if there are no readers of it, the readers of all exchanges are tried.

    Raises
    ------
    InvalidData
        If the message is of a known sort, and not of the form of it: nothing of it is read.
    """
    return read_with(READERS.get(exchange, _ALL), message, received_at, subscription, memory)
