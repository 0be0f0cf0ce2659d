"""What Kraken sends over its first WebSocket API. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ticklake.core.time import SECOND, decimal_to_ns
from ticklake.sources.wire.reading import Reader
from ticklake.sources.wire.rows import Row, trade

__all__ = ["READERS"]


def _trades(message: Sequence[Any], heard: int | None) -> Iterator[Row]:
    for price, amount, time, side, *_ in message[1]:
        yield trade(message[3], decimal_to_ns(time, SECOND), heard, price, amount, side)


def _ticker(message: Sequence[Any], heard: int | None) -> Iterator[Row]:
    """Yield the best quote. Its sides are (price, whole lots, amount), and it has no time of its own."""
    bid, ask = message[1]["b"], message[1]["a"]
    yield Row("quotes", message[3], (heard, heard, None, bid[0], bid[2], ask[0], ask[2]))


READERS: tuple[Reader, ...] = (
    Reader(lambda m: len(m) == 4 and m[2] == "trade", _trades, form=list),
    Reader(lambda m: len(m) == 4 and m[2] == "ticker" and "b" in m[1], _ticker, form=list),
)
"""The readers of its messages. The first that fits reads the message."""
