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
"""Rows that fit one call of an exchange of which nobody says how many do."""


def page_bars(client: Any, quirks: Quirks, market: dict[str, Any]) -> int:
    """Return how many bars of a market fit one call: the quirks' word, else ccxt's for that type of market."""
    if quirks.recent_bars:
        return quirks.recent_bars
    written = quirks.contract_bars if market.get("contract") else None
    return written or _least(quirks.page_bars, _ccxt_limit(client, market, "fetchOHLCV"))


def served_since(quirks: Quirks, dataset: Dataset, now: int) -> int | None:
    """Return the oldest bar that is served at *now*, where only so many back from now are."""
    frame = dataset.timeframe
    bars = quirks.recent_bars or quirks.served_bars
    return None if frame is None or bars is None else frame.advance(now, -bars + 1, dataset.anchor)


async def since_served(
    pages: Callable[[Span], AsyncIterator[Page]], span: Span, oldest: int | None, reason: str, empty: pl.DataFrame
) -> AsyncIterator[Page]:
    """Yield the pages of what is served; what is older than *oldest* is not asked for, and covered as unavailable."""
    if oldest is not None and oldest > span.start:
        gone = Span(span.start, min(oldest, span.end))
        yield Page(empty, (Covered(gone, Found.UNAVAILABLE, reason),), 0, (reason,))
        if gone.end >= span.end:
            return
        span = Span(gone.end, span.end)
    async for page in pages(span):
        yield page


def _ccxt_limit(client: Any, market: dict[str, Any], method: str) -> int | None:
    """Return what ccxt says fits one call, which depends on the type of the market and on what contracts settle in."""
    kind = market.get("type") or "spot"
    features = (getattr(client, "features", None) or {}).get(kind) or {}
    if kind != "spot":
        features = features.get("inverse" if market.get("inverse") else "linear") or {}
    limit = (features.get(method) or {}).get("limit")
    return None if limit is None else int(limit)


def _least(*limits: int | None) -> int:
    return min((limit for limit in limits if limit), default=DEFAULT_PAGE)
