"""What dYdX (v3) sends. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.core.time import parse_time
from ticklake.sources.wire.reading import Reader
from ticklake.sources.wire.rows import Row, trade

__all__ = ["READERS"]


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["contents"]["trades"]:
        yield trade(message["id"], parse_time(entry["createdAt"]), heard, entry["price"], entry["size"], entry["side"])


READERS: tuple[Reader, ...] = (
    Reader(lambda m: m.get("channel") == "v3_trades" and isinstance(m.get("contents"), dict), _trades),
)
"""The readers of its messages. The first that fits reads the message."""
