"""Instruments: markets as exchanges describe them, and how they come, change and go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from ticklake.core.display import Displayed, moment
from ticklake.core.lookup import meant_symbols
from ticklake.errors import BadResponse, UnknownSymbol

__all__ = ["Instrument", "Rename", "Sighting", "compared", "unified"]

_FEW = 10
_TERMS = attrgetter(
    "native_id", "market_type", "active", "base", "quote", "settle", "contract_size", "tick_size", "lot_size"
)
"""The terms of a market: if one changes, a new description begins. Limits and fees change too often for that."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """A market as the exchange described it, from *valid_from* until its terms changed or it was delisted.

    ``listed_at`` is when its history begins, if that is known; ``delisted_at`` is when it was last seen on the
    exchange's list, if it is no longer there; ``valid_to`` is when that was noticed, or when a new description began.
    ``tick_size`` and ``lot_size`` are the steps of price and amount, ``contract_size`` is how much of the base (for
    inverse contracts, of the quote) one contract stands for. ``details`` holds what else CCXT says; its ``created`` is
    what the exchange says of its listing, which on some is that of its newest platform. Times are nanoseconds.
    """

    exchange: str
    symbol: str
    native_id: str = ""
    market_type: str = ""
    active: bool = True
    listed_at: int | None = None
    valid_from: int = 0
    valid_to: int | None = None
    details: dict[str, Any] = field(default_factory=dict)
    delisted_at: int | None = None
    contract_size: float | None = None
    tick_size: float | None = None
    lot_size: float | None = None

    @property
    def base(self) -> str:
        """The asset that is traded."""
        return str(self.details.get("base") or "")

    @property
    def quote(self) -> str:
        """The asset in which its price is."""
        return str(self.details.get("quote") or "")

    @property
    def settle(self) -> str:
        """The asset in which a contract is settled."""
        return str(self.details.get("settle") or "")

    def has_terms_of(self, other: Instrument) -> bool:
        """Whether *other* describes the same market on the same terms."""
        return bool(_TERMS(self) == _TERMS(other))


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Rename(Displayed):
    """A link between symbols: from *at* on, *old* is called *new*. Their data stay apart."""

    exchange: str
    old: str
    new: str
    at: int

    def _summary(self) -> dict[str, Any]:
        return {"exchange": self.exchange, "old": self.old, "new": self.new, "at": moment(self.at)}


@dataclass(frozen=True, slots=True, repr=False)
class Sighting(Displayed):
    """What is new in the list of an exchange: markets that were added, changed or removed.

    ``changed`` and ``gone`` are the descriptions that are no longer valid, ``described`` the markets of which only the
    limits or the listing date differ.
    """

    listed: int = 0
    new: tuple[Instrument, ...] = ()
    changed: tuple[Instrument, ...] = ()
    gone: tuple[Instrument, ...] = ()
    described: tuple[Instrument, ...] = ()

    def _summary(self) -> dict[str, Any]:
        return {
            "listed": self.listed,
            "new": len(self.new),
            "changed": len(self.changed),
            "gone": len(self.gone),
            "described": len(self.described),
        }


def by_symbol(instruments: Iterable[Instrument]) -> dict[str, Instrument]:
    """Return the instruments by their symbols; of several with one symbol the last."""
    return {instrument.symbol: instrument for instrument in instruments}


def compared(known: Iterable[Instrument], listed: Sequence[Instrument], at: int) -> Sighting:
    """Compare what is *known* to be listed with what an exchange lists at its time *at*.

    A market that was removed and is back is new. One that is known by name only gets its first description.

    Raises
    ------
    BadResponse
        If most markets are gone at once: that is a broken answer, not a mass delisting.
    """
    before = by_symbol(known)
    now = {instrument.symbol: replace(instrument, valid_from=at) for instrument in listed}
    # Those without a native id are known by name only: no list had them yet, so that this one lacks them says nothing.
    gone = [instrument for symbol, instrument in before.items() if symbol not in now and instrument.native_id]
    if len(gone) > max(_FEW, len(before) // 2):
        raise BadResponse(f"{gone[0].exchange} lists {len(now)} of {len(before)} known markets: that is not believed")
    new: list[Instrument] = []
    changed: list[Instrument] = []
    described: list[Instrument] = []
    for symbol, instrument in now.items():
        old = before.get(symbol)
        if old is None:
            new.append(instrument)
            continue
        is_date_new = bool(instrument.listed_at and not old.listed_at)
        dated = replace(instrument, listed_at=instrument.listed_at or old.listed_at)
        if old.native_id and not old.has_terms_of(instrument):
            # The old description ends here and is kept: contract sizes change, and old rows were traded on the old ones.
            changed.append(old)
            new.append(dated)
        elif not old.native_id or old.details != instrument.details or is_date_new:
            described.append(replace(dated, valid_from=old.valid_from))
    return Sighting(len(now), tuple(new), tuple(changed), tuple(gone), tuple(described))


def unified(name: str, listed: Iterable[Instrument]) -> str:
    """Return the unified symbol that *name* means: itself, or the one market that is called so in any case.

    Raises
    ------
    UnknownSymbol
        If several markets have that native id, like spot and a perpetual.
    """
    instruments = list(listed)
    native_ids = {instrument.symbol: instrument.native_id for instrument in instruments}
    symbols = sorted(meant_symbols(name, native_ids))
    if not symbols:
        return name
    if len(symbols) > 1:
        raise UnknownSymbol(
            f"{name} is the id of {len(symbols)} markets of {instruments[0].exchange}: say {' or '.join(symbols)}"
        )
    return symbols[0]
