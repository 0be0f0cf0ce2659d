"""Rows that were read from messages and answers, not yet in a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from ticklake.core.native_ids import Market
from ticklake.core.time import MS, decimal_to_ns, parse_time

__all__ = [
    "BY_TIME",
    "Row",
    "field",
    "iso",
    "level_rows",
    "levels",
    "ms",
    "new_row",
    "pairs",
    "row_key",
    "signed",
    "time_or",
    "trade",
]

_SIDES = {
    **dict.fromkeys(("BUY", "Buy", "BID", "bid"), "buy"),
    **dict.fromkeys(("SELL", "Sell", "ASK", "ask"), "sell"),
}
"""The words of exchanges for the side of a taker. Rows of live feeds go into the lake as they are: no file's mapping reads them."""
BY_TIME = "time"
"""The numbering of books that have no numbers: times stand in their place."""


class Row(NamedTuple):
    """One row: its kind, the exchange's name of the market (empty if unknown), and its values in order of the kind's columns.

    ``space`` is the numbering that the id belongs to, if the exchange has several. ``market`` is the part of the exchange, where
    the message itself says it and the name alone does not. It is a named tuple because live data makes very many of them: a
    frozen dataclass takes three times as long to make.
    """

    kind: str
    native: str
    values: tuple[Any, ...]
    timeframe: str = ""
    space: str = ""
    market: Market | None = None


row_key = itemgetter(0, 1, 3)
"""Returns what tells the dataset of a row: kind, market and timeframe."""


def ms(value: Any) -> int:
    """Return milliseconds as nanoseconds."""
    if type(value) is int:
        return value * MS
    return decimal_to_ns(value, MS)


def field(entry: Mapping[str, Any], name: str, other: str) -> Any:
    """Return the field *name*, or the *other* one, as which some messages have it.

    Raises
    ------
    KeyError
        If there is neither.
    """
    if name in entry:
        return entry[name]
    return entry[other]


def time_or(message: Mapping[str, Any], name: str, otherwise: int | None) -> int | None:
    """Return a field of milliseconds as nanoseconds, or another time where a message has none."""
    if name in message:
        return ms(message[name])
    return otherwise


def iso(text: str) -> int:
    """Return an ISO 8601 text as nanoseconds; those that end with ``Z`` are read eight times as fast as by ``parse_time``.

    >>> iso("2024-01-01T00:00:00.000000001Z")
    1704067200000000001
    """
    fraction = text[20:-1]
    if text[19:20] == "." and text[-1] == "Z" and fraction.isdigit() and len(fraction) < 10:
        return _second(text[:19]) + int(fraction.ljust(9, "0"))
    return parse_time(text)


@lru_cache(maxsize=256)
def _second(text: str) -> int:
    """Return a text of whole seconds as nanoseconds. Messages come in the order of time: most name a second that was just read."""
    return parse_time(f"{text}Z")


def signed(amount: Any) -> tuple[Any, bool]:
    """Return an amount without its sign, and whether it was negative.

    >>> signed("-0.5"), signed(2)
    (('0.5', True), (2, False))
    """
    if isinstance(amount, str):
        return amount.removeprefix("-"), amount.startswith("-")
    return abs(amount), amount < 0


def trade(
    native: str,
    ts: int,
    heard: int | None,
    price: Any,
    amount: Any,
    side: Any,
    ident: Any = None,
    *,
    market: Market | None = None,
    kind: str = "trades",
) -> Row:
    """Return the row of a trade, or of another kind with the same columns; *side* is the taker's, in the exchange's word.

    >>> trade("BTCUSDT", 0, None, "1", "2", "Sell").values[-1], trade("KRW-BTC", 0, None, "1", "2", "BID").values[-1]
    ('sell', 'buy')
    """
    if ident is not None:
        ident = str(ident)
    side = _SIDES.get(side, side)
    return Row(kind, native, (ts, heard, ident, price, amount, side), market=market)


def levels(
    native: str,
    ts: int | None,
    heard: int | None,
    seq: Any,
    sides: Mapping[str, Sequence[Any]],
    *,
    whole: bool,
    space: str = "",
    market: Market | None = None,
) -> Iterator[Row]:
    """Yield a row per level. A level is (price, amount) or (price, amount, count)."""
    for side, side_levels in sides.items():
        for level in side_levels:
            # A ternary, because this runs for every level of every recorded book.
            count = level[2] if len(level) > 2 else None
            values = (ts, heard, seq, side, level[0], level[1], count, whole)
            yield Row("book", native, values, "", space, market)


def pairs(entries: Iterable[Mapping[str, Any]], price: str, amount: str) -> list[tuple[Any, Any]]:
    """Return levels that are objects as pairs of price and amount."""
    return [(entry[price], entry[amount]) for entry in entries]


new_row = tuple.__new__
"""Making a row by this takes half the time of calling the class, which counts where there are a million a second."""


def level_rows(
    native: str,
    ts: int | None,
    heard: int | None,
    seq: Any,
    side: str,
    side_levels: Iterable[Sequence[Any]],
    *,
    whole: bool,
    space: str = "",
) -> list[Row]:
    """Return a row per level of one side, without counts of orders, faster than :func:`levels`."""
    rows = []
    for level in side_levels:
        values = (ts, heard, seq, side, level[0], level[1], None, whole)
        rows.append(new_row(Row, ("book", native, values, "", space, None)))
    return rows
