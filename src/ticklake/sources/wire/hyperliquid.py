"""What Hyperliquid sends. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.sources.wire.reading import Mark, Memory, Reader
from ticklake.sources.wire.rows import BY_TIME, Row, levels, ms, trade
from ticklake.sources.wire.states import number_by_time

__all__ = ["READERS"]

_TAKER = {"B": "buy", "A": "sell"}


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["data"]:
        side = _TAKER[entry["side"]]
        yield trade(entry["coin"], ms(entry["time"]), heard, entry["px"], entry["sz"], side, entry["tid"])


def _book(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row | Mark]:
    """Yield the best levels, which every message has all anew."""
    book = message["data"]
    bids, asks = ([(level["px"], level["sz"], level["n"]) for level in side] for side in book["levels"])
    ts, native, sides = ms(book["time"]), book["coin"], {"bid": bids, "ask": asks}
    number = number_by_time(memory, native, ts, sides)
    yield from levels(native, ts, heard, number, sides, whole=True, space=BY_TIME)
    yield Mark("book", native, starts=True)


def _best(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield the best quote; a side without orders is null."""
    data = message["data"]
    bid, ask = (((level or {}).get("px"), (level or {}).get("sz")) for level in data["bbo"])
    yield Row("quotes", data["coin"], (ms(data["time"]), heard, None, *bid, *ask))


def _context(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield the open interest and the coming funding rate of a perpetual contract. The message has no time."""
    native, context = message["data"]["coin"], message["data"]["ctx"]
    yield Row("open_interest", native, (heard, context["openInterest"], None))
    yield Row("predicted_funding", native, (heard, heard, context["funding"], None, context["markPx"], None))


def _bar(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield nothing: no message says that a bar is over."""
    del message, heard
    yield from ()


READERS: tuple[Reader, ...] = (
    # Poloniex has a channel of the same name, with other keys.
    Reader(lambda m: m["channel"] == "trades" and all("coin" in entry for entry in m["data"]), _trades),
    Reader(lambda m: m["channel"] == "l2Book" and "coin" in m["data"], _book, remembers=True),
    Reader(lambda m: m["channel"] == "bbo" and "bbo" in m["data"], _best),
    Reader(lambda m: m["channel"] == "activeAssetCtx" and "openInterest" in m["data"]["ctx"], _context),
    Reader(lambda m: m["channel"] == "candle" and "T" in m["data"], _bar),
)
"""The readers of its messages. The first that fits reads the message."""
