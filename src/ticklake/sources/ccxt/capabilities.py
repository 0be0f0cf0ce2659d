"""What ccxt says an exchange can do, and clear refusals of the rest."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any

from ticklake.core.dataset import BAR_KINDS, Dataset
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
"""Kinds whose calls are private; all of them where the list of markets is."""
_CONTRACTS_ONLY = frozenset({"mark_ohlcv", "index_ohlcv", "funding", "predicted_funding", "open_interest"})


def method_of(kind: str) -> str:
    """Return the call that brings a kind, as provenance names it."""
    return _METHODS[kind][1]


def kinds_of(client: Any) -> list[str]:
    """Return the kinds an exchange serves."""
    return [kind for kind, (capability, _) in _METHODS.items() if client.has.get(capability)]


def served_by(exchange: str) -> list[str]:
    """Return the kinds that an exchange serves, from what ccxt says of it."""
    import ccxt

    return kinds_of(getattr(ccxt, exchange)())


def restrictions_of(exchange: str) -> dict[str, str]:
    """Return what stands in the way of kinds that an exchange serves, by kind."""
    import ccxt

    client, quirks = getattr(ccxt, exchange)(), quirks_of(exchange)
    found: dict[str, str] = {}
    newest = quirks.recent_bars or quirks.served_bars
    if newest:
        found |= dict.fromkeys(BAR_KINDS, f"newest {newest:,} only")
    if quirks.trades == "recent":
        found["trades"] = "newest page only"
    if quirks.trade_days:
        found["trades"] = f"last {quirks.trade_days} days only"
    if quirks.open_interest_days:
        found["open_interest"] = f"last {quirks.open_interest_days} days only"
    kinds = kinds_of(client)
    secrets = ", ".join(name for name, needed in client.requiredCredentials.items() if needed)
    found |= dict.fromkeys(NEED_KEY.get(exchange, ()), f"needs a key ({secrets})")
    return {kind: found[kind] for kind in kinds if kind in found}


def check_served(client: Any, markets: dict[str, Any], dataset: Dataset) -> None:
    """Refuse what the exchange does not serve, and say what it does.

    Raises
    ------
    Unsupported, UnknownSymbol, UnknownTimeframe
    """
    kinds = kinds_of(client)
    if dataset.kind not in kinds:
        raise Unsupported(f"{dataset.exchange} does not serve {dataset.kind}: it serves {', '.join(kinds)}")
    symbol = str(dataset.symbol)
    if symbol not in markets:
        close = difflib.get_close_matches(symbol, markets, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(close)}?" if close else f"'ticklake symbols {dataset.exchange}' lists them"
        raise UnknownSymbol(f"{dataset.exchange} does not list {symbol!r}: {hint}")
    if dataset.kind in _CONTRACTS_ONLY and not markets[symbol].get("contract"):
        contracts = [name for name in markets if name.startswith(f"{symbol}:")]
        raise Unsupported(
            f"{symbol} is a spot market and has no {dataset.kind}: ask for a contract"
            + (f", like {contracts[0]}" if contracts else "")
        )
    timeframes: Collection[str] = client.timeframes or {}
    if dataset.kind == "open_interest":
        timeframes = quirks_of(dataset.exchange).open_interest_frames
    if dataset.timeframe is not None and str(dataset.timeframe) not in timeframes:
        what = "open interest" if dataset.kind == "open_interest" else "bars"
        served = ", ".join(timeframes) or "one timeframe only: ask for it without one"
        raise UnknownTimeframe(f"{dataset.exchange} has no {dataset.timeframe} {what}: it serves {served}")
