"""Rows on their way out of messages and answers, in the words of their kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ticklake.core.time import MS, decimal_to_ns

__all__ = ["Row", "levels", "ms", "trade"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its kind, the exchange's name of the market (empty if not told), values in the order of the kind's columns.

    ``space`` is the numbering that the id belongs to, where the exchange has several.
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
    return Row("trades", native, (ts, heard, None if ident is None else str(ident), price, amount, side))


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
    """Yield a row a level; a level is (price, amount) or (price, amount, count)."""
    for side, listed in sides.items():
        for level in listed:
            count = level[2] if len(level) > 2 else None
            yield Row("book", native, (ts, heard, seq, side, level[0], level[1], count, whole), space=space)
