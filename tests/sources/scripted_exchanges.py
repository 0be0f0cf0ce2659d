"""Exchanges whose answers a test scripts, behind the real classes of ccxt: only the transport is replaced."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ticklake.core.coverage import Found
from ticklake.core.dataset import Dataset
from ticklake.core.retry import RetryPolicy
from ticklake.core.span import Span
from ticklake.core.time import MS
from ticklake.sources.base import Page
from ticklake.sources.ccxt.client import ExchangeOptions
from ticklake.sources.ccxt.source import CcxtSource

Answer = Callable[[str, dict[str, str]], Any]
"""Returns the body for a path and its query (or its JSON body)."""


def market(symbol: str, native: str, kind: str = "spot", **more: Any) -> dict[str, Any]:
    """Return a market as ccxt keeps it."""
    pair, _, settle = symbol.partition(":")
    base, quote = pair.split("/")
    contract = {"settle": settle, "settleId": settle, "linear": True, "inverse": False, "contractSize": 1.0}
    return {
        "id": native, "symbol": symbol, "base": base, "quote": quote, "baseId": base, "quoteId": quote, "type": kind,
        "spot": kind == "spot", "swap": kind == "swap", "future": kind == "future", "option": False, "margin": False,
        "contract": kind != "spot", "active": True, "limits": {}, "info": {},
        "precision": {"price": 0.01, "amount": 0.0001}, **(contract if settle else {}), **more,
    }  # fmt: skip


def scripted(exchange: str, answer: Answer, markets: list[dict[str, Any]], now: int) -> CcxtSource:
    """Return a source whose exchange answers by *answer*, at the time *now* in nanoseconds."""
    retry = RetryPolicy(attempts=2, first_wait=0.001, longest_wait=0.002)
    source = CcxtSource(exchange, ExchangeOptions(rate_limit_ms=0.001, retry=retry), clock=lambda: now)
    script_client(source._client.ccxt, answer, markets, lambda: now)
    return source


def script_client(client: Any, answer: Answer, markets: list[dict[str, Any]], now: Callable[[], int]) -> None:
    """Replace the transport of a client of ccxt by *answer*, and its clock by *now* in nanoseconds."""

    async def fetch(url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        text = json.dumps(answer(urlsplit(url).path, query or (json.loads(body) if body else {})))
        text = client.on_rest_response(200, "OK", url, method, {}, text, headers, body)
        parsed = client.parse_json(text)
        client.handle_errors(200, "OK", url, method, {}, text, parsed, headers, body)
        return parsed

    async def fetch_time(_params: Any = None) -> int:
        return now() // MS

    client.fetch, client.fetch_time = fetch, fetch_time
    client.milliseconds, client.seconds = lambda: now() // MS, lambda: now() // MS // 1000
    client.set_markets({each["symbol"]: client.safe_market_structure(each) for each in markets})


def run(source: CcxtSource, use: Callable[[CcxtSource], Awaitable[Any]]) -> Any:
    """Let *use* have the source, and close it after."""

    async def main() -> Any:
        try:
            return await use(source)
        finally:
            await source.close()

    return asyncio.run(main())


def pages_of(source: CcxtSource, text: str, span: Span) -> list[Page]:
    """Return the pages of a history."""

    async def use(source: CcxtSource) -> list[Page]:
        return [page async for page in source.history(Dataset.parse(text), span)]

    pages: list[Page] = run(source, use)
    return pages


def times_of(pages: list[Page]) -> list[int]:
    """Return the times of all rows, sorted."""
    return sorted({ts for page in pages for ts in page.frame["ts"].to_physical()})


def data_spans(pages: list[Page]) -> list[Span]:
    """Return the spans that pages call whole."""
    return [piece.span for page in pages for piece in page.covered if piece.found is Found.DATA]


def assert_no_false_data(pages: list[Page], truth: list[int]) -> None:
    """No row of the truth that the pages lack lies in a span that they call data, and no row was invented."""
    have = set(times_of(pages))
    spans = data_spans(pages)
    missing = [ts for ts in truth if ts not in have and any(ts in span for span in spans)]
    assert missing == []
    assert have <= set(truth)
