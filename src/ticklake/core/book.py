"""Order books as a reader gets them."""

from __future__ import annotations

from typing import Literal, NamedTuple

import polars as pl

from ticklake.core.coverage import Found
from ticklake.core.span import Span

__all__ = ["Book", "BookFlag", "BookFlags", "BookProof", "Stretch", "imbalance_of"]

BookProof = Literal["proven", "unproven", "not offered"]
"""``proven``: the numbers or checksums of the exchange show that no change is missing since the snapshot on which the book stands.
``unproven``: a change may be missing. ``not offered``: the exchange sends nothing that would show it, or nobody looked at it."""
BookFlag = Literal["crossed", "gap", "unproven", "stale"]
"""``crossed``: the best bid is not below the best ask. ``gap``: the lake knows that it lacks changes since the snapshot. ``unproven``: a
change may be missing since. ``stale``: nothing is known of the time between the last change and the instant."""


class Stretch(NamedTuple):
    """A stretch of time in which changes of a book are missing or not proven, and why."""

    span: Span
    reason: str
    found: Found = Found.LOST


class BookFlags(tuple[BookFlag, ...]):
    """The words that say what is wrong with a book; each is a property, too.

    >>> flags = BookFlags(("crossed",))
    >>> "crossed" in flags, flags.crossed, flags.gap
    (True, True, False)
    """

    __slots__ = ()

    @property
    def crossed(self) -> bool:
        """Whether the best bid is not below the best ask."""
        return "crossed" in self

    @property
    def gap(self) -> bool:
        """Whether the lake knows that it lacks changes since the snapshot."""
        return "gap" in self

    @property
    def unproven(self) -> bool:
        """Whether a change may be missing since the snapshot."""
        return "unproven" in self

    @property
    def stale(self) -> bool:
        """Whether nothing is known of the time between the last change and the instant."""
        return "stale" in self


class Book(pl.DataFrame):
    """One order book: a frame with a row a level, bids before asks, best prices first.

    Attributes
    ----------
    reason
        Why it is empty; empty itself where there is a book.
    at
        The instant that was asked for, in nanoseconds; ``None`` for the newest book.
    ts, seq
        The time and the number of the last message that it has; ``None`` if it is empty.
    version
        The version of the lake that it was read from.
    proof
        Whether it is known to be whole: ``proven``, ``unproven`` or ``not offered``.
    flags
        What is wrong with it: ``crossed``, ``gap``, ``unproven``, ``stale``, as words and as properties. A book is marked, never repaired.
    stretches
        When changes are missing or not proven since the snapshot on which it stands, and why.
    """

    reason: str = ""
    at: int | None = None
    ts: int | None = None
    seq: int | None = None
    version: int | None = None
    proof: BookProof = "not offered"
    # Polars has flags of its own, of columns that are sorted: nobody looks for them at a book.
    flags: BookFlags = BookFlags()  # type: ignore[assignment]
    stretches: tuple[Stretch, ...] = ()
    _levels: pl.DataFrame | None = None

    @property
    def bids(self) -> pl.DataFrame:
        """The bids, best first: price and amount."""
        return self._side("bid")

    @property
    def asks(self) -> pl.DataFrame:
        """The asks, best first: price and amount."""
        return self._side("ask")

    @property
    def spread(self) -> float | None:
        """The best ask less the best bid; ``None`` if a side is empty."""
        best = self._best()
        if best is None:
            return None
        return best[2] - best[0]

    @property
    def mid(self) -> float | None:
        """The mean of the best bid and the best ask; ``None`` if a side is empty."""
        best = self._best()
        if best is None:
            return None
        return (best[0] + best[2]) / 2

    @property
    def microprice(self) -> float | None:
        """The mean of the best bid and the best ask, each weighted by the amount of the other; ``None`` if a side is empty."""
        best = self._best()
        if best is None:
            return None
        bid, bid_amount, ask, ask_amount = best
        return (bid * ask_amount + ask * bid_amount) / (bid_amount + ask_amount)

    def imbalance(self, depth: int | None = None) -> float | None:
        """Return the amount bid less the amount asked, as a share of both, in the best *depth* levels: from -1 to 1.

        ``None`` if there is no level.
        """
        bids, asks = self.bids["amount"], self.asks["amount"]
        if depth is not None:
            bids, asks = bids.head(depth), asks.head(depth)
        return imbalance_of(_sum(bids), _sum(asks))

    def side(self, side: str) -> list[tuple[float, float]]:
        """Return the prices and amounts of ``bid`` or ``ask`` that the frame shows, best first."""
        levels = self.filter(self["side"] == side)
        return [(price, amount) for price, amount in levels.select("price", "amount").rows()]

    def _side(self, side: str) -> pl.DataFrame:
        levels = self._levels
        if levels is None:
            levels = self.select("side", "price", "amount")
        return levels.filter(levels["side"] == side).select("price", "amount")

    def _best(self) -> tuple[float, float, float, float] | None:
        bids, asks = self.bids, self.asks
        if not bids.height or not asks.height:
            return None
        return (*bids.row(0), *asks.row(0))

    def __repr__(self) -> str:
        if self.reason:
            return f"Book(empty: {self.reason})"
        return super().__repr__()

    def _repr_html_(self, *, _from_series: bool = False) -> str:
        from html import escape

        if self.reason:
            return f"<p>no book: {escape(self.reason)}</p>"
        return super()._repr_html_(_from_series=_from_series)


def imbalance_of(bid: float, ask: float) -> float | None:
    """Return the amount bid less the amount asked, as a share of both; ``None`` if both are 0."""
    if bid + ask == 0:
        return None
    return (bid - ask) / (bid + ask)


def _sum(amounts: pl.Series) -> float:
    """Add from the best level on: the order decides the last bits of a sum of floats, and so the answer is the same everywhere."""
    if not amounts.len():
        return 0.0
    return float(amounts.cum_sum()[-1])
