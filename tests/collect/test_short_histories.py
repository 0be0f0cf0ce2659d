"""Whole lakes on exchanges of short histories, behind the real classes of ccxt: nothing absent is called looked-at."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import ccxt
import pytest

from tests.sources.scripted_exchanges import market, script_client
from ticklake.app import open_lake
from ticklake.config import Settings
from ticklake.core.time import DAY, HOUR, MINUTE, MS, SECOND
from ticklake.sources.ccxt.client import ExchangeClient

NOW = int(datetime(2025, 6, 1, 0, 0, 30, tzinfo=UTC).timestamp()) * SECOND
Times = list[int]
Answer = Callable[["Exchange", str, dict[str, str]], Any]


class Exchange:
    """One exchange: what happened on it (nanoseconds), how it answers, its clock, and how often it was asked."""

    def __init__(self, times: Times, answer: Answer, now: int) -> None:
        self.times, self.answer, self.now, self.calls = times, answer, now, 0

    def __call__(self, path: str, query: dict[str, str]) -> Any:
        self.calls += 1
        return self.answer(self, path, query)

    def kept(self, newest: int | None = None, days: int | None = None) -> Times:
        """Return what happened until now, as far as it is kept, in milliseconds."""
        oldest = 0 if days is None else self.now - days * DAY
        found = [ts // MS for ts in self.times if oldest <= ts <= self.now]
        return found if newest is None else found[-newest:]


def between(times: Times, first: str, last: str, query: dict[str, str], unit: int = 1) -> Times:
    start, end = int(query.get(first, 0)) * unit, int(query.get(last, 2**60)) * unit
    return [ts for ts in times if start <= ts <= end]


def gemini(here: Exchange, path: str, _query: dict[str, str]) -> Any:
    """Takes no times and returns the newest 1,440 bars."""
    return [[ts, 1, 2, 0.5, 1.5, 3] for ts in here.kept(1440)[::-1]] if path.endswith("/1m") else _refused(path)


def hyperliquid(here: Exchange, _path: str, query: dict[str, Any]) -> Any:
    """Honours windows, and keeps the newest 4,000 bars."""
    asked = query.get("req") or _refused(str(query))
    found = between(here.kept(4000), "startTime", "endTime", asked) if asked["interval"] == "1m" else []
    bar = {"s": "BTC", "i": "1m", "o": "1", "h": "2", "l": "0.5", "c": "1.5", "v": "3", "n": 3}
    return [{"t": ts, "T": ts + 59_999, **bar} for ts in found]


def mexc(here: Exchange, path: str, query: dict[str, str]) -> Any:
    """Keeps everything; ccxt's class asks it for 500 minutes at most, however long the window is."""
    if "klines" not in path or query["interval"] != "1m":
        _refused(path)
    found = between(here.kept(), "startTime", "endTime", query)[:500]
    return [[ts, "1", "2", "0.5", "1.5", "3", ts + 60_000, "4.5"] for ts in found]


