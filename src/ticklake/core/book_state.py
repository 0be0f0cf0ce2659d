"""What an order book is after a number of its rows: the one rule of how rows make a book.

Rows are in the order of their kind: by ``ts``, then ``seq``, then arrival. Rows that share ``ts`` and ``seq`` are one message.

- A message with rows of a snapshot begins the book anew; rows of the same message that came before those of the snapshot are no part of it.
- Every other row replaces the level of its side and price. The amount 0 removes it; a level that is not there is removed without effect.
- A snapshot that was fetched beside its stream has the number of the last change in it, and the time of another clock. Changes up to its number
  that follow it in time are in it already, as long as none with a higher number came between. Changes with higher numbers, at most
  :data:`OVERTAKEN` before it in time, come after it. Numbers that begin anew are no others: they are far lower.
- Some exchanges (Kraken) send nothing about levels that fall out of the depth of a subscription: after each message, only the best levels of
  each side are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from ticklake.core.kinds import PROVENANCE
from ticklake.core.time import MINUTE

__all__ = [
    "KEPT_DEPTHS",
    "OVERTAKEN",
    "Base",
    "BookColumns",
    "Levels",
    "Side",
    "in_book_order",
    "kept_depth",
    "snapshot_starts",
]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

KEPT_DEPTHS = {"kraken": (10, 25, 100, 500, 1000)}
"""The depths of the exchanges that do not say which levels fall out of a book: how many levels a side a subscription can ask for."""

OVERTAKEN = MINUTE
"""By so much the time of a fetched snapshot can be later than that of changes which are not in it, in nanoseconds."""
_LOWEST = np.iinfo(np.int64).min
_NEVER = np.iinfo(np.int64).max


def kept_depth(exchange: str, count: int) -> int | None:
    """Return how many levels a side a book keeps that began with so many; ``None`` if its exchange removes every level itself.

    >>> kept_depth("kraken", 9), kept_depth("kraken", 11), kept_depth("binance", 11)
    (10, 25, None)
    """
    depths = KEPT_DEPTHS.get(exchange)
    if depths is None:
        return None
    for depth in depths:
        if count <= depth:
            return depth
    return count


@dataclass(frozen=True, slots=True)
class BookColumns:
    """The columns of rows of kind ``book`` as arrays, in the order of their kind.

    ``message`` is the number of each row's message, from 0 on. ``starts`` marks the first row of each snapshot.
    """

    ts: Integers
    seq: Integers
    is_bid: Flags
    price: Floats
    amount: Floats
    is_snapshot: Flags
    message: Integers
    starts: Flags
    depth: Integers

    @classmethod
    def of(cls, rows: pl.DataFrame, depths: Mapping[int, int] | None = None) -> BookColumns:
        """Read the columns of a frame.

        Parameters
        ----------
        depths
            How many levels a side the subscription had, by the provenance of its rows, where levels beyond them must be dropped.
        """
        ts = rows["ts"].to_physical().to_numpy()
        seq = rows["seq"].to_numpy()
        message = _message_numbers(ts, seq)
        is_snapshot = rows["is_snapshot"].to_numpy()
        return cls(
            ts,
            seq,
            (rows["side"] == "bid").to_numpy(),
            rows["price"].to_numpy(),
            rows["amount"].to_numpy(),
            is_snapshot,
            message,
            _first_of_snapshots(is_snapshot, message),
            _depths(rows, depths),
        )

    @property
    def height(self) -> int:
        """The number of rows."""
        return len(self.ts)

    def message_ends(self) -> Integers:
        """Return the number of rows up to the end of each message."""
        return np.append(np.flatnonzero(np.diff(self.message)) + 1, self.height)

    def height_before(self, ts: int) -> int:
        """Return how many rows there are before the first one at or after *ts*."""
        later = np.flatnonzero(self.ts >= ts)
        if not len(later):
            return self.height
        return int(later[0])

    def known_at(self, known: pl.Series) -> Integers:
        """Return from when on each row counts, given from when on it is known: no message counts in part, and none before its time.

        What is never known counts from the end of time on.
        """
        times: Integers = np.maximum(known.fill_null(_NEVER).to_numpy(), self.ts)
        if not len(times):
            return times
        begins = np.append(0, self.message_ends()[:-1])
        newest: Integers = np.maximum.reduceat(times, begins)[self.message]
        return newest


def _depths(rows: pl.DataFrame, depths: Mapping[int, int] | None) -> Integers:
    """Return the depth of each row's subscription; 0 where it is not known."""
    if not depths:
        return np.zeros(rows.height, np.int64)
    return rows[PROVENANCE].replace_strict(depths, default=0, return_dtype=pl.Int64).to_numpy()


