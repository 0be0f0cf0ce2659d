"""What Crypto.com sends. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.sources.wire.reading import Reader
from ticklake.sources.wire.rows import Row, ms, trade

__all__ = ["READERS"]


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["result"]["data"]:
        yield trade(entry["i"], ms(entry["t"]), heard, entry["p"], entry["q"], entry["s"], entry["d"])


READERS: tuple[Reader, ...] = (
    Reader(lambda m: isinstance(m.get("result"), dict) and m["result"].get("channel") == "trade", _trades),
)
"""The readers of its messages. The first that fits reads the message."""
