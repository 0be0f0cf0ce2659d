"""What Crypto.com sends. Formats are those of its public API documentation, of the exchange (v1) and of the API before it (v2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.sources.wire.reading import Mark, Memory, Reader
from ticklake.sources.wire.rows import BY_TIME, Row, field, levels, ms, trade
from ticklake.sources.wire.states import number_by_time

__all__ = ["READERS"]


def _channel(*names: str) -> Any:
    """Return a test for messages with data of these channels."""
    return lambda m: m["result"]["channel"] in names and isinstance(m["result"]["data"], list)


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["result"]["data"]:
        yield trade(entry["i"], ms(entry["t"]), heard, entry["p"], entry["q"], entry["s"], entry["d"])


def _ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield the best prices, with their amounts where it sends them, and the open interest of a contract."""
    for entry in message["result"]["data"]:
        ts, native = ms(entry["t"]), entry["i"]
        if entry["b"] is not None or entry["k"] is not None:
            best = (entry["b"], entry.get("bs"), entry["k"], entry.get("ks"))
            yield Row("quotes", native, (ts, heard, None, *best))
        # The spot markets have "0", which says nothing.
        if float(entry.get("oi") or 0):
            yield Row("open_interest", native, (ts, entry["oi"], None))


def _book(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row | Mark]:
    """Yield a book: the whole of its best levels, or the changes of channel ``book.update``."""
    result = message["result"]
    native, whole = result["instrument_name"], result["channel"] == "book"
    for entry in result["data"]:
        change = entry if whole else entry["update"]
        ts, last, previous = ms(field(entry, "tt", "t")), None, None
        sides = {"bid": change.get("bids") or (), "ask": change.get("asks") or ()}
        seq, space = ts, BY_TIME
        if whole and "u" not in entry:
            seq = number_by_time(memory, native, ts, sides)
        if "u" in entry:
            last = seq = int(entry["u"])
            space = ""
        # The first changes, of 2022, named no number before them.
        if not whole and "pu" in entry:
            previous = int(entry["pu"])
        yield from levels(native, ts, heard, seq, sides, whole=whole, space=space)
        yield Mark("book", native, last, last, previous, starts=whole)


def _bar(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield nothing: no message says that a bar is over."""
    del message, heard
    yield from ()


def _funding(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    native = message["result"]["instrument_name"]
    for entry in message["result"]["data"]:
        yield Row("predicted_funding", native, (ms(entry["t"]), heard, entry["v"], None, None, None))


READERS: tuple[Reader, ...] = (
    Reader(_channel("trade"), _trades),
    Reader(_channel("ticker"), _ticker),
    Reader(_channel("book", "book.update"), _book, remembers=True),
    Reader(_channel("candlestick"), _bar),
    Reader(_channel("estimatedfunding"), _funding),
)
"""The readers of its messages. The first that fits reads the message."""