def gate(here: Exchange, path: str, query: dict[str, str]) -> Any:
    """Keeps two days, and refuses windows that begin more than 10,000 bars ago."""
    step = {"1m": MINUTE, "1d": DAY, "1h": HOUR}.get(query.get("interval", ""), 7 * DAY)
    if "candlesticks" not in path or int(query["from"]) * SECOND < here.now - 10_000 * step:
        _refused("Candlestick too long ago")
    found = between(here.kept(days=2), "from", "to", query, 1000) if step == MINUTE else []
    return [[str(ts // 1000), "4.5", "1.5", "2", "0.5", "1", "3", "true"] for ts in found]


def binance(here: Exchange, path: str, query: dict[str, str]) -> Any:
    """Keeps the newest 1,000 minutes and all days, though it is known to keep everything."""
    if "klines" not in path.lower():
        _refused(path)
    step = {"1m": MINUTE, "1d": DAY}.get(query["interval"], 7 * DAY) // MS
    monday = 4 * DAY // MS
    opens = {(ts - monday) // step * step + monday for ts in here.kept()}
    kept = here.kept(1000) if query["interval"] == "1m" else sorted(opens)
    found = between(kept, "startTime", "endTime", query)[:1000]
    return [[ts, "1", "2", "0.5", "1.5", "3", ts + 59_999, "4.5", 7, "1", "1", "0"] for ts in found]


def short_binance(here: Exchange, path: str, query: dict[str, str]) -> Any:
    """Keeps two days in every timeframe, though it is known to keep everything; its ids do not begin anew."""
    if "klines" not in path.lower():
        _refused(path)
    step = {"1m": MINUTE, "1d": DAY}.get(query["interval"], 7 * DAY) // MS
    monday = 4 * DAY // MS
    opens = sorted({(ts - monday) // step * step + monday for ts in here.kept(days=2)})
    found = between(opens, "startTime", "endTime", query)[:1000]
    return [[ts, "1", "2", "0.5", "1.5", "3", ts + 59_999, "4.5", 7, "1", "1", "0"] for ts in found]


def bybit(here: Exchange, path: str, query: dict[str, str]) -> Any:
    """Keeps everything; a page of spot bars holds 1,000, one of a contract the newest 200 of its window."""
    if "kline" not in path:
        _refused(path)
    step = {"1": MINUTE, "D": DAY, "W": 7 * DAY}[query["interval"]] // MS
    monday = 4 * DAY // MS
    opens = sorted({(ts - monday) // step * step + monday for ts in here.kept()})
    size = 1000 if query["category"] == "spot" else 200
    return kline_page(query, between(opens, "start", "end", query)[-size:][::-1])


def kline_page(query: dict[str, str], opens: Times) -> Any:
    """Return a page of bars as Bybit sends it."""
    rows = [[str(ts), "1", "2", "0.5", "1.5", "3", "4.5"] for ts in opens]
    result = {"category": query["category"], "symbol": query["symbol"], "list": rows}
    return {"retCode": 0, "retMsg": "OK", "result": result, "time": NOW // MS}


def ignores_limits(here: Exchange, path: str, query: dict[str, str]) -> Any:
    """Sends 500 bars, whatever limit and end it is given."""
    page = bybit(here, path, {**query, "end": str(2**60), "category": "spot"})["result"]["list"]
    opens = [int(row[0]) for row in page][::-1]
    if query["interval"] == "1":
        opens = between(here.kept(), "start", "end", {"start": query["start"]})
    return kline_page(query, opens[:500])


def untidy(here: Exchange, path: str, query: dict[str, str]) -> Any:
    """Sends some rows twice, all in disorder, with rows from beside the window and the newest of all."""
    page = bybit(here, path, query)["result"]["list"]
    opens = [int(row[0]) for row in page]
    if query["interval"] == "1" and opens:
        kept = here.kept()
        first, last = kept.index(min(opens)), kept.index(max(opens))
        opens = kept[max(first - 2, 0) : last + 3] + kept[-1:] + opens[::3]
    return kline_page(query, sorted(opens, key=lambda ts: ts % 7919))


def silent_for_a_while(here: Exchange, path: str, query: dict[str, str]) -> Any:
    """Answers with nothing from one minute of bars to another, in every market."""
    is_out = query["interval"] == "1" and 8 <= here.calls < 30
    return kline_page(query, []) if is_out else bybit(here, path, query)


def stuck_for_a_while(here: Exchange, path: str, query: dict[str, str]) -> Any:
    """Answers all questions with one page, for a while."""
    is_stuck = query["interval"] == "1" and 8 <= here.calls < 30
    return kline_page(query, here.kept()[1_000:1_200]) if is_stuck else bybit(here, path, query)


def okx(here: Exchange, path: str, query: dict[str, str]) -> Any:
    """Serves the funding rates of three months."""
    if "funding" not in path:
        return {"code": "0", "msg": "", "data": []}
    before, after = int(query.get("before", -1)), int(query.get("after", 2**60))
    found = [ts for ts in here.kept(days=92)[::-1] if before < ts < after][: int(query.get("limit", 100))]
    rate = {"fundingRate": "0.0001", "realizedRate": "0.0001", "instId": query["instId"], "instType": "SWAP"}
    return {"code": "0", "msg": "", "data": [{**rate, "fundingTime": str(ts)} for ts in found]}


def bitget(here: Exchange, path: str, query: dict[str, str]) -> Any:
    """Serves the newest 100 funding rates, and takes no times for them."""
    if "fund-rate" not in path:
        return {"code": "00000", "msg": "success", "requestTime": 1, "data": []}
    rate = {"symbol": query["symbol"], "fundingRate": "0.0001"}
    found = [{**rate, "fundingTime": str(ts)} for ts in here.kept(100)[::-1]]
    return {"code": "00000", "msg": "success", "requestTime": 1, "data": found}


def numbered_bitget(here: Exchange, path: str, query: dict[str, str]) -> Any:
    """Serves all funding rates by the number of a page, at most 60 on each, and takes no times for them."""
    if "fund-rate" not in path:
        return {"code": "00000", "msg": "success", "requestTime": 1, "data": []}
    newest, size = here.kept()[::-1], min(int(query.get("pageSize", 20)), 60)
    first = (int(query.get("pageNo", 1)) - 1) * size
    rate = {"symbol": query["symbol"], "fundingRate": "0.0001"}
    data = [{**rate, "fundingTime": str(ts)} for ts in newest[first : first + size]]
    return {"code": "00000", "msg": "success", "requestTime": 1, "data": data}


def numbered_mexc(here: Exchange, path: str, query: dict[str, str]) -> Any:
    """Serves all funding rates by the number of a page."""
    if "funding_rate/history" not in path:
        _refused(path)
    newest, size = here.kept()[::-1], min(int(query.get("page_size", 20)), 100)
    first = (int(query.get("page_num", 1)) - 1) * size
    rate = {"symbol": query["symbol"], "fundingRate": 0.0001}
    data = [{**rate, "settleTime": ts} for ts in newest[first : first + size]]
    return {"success": True, "code": 0, "data": {"resultList": data}}


def _refused(what: str) -> Any:
    raise ccxt.BadRequest(what)


def minutes(count: int) -> Times:
    """Return minutes up to now: one in twelve is quiet, and twice nothing trades for hours."""
    first = NOW // MINUTE * MINUTE - count * MINUTE
    halts = {*range(600, 1300), *range(count - 2600, count - 2200)}
    return [first + number * MINUTE for number in range(count + 1) if number % 12 and number not in halts]


def rates(days: int) -> Times:
    """Return funding times, every eight hours."""
    return [NOW // DAY * DAY - number * 8 * HOUR for number in range(days * 3)][::-1]


@pytest.fixture
def lake_on(monkeypatch, tmp_path):
    """Return what opens a lake whose exchanges all answer as the given one."""

    def opened(here: Exchange, markets: list[dict[str, Any]]) -> Any:
        begin = ExchangeClient.__init__

        def scripted(self: ExchangeClient, *arguments: Any, **options: Any) -> None:
            begin(self, *arguments, **options)
            script_client(self.ccxt, here, markets, lambda: here.now)

        monkeypatch.setattr(ExchangeClient, "__init__", scripted)
        names = ("gemini", "hyperliquid", "mexc", "gate", "binance", "okx", "bitget", "bybit")
        settings = Settings(
            retry={"attempts": 2, "first_wait": 0.001, "longest_wait": 0.002},
            exchanges={name: {"rate_limit_ms": 0.001} for name in names},
            state=str(tmp_path / "state"),
        )
        return open_lake(tmp_path / "lake", settings=settings, clock=lambda: here.now)

    return opened


def iso(ts: int) -> str:
    return datetime.fromtimestamp(ts // SECOND, UTC).isoformat().replace("+00:00", "Z")


def check_answers(lake: Any, dataset: str, truth: set[int], run: Any) -> set[int]:
    """Hold coverage, gaps, quality and the run to the truth, and to each other; return what the lake has."""
    have = set(lake.load(dataset)["ts"].to_physical().to_list())
    pieces = [(piece.span, str(piece.found), piece.reason) for piece in lake.coverage(dataset).pieces]
    looked_at = [span for span, found, _ in pieces if found in ("data", "unlisted", "expired")]
    missing = [gap for gap in lake.gaps(dataset) if gap.reason.is_missing]
    assert [ts for ts in truth - have if any(span.start <= ts < span.end for span in looked_at)] == []
    assert [ts for ts in truth - have if not any(gap.span.start <= ts < gap.span.end for gap in missing)] == []
    assert have <= truth
    assert all(reason for _, found, reason in pieces if found in ("unavailable", "lost"))
    assert (str(run.state) == "succeeded") is lake.quality(dataset).is_complete is (not missing)
    return have


@pytest.mark.parametrize(
    ("exchange", "answer", "symbol", "native", "whole"),
    [
        ("gemini", gemini, "BTC/USDT", "btcusdt", False),
        ("hyperliquid", hyperliquid, "BTC/USDC", "@1", False),
        ("mexc", mexc, "BTC/USDT", "BTCUSDT", True),
        ("gate", gate, "BTC/USDT", "BTC_USDT", False),
        ("binance", binance, "BTC/USDT", "BTCUSDT", False),
        ("binance", short_binance, "BTC/USDT", "BTCUSDT", False),
    ],
)
def test_bars_of_a_first_run_and_after_a_downtime(lake_on, exchange, answer, symbol, native, whole):
    """Field note: the newest rows come, whatever was asked for; ccxt cuts windows; old times are refused."""
    here = Exchange(minutes(9_000), answer, NOW - 5_500 * MINUTE)
    lake, start = lake_on(here, [market(symbol, native)]), here.now // MINUTE * MINUTE - 3_400 * MINUTE
    dataset = f"{exchange}:ohlcv:1m:{symbol}"
    for now in (here.now, NOW):
        here.now = now
        truth = {ts for ts in here.times if start <= ts <= now - MINUTE - 15 * SECOND}
        (run,) = (
            lake.update(dataset)
            if now == NOW
            else [lake.backfill(exchange, symbol, "1m", start=iso(start), archives=False)]
        )
        have = check_answers(lake, dataset, truth, run)
        assert now != NOW or whole is (have == truth)
        assert have >= {ts for ts in truth if ts > now - 1_000 * MINUTE}, "what is served is fetched"

    calls = here.calls
    lake.update(dataset)
    assert here.calls <= calls + 3, "what is known is not asked for again"
    lake.close()


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC/USDT:USDT"])
@pytest.mark.parametrize("answer", [bybit, ignores_limits, untidy, silent_for_a_while, stuck_for_a_while])
def test_bars_of_pages_that_are_not_what_they_should_be_are_all_there_in_the_end(lake_on, answer, symbol):
    """Limits differ by the type of market, pages are untidy, and exchanges are out of order for a while."""
    here = Exchange(minutes(5_000), answer, NOW)
    kind = "swap" if ":" in symbol else "spot"
    lake, start = lake_on(here, [market(symbol, "BTCUSDT", kind)]), NOW // MINUTE * MINUTE - 4_500 * MINUTE
    dataset, truth = f"bybit:ohlcv:1m:{symbol}", {ts for ts in here.times if start <= ts <= NOW - MINUTE - 15 * SECOND}

    run = lake.backfill("bybit", symbol, "1m", start=iso(start), archives=False)

    check_answers(lake, dataset, truth, run)
    assert here.calls < 400
    here.answer = bybit
    run = lake.backfill("bybit", symbol, "1m", start=iso(start), archives=False, retry=True)
    assert check_answers(lake, dataset, truth, run) == truth
    lake.close()


def test_a_listing_that_cannot_be_proven_is_searched_for_once_a_day(lake_on):
    """It takes calls for every few years since 2009, and proves no more the next minute."""
    here = Exchange(minutes(5_000), short_binance, NOW - DAY)
    markets = [market("BTC/USDT", "BTCUSDT"), market("ETH/USDT", "ETHUSDT")]

    def calls() -> int:
        lake, before = lake_on(here, markets), here.calls
        lake.backfill("binance", "BTC/USDT", "1m", archives=False)
        pieces = lake.coverage("binance:ohlcv:1m:BTC/USDT").pieces
        lake.close()
        assert [piece for piece in pieces if str(piece.found) == "unlisted"] == []
        return here.calls - before

    assert calls() > 20
    here.now += HOUR
    assert calls() <= 2, "one for the newest rows"
    here.now += DAY
    assert calls() > 8, "an exchange may show more another day"


@pytest.mark.parametrize(("exchange", "answer", "served"), [("okx", okx, 275), ("bitget", bitget, 100)])
def test_funding_of_a_year_where_less_is_served(lake_on, exchange, answer, served):
    """Field note: OKX serves about three months of funding rates, Bitget the newest 100."""
    here = Exchange(rates(400), answer, NOW)
    lake = lake_on(here, [market("BTC/USDT:USDT", {"okx": "BTC-USDT-SWAP"}.get(exchange, "BTCUSDT"), "swap")])
    start, dataset = NOW // DAY * DAY - 365 * DAY, f"{exchange}:funding:BTC/USDT:USDT"

    run = lake.backfill(exchange, "BTC/USDT:USDT", kind="funding", start=iso(start), archives=False)

    truth = {ts for ts in here.times if start <= ts < NOW - 15 * SECOND}
    assert len(check_answers(lake, dataset, truth, run)) >= served
    assert here.calls < 100
    lake.close()


@pytest.mark.parametrize(
    ("exchange", "answer", "native"),
    [("bitget", numbered_bitget, "BTCUSDT"), ("mexc", numbered_mexc, "BTC_USDT")],
)
def test_funding_by_the_number_of_a_page_is_fetched_to_its_beginning(lake_on, exchange, answer, native):
    """The newest page is not all there is: older rates are on pages of higher numbers."""
    here = Exchange(rates(400), answer, NOW)
    lake = lake_on(here, [market("BTC/USDT:USDT", native, "swap")])
    start, dataset = NOW // DAY * DAY - 365 * DAY, f"{exchange}:funding:BTC/USDT:USDT"

    run = lake.backfill(exchange, "BTC/USDT:USDT", kind="funding", start=iso(start), archives=False)

    truth = {ts for ts in here.times if start <= ts < NOW - 15 * SECOND}
    assert check_answers(lake, dataset, truth, run) == truth
    assert here.calls < 60
    lake.close()
