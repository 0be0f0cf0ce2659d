"""Exchanges that serve the newest page of trades alone: successive pages are joined where they overlap or their ids do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.collect.test_short_histories import Exchange, check_answers
from tests.sources.scripted_exchanges import market, script_client
from ticklake.app import open_lake
from ticklake.config import Settings
from ticklake.core.time import HOUR, MINUTE, MS, SECOND, format_time, parse_time
from ticklake.sources.ccxt.client import ExchangeClient

NOW = parse_time("2025-06-01T06:00:30")
PAGE = 60
Numbered = list[tuple[int, int]]


def bybit(trades: Numbered) -> Any:
    rows = [
        {"execId": str(n), "symbol": "BTCUSDT", "price": "1.5", "size": "2", "side": "Buy", "time": str(ts // MS)}
        for ts, n in trades[::-1]
    ]
    return {"retCode": 0, "retMsg": "OK", "result": {"category": "spot", "list": rows}, "retExtInfo": {}, "time": 1}


def kucoin(trades: Numbered) -> Any:
    rows = [
        {"sequence": str(n), "tradeId": str(n), "price": "1.5", "size": "2", "side": "buy", "time": ts}
        for ts, n in trades
    ]
    return {"code": "200000", "data": rows}


SCRIPTS: dict[str, tuple[Callable[[Numbered], Any], str]] = {
    "bybit": (bybit, "BTCUSDT"),
    "kucoin": (kucoin, "BTC-USDT"),
}
both = pytest.mark.parametrize("exchange", SCRIPTS)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Return what backfills and then updates a lake at some times, and returns lake, run and the number of calls."""
    lakes = []

    def record(
        exchange: str, times: list[int], polls: list[int], number: Callable[[int], int] = lambda n: 5_000 + n
    ) -> Any:
        script, native = SCRIPTS[exchange]
        numbered = [(ts, number(n)) for n, ts in enumerate(times)]

        def answer(here: Exchange, path: str, _query: dict[str, str]) -> Any:
            assert "trade" in path or "histories" in path, path
            return script([trade for trade in numbered if trade[0] <= here.now][-PAGE:])

        here = Exchange(times, answer, polls[0])
        make = ExchangeClient.__init__

        def init(self: ExchangeClient, *args: Any, **kwargs: Any) -> None:
            make(self, *args, **kwargs)
            script_client(self.ccxt, here, [market("BTC/USDT", native)], lambda: here.now)

        monkeypatch.setattr(ExchangeClient, "__init__", init)
        settings = Settings(exchanges={exchange: {"rate_limit_ms": 0.001}}, state=str(tmp_path / "state"))
        lake = open_lake(tmp_path / "lake", settings=settings, clock=lambda: here.now)
        lakes.append(lake)
        run = lake.backfill(exchange, "BTC/USDT", kind="trades", start=format_time(polls[0] - HOUR), archives=False)
        for here.now in polls[1:]:
            run = lake.backfill(exchange, "BTC/USDT", kind="trades", start=format_time(polls[0] - HOUR), archives=False)
        return lake, run

    yield record
    for lake in lakes:
        lake.close()


def every(seconds: int, start: int, end: int) -> list[int]:
    return list(range(start, end, seconds * SECOND))


@both
def test_nothing_before_the_newest_page_is_looked_at(recorded, exchange):
    times = every(10, NOW - HOUR, NOW)

    lake, run = recorded(exchange, times, [NOW])

    have = check_answers(lake, f"{exchange}:trades:BTC/USDT", {ts for ts in times if ts < NOW - 15 * SECOND}, run)
    assert min(have) > NOW - 11 * MINUTE


@both
def test_pages_that_overlap_are_joined(recorded, exchange):
    times = every(10, NOW - 5 * MINUTE, NOW + HOUR)
    polls = [NOW + number * 5 * MINUTE for number in range(6)]

    lake, run = recorded(exchange, times, polls)

    truth = {ts for ts in times if ts < polls[-1] - 15 * SECOND}
    have = check_answers(lake, f"{exchange}:trades:BTC/USDT", truth, run)
    assert have >= {ts for ts in truth if ts > NOW - 4 * MINUTE}


@both
def test_pages_that_do_not_overlap_leave_what_is_between_them_missing(recorded, exchange):
    times = every(10, NOW - HOUR, NOW + HOUR)

    lake, run = recorded(exchange, times, [NOW, NOW + 30 * MINUTE])

    check_answers(
        lake, f"{exchange}:trades:BTC/USDT", {ts for ts in times if ts < NOW + 30 * MINUTE - 15 * SECOND}, run
    )
    assert any(gap.span.start < NOW + 10 * MINUTE < gap.span.end for gap in lake.gaps(f"{exchange}:trades:BTC/USDT"))


@both
def test_pages_whose_ids_follow_each_other_are_joined(recorded, exchange):
    """No trade lies between the number of the last trade of a page and the next number, with which another begins."""
    times = [*every(10, NOW - 10 * MINUTE, NOW - 20 * SECOND), *every(10, NOW + 30 * MINUTE, NOW + 40 * MINUTE)]

    lake, _ = recorded(exchange, times, [NOW, NOW + 40 * MINUTE])

    gaps = [gap for gap in lake.gaps(f"{exchange}:trades:BTC/USDT") if gap.reason.is_missing]
    assert [gap for gap in gaps if gap.span.end > NOW] == []


@both
def test_numbers_of_which_each_side_has_its_own_join_nothing(recorded, exchange):
    """Number 30 of the buys and number 31 of the sells say nothing of what lies between them."""
    times = every(10, NOW - 10 * MINUTE, NOW + 40 * MINUTE)
    held = [ts for ts in times if not NOW - 20 * SECOND <= ts < NOW + 30 * MINUTE]
    polls = [NOW, NOW + 40 * MINUTE]

    lake, run = recorded(exchange, held, polls, lambda n: 5_000 + n // 2 + (n % 2) * 7)

    check_answers(lake, f"{exchange}:trades:BTC/USDT", {ts for ts in held if ts < polls[-1] - 15 * SECOND}, run)
    assert any(gap.span.start < NOW + 10 * MINUTE < gap.span.end for gap in lake.gaps(f"{exchange}:trades:BTC/USDT"))
