"""An order book made of arithmetic: its state at any instant follows from the trades and the name of the symbol alone.

Prices lie on a grid; every 100 ms is a step. The best bid is the grid's price at or below the last trade, the best ask the
next one above. The best levels change in every step, the others once in ``_PERIOD`` steps, each in a step of its own.
So no state is kept, and calls and streams agree without knowing each other.
"""

from __future__ import annotations

import math
import zlib
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

from ticklake.core.symbol import Symbol
from ticklake.core.time import MS
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.tape import Tape

__all__ = ["STEP", "Book", "Books", "Ladder", "Level", "Side", "amount_text", "contracts_text"]

STEP = 100 * MS
"""How long a state of the book lasts."""

_LEVELS = 1500
_PERIOD = 251
_STRIDE = 97
_INVERSE = pow(_STRIDE, -1, _PERIOD)
_IDS = 4
_UNIT = 100_000
_UNITS_A_CONTRACT = 1000
_MASK = 0xFFFFFFFF

Level = tuple[int, int]
"""A price in grid steps, and the amount there in units of 0.00001; 0 is no level."""

Side = list[Level]


class Book:
    """The book of one symbol.

    A step *number* is the time divided by :data:`STEP`. Update ids grow by ``_IDS`` in each step.
    """

    def __init__(self, tape: Tape, name: str) -> None:
        self._times, self._prices = tape.quotes
        self._seed = zlib.crc32(name.encode())
        exponent = 0
        if self._prices:
            exponent = math.floor(math.log10(self._prices[0])) - 4
        self._exponent = exponent
        self.decimals = max(-exponent, 0)

    def price(self, index: int) -> float:
        """Return the price of a place in the grid."""
        return round(index * 10.0**self._exponent, self.decimals)

    def price_text(self, index: int, decimals: int | None = None) -> str:
        """Write the price of a place in the grid with so many decimals; with as many as it needs by default."""
        return f"{index * 10.0**self._exponent:.{self.decimals if decimals is None else decimals}f}"

    def is_open(self, number: int) -> bool:
        """Whether there is a book in a step: none comes before the first price."""
        return bool(self._times) and self._times[0] <= number * STEP

    def best(self, number: int) -> int:
        """Return the place of the best bid in the grid; the best ask is the next one."""
        place = max(bisect_right(self._times, number * STEP) - 1, 0)
        # The small addition undoes rounding: 0.3 / 0.1 is a little less than 3.
        return max(math.floor(self._prices[place] / 10.0**self._exponent + 1e-6), 1)

    def last_id(self, number: int) -> int:
        """Return the last update id of a step."""
        return (number + 1) * _IDS

    def first_id(self, number: int) -> int:
        """Return the first update id of a step."""
        return number * _IDS + 1

    def snapshot_id(self, number: int) -> int:
        """Return the update id of a whole book.

        It is the first one of the next step, which changes nothing: so the next message covers it, for spot
        (``U <= id + 1 <= u``) and for futures (``U <= id <= u``).
        """
        return self.first_id(number + 1)

    def top(self, number: int, depth: int) -> tuple[Side, Side]:
        """Return the best *depth* bids and asks, best first."""
        best = self.best(number)
        bids: Side = []
        index = best
        while len(bids) < depth and index > max(best - _LEVELS, 0):
            amount = self._amount(index, number, best)
            if amount:
                bids.append((index, amount))
            index -= 1
        asks: Side = []
        index = best + 1
        while len(asks) < depth and index <= best + _LEVELS:
            amount = self._amount(index, number, best)
            if amount:
                asks.append((index, amount))
            index += 1
        return bids, asks

    def changes(self, before: int, number: int) -> tuple[Side, Side]:
        """Return what changes from one step to a later one: the bids and asks with their new amounts, best first.

        Amounts that stay the same may be among them, as at exchanges.
        """
        touched: set[int] = set()
        for step in range(before + 1, number + 1):
            touched |= self._touched(step)
        old, new = self.best(before), self.best(number)
        bids: Side = []
        asks: Side = []
        for index in sorted(touched):
            if index <= max(old, new):
                bids.append((index, self._bid(index, number, new)))
            if index > min(old, new):
                asks.append((index, self._ask(index, number, new)))
        bids.reverse()
        return bids, asks

    def _touched(self, number: int) -> set[int]:
        """Return the places that may change in a step."""
        old, new = self.best(number - 1), self.best(number)
        low, high = min(old, new), max(old, new)
        first, last = max(low - _LEVELS, 0) + 1, high + _LEVELS
        residue = -number * _INVERSE % _PERIOD
        touched = set(range(first + (residue - first) % _PERIOD, last + 1, _PERIOD))
        touched |= {old, old + 1, new, new + 1}
        if old != new:
            # Sides change in between; at both ends levels come and go.
            touched.update(range(low + 1, high + 1))
            touched.update(range(first, max(high - _LEVELS, 0) + 1))
            touched.update(range(low + _LEVELS + 1, last + 1))
        return touched

    def _bid(self, index: int, number: int, best: int) -> int:
        if max(best - _LEVELS, 0) < index <= best:
            return self._amount(index, number, best)
        return 0

    def _ask(self, index: int, number: int, best: int) -> int:
        if best < index <= best + _LEVELS:
            return self._amount(index, number, best)
        return 0

    def _amount(self, index: int, number: int, best: int) -> int:
        if index in (best, best + 1):
            return self._hash(index, number) % (3 * _UNIT) + 1
        epoch = (number + index * _STRIDE) // _PERIOD
        value = self._hash(index, epoch)
        if value % 10 < 3:
            return 0
        return value // 10 % (3 * _UNIT) + 1

    def _hash(self, index: int, epoch: int) -> int:
        value = (index * 0x9E3779B1 ^ epoch * 0x85EBCA6B ^ self._seed) & _MASK
        value = (value ^ value >> 15) * 0x2C1B3C6D & _MASK
        value = (value ^ value >> 12) * 0x297A2D39 & _MASK
        return value ^ value >> 15


