"""Rows that were read from messages and answers, not yet in a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ticklake.core.native_ids import Market
from ticklake.core.time import MS, decimal_to_ns

__all__ = ["BY_TIME", "Row", "levels", "ms", "pairs", "trade"]

BY_TIME = "time"
"""The numbering of books that have no numbers: times stand in their place."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its kind, the exchange's name of the market (empty if unknown), and its values in order of the kind's columns.

    ``space`` is the numbering that the id belongs to, if the exchange has several. ``market`` is the part of the exchange, where
    the message itself says it and the name alone does not.
    """

    kind: str
    native: str
    values: tuple[Any, ...]
    timeframe: str = ""
    space: str = ""
    market: Market | None = None


def ms(value: Any) -> int:
    """Return milliseconds as nanoseconds."""
    return decimal_to_ns(value, MS)


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
    """Return the row of a trade, or of another kind with the same columns; *side* is the taker's."""
    if ident is not None:
        ident = str(ident)
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
            yield Row("book", native, values, space=space, market=market)


def pairs(entries: Iterable[Mapping[str, Any]], price: str, amount: str) -> list[tuple[Any, Any]]:
    """Return levels that are objects as pairs of price and amount."""
    return [(entry[price], entry[amount]) for entry in entries]
