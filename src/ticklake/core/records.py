"""Typed records: one row of a kind, for those who do not hold frames."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["BookLevel", "BookSnapshot", "FundingRate", "OHLCVBar", "OpenInterest", "Quote", "Trade"]

Instant = int | str | dt.datetime
"""Nanoseconds UTC, ISO 8601 text, or a datetime with a zone."""


@dataclass(frozen=True, slots=True)
class OHLCVBar:
    """A bar; ``ts`` is its open time, ``volume`` is in base units."""

    ts: Instant
    open: float
    high: float
    low: float
    close: float
    volume: float | None = None
    quote_volume: float | None = None
    trades: int | None = None


@dataclass(frozen=True, slots=True)
class Trade:
    """A trade; ``side`` is the taker's, ``buy`` or ``sell``, or ``None`` if unknown."""

    ts: Instant
    price: float
    amount: float
    side: str | None = None
    id: str | None = None
    received_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """The best bid and ask at an instant."""

    ts: Instant
    bid_price: float | None = None
    bid_amount: float | None = None
    ask_price: float | None = None
    ask_amount: float | None = None
    seq: int | None = None
    received_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class BookLevel:
    """One level of a book; ``amount`` 0 in a change removes it."""

    price: float
    amount: float
    count: int | None = None


@dataclass(frozen=True, slots=True)
class BookSnapshot:
    """A whole book at an instant; ``seq`` keeps its rows together."""

    ts: Instant
    seq: int
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    received_at: Instant | None = None

    def rows(self) -> list[dict[str, object]]:
        """Return one mapping a level, bids first, each side best price first."""
        return [*self._rows_of("bid", self.bids), *self._rows_of("ask", self.asks)]

    def _rows_of(self, side: str, levels: Iterable[BookLevel]) -> Iterator[dict[str, object]]:
        for level in levels:
            yield {
                "ts": self.ts,
                "received_at": self.received_at,
                "seq": self.seq,
                "side": side,
                "price": level.price,
                "amount": level.amount,
                "count": level.count,
                "is_snapshot": True,
            }


@dataclass(frozen=True, slots=True)
class FundingRate:
    """A settled funding rate; ``interval`` is the time since the one before it."""

    ts: Instant
    rate: float
    predicted_rate: float | None = None
    next_ts: Instant | None = None
    mark_price: float | None = None
    interval: dt.timedelta | None = None


@dataclass(frozen=True, slots=True)
class OpenInterest:
    """Open interest in contracts or base units, and its value in quote units."""

    ts: Instant
    open_interest: float | None = None
    open_interest_value: float | None = None
