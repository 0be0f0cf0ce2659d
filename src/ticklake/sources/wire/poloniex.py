"""What Poloniex sends: its spot market, its contracts (v3), and the first API, which numbered markets. Formats are those of its public API documentation.

The first API named a market once, at the start of its book, and then by its number; it named the quote first, ``BTC_ETH``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ticklake.core.time import SECOND, decimal_to_ns
from ticklake.sources.wire.reading import Mark, Reader
from ticklake.sources.wire.rows import Row, field, levels, ms, trade

__all__ = ["READERS", "numbers_in"]

_TICKER = 1002


def _channel(*names: str) -> Any:
    """Return a test for messages with data of these channels."""
    return lambda m: m["channel"] in names and all("s" in entry or "symbol" in entry for entry in m["data"])


def _native(entry: Mapping[str, Any]) -> str:
    return str(field(entry, "symbol", "s"))


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["data"]:
        if "symbol" in entry:
            ts, price, amount, side = entry["createTime"], entry["price"], entry["quantity"], entry["takerSide"]
        else:
            ts, price, amount, side = entry["cT"], entry["px"], entry["qty"], entry["side"]
        yield trade(_native(entry), ms(ts), heard, price, amount, side, entry["id"])


def _book(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    """Yield a book: the best levels anew each time, or the changes of ``book_lv2``."""
    whole = message["channel"] == "book" or message["action"] == "snapshot"
    for entry in message["data"]:
        native, number = _native(entry), int(entry["id"])
        ts = ms(field(entry, "createTime", "cT"))
        sides = {"bid": entry["bids"], "ask": entry["asks"]}
        yield from levels(native, ts, heard, number, sides, whole=whole)
        previous = entry.get("lastId", entry.get("lid"))
        if previous is not None:
            previous = int(previous)
        yield Mark("book", native, number, number, previous, starts=whole)


def _bars(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield nothing: no message says that a bar is over."""
    del message, heard
    yield from ()


def _time(event: Sequence[Any], place: int, otherwise: int | None) -> int | None:
    """Return the time of an event, which the oldest messages have not."""
    if len(event) > place:
        return ms(event[place])
    return otherwise


def _old(message: Sequence[Any], heard: int | None, subscription: Mapping[str, Any]) -> Iterator[Row | Mark]:
    """Yield the events of a message of the first API, in their order."""
    native, number = subscription["currencyPair"], int(message[1])
    whole = False
    for event in message[2]:
        if event[0] == "i":
            whole = True
            # Asks come first.
            asks, bids = event[1]["orderBook"]
            ts = _time(event, 2, heard)
            sides = {"bid": list(bids.items()), "ask": list(asks.items())}
            yield from levels(native, ts, heard, number, sides, whole=True)
        elif event[0] == "o":
            ts = _time(event, 4, heard)
            side = ("ask", "bid")[int(event[1])]
            yield from levels(native, ts, heard, number, {side: [event[2:4]]}, whole=False)
        elif event[0] == "t":
            at = decimal_to_ns(event[5], SECOND)
            if len(event) > 6:
                at = ms(event[6])
            side = ("sell", "buy")[int(event[2])]
            yield trade(native, at, heard, event[3], event[4], side, event[1])
    yield Mark("book", native, number, number, starts=whole)


def numbers_in(body: Any) -> dict[Any, Mapping[str, Any]]:
    """Return the markets by their numbers, which the first API's ``returnTicker`` tells; none if it is another answer.

    >>> numbers_in({"BTC_ETH": {"id": 148, "last": "0.06"}})
    {148: {'channel': 'book', 'currencyPair': 'BTC_ETH'}}
    """
    if not isinstance(body, dict):
        return {}
    return {
        entry["id"]: {"channel": "book", "currencyPair": native}
        for native, entry in body.items()
        if isinstance(entry, dict) and isinstance(entry.get("id"), int)
    }


def _old_ticker(message: Sequence[Any], heard: int | None, subscription: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the best prices, whose amounts and time it did not send."""
    ask, bid = message[2][2], message[2][3]
    yield Row("quotes", subscription["currencyPair"], (heard, heard, None, bid, None, ask, None))


READERS: tuple[Reader, ...] = (
    Reader(_channel("trades"), _trades),
    Reader(_channel("book", "book_lv2"), _book),
    Reader(lambda m: m["channel"].startswith("candles_") and isinstance(m["data"], list), _bars),
    Reader(lambda m: m[:2] == [_TICKER, None] and len(m[2]) > 3, _old_ticker, form=list, numbered=True),
    Reader(
        lambda m: len(m) == 3 and isinstance(m[0], int) and all(event[0] in ("i", "o", "t") for event in m[2]),
        _old,
        form=list,
        numbered=True,
    ),
)
"""The readers of its messages. The first that fits reads the message."""
