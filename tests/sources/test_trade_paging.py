"""Trades of exchanges that are asked by windows: no trade that the lake lacks lies in a span that is called data."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from scripted_exchanges import assert_no_false_data, data_spans, market, pages_of, scripted, times_of

from ticklake.core.coverage import Found
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, MS, SECOND, US, format_time, parse_time
from ticklake.sources.ccxt.source import CcxtSource

NOW = parse_time("2025-05-02T00:00:20")
Trades = list[tuple[int, int]]
"""Time in nanoseconds and id, sorted."""
SPOT = market("BTC/USDT", "BTC-USDT")


def made(seed: int, count: int, reach: int, unit: int = MS) -> Trades:
    """Return trades in bursts and silences, some in the same instant."""
    rng = random.Random(seed)
    busy = [rng.randrange(NOW - reach, NOW) for _ in range(6)]
    quiet = rng.randrange(NOW - reach, NOW - HOUR)
    times = [rng.randrange(NOW - reach, NOW) for _ in range(count // 2)]
    times += [rng.choice(busy) + rng.randrange(0, 2 * MINUTE) for _ in range(count // 2)]
    times = [ts // unit * unit for ts in times if ts < NOW and not quiet <= ts < quiet + reach // 5]
    times += [times[0]] * 5
    return [(ts, 1_000 + number) for number, ts in enumerate(sorted(times))]


def okx(trades: Trades, days: float = 90, cap: int = 100) -> CcxtSource:
    """History of three months, newest first, before a time or an id."""

    def answer(path: str, query: dict[str, str]) -> Any:
        assert path.endswith("/history-trades")
        assert query["type"] == "2"
        found = [one for one in trades if one[0] // MS < int(query["after"]) and one[0] > NOW - days * DAY]
        rows = found[::-1][: min(int(query.get("limit", 100)), cap)]
        data = [
            {"instId": "BTC-USDT", "tradeId": str(n), "px": "1.5", "sz": "2", "side": "buy", "ts": str(ts // MS)}
            for ts, n in rows
        ]
        return {"code": "0", "msg": "", "data": data}

    return scripted("okx", answer, [SPOT], NOW)


def deribit(trades: Trades, days: float = 10_000, cap: int = 1000, *, sorts: bool = True) -> CcxtSource:
    """By times, in the order that is asked for."""

    def answer(_path: str, query: dict[str, str]) -> Any:
        first, last = int(query["start_timestamp"]), int(query["end_timestamp"])
        found = [one for one in trades if first <= one[0] // MS <= last and one[0] > NOW - days * DAY]
        ordered = found if sorts and query.get("sorting") == "asc" else found[::-1]
        rows = ordered[: min(int(query["count"]), cap)]
        data = [
            {"trade_id": str(n), "trade_seq": n, "timestamp": ts // MS, "price": 1.5, "amount": 2.0, "direction": "buy",
             "instrument_name": "BTC-USDT", "tick_direction": 0}
            for ts, n in rows
        ]  # fmt: skip
        return {"jsonrpc": "2.0", "result": {"trades": data, "has_more": len(found) > len(rows)}}

    return scripted("deribit", answer, [SPOT], NOW)


def coinbase(trades: Trades, days: float = 10_000, cap: int = 1000) -> CcxtSource:
    """By seconds, the newest first, the start excluded; times have microseconds."""

    def answer(_path: str, query: dict[str, str]) -> Any:
        first, last = int(query["start"]) * SECOND, int(query["end"]) * SECOND
        found = [one for one in trades if first < one[0] <= last and one[0] > NOW - days * DAY]
        rows = found[::-1][: min(int(query["limit"]), cap)]
        data = [
            {
                "trade_id": str(n),
                "product_id": "BTC-USDT",
                "price": "1.5",
                "size": "2",
                "side": "BUY",
                "time": format_time(ts),
            }
            for ts, n in rows
        ]
        return {"trades": data, "best_bid": "1", "best_ask": "2"}

    return scripted("coinbase", answer, [SPOT], NOW)


def bitget(trades: Trades, days: float = 90, cap: int = 1000) -> CcxtSource:
    """By milliseconds within seven days, the newest first; an older start is refused."""

    def answer(_path: str, query: dict[str, str]) -> Any:
        first, last = int(query["startTime"]), int(query["endTime"])
        if last - first > 7 * DAY // MS + 10 or first < (NOW - 90 * DAY) // MS:
            return {"code": "40020", "msg": "Parameter startTime error", "requestTime": 1, "data": None}
        found = [one for one in trades if first <= one[0] // MS < last and one[0] > NOW - days * DAY]
        rows = found[::-1][: min(int(query["limit"]), cap)]
        data = [
            {"symbol": "BTC-USDT", "tradeId": str(n), "side": "buy", "price": "1.5", "size": "2", "ts": str(ts // MS)}
            for ts, n in rows
        ]
        return {"code": "00000", "msg": "success", "requestTime": 1, "data": data}

    return scripted("bitget", answer, [SPOT], NOW)


def gate(trades: Trades, days: float = 30, cap: int = 1000) -> CcxtSource:
    """By seconds, the newest first; times have microseconds."""

    def answer(_path: str, query: dict[str, str]) -> Any:
        first, last = int(query["from"]) * SECOND, int(query["to"]) * SECOND
        found = [one for one in trades if first <= one[0] <= last and one[0] > NOW - days * DAY]
        rows = found[::-1][: min(int(query["limit"]), cap)]
        return [
            {"id": str(n), "create_time": str(ts // SECOND), "create_time_ms": f"{ts // MS}.{ts % MS:06d}", "side": "buy",
             "currency_pair": "BTC-USDT", "amount": "2", "price": "1.5"}
            for ts, n in rows
        ]  # fmt: skip

    return scripted("gate", answer, [SPOT], NOW)


EXCHANGES: list[tuple[str, Callable[..., CcxtSource], int]] = [
    ("okx", okx, MS),
    ("deribit", deribit, MS),
    ("coinbase", coinbase, US),
    ("bitget", bitget, MS),
    ("gate", gate, US),
]
named = pytest.mark.parametrize(("exchange", "make", "unit"), EXCHANGES, ids=[row[0] for row in EXCHANGES])


@named
def test_all_trades_of_a_day_come_with_every_digit_of_their_times(exchange, make, unit):
    trades = made(1, 3_000, 2 * DAY, unit)
    span = Span(NOW - DAY, NOW - 15 * SECOND)

    pages = pages_of(make(trades), f"{exchange}:trades:BTC/USDT", span)

    truth = [(ts, str(n)) for ts, n in trades if ts in span]
    rows = {(ts, n) for page in pages for ts, n in zip(page.frame["ts"].to_physical(), page.frame["id"], strict=True)}
    assert sorted(rows) == sorted(truth)
    assert {piece.found for page in pages for piece in page.covered} == {Found.DATA}


@named
@pytest.mark.parametrize("seed", range(4))
def test_what_a_short_history_or_a_lower_cap_lacks_is_never_called_data(exchange, make, unit, seed):
    rng = random.Random(seed)
    trades = made(seed, 1_500, 3 * DAY, unit)
    source = make(trades, days=rng.choice([0.4, 1.5, 90]), cap=rng.choice([37, 60, 100, 300]))
    span = Span(NOW - rng.randrange(DAY, 3 * DAY), NOW - 15 * SECOND)

    pages = pages_of(source, f"{exchange}:trades:BTC/USDT", span)

    spans = data_spans(pages)
    have = {(ts, n) for page in pages for ts, n in zip(page.frame["ts"].to_physical(), page.frame["id"], strict=True)}
    assert have <= {(ts, str(n)) for ts, n in trades}
    assert [n for ts, n in trades if (ts, str(n)) not in have and any(ts in part for part in spans)] == []


@named
def test_silence_before_the_first_trade_is_unavailable_unless_an_older_one_is_served(exchange, make, unit):
    """Field note: the oldest row served is not the listing."""
    trades = made(5, 400, 3 * DAY, unit)

    pages = pages_of(make(trades, days=1.0), f"{exchange}:trades:BTC/USDT", Span(NOW - 3 * DAY, NOW - 15 * SECOND))

    gone = [piece for page in pages for piece in page.covered if piece.found is Found.UNAVAILABLE]
    assert gone
    assert max(piece.span.end for piece in gone) <= min(times_of(pages))
    assert_no_false_data(pages, [ts for ts, _ in trades])


def test_an_exchange_that_ignores_the_order_is_read_all_the_same():
    trades = made(3, 4_000, DAY)

    pages = pages_of(deribit(trades, sorts=False), "deribit:trades:BTC/USDT", Span(NOW - DAY, NOW - 15 * SECOND))

    assert len({n for page in pages for n in page.frame["id"]}) == sum(ts < NOW - 15 * SECOND for ts, _ in trades)


def test_an_instant_with_more_trades_than_a_page_is_lost_and_nothing_else():
    instant = NOW - HOUR
    trades = sorted([*made(2, 300, DAY), *((instant, 10**6 + number) for number in range(150))])

    pages = pages_of(okx(trades), "okx:trades:BTC/USDT", Span(NOW - 20 * HOUR, NOW - 15 * SECOND))

    lost = [piece.span for page in pages for piece in page.covered if piece.found is Found.LOST]
    assert lost == [Span(instant, instant + MS)]
    assert {ts for ts, _ in trades if NOW - 20 * HOUR <= ts < NOW - 15 * SECOND} == set(times_of(pages))


def test_an_exchange_that_answers_with_the_newest_trades_only_has_nothing_older():
    trades = made(4, 800, DAY)

    def answer(_path: str, _query: dict[str, str]) -> Any:
        return [
            {"id": str(n), "create_time": str(ts // SECOND), "create_time_ms": f"{ts // MS}.0", "side": "buy",
             "currency_pair": "BTC-USDT", "amount": "2", "price": "1.5"}
            for ts, n in trades[-100:]
        ]  # fmt: skip

    pages = pages_of(scripted("gate", answer, [SPOT], NOW), "gate:trades:BTC/USDT", Span(NOW - DAY, NOW - 15 * SECOND))

    assert_no_false_data(pages, [ts for ts, _ in trades])
    assert {piece.found for page in pages for piece in page.covered} >= {Found.UNAVAILABLE, Found.DATA}


@pytest.mark.parametrize("seed", range(3))
def test_trades_without_ids_at_the_edge_of_a_page_are_all_kept(seed):
    """Ids may be missing. Then an instant that a page cut is told by nothing but the number of its trades."""
    rng = random.Random(seed)
    instants = sorted(rng.randrange(NOW - DAY, NOW - MINUTE) // MS * MS for _ in range(150))
    trades = [(ts, number) for number, ts in enumerate(ts for ts in instants for _ in range(rng.choice([1, 2, 3])))]

    def answer(_path: str, query: dict[str, str]) -> Any:
        first, last = int(query["start_timestamp"]), int(query["end_timestamp"])
        found = [one for one in trades if first <= one[0] // MS <= last][:25]
        data = [{"timestamp": ts // MS, "price": 1.5 + n, "amount": 2.0, "direction": "buy", "instrument_name": "BTC-USDT"}
                for ts, n in found]  # fmt: skip
        return {"jsonrpc": "2.0", "result": {"trades": data, "has_more": False}}

    span = Span(NOW - DAY, NOW - 15 * SECOND)
    pages = pages_of(scripted("deribit", answer, [SPOT], NOW), "deribit:trades:BTC/USDT", span)

    spans = data_spans(pages)
    have = [price for page in pages for price in page.frame["price"]]
    assert [n for ts, n in trades if 1.5 + n not in have and any(ts in part for part in spans)] == []
    assert len(have) == len(set(have))


@pytest.mark.parametrize("seed", range(2))
def test_pages_that_end_anywhere_lose_nothing_where_only_the_end_of_a_window_is_sent(seed):
    """The newest trades before an end are all there is down to an older one, and no further: whatever their number."""
    trades, rng = made(seed, 900, 2 * DAY), random.Random(seed)

    def answer(_path: str, query: dict[str, str]) -> Any:
        found = [one for one in trades if one[0] // MS < int(query["after"])][::-1][: rng.randrange(20, 61)]
        data = [
            {"instId": "BTC-USDT", "tradeId": str(n), "px": "1.5", "sz": "2", "side": "buy", "ts": str(ts // MS)}
            for ts, n in found
        ]
        return {"code": "0", "msg": "", "data": data}

    span = Span(NOW - DAY, NOW - 15 * SECOND)
    pages = pages_of(scripted("okx", answer, [SPOT], NOW), "okx:trades:BTC/USDT", span)

    ids = {text for page in pages for text in page.frame["id"]}
    assert ids == {str(n) for ts, n in trades if ts in span}