class Ladder:
    """All levels of a book, carried from step to step: cheaper than :meth:`Book.top` for many levels."""

    def __init__(self, book: Book, number: int) -> None:
        self._book = book
        self._number = number
        bids, asks = book.top(number, _LEVELS)
        self._bids = dict(bids)
        self._asks = dict(asks)
        self._bid_places = sorted(self._bids)
        self._ask_places = sorted(self._asks)

    def advance(self) -> None:
        """Go to the next step."""
        bids, asks = self._book.changes(self._number, self._number + 1)
        self._number += 1
        _apply(self._bids, self._bid_places, bids)
        _apply(self._asks, self._ask_places, asks)

    def top(self, depth: int) -> tuple[Side, Side]:
        """Return the best *depth* bids and asks, best first."""
        bids = _levels_at(reversed(self._bid_places[-depth:]), self._bids)
        return bids, _levels_at(self._ask_places[:depth], self._asks)


def _levels_at(places: Iterable[int], amounts: dict[int, int]) -> Side:
    return [(index, amounts[index]) for index in places]


def _apply(amounts: dict[int, int], places: list[int], changes: Side) -> None:
    for index, amount in changes:
        if amount and index not in amounts:
            insort(places, index)
        if amount:
            amounts[index] = amount
        elif index in amounts:
            del amounts[index]
            del places[bisect_left(places, index)]


class Books:
    """The tapes and books of a market, each made when it is first needed. Calls and streams share them."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._tapes: dict[tuple[str, Symbol, int], Tape] = {}
        self._books: dict[tuple[str, Symbol, int], Book] = {}

    def tape(self, exchange: str, symbol: Symbol, faults: Faults) -> Tape:
        """Return the trades of a symbol."""
        key = exchange, symbol, faults.burst
        if key not in self._tapes:
            self._tapes[key] = Tape(self._market, exchange, symbol, faults)
        return self._tapes[key]

    def book(self, exchange: str, symbol: Symbol, faults: Faults) -> Book:
        """Return the book of a symbol."""
        key = exchange, symbol, faults.burst
        if key not in self._books:
            self._books[key] = Book(self.tape(exchange, symbol, faults), f"{exchange}:{symbol}")
        return self._books[key]


def amount_text(units: int) -> str:
    """Write an amount with five decimals."""
    return f"{units / _UNIT:.5f}"


def contracts_text(amount: int) -> str:
    """Write an amount of a book as a whole number of contracts; where there is a level there is at least one."""
    return str(-(-amount // _UNITS_A_CONTRACT))
