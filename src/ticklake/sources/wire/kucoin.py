"""What KuCoin sends. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.sources.wire.reading import Reader
from ticklake.sources.wire.rows import Row, ms, trade

__all__ = ["READERS"]


def _trade(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    entry = message["data"]
    yield trade(
        entry["symbol"], int(entry["time"]), heard, entry["price"], entry["size"], entry["side"], entry["tradeId"]
    )


def _ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    entry = message["data"]
    best = (entry["bestBid"], entry["bestBidSize"], entry["bestAsk"], entry["bestAskSize"])
    native = message["topic"].partition(":")[2]
    yield Row("quotes", native, (ms(entry["time"]), heard, int(entry["sequence"]), *best))


READERS: tuple[Reader, ...] = (
    Reader(lambda m: str(m.get("topic")).startswith("/market/match:"), _trade),
    Reader(lambda m: str(m.get("topic")).startswith("/market/ticker:") and "bestBid" in m.get("data", ()), _ticker),
)
"""The readers of its messages. The first that fits reads the message."""
