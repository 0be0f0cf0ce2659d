"""Rows that were read from messages and answers, not yet in a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ticklake.core.time import MS, decimal_to_ns

__all__ = ["Row", "levels", "ms", "trade"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its kind, the exchange's name of the market (empty if unknown), and its values in order of the kind's columns.

    ``space`` is the numbering that the id belongs to, if the exchange has several.
    """

    kind: str
    native: str
    values: tuple[Any, ...]
    timeframe: str = ""
    space: str = ""


def ms(value: Any) -> int:
    """Return milliseconds as nanoseconds."""
    return decimal_to_ns(value, MS)


def trade(native: str, ts: int, heard: int | None, price: Any, amount: Any, side: Any, ident: Any = None) -> Row:
    """Return the row of a trade; *side* is the taker's."""
    if ident is not None:
        ident = str(ident)
    return Row("trades", native, (ts, heard, ident, price, amount, side))


def levels(
    native: str,
    ts: int | None,
    heard: int | None,
    seq: Any,
    sides: Mapping[str, Sequence[Any]],
    *,
    whole: bool,
    space: str = "",
) -> Iterator[Row]:
    """Yield a row per level. A level is (price, amount) or (price, amount, count)."""
    for side, side_levels in sides.items():
        for level in side_levels:
            # A ternary, because this runs for every level of every recorded book.
            count = level[2] if len(level) > 2 else None
            yield Row("book", native, (ts, heard, seq, side, level[0], level[1], count, whole), space=space)
