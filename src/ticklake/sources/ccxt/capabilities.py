"""Which kinds and timeframes an exchange serves, and errors for those that it does not."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any

from ticklake.core.dataset import BAR_KINDS, Dataset
from ticklake.core.selection import picked
from ticklake.errors import UnknownSymbol, UnknownTimeframe, Unsupported
from ticklake.sources.ccxt.quirks import quirks_of

__all__ = ["check_served", "kinds_of", "method_of", "restrictions_of", "served_by"]

_METHODS = {
    "ohlcv": ("fetchOHLCV", "fetch_ohlcv"),
    "mark_ohlcv": ("fetchMarkOHLCV", "fetch_ohlcv price=mark"),
    "index_ohlcv": ("fetchIndexOHLCV", "fetch_ohlcv price=index"),
    "trades": ("fetchTrades", "fetch_trades"),
    "funding": ("fetchFundingRateHistory", "fetch_funding_rate_history"),
    "open_interest": ("fetchOpenInterestHistory", "fetch_open_interest_history"),
    "predicted_funding": ("fetchFundingRate", "fetch_funding_rate"),
    "book": ("fetchOrderBook", "fetch_order_book"),
}
_ALL = tuple(_METHODS)
NEED_KEY = {
    "alpaca": _ALL,
    "coinspot": ("trades", "book"),
    "luno": ("ohlcv",),
    "modetrade": ("ohlcv", "book"),
    "mudrex": _ALL,
    "woofipro": ("ohlcv", "book"),
}
"""The kinds whose calls need a key, by exchange; all kinds where the list of markets does."""
_CONTRACTS_ONLY = frozenset({"mark_ohlcv", "index_ohlcv", "funding", "predicted_funding", "open_interest"})


def method_of(kind: str) -> str:
    """Return the name of ccxt's call for a kind, as provenance has it."""
    return _METHODS[kind][1]


def kinds_of(client: Any) -> list[str]:
    """Return the kinds an exchange serves."""
    return [kind for kind, (capability, _) in _METHODS.items() if client.has.get(capability)]


def served_by(exchange: str) -> list[str]:
    """Return the kinds that an exchange serves, from what ccxt says of it."""
    import ccxt

    return kinds_of(getattr(ccxt, exchange)())


def restrictions_of(exchange: str) -> dict[str, str]:
    """Return the restrictions of the kinds that an exchange serves, in words, by kind."""
    import ccxt

    client = getattr(ccxt, exchange)()
    quirks = quirks_of(exchange)
    restrictions: dict[str, str] = {}
    newest = quirks.recent_bars or quirks.served_bars
    if newest:
        restrictions |= dict.fromkeys(BAR_KINDS, f"newest {newest:,} only")
    if quirks.trades == "recent":
        restrictions["trades"] = "newest page only"
    if quirks.trade_days:
        restrictions["trades"] = f"last {quirks.trade_days} days only"
    if quirks.open_interest_days:
        restrictions["open_interest"] = f"last {quirks.open_interest_days} days only"
    secrets = ", ".join(name for name, needed in client.requiredCredentials.items() if needed)
    restrictions |= dict.fromkeys(NEED_KEY.get(exchange, ()), f"needs a key ({secrets})")
    return picked(restrictions, kinds_of(client))


def check_served(client: Any, markets: dict[str, Any], dataset: Dataset) -> None:
    """Refuse what the exchange does not serve, and name what it does.

    Raises
    ------
    Unsupported, UnknownSymbol, UnknownTimeframe
    """
    kinds = kinds_of(client)
    if dataset.kind not in kinds:
        raise Unsupported(f"{dataset.exchange} does not serve {dataset.kind}: it serves {', '.join(kinds)}")
    _check_symbol(markets, dataset)
    _check_timeframe(client, dataset)


def _check_symbol(markets: dict[str, Any], dataset: Dataset) -> None:
    symbol = str(dataset.symbol)
    if symbol not in markets:
        hint = f"'ticklake symbols {dataset.exchange}' lists them"
        close = difflib.get_close_matches(symbol, markets, n=3, cutoff=0.5)
        if close:
            hint = f"did you mean {', '.join(close)}?"
        raise UnknownSymbol(f"{dataset.exchange} does not list {symbol!r}: {hint}")
    if dataset.kind in _CONTRACTS_ONLY and not markets[symbol].get("contract"):
        text = f"{symbol} is a spot market and has no {dataset.kind}: ask for a contract"
        for name in markets:
            if name.startswith(f"{symbol}:"):
                text += f", like {name}"
                break
        raise Unsupported(text)


def _check_timeframe(client: Any, dataset: Dataset) -> None:
    timeframes: Collection[str] = client.timeframes or {}
    rows = "bars"
    if dataset.kind == "open_interest":
        timeframes = quirks_of(dataset.exchange).open_interest_frames
        rows = "open interest"
    if dataset.timeframe is not None and str(dataset.timeframe) not in timeframes:
        served = ", ".join(timeframes) or "one timeframe only: ask for it without one"
        raise UnknownTimeframe(f"{dataset.exchange} has no {dataset.timeframe} {rows}: it serves {served}")
