"""What Kraken Futures sends. Formats are those of its public API documentation.

Amounts are counts of contracts. Its funding accrues until ``next_funding_rate_time``; the relative rates are the ones that a lake has,
the others are in currency a contract.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.sources.wire.reading import Mark, Reader
from ticklake.sources.wire.rows import Row, levels, ms, pairs, time_or, trade

__all__ = ["READERS"]

_SIDES = {"buy": "bid", "sell": "ask"}


def _feed(*names: str) -> Any:
    """Return a test for messages of feeds. Answers to subscriptions name feeds too, and no market."""
    return lambda m: m["feed"] in names and "product_id" in m and "event" not in m


def _trade(entry: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    native, ts, side, ident = entry["product_id"], ms(entry["time"]), entry["side"], entry.get("uid")
    yield trade(native, ts, heard, entry["price"], entry["qty"], side, ident)
    if entry.get("type") == "liquidation":
        yield trade(native, ts, heard, entry["price"], entry["qty"], side, ident, kind="liquidations")


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    """Yield a trade, or the newest ones that a subscription begins with. The trades of a market are numbered."""
    is_whole = message["feed"] == "trade_snapshot"
    entries = message["trades"] if is_whole else [message]
    for entry in entries:
        yield from _trade(entry, heard)
    numbers = [int(entry["seq"]) for entry in entries if entry.get("seq") is not None]
    if numbers:
        yield Mark("trades", message["product_id"], min(numbers), max(numbers), starts=is_whole)


def _whole(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    native, number = message["product_id"], int(message["seq"])
    sides = {"bid": pairs(message["bids"], "price", "qty"), "ask": pairs(message["asks"], "price", "qty")}
    ts = time_or(message, "timestamp", heard)
    yield from levels(native, ts, heard, number, sides, whole=True)
    yield Mark("book", native, number, number, starts=True)


def _change(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    native, number = message["product_id"], int(message["seq"])
    sides = {_SIDES[message["side"]]: [(message["price"], message["qty"])]}
    # Messages of 2019 have no time.
    ts = time_or(message, "timestamp", heard)
    yield from levels(native, ts, heard, number, sides, whole=False)
    yield Mark("book", native, number, number)


def _ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    native = message["product_id"]
    # The smaller ticker has no time.
    ts = time_or(message, "time", heard)
    if message.get("bid") is not None or message.get("ask") is not None:
        best = (message.get("bid"), message.get("bid_size"), message.get("ask"), message.get("ask_size"))
        yield Row("quotes", native, (ts, heard, None, *best))
    if message.get("openInterest") is not None:
        yield Row("open_interest", native, (ts, message["openInterest"], None))
    rate, due = message.get("relative_funding_rate"), message.get("next_funding_rate_time")
    if rate is not None and due is not None:
        yield Row("predicted_funding", native, (ts, heard, rate, ms(due), message.get("markPrice"), None))


READERS: tuple[Reader, ...] = (
    Reader(_feed("trade", "trade_snapshot"), _trades),
    Reader(_feed("book_snapshot"), _whole),
    Reader(_feed("book"), _change),
    Reader(_feed("ticker", "ticker_lite"), _ticker),
)
"""The readers of its messages. The first that fits reads the message."""