def snapshot_starts(rows: pl.DataFrame) -> Flags:
    """Mark the first row of each snapshot in rows with ``ts``, ``seq`` and ``is_snapshot``."""
    message = _message_numbers(rows["ts"].to_physical().to_numpy(), rows["seq"].to_numpy())
    return _first_of_snapshots(rows["is_snapshot"].to_numpy(), message)


def in_book_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows in the order in which they make books: a fetched snapshot before the changes that are not in it.

    >>> rows = pl.DataFrame({"ts": [5, 7, 9], "seq": [102, 103, 101], "is_snapshot": [False, False, True]})
    >>> in_book_order(rows)["seq"].to_list()
    [101, 102, 103]
    """
    ts, seq = rows["ts"].to_physical().to_numpy(), rows["seq"].to_numpy()
    starts = np.flatnonzero(snapshot_starts(rows))
    if not len(starts):
        return rows
    highest = np.maximum.accumulate(seq)
    moved = [start for start in starts.tolist() if start and highest[start - 1] > seq[start]]
    if not moved:
        return rows
    message = _message_numbers(ts, seq)
    order = np.arange(rows.height, dtype=np.float64)
    for start in moved:
        first = int(np.searchsorted(ts, ts[start] - OVERTAKEN))
        before = seq[first:start]
        later = np.flatnonzero((before > seq[start]) & (before // 2 < seq[start]))
        if len(later):
            order[message == message[start]] = first + int(later[0]) - 0.5
    places = np.argsort(order, kind="stable")
    if (places[1:] > places[:-1]).all():
        return rows
    return rows[places]


def _message_numbers(ts: Integers, seq: Integers) -> Integers:
    """Return the number of the message of each row: rows of one message share time and number."""
    numbers = np.zeros(len(ts), np.int64)
    if len(ts):
        np.cumsum((ts[1:] != ts[:-1]) | (seq[1:] != seq[:-1]), out=numbers[1:])
    return numbers


def _first_of_snapshots(is_snapshot: Flags, message: Integers) -> Flags:
    starts = np.zeros(len(message), np.bool_)
    places = np.flatnonzero(is_snapshot)
    if len(places):
        firsts = np.ones(len(places), np.bool_)
        firsts[1:] = message[places[1:]] != message[places[:-1]]
        starts[places[firsts]] = True
    return starts


@dataclass(frozen=True, slots=True)
class Base:
    """The snapshot on which a book stands.

    ``is_passed`` is whether a change with a higher number came since. ``depth`` is how many levels a side are kept, if the exchange
    does not say which fall out.
    """

    ts: int
    seq: int
    is_passed: bool = False
    depth: int | None = None


class Side(NamedTuple):
    """The levels of one side, best first: prices, amounts, and the numbers of their rows."""

    price: Floats
    amount: Floats
    row: Integers


class Levels:
    """A book that follows its rows.

    Rows are taken in pieces that split no message, by :meth:`take`; :meth:`advance` applies them.

    Parameters
    ----------
    exchange
        Decides whether levels that fall out of the depth are dropped.
    base
        The snapshot on which the first rows stand, if it is not among them.

    Examples
    --------
    >>> rows = pl.DataFrame({"ts": [1, 1, 2], "seq": [1, 1, 2], "side": ["bid", "ask", "bid"], "price": [9.0, 11.0, 10.0],
    ...     "amount": [1.0, 1.0, 2.0], "is_snapshot": [True, True, False]})
    >>> levels = Levels("x")
    >>> levels.take(BookColumns.of(rows))
    >>> levels.advance(3)
    >>> [side.price.tolist() for side in levels.sides()]
    [[10.0, 9.0], [11.0]]
    """

    def __init__(self, exchange: str, base: Base | None = None) -> None:
        self.base = base
        self._exchange = exchange
        # Prices of bids are negative here, so that the best of both sides come first. Bids stand before asks.
        self._keys: Floats = np.empty(0)
        self._bids = 0
        # One more than there are levels: rows that do not count are written to the last place.
        self._amounts: Floats = np.zeros(1)
        self._rows: Integers = np.zeros(1, np.int64)
        self._columns: BookColumns | None = None
        self._places: Integers = np.empty(0, np.int64)
        self._starts: Integers = np.empty(0, np.int64)
        self._is_passed: Flags = np.empty(0, np.bool_)
        self._done = 0
        self._first = 0
        self._last: tuple[int, int] | None = None

    @classmethod
    def resume(cls, exchange: str, base: Base, levels: BookColumns, last: tuple[int, int]) -> Levels:
        """Return a book that has some levels already; *last* are the time and the number of its last row."""
        book = cls(exchange, base)
        # Rows of a snapshot among them begin no book anew.
        book.take(replace(levels, starts=np.zeros(levels.height, np.bool_)))
        book.advance(levels.height)
        book._columns, book._done, book._last = None, 0, last
        return book

    @property
    def done(self) -> int:
        """How many of the rows that were taken are applied."""
        return self._done

    @property
    def last(self) -> tuple[int, int] | None:
        """The time and the number of the last row that was applied; ``None`` if none was."""
        if self._columns is None or not self._done:
            return self._last
        return int(self._columns.ts[self._done - 1]), int(self._columns.seq[self._done - 1])

    @property
    def newest(self) -> int:
        """The time of the newest row that was taken, applied or not."""
        if self._columns is None or not self._columns.height:
            return 0
        return int(self._columns.ts.max())

    def take(self, columns: BookColumns, first: int = 0) -> None:
        """Take the next rows in place of those taken before; *first* is the number of the first of them in :attr:`Side.row`."""
        self._last = self.last
        self._columns = columns
        self._first = first
        self._starts = np.flatnonzero(columns.starts)
        self._done = 0
        self._make_room(columns)
        counts, self._is_passed = _not_in_snapshot(columns, self.base)
        self._places[~counts] = len(self._keys)

    def advance(self, until: int) -> None:
        """Apply the rows before the *until*-th."""
        columns = self._columns
        if columns is None or until <= self._done:
            return
        start = self._done
        self._done = until
        last = int(np.searchsorted(self._starts, until)) - 1
        if last >= 0 and self._starts[last] >= start:
            start = int(self._starts[last])
            self._begin(columns, start)
        if self.base is None:
            return
        if self._is_passed[until - 1] and not self.base.is_passed:
            self.base = replace(self.base, is_passed=True)
        if self.base.depth is None:
            self._apply(columns, start, until)
        else:
            self._apply_by_message(columns, start, until, self.base.depth)

    def sides(self, depth: int | None = None, extra: Sequence[int] = ()) -> tuple[Side, Side]:
        """Return bids and asks, of each the best *depth* levels.

        Parameters
        ----------
        extra
            Rows that count too, although rows before them do not: by their places, in order. They are not applied for good.
        """
        if not len(extra) or self._columns is None:
            return self._side(0, self._bids, -1.0, depth), self._side(self._bids, len(self._keys), 1.0, depth)
        kept = self._amounts.copy(), self._rows.copy(), self.base, self._done
        try:
            for run in _runs(extra):
                self._done = run.start
                self.advance(run.stop)
            return self.sides(depth)
        finally:
            self._amounts, self._rows, self.base, self._done = kept

    def base_with(self, extra: Sequence[int]) -> Base | None:
        """Return the snapshot on which the book stands if the rows *extra* count too."""
        columns = self._columns
        if columns is not None:
            for row in reversed(extra):
                if columns.starts[row]:
                    return Base(int(columns.ts[row]), int(columns.seq[row]))
        return self.base

    def _side(self, first: int, last: int, sign: float, depth: int | None) -> Side:
        places = np.flatnonzero(self._amounts[first:last])
        if depth is not None:
            places = places[:depth]
        places += first
        return Side(sign * self._keys[places], self._amounts[places], self._rows[places])

    def _make_room(self, columns: BookColumns) -> None:
        """Make places for the prices of new rows, and keep those of levels that are in the book."""
        present = np.flatnonzero(self._amounts[:-1])
        keys, amounts, rows = self._keys[present], self._amounts[present], self._rows[present]
        bids = int(np.searchsorted(present, self._bids))
        is_bid = columns.is_bid
        bid_keys, of_bids = _with_places(keys[:bids], -columns.price[is_bid])
        ask_keys, of_asks = _with_places(keys[bids:], columns.price[~is_bid])
        self._keys = np.concatenate([bid_keys, ask_keys])
        self._bids = len(bid_keys)
        self._amounts = np.zeros(len(self._keys) + 1)
        self._rows = np.zeros(len(self._keys) + 1, np.int64)
        old = np.concatenate(
            [np.searchsorted(bid_keys, keys[:bids]), np.searchsorted(ask_keys, keys[bids:]) + self._bids]
        )
        self._amounts[old] = amounts
        self._rows[old] = rows
        self._places = np.empty(columns.height, np.int64)
        self._places[is_bid] = of_bids
        self._places[~is_bid] = of_asks + self._bids

    def _begin(self, columns: BookColumns, start: int) -> None:
        """Begin anew with the snapshot at *start*."""
        end = int(np.searchsorted(columns.message, columns.message[start], side="right"))
        is_snapshot, is_bid = columns.is_snapshot[start:end], columns.is_bid[start:end]
        bids = int(np.count_nonzero(is_snapshot & is_bid))
        asks = int(np.count_nonzero(is_snapshot & ~is_bid))
        depth: int | None = int(columns.depth[start])
        if not depth:
            depth = kept_depth(self._exchange, max(bids, asks))
        self.base = Base(int(columns.ts[start]), int(columns.seq[start]), depth=depth)
        self._amounts[:] = 0.0

    def _apply(self, columns: BookColumns, start: int, until: int) -> None:
        places = self._places[start:until]
        # Where a place is named twice, the last value stays.
        self._amounts[places] = columns.amount[start:until]
        self._rows[places] = np.arange(start, until) + self._first
        self._amounts[-1] = 0.0

    def _apply_by_message(self, columns: BookColumns, start: int, until: int, depth: int) -> None:
        ends = np.flatnonzero(np.diff(columns.message[start:until])) + start + 1
        for end in [*ends.tolist(), until]:
            self._apply(columns, start, end)
            start = end
            for first, last in ((0, self._bids), (self._bids, len(self._keys))):
                present = np.flatnonzero(self._amounts[first:last])
                self._amounts[present[depth:] + first] = 0.0


def _runs(places: Sequence[int]) -> Iterator[range]:
    """Yield the runs of places that follow one another."""
    start = end = places[0]
    for place in places:
        if place > end:
            yield range(start, end)
            start = place
        end = place + 1
    yield range(start, end)


def _with_places(keys: Floats, new: Floats) -> tuple[Floats, Integers]:
    """Return sorted *keys* and *new* ones together, each once, and the places of the new ones among them."""
    distinct = np.unique(new)
    together = distinct
    if len(keys):
        together = np.union1d(keys, distinct)
    return together, np.searchsorted(together, new)


def _not_in_snapshot(columns: BookColumns, base: Base | None) -> tuple[Flags, Flags]:
    """Mark the rows that are not in the snapshot before them already, and those at which a change had passed its number."""
    rows = np.arange(columns.height)
    seq = np.full(columns.height, _LOWEST)
    if base is not None:
        seq[:] = base.seq
    begins = np.maximum.accumulate(np.where(columns.starts, rows, -1))
    of_snapshot = begins >= 0
    seq[of_snapshot] = columns.seq[begins[of_snapshot]]
    last_above = np.maximum.accumulate(np.where(columns.seq > seq, rows, -1))
    is_passed = last_above > begins
    if base is not None and base.is_passed:
        is_passed |= ~of_snapshot
    # Numbers that begin anew are far lower than those before: such changes are no older ones.
    is_older = (columns.seq < seq) & (columns.seq > seq // 2)
    return ~is_older | is_passed, is_passed
