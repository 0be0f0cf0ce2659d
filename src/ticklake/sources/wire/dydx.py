"""What dYdX sends: its exchange (v3), and the indexer of its chain (v4). Formats are those of its public API documentation.

Books have no times. In v3 a change has an offset, which is larger than that of any change before it. The messages of a connection are
numbered; the answers to subscriptions come out of turn, so that a number is missing only if it does not come soon after.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.core.time import parse_time
from ticklake.sources.wire.reading import Mark, Reader
from ticklake.sources.wire.rows import BY_TIME, Row, levels, pairs, trade

__all__ = ["READERS"]

_SIDES = {"bids": "bid", "asks": "ask"}
_FORCED = frozenset({"LIQUIDATED", "DELEVERAGED"})


def _channel(*names: str) -> Any:
    """Return a test for messages with data of these channels."""
    return lambda m: m["channel"] in names and isinstance(m["contents"], dict | list)


def _contents(message: Mapping[str, Any]) -> list[Any]:
    """Return the parts of a message: ``channel_batch_data`` has several."""
    contents = message["contents"]
    if isinstance(contents, list):
        return contents
    return [contents]


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    for contents in _contents(message):
        for entry in contents["trades"]:
            ts, side, ident = parse_time(entry["createdAt"]), entry["side"], entry.get("id")
            price, amount = entry["price"], entry["size"]
            yield trade(message["id"], ts, heard, price, amount, side, ident)
            if entry.get("liquidation") is True or entry.get("type") in _FORCED:
                yield trade(message["id"], ts, heard, price, amount, side, ident, kind="liquidations")
    yield from _number(message)


def _book(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    native, whole = message["id"], message["type"] == "subscribed"
    for contents in _contents(message):
        sides = {side: contents.get(name) or () for name, side in _SIDES.items()}
        number = _offset(contents, sides)
        seq, space = number, ""
        if number is None:
            seq, space = heard, BY_TIME
        plain = {side: _plain(side_levels) for side, side_levels in sides.items()}
        yield from levels(native, heard, heard, seq, plain, whole=whole, space=space)
        # Offsets of all markets are one numbering, so that those of one market have gaps.
        yield Mark("book", native, starts=whole)
    yield from _number(message)


def _number(message: Mapping[str, Any], _heard: int | None = None) -> Iterator[Mark]:
    """Yield the number of a message: all messages of a connection have one, and answers to subscriptions come out of order."""
    if "message_id" in message:
        number = int(message["message_id"])
        yield Mark("", "", number, number, starts=message["type"] == "connected", overtakes=True)


def _offset(contents: Mapping[str, Any], sides: Mapping[str, Any]) -> int | None:
    """Return the offset of a change, or the largest one among the levels of a whole book; ``None`` where there are none (v4)."""
    if "offset" in contents:
        return int(contents["offset"])
    offsets: list[int] = []
    for side_levels in sides.values():
        offsets += [int(level["offset"]) for level in side_levels if isinstance(level, dict) and "offset" in level]
    return max(offsets, default=None)


def _plain(side_levels: Any) -> list[Any]:
    """Return levels as pairs of price and amount: whole books have objects, which in v3 keep levels that are gone with 0."""
    if side_levels and isinstance(side_levels[0], dict):
        return [level for level in pairs(side_levels, "price", "size") if float(level[1])]
    return [level[:2] for level in side_levels]


def _markets(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    """Yield the open interest and the coming funding rate of each market as far as a message has them. It has no time."""
    for contents in _contents(message):
        markets = contents.get("markets") or contents.get("trading") or contents
        for native, entry in markets.items():
            if not isinstance(entry, dict):
                continue
            if entry.get("openInterest") is not None:
                yield Row("open_interest", native, (heard, entry["openInterest"], None))
            if entry.get("nextFundingRate") is not None:
                due = parse_time(entry["nextFundingAt"]) if entry.get("nextFundingAt") else None
                yield Row("predicted_funding", native, (heard, heard, entry["nextFundingRate"], due, None, None))
    yield from _number(message)


def _candles(message: Mapping[str, Any], heard: int | None) -> Iterator[Mark]:
    """Yield the number alone: no message says that a bar is over."""
    del heard
    yield from _number(message)


READERS: tuple[Reader, ...] = (
    Reader(_channel("v3_trades", "v4_trades"), _trades),
    Reader(_channel("v3_orderbook", "v4_orderbook"), _book),
    Reader(_channel("v3_markets", "v4_markets"), _markets),
    Reader(_channel("v4_candles"), _candles),
    Reader(lambda m: {"connection_id", "message_id", "type"} <= set(m), _number, unread=True),
)
"""The readers of its messages. The first that fits reads the message."""
