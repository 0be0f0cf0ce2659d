"""What fits one call, and how far back calls reach, by the type of the market."""

from __future__ import annotations

from typing import Any

import ccxt
import pytest
from scripted_exchanges import assert_no_false_data, market, pages_of, run, scripted, times_of

from ticklake.core.coverage import Found
from ticklake.core.dataset import Dataset
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, MS, SECOND, parse_time
from ticklake.errors import UnknownTimeframe
from ticklake.sources.base import Capability
from ticklake.sources.ccxt.limits import page_bars
from ticklake.sources.ccxt.quirks import quirks_of
from ticklake.sources.ccxt.source import CcxtSource

NOW = parse_time("2025-05-02T00:00:20")
SPOT = {"type": "spot"}
SWAP = {"type": "swap", "contract": True, "linear": True}
INVERSE = {"type": "swap", "contract": True, "inverse": True}
PAGES = [
    ("kucoin", SPOT, 1500),
    ("kucoin", SWAP, 500),
    ("bingx", SWAP, 1440),
    ("bingx", INVERSE, 1000),
    ("digifinex", SWAP, 100),
    ("bitrue", SWAP, 300),
    ("weex", SPOT, 300),
    ("weex", SWAP, 1000),
    ("kraken", SPOT, 720),
    ("binance", SWAP, 1000),
    ("bydfi", SPOT, 100),
]


@pytest.mark.parametrize(("exchange", "listed", "fits"), PAGES)
def test_the_type_of_the_market_says_how_many_bars_fit_a_call(exchange, listed, fits):
    """Field note: page size and limits differ by market type."""
    assert page_bars(getattr(ccxt, exchange)(), quirks_of(exchange), listed) == fits


def test_kucoin_is_never_asked_for_more_bars_of_a_contract_than_it_gives():
    times = [NOW // MINUTE * MINUTE - number * MINUTE for number in range(1, 1_200)]

    def answer(_path: str, query: dict[str, str]) -> Any:
        found = [ts // MS for ts in times if int(query["from"]) <= ts // MS <= int(query["to"])]
        data = [[ts, "1", "2", "1", "2", "5", "7"] for ts in sorted(found)[-500:]]
        return {"code": "200000", "data": data}

    source = scripted("kucoin", answer, [market("BTC/USDT:USDT", "XBTUSDTM", "swap")], NOW)

    pages = pages_of(source, "kucoin:ohlcv:1m:BTC/USDT:USDT", Span(min(times), NOW // MINUTE * MINUTE))

    assert_no_false_data(pages, times)
    assert times_of(pages) == sorted(times)
    assert sum(page.requests for page in pages) == 3


MINUTES = [NOW // MINUTE * MINUTE - number * MINUTE for number in range(1, 10_500)]


class TestGate:
    """Field note: Gate refuses a start older than 10,000 bars."""

    def source(self) -> CcxtSource:
        def answer(_path: str, query: dict[str, str]) -> Any:
            first, last = int(query["from"]), int(query["to"])
            if first < NOW // SECOND - 10_000 * 60:
                return {
                    "label": "INVALID_PARAM_VALUE",
                    "message": "Candlestick too long ago. Maximum 10000 points ago are allowed",
                }
            found = [ts // SECOND for ts in sorted(MINUTES) if first <= ts // SECOND <= last]
            return [[str(ts), "7", "2", "2", "1", "1", "5", "true"] for ts in found[-1000:]]

        return scripted("gate", answer, [market("BTC/USDT", "BTC_USDT")], NOW)

    def test_what_is_older_is_unavailable_with_the_reason_and_the_rest_comes_in(self):
        span = Span(min(MINUTES), NOW // MINUTE * MINUTE)

        pages = pages_of(self.source(), "gate:ohlcv:1m:BTC/USDT", span)

        gone = [piece for page in pages for piece in page.covered if piece.found is Found.UNAVAILABLE]
        assert_no_false_data(pages, MINUTES)
        assert [piece.reason for piece in gone] == ["only the newest 9,900 bars are served"]
        assert len(times_of(pages)) == 9_900 - 1

    def test_a_plan_tells_it_beforehand(self):
        async def use(source: CcxtSource) -> Capability:
            return await source.capability(Dataset.parse("gate:ohlcv:1m:BTC/USDT"), NOW)

        able = run(self.source(), use)

        assert able.served_from == NOW // MINUTE * MINUTE - 9_899 * MINUTE
        assert able.note == "gate serves the newest 9900 bars only"


class TestOpenInterest:
    def bybit(self, asked: list[str]) -> CcxtSource:
        lengths = {"5min": 5 * MINUTE, "1h": HOUR, "4h": 4 * HOUR}

        def answer(_path: str, query: dict[str, str]) -> Any:
            asked.append(query["intervalTime"])
            step = lengths[query["intervalTime"]]
            first, last = int(query["startTime"]), int(query["endTime"])
            found = [ts for ts in range(0, NOW // MS, step // MS) if first <= ts <= last][::-1][:200]
            rows = [{"openInterest": "1.5", "timestamp": str(ts)} for ts in found]
            return {"retCode": 0, "retMsg": "OK", "result": {"symbol": "BTCUSDT", "category": "linear", "list": rows}}

        return scripted("bybit", answer, [market("BTC/USDT:USDT", "BTCUSDT", "swap")], NOW)

    @pytest.mark.parametrize(("text", "step", "native"), [("4h:", 4 * HOUR, "4h"), ("5m:", 5 * MINUTE, "5min")])
    def test_it_comes_in_every_timeframe_that_the_exchange_has(self, text, step, native):
        asked: list[str] = []
        span = Span(NOW // DAY * DAY - 3 * DAY, NOW // DAY * DAY)

        pages = pages_of(self.bybit(asked), f"bybit:open_interest:{text}BTC/USDT:USDT", span)

        assert times_of(pages) == list(range(span.start, span.end, step))
        assert set(asked) == {native}

    def test_another_timeframe_is_refused_with_those_there_are(self):
        async def use(source: CcxtSource) -> Capability:
            return await source.capability(Dataset.parse("bybit:open_interest:2h:BTC/USDT:USDT"), NOW)

        with pytest.raises(UnknownTimeframe, match="no 2h open interest: it serves 5m, 15m, 30m, 1h, 4h, 1d"):
            run(self.bybit([]), use)
