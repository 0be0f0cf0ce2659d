"""Funding rates that are paged by number or cursor and take no times: all pages are fetched, and nothing else is covered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from scripted_exchanges import assert_no_false_data, data_spans, market, pages_of, scripted, times_of

from ticklake.core.coverage import Found
from ticklake.core.kinds import TIME
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MS, SECOND, parse_time
from ticklake.errors import SourceError
from ticklake.sources.ccxt import paging

NOW = parse_time("2025-05-02T00:00:20")
RATES = [NOW // (8 * HOUR) * 8 * HOUR - number * 8 * HOUR for number in range(600)][::-1]
SPAN = Span(NOW - 120 * DAY, NOW - 15 * SECOND)
Rates = list[int]
Script = Callable[[Rates, dict[str, str]], Any]


def numbered(rates: Rates, page: int, size: int) -> list[int]:
    """Return a page in milliseconds, the newest first."""
    return [ts // MS for ts in rates[::-1][(page - 1) * size : page * size]]


def htx(rates: Rates, query: dict[str, str]) -> Any:
    """Inverse contracts by the number of a page, more than 50 of which are refused; linear ones from a start on."""
    if query["contract_code"] == "BTC-USDT":
        served = [ts // MS for ts in rates if ts // MS >= int(query["start_time"])][: int(query["limit"])]
        data = [{"contract_code": "BTC-USDT", "funding_rate": "0.0001", "funding_time": str(ts)} for ts in served]
        return {"code": 200, "message": "Success", "data": data, "ts": 1}
    page, size = int(query.get("page_index", 1)), int(query.get("page_size", 20))
    if size > 50:
        return {"status": "error", "err_code": 1030, "err_msg": "page_size is too large", "ts": 1}
    data = [
        {"contract_code": "BTC-USD", "symbol": "BTC", "funding_rate": "0.0001", "funding_time": str(ts)}
        for ts in numbered(rates, page, size)
    ]
    return {"status": "ok", "data": {"total_page": 99, "current_page": page, "total_size": len(rates), "data": data}}


def orderly(rates: Rates, query: dict[str, str]) -> Any:
    """Pages of 25, whatever is asked; times are in milliseconds."""
    served = [ts for ts in rates if int(query.get("start_t", 0)) <= ts // MS <= float(query.get("end_t", "inf"))]
    page = int(query.get("page", 1))
    rows = [
        {"symbol": "PERP_BTC_USDC", "funding_rate": 0.0001, "funding_rate_timestamp": ts, "next_funding_time": ts + 1}
        for ts in numbered(served, page, 25)
    ]
    meta = {"total": len(served), "records_per_page": 25, "current_page": page}
    return {"success": True, "timestamp": 1, "data": {"rows": rows, "meta": meta}}


def pacifica(rates: Rates, query: dict[str, str]) -> Any:
    """Each page tells where the next one begins."""
    first, size = int(query.get("cursor", "at0")[2:]) if "cursor" in query else 0, min(int(query["limit"]), 60)
    data = [{"funding_rate": "0.0001", "created_at": ts // MS} for ts in rates[::-1][first : first + size]]
    has_more = first + size < len(rates)
    return {"success": True, "data": data, "next_cursor": f"at{first + size}", "has_more": has_more}


def xt(rates: Rates, query: dict[str, str]) -> Any:
    """The newest page; how older ones are asked for is not known for sure."""
    items = [
        {"id": str(ts), "symbol": "btc_usdt", "fundingRate": "0.0001", "createdTime": ts, "collectionInternal": 28800}
        for ts in numbered(rates, 1, min(int(query["limit"]), 100))
    ]
    return {"returnCode": 0, "msgInfo": "success", "result": {"hasPrev": False, "hasNext": True, "items": items}}


PAGED: list[tuple[str, Script, str, str]] = [
    ("htx", htx, "BTC/USD:BTC", "BTC-USD"),
    ("htx", htx, "BTC/USDT:USDT", "BTC-USDT"),
    ("woofipro", orderly, "BTC/USDC:USDC", "PERP_BTC_USDC"),
    ("modetrade", orderly, "BTC/USDC:USDC", "PERP_BTC_USDC"),
    ("pacifica", pacifica, "BTC/USDC:USDC", "BTC"),
]
paged = pytest.mark.parametrize(
    ("exchange", "script", "symbol", "native"), PAGED, ids=[f"{row[0]} {row[2]}" for row in PAGED]
)


def fetched(exchange: str, script: Script, symbol: str, native: str, rates: Rates, budget: int = 60) -> Any:
    calls = 0

    def answer(_path: str, query: dict[str, str]) -> Any:
        nonlocal calls
        calls += 1
        assert calls < budget, "more calls than there are pages"
        return script(rates, query)

    inverse = not symbol.endswith(("USDT", "USDC"))
    listed = market(symbol, native, "swap", linear=not inverse, inverse=inverse)
    return pages_of(scripted(exchange, answer, [listed], NOW), f"{exchange}:funding:{symbol}", SPAN)


@paged
def test_all_pages_are_fetched(exchange, script, symbol, native):
    pages = fetched(exchange, script, symbol, native, RATES)

    assert [ts for ts in times_of(pages) if ts in SPAN] == [ts for ts in RATES if ts in SPAN]
    assert {piece.found for page in pages for piece in page.covered} == {Found.DATA}
    assert sum(span.length for span in data_spans(pages)) == SPAN.length


@paged
def test_what_a_short_history_lacks_is_unavailable(exchange, script, symbol, native):
    pages = fetched(exchange, script, symbol, native, RATES[-130:])

    assert_no_false_data(pages, RATES)
    assert Found.UNAVAILABLE in {piece.found for page in pages for piece in page.covered}
    assert set(times_of(pages)) >= {ts for ts in RATES[-130:] if ts in SPAN}


def test_pages_that_cannot_be_turned_leave_the_rest_unavailable():
    pages = fetched("xt", xt, "BTC/USDT:USDT", "btc_usdt", RATES)

    assert_no_false_data(pages, RATES)
    assert len(times_of(pages)) == 100
    assert (
        sum(piece.span.length for page in pages for piece in page.covered if piece.found is Found.UNAVAILABLE)
        > 80 * DAY
    )


def test_a_page_that_is_refused_once_leaves_no_hole_between_those_around_it():
    refusals = [SourceError("page 3 is refused")]

    async def fetch(number: int) -> pl.DataFrame:
        if number == 3 and refusals:
            raise refusals.pop()
        last = 20 - 3 * number
        return pl.DataFrame({"ts": [last, last + 1, last + 2]}, schema={"ts": TIME})

    async def fetch_window_twice() -> pl.DataFrame:
        ask = paging.numbered_pages(fetch)
        with pytest.raises(SourceError):
            await ask(Span(5, 20))
        return await ask(Span(5, 20))

    rows = asyncio.run(fetch_window_twice())

    assert rows["ts"].to_physical().to_list() == list(range(5, 20))
