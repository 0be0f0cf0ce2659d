"""What Bitflyer sends. Formats are those of its public API documentation.

Books have neither times nor numbers. Trades of an auction (itayose) have no side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.core.time import parse_time
from ticklake.sources.wire.reading import Mark, Reader
from ticklake.sources.wire.rows import BY_TIME, Row, levels, pairs, trade

__all__ = ["READERS"]

_EXECUTIONS, _TICKER = "lightning_executions_", "lightning_ticker_"
_WHOLE, _CHANGES = "lightning_board_snapshot_", "lightning_board_"


def _channel(name: str) -> Any:
    """Return a test for messages of channels, which the market follows."""
    return lambda m: m["params"]["channel"].startswith(name) and "message" in m["params"]


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    native = message["params"]["channel"].removeprefix(_EXECUTIONS)
    for entry in message["params"]["message"]:
        side = entry["side"] or None
        yield trade(native, parse_time(entry["exec_date"]), heard, entry["price"], entry["size"], side, entry["id"])


def _ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    entry = message["params"]["message"]
    best = (entry["best_bid"], entry["best_bid_size"], entry["best_ask"], entry["best_ask_size"])
    native, number = entry["product_code"], int(entry["tick_id"])
    yield Row("quotes", native, (parse_time(entry["timestamp"]), heard, number, *best))


def _board(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    channel, board = message["params"]["channel"], message["params"]["message"]
    whole = channel.startswith(_WHOLE)
    native = channel.removeprefix(_WHOLE if whole else _CHANGES)
    # A price of 0 stands for orders at any price, which wait for an auction.
    sides = {
        side: [level for level in pairs(board[name], "price", "size") if float(level[0])]
        for side, name in (("bid", "bids"), ("ask", "asks"))
    }
    yield from levels(native, heard, heard, heard, sides, whole=whole, space=BY_TIME)
    yield Mark("book", native, starts=whole)


READERS: tuple[Reader, ...] = (
    Reader(_channel(_EXECUTIONS), _trades),
    Reader(_channel(_TICKER), _ticker),
    Reader(_channel(_CHANGES), _board),
)
"""The readers of its messages. The first that fits reads the message."""
