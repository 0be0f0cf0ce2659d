"""One order book as the exchange numbers it, and the checksums by which exchanges let us compare it with theirs."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import lru_cache
from itertools import chain, zip_longest
from typing import Any
from zlib import crc32

from ticklake.sources.wire.rows import Row

__all__ = ["CHECKSUMS", "Ladder"]

_Level = tuple[Any, Any]
"""The price and the amount, as they were sent."""


class _Side:
    """The levels of one side. ``sign`` makes the best price the least."""

    __slots__ = ("levels", "order", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.levels: dict[float, _Level] = {}
        self.order: list[float] = []

    def set(self, price: Any, amount: Any) -> None:
        """Give a price its new amount; 0 removes it."""
        key = float(price) * self.sign
        is_known = key in self.levels
        if float(amount) != 0:
            self.levels[key] = (price, amount)
            if not is_known:
                insort(self.order, key)
        elif is_known:
            del self.levels[key]
            del self.order[bisect_left(self.order, key)]

    def keep(self, depth: int) -> None:
        """Drop the levels beyond the best *depth*."""
        for key in self.order[depth:]:
            del self.levels[key]
        del self.order[depth:]

    def top(self, count: int) -> list[_Level]:
        """Return the best levels, best first."""
        return [self.levels[key] for key in self.order[:count]]


class Ladder:
    """The levels of one book, from best to worst, with prices and amounts as they were sent.

    >>> ladder = Ladder()
    >>> for side, price, amount in (("bid", "99.5", "1"), ("ask", "100.0", "2"), ("ask", "99.9", "1"), ("ask", "100.0", "0")):
    ...     ladder.set(side, price, amount)
    >>> ladder.top("bid", 10), ladder.top("ask", 10), ladder.is_crossed
    ([('99.5', '1')], [('99.9', '1')], False)
    """

    __slots__ = ("_sides",)

    def __init__(self) -> None:
        self._sides = {"bid": _Side(-1), "ask": _Side(1)}

    def set(self, side: str, price: Any, amount: Any) -> None:
        """Give a price its new amount; 0 removes it."""
        self._sides[side].set(price, amount)

    def apply(self, rows: list[Row]) -> None:
        """Apply rows of the kind ``book`` in their order."""
        for row in rows:
            values = row.values
            self._sides[values[3]].set(values[4], values[5])

    def keep(self, depth: int) -> None:
        """Drop the levels beyond the best *depth* of each side."""
        for side in self._sides.values():
            side.keep(depth)

    def top(self, side: str, count: int) -> list[_Level]:
        """Return the best levels of a side, best first."""
        return self._sides[side].top(count)

    @property
    def is_crossed(self) -> bool:
        """Whether somebody bids as much as somebody asks, or more: then a change is missing."""
        bids, asks = self._sides["bid"].order, self._sides["ask"].order
        return bool(bids) and bool(asks) and -bids[0] >= asks[0]


def _text(value: Any) -> str:
    """Return a number as the exchange wrote it. Of one that was read as a float this is the shortest text."""
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    return str(value)


@lru_cache(maxsize=100_000)
def _digits(level: _Level) -> str:
    """Return the digits of price and amount. Most of the best levels are those of the message before: they are kept."""
    price, amount = level
    return _text(price).replace(".", "").lstrip("0") + _text(amount).replace(".", "").lstrip("0")


def _kraken(ladder: Ladder) -> int:
    """Return the CRC32 of the digits of ten asks, then ten bids, without points and leading zeros (both APIs)."""
    levels = chain(ladder.top("ask", 10), ladder.top("bid", 10))
    return crc32("".join(map(_digits, levels)).encode())


def _okx(ladder: Ladder) -> int:
    """Return the CRC32 of price and amount of a bid and an ask by turns, 25 of each; a side that ends earlier is left out (Bitget too)."""
    return crc32(":".join(_by_turns(ladder, "")).encode())


def _bitfinex(ladder: Ladder) -> int:
    """Return the CRC32 that OKX uses too, with negative amounts of asks."""
    return crc32(":".join(_by_turns(ladder, "-")).encode())


def _by_turns(ladder: Ladder, sign_of_asks: str) -> Iterator[str]:
    for bid, ask in zip_longest(ladder.top("bid", 25), ladder.top("ask", 25)):
        if bid is not None:
            yield _text(bid[0])
            yield _text(bid[1])
        if ask is not None:
            yield _text(ask[0])
            yield sign_of_asks + _text(ask[1])


CHECKSUMS: dict[str, Callable[[Ladder], int]] = {
    "kraken": _kraken,
    "okx": _okx,
    "okcoin": _okx,
    "bitget": _okx,
    "bitfinex": _bitfinex,
}
"""How each exchange sums up a book, as an unsigned number of 32 bits, by its public API documentation."""
