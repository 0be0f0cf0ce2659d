"""Exchanges whose trades are paged by id, and whose ids are not what they should be."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from scripted_exchanges import assert_no_false_data, data_spans, market, pages_of, scripted, times_of

from ticklake.core.coverage import Found
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, MS, SECOND, parse_time
from ticklake.sources.base import Page
from ticklake.sources.ccxt.source import CcxtSource

NOW = parse_time("2025-05-02T00:00:20")
SPOT = market("BTC/USDT", "BTCUSDT")
SPAN = Span(NOW - 8 * HOUR, NOW - 15 * SECOND)
TRADES = "binance:trades:BTC/USDT"
Trade = tuple[int, int]
"""A time and a number, by which the exchange looks trades up, whatever it sends as their id."""


def trades_of(seed: int, count: int = 600, reach: int = 12 * HOUR) -> list[Trade]:
    rng = random.Random(seed)
    burst = rng.randrange(NOW - 6 * HOUR, NOW - HOUR)
    times = [rng.randrange(NOW - reach, NOW) // MS * MS for _ in range(count)]
    times += [(burst + rng.randrange(MINUTE)) // MS * MS for _ in range(count // 2)]
    return [(ts, number) for number, ts in enumerate(sorted([*times, *times[:5]]), 1000)]


def by_number(trades: list[Trade], first: int, limit: int) -> list[Trade]:
    return [trade for trade in trades if trade[1] >= first][:limit]


def binance(
    trades: list[Trade],
    *,
    cap: int = 1000,
    ident: Callable[[int], Any] = lambda number: number,
    from_id: Callable[[list[Trade], int, int], Any] = by_number,
) -> CcxtSource:
    """Aggregated trades by time or from a number on, at most *cap* of them whatever is asked."""
    calls = 0

    def answer(_path: str, query: dict[str, str]) -> Any:
        nonlocal calls
        calls += 1
        assert calls < 1_000, "it loops"
        limit = min(int(query["limit"]), cap)
        if "fromId" in query:
            rows = from_id(trades, int(query["fromId"]), limit)
        elif "startTime" in query:
            first, last = int(query["startTime"]), int(query["endTime"])
            rows = [trade for trade in trades if first <= trade[0] // MS <= last][:limit]
        else:
            rows = trades[-limit:]
        if isinstance(rows, dict):
            return rows
        return [{"a": ident(n), "p": str(n), "q": "2", "f": 1, "l": 1, "T": ts // MS, "m": False} for ts, n in rows]

    return scripted("binance", answer, [SPOT], NOW)


def prices_of(pages: list[Page]) -> set[int]:
    return {int(price) for page in pages for price in page.frame["price"]}


def assert_whole(pages: list[Page], trades: list[Trade], span: Span = SPAN) -> None:
    """All trades of the span came, and nothing else is said of it."""
    assert prices_of(pages) & {n for ts, n in trades if ts in span} == {n for ts, n in trades if ts in span}
    assert {piece.found for page in pages for piece in page.covered} == {Found.DATA}
    assert sum(piece.length for piece in data_spans(pages)) == span.length


NO_NUMBERS = {
    "uuid": lambda n: str(uuid.UUID(int=n * 7919**9)),
    "text": lambda n: f"t-{n}",
    "null": lambda _: None,
    "null between numbers": lambda n: None if n % 7 == 0 else n,
    "fraction": lambda n: f"{n}.0",
    "negative": lambda n: -n,
    "superscript": lambda n: f"{n}²",
    "longer than 128 bits": lambda n: str(n + 10**50),
}


@pytest.mark.parametrize("ident", NO_NUMBERS.values(), ids=NO_NUMBERS)
@pytest.mark.parametrize("cap", [60, 1000])
def test_ids_that_are_no_numbers_are_not_followed(ident, cap):
    trades = trades_of(1)

    assert_whole(pages_of(binance(trades, cap=cap, ident=ident), TRADES, SPAN), trades)


def test_ids_longer_than_64_bits_are_followed():
    trades = [(ts, n + 10**25) for ts, n in trades_of(2)]

    pages = pages_of(binance(trades, cap=60, ident=str), TRADES, SPAN)

    ids = {text for page in pages for text in page.frame["id"]}
    assert ids >= {str(n) for ts, n in trades if ts in SPAN}
    assert {piece.found for page in pages for piece in page.covered} == {Found.DATA}


DEAF = {
    "newest": lambda trades, _, limit: trades[-limit:],
    "oldest": lambda trades, _, limit: trades[:limit],
    "nothing": lambda *_: [],
    "refusal": lambda *_: {"code": -1100, "msg": "Illegal characters found in parameter 'fromId'"},
}


@pytest.mark.parametrize("from_id", DEAF.values(), ids=DEAF)
@pytest.mark.parametrize("cap", [60, 1000])
def test_calls_by_id_that_lead_nowhere_lose_nothing(from_id, cap):
    """The page limit is lower than said, too: what calls by time bring proves the end of nothing."""
    trades = trades_of(3)

    assert_whole(pages_of(binance(trades, cap=cap, from_id=from_id), TRADES, SPAN), trades)


def test_an_excluded_first_id_loses_nothing():
    trades = trades_of(4)

    def after(trades: list[Trade], first: int, limit: int) -> list[Trade]:
        return [trade for trade in trades if trade[1] > first][:limit]

    assert_whole(pages_of(binance(trades, cap=60, from_id=after), TRADES, SPAN), trades)


def test_ids_that_go_backwards_lose_nothing():
    trades = [(ts, 10**6 - n) for ts, n in trades_of(5)]

    assert_whole(pages_of(binance(trades, cap=60), TRADES, SPAN), trades)


@pytest.mark.parametrize("seed", range(3))
def test_times_that_go_backwards_between_ids_lose_nothing(seed):
    """A page covers no time of which the next one may bring trades, as a run may die in between."""
    rng = random.Random(seed)
    shuffled = sorted(trades_of(seed), key=lambda trade: trade[1] + rng.randrange(20))
    trades = [(ts, n) for n, (ts, _) in enumerate(shuffled, 1000)]

    pages = pages_of(binance(trades, cap=60), TRADES, SPAN)

    for end in range(1, len(pages) + 1):
        have, spans = prices_of(pages[:end]), data_spans(pages[:end])
        assert [n for ts, n in trades if n not in have and any(ts in span for span in spans)] == []


def test_more_trades_in_an_instant_than_a_page_holds_come_by_their_ids():
    instant = NOW - HOUR
    times = sorted([*(ts for ts, _ in trades_of(6)), *[instant] * 300])
    trades = [(ts, n) for n, ts in enumerate(times, 1000)]

    assert_whole(pages_of(binance(trades, cap=60), TRADES, SPAN), trades)


@pytest.mark.parametrize("from_id", [by_number, *DEAF.values()], ids=["by number", *DEAF])
def test_a_span_before_all_that_is_served_is_unavailable(from_id):
    """Silence is true only if something older is served."""
    trades = trades_of(7)
    served = [trade for trade in trades if trade[0] > NOW - 2 * HOUR]
    span = Span(NOW - 8 * HOUR, NOW - 4 * HOUR)

    pages = pages_of(binance(served, from_id=from_id), TRADES, span)

    assert {piece.found for page in pages for piece in page.covered} == {Found.UNAVAILABLE}


def test_what_comes_before_a_short_history_without_ids_is_unavailable():
    trades = trades_of(8)
    served = [trade for trade in trades if trade[0] > NOW - 4 * HOUR]

    pages = pages_of(binance(served, cap=60, ident=lambda _: None), TRADES, SPAN)

    assert_no_false_data(pages, [ts for ts, _ in trades])
    assert set(times_of(pages)) >= {ts for ts, _ in served if ts in SPAN}


def test_a_market_without_any_trade_proves_nothing():
    pages = pages_of(binance([]), TRADES, SPAN)

    assert {piece.found for page in pages for piece in page.covered} == {Found.UNAVAILABLE}


def test_a_quiet_span_is_whole_if_an_older_trade_is_served():
    trades = [(NOW - 3 * DAY, 1000), (NOW - 3 * DAY + SECOND, 1001), (NOW - SECOND, 1002)]

    assert_whole(pages_of(binance(trades), TRADES, SPAN), trades)
