"""What Bybit (v5) sends. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.sources.wire.reading import Reader
from ticklake.sources.wire.rows import Row, levels, ms, trade

__all__ = ["READERS"]


def _read(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    data = message["data"]
    if message["topic"].startswith("publicTrade."):
        for entry in data:
            yield trade(entry["s"], ms(entry["T"]), heard, entry["p"], entry["v"], entry["S"], entry["i"])
        return
    sides, ts = {"bid": data["b"], "ask": data["a"]}, ms(message.get("cts", message["ts"]))
    yield from levels(data["s"], ts, heard, data["u"], sides, whole=message["type"] == "snapshot")


READERS: tuple[Reader, ...] = (
    Reader(lambda m: str(m.get("topic")).startswith(("publicTrade.", "orderbook.")) and "data" in m, _read),
)
"""The readers of its messages. The first that fits reads the message."""
