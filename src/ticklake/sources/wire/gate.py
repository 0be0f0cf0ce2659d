"""What Gate (v4) sends. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.sources.wire.reading import Reader
from ticklake.sources.wire.rows import Row, ms, trade

__all__ = ["READERS"]


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    entry = message["result"]
    ts = ms(entry["create_time_ms"])
    yield trade(entry["currency_pair"], ts, heard, entry["price"], entry["amount"], entry["side"], entry["id"])


READERS: tuple[Reader, ...] = (
    Reader(lambda m: m.get("channel") == "spot.trades" and m.get("event") == "update", _trades),
)
"""The readers of its messages. The first that fits reads the message."""
