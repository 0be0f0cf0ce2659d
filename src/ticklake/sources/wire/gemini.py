"""What Gemini sends as market data, over its first and its second API. Formats are those of its public API documentation.

Changes of books have no number, and in the second API no time. The first API numbers the messages of a connection, which is of one
market: its messages do not name it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.sources.wire.reading import Mark, Reader
from ticklake.sources.wire.rows import BY_TIME, Row, levels, ms, trade

__all__ = ["READERS"]

_SIDES = {"buy": "bid", "sell": "ask"}
_TAKER = {"bid": "sell", "ask": "buy"}
"""The taker's side by the maker's; in auctions nobody is the maker."""


def _changes(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    """Yield changes of a book. The first message has the whole book, and the newest trades beside it."""
    native, whole = message["symbol"], not {"trades", "auction_events"}.isdisjoint(message)
    sides: dict[str, list[Any]] = {"bid": [], "ask": []}
    for side, price, amount in message["changes"]:
        sides[_SIDES[side]].append((price, amount))
    yield from levels(native, heard, heard, heard, sides, whole=whole, space=BY_TIME)
    for entry in message.get("trades") or ():
        yield from _trade(entry, heard)
    yield Mark("book", native, starts=whole)


def _trade(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    native, ts, side = message["symbol"], ms(message["timestamp"]), message["side"]
    if side not in _SIDES:  # block trades and those of auctions
        side = None
    row = trade(native, ts, heard, message["price"], message["quantity"], side, message.get("tid", message["event_id"]))
    # All trades of an order have the number of its event. Once that was the only one, and it is none of the ids of trades.
    yield row if "tid" in message else row._replace(space="event")


def _bars(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield nothing: no message says that a bar is over."""
    del message, heard
    yield from ()


def _update(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    """Yield the events of the first API: its first message has the whole book, and no time."""
    ts, whole = heard, False
    if "timestampms" in message:
        ts = ms(message["timestampms"])
    sides: dict[str, list[Any]] = {"bid": [], "ask": []}
    for event in message["events"]:
        if event["type"] == "change":
            sides[event["side"]].append((event["price"], event["remaining"]))
            whole = whole or event.get("reason") == "initial"
        elif event["type"] == "trade":
            yield trade(
                "", ms(message["timestampms"]), heard, event["price"], event["amount"], _taker(event), event["tid"]
            )
    number = int(message["socket_sequence"])
    yield from levels("", ts, heard, int(message["eventId"]), sides, whole=whole)
    yield Mark("", "", number, number, starts=whole)


def _taker(event: Mapping[str, Any]) -> str | None:
    return _TAKER.get(event["makerSide"])


READERS: tuple[Reader, ...] = (
    Reader(lambda m: m["type"] == "l2_updates" and "changes" in m, _changes),
    Reader(lambda m: m["type"] == "trade" and {"event_id", "quantity", "symbol"} <= set(m), _trade),
    Reader(lambda m: m["type"].startswith("candles_") and "changes" in m, _bars),
    Reader(lambda m: m["type"] == "update" and {"eventId", "events", "socket_sequence"} <= set(m), _update),
)
"""The readers of its messages. The first that fits reads the message."""
