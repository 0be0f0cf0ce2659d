"""The venues that Yahoo covers, by exchange id: how their tickers end, and what money they count in."""

from __future__ import annotations

from dataclasses import dataclass

from ticklake.core.symbol import Symbol
from ticklake.errors import UnknownSymbol

__all__ = ["LISTINGS", "Listing", "money", "ticker_of"]


@dataclass(frozen=True, slots=True)
class Listing:
    """How Yahoo writes the tickers of a venue: base + suffix; and the usual quote of its symbols."""

    suffix: str
    quote: str


LISTINGS: dict[str, Listing] = {
    "nyse": Listing("", "USD"),
    "nasdaq": Listing("", "USD"),
    "amex": Listing("", "USD"),
    "arca": Listing("", "USD"),
    "tsx": Listing(".TO", "CAD"),
    "lse": Listing(".L", "GBX"),
    "xetra": Listing(".DE", "EUR"),
    "paris": Listing(".PA", "EUR"),
    "amsterdam": Listing(".AS", "EUR"),
    "milan": Listing(".MI", "EUR"),
    "madrid": Listing(".MC", "EUR"),
    "swiss": Listing(".SW", "CHF"),
    "tokyo": Listing(".T", "JPY"),
    "hongkong": Listing(".HK", "HKD"),
    "asx": Listing(".AX", "AUD"),
}
"""Yahoo's suffixes: https://help.yahoo.com/kb/SLN2310.html. London counts in pence: GBX."""
_MONEY = {"GBp": "GBX", "ZAc": "ZAC", "ILA": "ILA"}


def ticker_of(exchange: str, symbol: Symbol) -> str:
    """Return Yahoo's ticker: ``BRK.B/USD`` on ``nyse`` is ``BRK-B``, ``VOD/GBX`` on ``lse`` is ``VOD.L``.

    Raises
    ------
    UnknownSymbol
        If the symbol has no quote: it is written like ``AAPL/USD``.
    """
    listing = LISTINGS[exchange]
    if symbol.base is None or symbol.settle is not None:
        raise UnknownSymbol(f"{str(symbol)!r} is not a stock on {exchange}: write it like AAPL/{listing.quote}")
    return symbol.base.replace(".", "-") + listing.suffix


def money(currency: str) -> str:
    """Return the quote that stands for Yahoo's currency."""
    return _MONEY.get(currency, currency)
