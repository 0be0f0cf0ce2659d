"""What Hyperliquid sends. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.sources.wire.reading import Reader
from ticklake.sources.wire.rows import Row, levels, ms, trade

__all__ = ["READERS"]


def _read(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    if message["channel"] == "trades":
        for entry in message["data"]:
            side = {"B": "buy", "A": "sell"}[entry["side"]]
            yield trade(entry["coin"], ms(entry["time"]), heard, entry["px"], entry["sz"], side, entry["tid"])
        return
    book = message["data"]
    sides: dict[str, list[Any]] = {"bid": [], "ask": []}
    for side, side_levels in zip(sides, book["levels"], strict=True):
        for level in side_levels:
            sides[side].append((level["px"], level["sz"], level["n"]))
    yield from levels(book["coin"], ms(book["time"]), heard, book["time"], sides, whole=True)


READERS: tuple[Reader, ...] = (
    Reader(lambda m: m.get("channel") in {"trades", "l2Book"} and "coin" in str(m.get("data"))[:20], _read),
)
"""The readers of its messages. The first that fits reads the message."""
