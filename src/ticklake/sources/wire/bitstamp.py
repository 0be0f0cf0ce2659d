"""What Bitstamp sends (v2). Formats are those of its public API documentation.

Books are numbered by their times in microseconds. Channels of single orders are not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.core.time import US, decimal_to_ns
from ticklake.sources.wire.reading import Mark, Reader
from ticklake.sources.wire.rows import Row, levels, trade

__all__ = ["READERS"]

_TAKER = {0: "buy", 1: "sell"}


def _channel(name: str, event: str) -> Any:
    """Return a test for messages of a channel, which the market follows."""
    return lambda m: m["channel"].startswith(f"{name}_") and m["event"] == event and isinstance(m["data"], dict)


def _native(message: Mapping[str, Any]) -> str:
    return str(message["channel"].rpartition("_")[2]).upper()


def _trade(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    entry = message["data"]
    ts, side = decimal_to_ns(entry["microtimestamp"], US), _TAKER[int(entry["type"])]
    # The numbers beside the texts have lost digits.
    price, amount = entry.get("price_str", entry["price"]), entry.get("amount_str", entry["amount"])
    yield trade(_native(message), ts, heard, price, amount, side, entry["id"])


def _book(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    """Yield the best levels, which ``order_book`` has all anew, or the changes of ``diff_order_book``."""
    data, native = message["data"], _native(message)
    whole, number = message["channel"].startswith("order_book_"), int(data["microtimestamp"])
    sides = {"bid": data["bids"], "ask": data["asks"]}
    yield from levels(native, decimal_to_ns(number, US), heard, number, sides, whole=whole)
    yield Mark("book", native, starts=whole)


READERS: tuple[Reader, ...] = (
    Reader(_channel("live_trades", "trade"), _trade),
    Reader(_channel("order_book", "data"), _book),
    Reader(_channel("diff_order_book", "data"), _book),
)
"""The readers of its messages. The first that fits reads the message."""
