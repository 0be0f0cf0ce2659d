"""What Upbit sends. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.sources.wire.reading import Reader
from ticklake.sources.wire.rows import Row, ms, trade

__all__ = ["READERS"]


def _trade(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    quote, _, base = message["cd"].partition("-")
    yield trade(
        f"{base}-{quote}", ms(message["ttms"]), heard, message["tp"], message["tv"], message["ab"], message["sid"]
    )


READERS: tuple[Reader, ...] = (Reader(lambda m: m.get("ty") == "trade", _trade),)
"""The readers of its messages. The first that fits reads the message."""
