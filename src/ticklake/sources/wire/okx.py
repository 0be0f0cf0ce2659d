"""What OKX (v5) sends. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.sources.wire.reading import Reader
from ticklake.sources.wire.rows import Row, ms, trade

__all__ = ["READERS"]


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["data"]:
        yield trade(entry["instId"], ms(entry["ts"]), heard, entry["px"], entry["sz"], entry["side"], entry["tradeId"])


def _tickers(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["data"]:
        best = (entry["bidPx"], entry["bidSz"], entry["askPx"], entry["askSz"])
        yield Row("quotes", entry["instId"], (ms(entry["ts"]), heard, None, *best))


READERS: tuple[Reader, ...] = (
    Reader(lambda m: isinstance(m.get("arg"), dict) and m["arg"].get("channel") == "trades" and "data" in m, _trades),
    Reader(lambda m: isinstance(m.get("arg"), dict) and m["arg"].get("channel") == "tickers" and "data" in m, _tickers),
)
"""The readers of its messages. The first that fits reads the message."""
