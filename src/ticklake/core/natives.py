"""Exchanges' own names of markets, as far as the unified symbol can be told from them."""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["Market", "unified"]

Market = Literal["spot", "linear", "inverse"]
_QUOTES = (
    *("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDD", "USDP", "HUSD", "DAI", "PAX"),
    *("USD", "EUR", "GBP", "JPY", "AUD", "CAD", "CHF", "TRY", "BRL", "RUB", "UAH", "NGN", "ZAR", "KRW", "NZD"),
    *("BTC", "XBT", "ETH", "BNB", "TRX", "DOGE", "XRP", "SOL"),
)
_NAMES = {"XBT": "BTC", "XDG": "DOGE"}
"""What Kraken and BitMEX call what everybody else calls otherwise."""
_TRUE_USD = ("BTC", "ETH", "BNB", "XRP", "LTC", "ADA", "USDC", "EUR")
"""Only after these is TUSD the quote currency: DOTUSD is DOT in USD."""
_PARTED = re.compile(r"([A-Za-z0-9]+)[-_/]([A-Za-z0-9]+)(?:[-_:/]([A-Za-z0-9]+))?")
_ENDINGS = ("PERP", "SWAP")


def unified(native: str, market: Market = "spot") -> str | None:
    """Return the unified symbol of a market's native name, or ``None`` if that cannot be told.

    >>> unified("XBTUSD"), unified("BTC_USDT_USDT"), unified("NEARUSDT", "linear")
    ('BTC/USD', 'BTC/USDT:USDT', 'NEAR/USDT:USDT')
    """
    parted = _PARTED.fullmatch(native)
    if parted is None:
        return _split(native.upper(), market)
    base, quote, settle = (_plain(part) for part in parted.groups())
    if settle.isdigit():
        return f"{base}/{quote}:{base if quote == 'USD' else quote}-{settle}"
    if settle == "SWAP" and quote == "USD":
        return _joined(base, quote, "inverse")
    perpetual: Market = "linear" if market == "spot" else market
    if quote in _ENDINGS and not settle:
        return _split(base, perpetual)
    if settle in _ENDINGS:
        return _joined(base, quote, perpetual)
    return f"{base}/{quote}:{settle}" if settle else _joined(base, quote, market)


def _split(native: str, market: Market) -> str | None:
    for quote in _QUOTES:
        base = native.removesuffix(quote)
        if quote == "TUSD" and base not in _TRUE_USD:
            continue
        if base not in {native, ""} and base.isalnum():
            return _joined(_plain(base), _plain(quote), market)
    return None


def _joined(base: str, quote: str, market: Market) -> str:
    settle = {"spot": "", "linear": f":{quote}", "inverse": f":{base}"}[market]
    return f"{base}/{quote}{settle}"


def _plain(name: str | None) -> str:
    return "" if name is None else _NAMES.get(name.upper(), name.upper())
