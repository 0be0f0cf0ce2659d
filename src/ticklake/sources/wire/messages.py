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
    bitmex,
    bybit,
    coinbase,
    cryptocom,
    dydx,
    gate,
    htx,
    hyperliquid,
    kraken,
    kucoin,
    okx,
    upbit,
)
from ticklake.sources.wire.reading import Reader, Reading, read_with

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
}
"""The readers of each exchange. Where the exchange is not known, the first of all that fits reads a message."""
_ALL = tuple(chain.from_iterable(READERS.values()))


def read_message(
    message: Any, received_at: int | None, subscription: Mapping[str, Any] | None = None
) -> Reading | None:
    """Return what one message of any exchange says, or ``None`` if no reader knows it.

    Parameters
    ----------
    message
        The parsed JSON.
    received_at
        When it was received, in nanoseconds, if that was recorded. Rows without a time of their own get it.
    subscription
        The message that gave this one's channel its number.
    """
    if isinstance(message, dict) and "stream" in message:
        # Binance wraps the messages of combined streams.
        message = message.get("data")
    return read_with(_ALL, message, received_at, subscription)
