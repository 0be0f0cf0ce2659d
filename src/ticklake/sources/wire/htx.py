"""What HTX sends. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.sources.wire.reading import Reader
from ticklake.sources.wire.rows import Row, ms, trade

__all__ = ["READERS"]


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    native = message["ch"].split(".")[1].upper()
    for entry in message["tick"]["data"]:
        yield trade(
            native, ms(entry["ts"]), heard, entry["price"], entry["amount"], entry["direction"], entry["tradeId"]
        )


READERS: tuple[Reader, ...] = (Reader(lambda m: str(m.get("ch")).endswith(".trade.detail") and "tick" in m, _trades),)
"""The readers of its messages. The first that fits reads the message."""
