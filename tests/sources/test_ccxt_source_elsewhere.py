"""The ccxt source on exchanges that page otherwise than Binance and Kraken, scripted from their documentation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from aiohttp import web

from ticklake.core.coverage import Found
from ticklake.core.dataset import Dataset
from ticklake.core.retry import RetryPolicy
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, MS, parse_time
from ticklake.sources.base import Page
from ticklake.sources.ccxt.client import ExchangeOptions
from ticklake.sources.ccxt.source import CcxtSource

START = parse_time("2024-01-01")
NOW = parse_time("2024-06-01")
Query = Mapping[str, str]
Script = Callable[[str, Query], Any]

OKX_SWAP = {
    "instType": "SWAP", "instId": "BTC-USDT-SWAP", "uly": "BTC-USDT", "instFamily": "BTC-USDT", "settleCcy": "USDT",
    "ctVal": "0.01", "ctMult": "1", "ctValCcy": "BTC", "ctType": "linear", "state": "live", "tickSz": "0.1", "lotSz": "1",
    "minSz": "1", "lever": "100", "baseCcy": "", "quoteCcy": "", "listTime": "1573557408000", "expTime": "",
}  # fmt: skip
BYBIT_LINEAR = {
    "symbol": "BTCUSDT", "contractType": "LinearPerpetual", "status": "Trading", "baseCoin": "BTC", "quoteCoin": "USDT",
    "settleCoin": "USDT", "launchTime": "1585526400000", "deliveryTime": "0", "deliveryFeeRate": "", "priceScale": "2",
    "leverageFilter": {"minLeverage": "1", "maxLeverage": "100", "leverageStep": "0.01"},
    "priceFilter": {"minPrice": "0.1", "maxPrice": "1999999.8", "tickSize": "0.10"},
    "lotSizeFilter": {"maxOrderQty": "1190", "minOrderQty": "0.001", "qtyStep": "0.001"}, "fundingInterval": 480,
}  # fmt: skip
BYBIT_SPOT = {
    "symbol": "BTCUSDT", "baseCoin": "BTC", "quoteCoin": "USDT", "status": "Trading",
    "lotSizeFilter": {"basePrecision": "0.000001", "minOrderQty": "0.000048", "maxOrderQty": "71", "minOrderAmt": "1"},
    "priceFilter": {"tickSize": "0.01"},
}  # fmt: skip


def history(exchange: str, text: str, span: Span, script: Script) -> list[Page]:
    """Run the real source against *script*, which answers (path, query) with a body."""

    async def serve(request: web.Request) -> web.Response:
        return web.json_response(script(request.path, request.query))

    async def main() -> list[Page]:
        application = web.Application()
        application.add_routes([web.get("/{path:.*}", serve)])
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        retry = RetryPolicy(attempts=2, first_wait=0.01, longest_wait=0.05)
        source = CcxtSource(exchange, ExchangeOptions(url=url, rate_limit_ms=1, timeout=2, retry=retry))
        try:
            return [page async for page in source.history(Dataset.parse(text), span)]
        finally:
            await source.close()
            await runner.cleanup()

    return asyncio.run(main())


def assert_honest(pages: list[Page], times: list[int]) -> None:
    """Where a page says it has the data, it has all of it."""
    brought = {ts for page in pages for ts in page.frame["ts"].to_physical()}
    covered = [piece.span for page in pages for piece in page.covered if piece.found is Found.DATA]
    silent = [ts for ts in times if ts not in brought and any(ts in span for span in covered)]
    assert silent == [], f"{len(silent)} of {len(times)} rows are missing and nobody knows"


def okx(times: list[int]) -> Script:
    """``before`` brings what is newer than it, the newest first, 100 at most."""

    def answer(path: str, query: Query) -> Any:
        if path.endswith("/public/instruments"):
            return {"code": "0", "msg": "", "data": [OKX_SWAP] if query["instType"] == "SWAP" else []}
        if not path.endswith("/funding-rate-history"):
            return {"code": "0", "msg": "", "data": []}
        after, before = int(query.get("after", 2**60)), int(query.get("before", -1))
        found = [ts // MS for ts in times if before < ts // MS < after]
        rates = [
            {"instId": "BTC-USDT-SWAP", "fundingTime": str(ts), "fundingRate": "0.0001", "realizedRate": "0.0001"}
            for ts in sorted(found, reverse=True)[: min(int(query.get("limit", 100)), 100)]
        ]
        return {"code": "0", "msg": "", "data": rates}

    return answer


def bybit(rows: Mapping[str, list[int]]) -> Script:
    """Newest first: 200 funding rates, 200 open interests, 60 spot trades at most."""

    def inside(times: list[int], query: Query, most: int) -> list[int]:
        start, end = int(query.get("startTime", 0)), int(query.get("endTime", 2**60))
        found = [ts // MS for ts in times if start <= ts // MS <= end]
        return sorted(found, reverse=True)[: min(int(query.get("limit", most)), most)]

    def answer(path: str, query: Query) -> Any:
        result: dict[str, Any] = {"category": query.get("category", ""), "nextPageCursor": "", "list": []}
        if path.endswith("/time"):
            result = {"timeSecond": str(NOW // 10**9), "timeNano": str(NOW)}
        elif path.endswith("/instruments-info"):
            result["list"] = {"linear": [BYBIT_LINEAR], "spot": [BYBIT_SPOT]}.get(query["category"], [])
        elif path.endswith("/funding/history"):
            times = inside(rows["funding"], query, 200)
            result["list"] = [
                {"symbol": "BTCUSDT", "fundingRate": "0.0001", "fundingRateTimestamp": str(ts)} for ts in times
            ]
        elif path.endswith("/open-interest"):
            times = inside(rows["open_interest"], query, 200)
            result["list"] = [{"openInterest": "1.5", "timestamp": str(ts)} for ts in times]
            result["symbol"] = "BTCUSDT"
        elif path.endswith("/recent-trade"):
            times = inside(rows["trades"], {"limit": query.get("limit", "60")}, 60)
            result["list"] = [
                {"execId": str(ts), "symbol": "BTCUSDT", "price": "1", "size": "1", "side": "Buy", "time": str(ts)}
                for ts in times
            ]
        return {"retCode": 0, "retMsg": "OK", "result": result, "time": NOW // MS}

    return answer


class TestFunding:
    def test_okx_answers_with_the_newest_rates_and_the_older_ones_are_not_forgotten(self):
        """Field note: some endpoints return the newest rows of the window, some the oldest."""
        times = list(range(START, START + 100 * DAY, 8 * HOUR))

        pages = history("okx", "okx:funding:BTC/USDT:USDT", Span(START, START + 100 * DAY), okx(times))

        assert_honest(pages, times)

    def test_bybit_answers_a_window_and_an_empty_one_is_not_the_end(self):
        """Field note: an empty page is not the end: time before listing, halted pairs."""
        times = list(range(START + 80 * DAY, START + 100 * DAY, 8 * HOUR))

        pages = history(
            "bybit", "bybit:funding:BTC/USDT:USDT", Span(START, START + 100 * DAY), bybit({"funding": times})
        )

        assert_honest(pages, times)

    def test_bybit_without_a_hole_is_whole(self):
        """Both bounds of a window are inclusive, so that ccxt's window of 200 intervals holds 201 rates."""
        times = list(range(START, START + 100 * DAY, 8 * HOUR))

        pages = history(
            "bybit", "bybit:funding:BTC/USDT:USDT", Span(START, START + 100 * DAY), bybit({"funding": times})
        )

        assert_honest(pages, times)
        assert sorted({ts for page in pages for ts in page.frame["ts"].to_physical()}) == times


@pytest.mark.parametrize("days", [1, 3])
def test_bybits_open_interest_is_whole_though_a_page_has_200_rows(days):
    """Field note: page limits depend on the endpoint."""
    times = list(range(START, START + days * DAY, 5 * MINUTE))

    pages = history(
        "bybit", "bybit:open_interest:BTC/USDT:USDT", Span(START, START + days * DAY), bybit({"open_interest": times})
    )

    assert_honest(pages, times)


def test_bybits_sixty_newest_trades_are_not_taken_for_a_whole_day():
    """Field note: history may be recent-only (spot trades on Bybit and OKX)."""
    times = list(range(START, START + DAY, MINUTE))

    pages = history("bybit", "bybit:trades:BTC/USDT", Span(START, START + DAY), bybit({"trades": times}))

    assert sum(page.frame.height for page in pages) > 0
    assert_honest(pages, times)
