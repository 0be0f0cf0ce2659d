"""A book of changes that the exchange sends and a whole book that a call returns: where the one leads on from the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ticklake.sources.live.continuity import Chain
from ticklake.sources.wire.reading import Mark
from ticklake.sources.wire.rows import Row

__all__ = ["Bridge", "Change", "WholeBook"]

_MOST_HELD = 20_000
"""Changes that are held back for one book at most: half an hour of a busy one."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a book."""

    received_at: int
    rows: Sequence[Row]
    mark: Mark


@dataclass(frozen=True, slots=True)
class WholeBook:
    """A whole book, as of the update *number*."""

    received_at: int
    rows: Sequence[Row]
    number: int

    def at(self, ts: int) -> list[Row]:
        """Return its rows with the time *ts*.

        The answer of Binance's spot market has no time, and this machine's clock may be ahead of the exchange's: the changes that
        follow would then stand before the book that they change.
        """
        return [Row(row.kind, row.native, (ts, *row.values[1:]), row.timeframe, row.space) for row in self.rows]


@dataclass
class Bridge:
    """Holds changes back until a whole book has come that they lead on from.

    Attributes
    ----------
    book
        The whole book that waits for the change after it.
    """

    book: WholeBook | None = None
    _held: list[Change] = field(default_factory=list)
    _chain: Chain = field(default_factory=Chain)

    def hold(self, change: Change) -> None:
        """Keep a change. Those before a break are of no use: no book leads on over it."""
        verdict = self._chain.follow(change.mark)
        if verdict == "repeated":
            return
        if verdict == "broken" or len(self._held) >= _MOST_HELD:
            self._held.clear()
            self._chain = Chain()
            self._chain.follow(change.mark)
        self._held.append(change)

    def join(self) -> tuple[WholeBook, list[Change]] | None:
        """Return the whole book and the changes after it, once both are there.

        A book that is older than the oldest change is dropped: :attr:`book` is ``None`` then, and another must be fetched. So
        long as no change after the book has come, nothing is returned: the change tells the book's time.
        """
        if self.book is None:
            return None
        number = self.book.number
        after = [change for change in self._held if change.mark.last is not None and change.mark.last > number]
        if not after:
            return None
        if _before(after[0].mark) > number:
            self.book = None
            return None
        return self.book, after


def _before(mark: Mark) -> int:
    """Return the number after which a change applies. Between ``pu`` and ``U`` nothing of this book happened (futures)."""
    if mark.previous is not None:
        return mark.previous
    return (mark.first or 0) - 1
