"""What Coinbase (Advanced Trade) sends. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.core.time import parse_time
from ticklake.sources.wire.reading import Reader
from ticklake.sources.wire.rows import Row, levels, trade

__all__ = ["READERS"]

_OTHER_SIDE = {"BUY": "sell", "SELL": "buy", "buy": "sell", "sell": "buy"}


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for event in message["events"]:
        for entry in event.get("trades", ()):
            ts, side = parse_time(entry["time"]), _OTHER_SIDE.get(entry["side"])
            yield trade(entry["product_id"], ts, heard, entry["price"], entry["size"], side, entry["trade_id"])


def _tickers(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    ts = parse_time(message["timestamp"])
    for event in message["events"]:
        for entry in event["tickers"]:
            best = (entry["best_bid"], entry["best_bid_quantity"], entry["best_ask"], entry["best_ask_quantity"])
            yield Row("quotes", entry["product_id"], (ts, heard, None, *best))


def _book(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    sides = {"bid": message["bids"], "ask": message["asks"]}
    ts = parse_time(message["captured_at"])
    yield from levels(message["product"], ts, heard, message["sequence"], sides, whole=True)


READERS: tuple[Reader, ...] = (
    Reader(lambda m: m.get("channel") == "market_trades", _trades),
    Reader(lambda m: m.get("channel") == "ticker" and "best_bid" in str(m.get("events")), _tickers),
    Reader(lambda m: {"product", "captured_at", "sequence", "bids"} <= set(m), _book),
)
"""The readers of its messages. The first that fits reads the message."""
