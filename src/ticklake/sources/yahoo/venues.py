"""The venues that Yahoo covers, by exchange id: the suffix of their tickers and the currency of their prices."""

from __future__ import annotations

from dataclasses import dataclass

from ticklake.core.symbol import Symbol
from ticklake.errors import UnknownSymbol

__all__ = ["LISTINGS", "Listing", "quote_of", "ticker_of"]


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
_QUOTES = {"GBp": "GBX", "ZAc": "ZAC", "ILA": "ILA"}
"""Our names of hundredths of a currency, by Yahoo's."""


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


def quote_of(currency: str) -> str:
    """Return the quote that stands for Yahoo's currency."""
    return _QUOTES.get(currency, currency)
