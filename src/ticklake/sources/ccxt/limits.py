"""How much of a dataset an exchange serves: rows that fit one call, and how far back calls reach."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import polars as pl

from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.span import Span
from ticklake.sources.base import Page
from ticklake.sources.ccxt.quirks import Quirks

__all__ = ["DEFAULT_PAGE", "page_bars", "served_since", "since_served"]

DEFAULT_PAGE = 100
"""Rows that fit one call of an exchange for which neither the quirks nor ccxt say how many do."""


def page_bars(client: Any, quirks: Quirks, market: dict[str, Any]) -> int:
    """Return how many bars of a market fit one call.

    That is the smaller one of what the quirks and ccxt say, unless the quirks tell it for certain.
    """
    if quirks.recent_bars:
        return quirks.recent_bars
    if quirks.contract_bars and market.get("contract"):
        return quirks.contract_bars
    limits = (quirks.page_bars, _ccxt_limit(client, market))
    known_limits = list(filter(None, limits))
    return min(known_limits, default=DEFAULT_PAGE)


def served_since(quirks: Quirks, dataset: Dataset, now: int) -> int | None:
    """Return the open time of the oldest bar that is served at *now*, where only the newest so many bars are."""
    bars = quirks.recent_bars or quirks.served_bars
    if dataset.timeframe is None or bars is None:
        return None
    return dataset.timeframe.advance(now, 1 - bars, dataset.anchor)


async def since_served(
    pages: Callable[[Span], AsyncIterator[Page]], span: Span, oldest: int | None, reason: str, empty: pl.DataFrame
) -> AsyncIterator[Page]:
    """Yield the pages of what is served; what is older than *oldest* is not asked for, and covered as unavailable."""
    if oldest is not None and oldest > span.start:
        unavailable = Span(span.start, min(oldest, span.end))
        yield Page(empty, (Covered(unavailable, Found.UNAVAILABLE, reason),), 0, (reason,))
        if unavailable.end >= span.end:
            return
        span = Span(unavailable.end, span.end)
    async for page in pages(span):
        yield page


def _ccxt_limit(client: Any, market: dict[str, Any]) -> int | None:
    """Return how many bars ccxt says fit one call, which depends on the type of the market and on what contracts settle in."""
    kind = market.get("type") or "spot"
    features = (getattr(client, "features", None) or {}).get(kind) or {}
    if kind != "spot":
        contract = "linear"
        if market.get("inverse"):
            contract = "inverse"
        features = features.get(contract) or {}
    limit = (features.get("fetchOHLCV") or {}).get("limit")
    if limit is None:
        return None
    return int(limit)
