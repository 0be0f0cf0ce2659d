"""Which other markets of an exchange show how far back it serves: the busiest ones of the same type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["other_markets"]

MOST_MARKETS = 3
"""How many other markets are asked at most, one after the other, until one has rows."""
_BASES = ("BTC", "ETH", "LTC", "XRP")
_QUOTES = ("USDT", "USD", "BTC", "EUR", "USDC")


def other_markets(markets: Mapping[str, Mapping[str, Any]], symbol: str) -> list[str]:
    """Return the symbols of a few markets like the one of *symbol*: those that are old and busy on most exchanges."""
    kind = (markets.get(symbol) or {}).get("type")
    alike = []
    for name, market in markets.items():
        if name != symbol and market.get("type") == kind and market.get("active") is not False:
            alike.append(name)
    return sorted(alike, key=lambda name: (_rank(markets[name]), name))[:MOST_MARKETS]


def _rank(market: Mapping[str, Any]) -> tuple[int, int]:
    return _place(_BASES, market.get("base")), _place(_QUOTES, market.get("quote"))


def _place(names: tuple[str, ...], name: Any) -> int:
    """Return the place of a name among *names*; names that are not among them come last."""
    if name in names:
        return names.index(name)
    return len(names)
