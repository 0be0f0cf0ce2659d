"""What BitMEX sends. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.core.time import parse_time
from ticklake.sources.wire.reading import Reader
from ticklake.sources.wire.rows import Row, trade

__all__ = ["READERS"]


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["data"]:
        ts = parse_time(entry["timestamp"])
        yield trade(entry["symbol"], ts, heard, entry["price"], entry["size"], entry["side"], entry["trdMatchID"])


def _quotes(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["data"]:
        best = (entry.get("bidPrice"), entry.get("bidSize"), entry.get("askPrice"), entry.get("askSize"))
        yield Row("quotes", entry["symbol"], (parse_time(entry["timestamp"]), heard, None, *best))


READERS: tuple[Reader, ...] = (
    Reader(lambda m: m.get("table") == "trade" and m.get("action") in {"insert", "partial"}, _trades),
    Reader(lambda m: m.get("table") == "quote" and m.get("action") in {"insert", "partial"}, _quotes),
)
"""The readers of its messages. The first that fits reads the message."""
