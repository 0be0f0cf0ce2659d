from __future__ import annotations

import datetime as dt

import pytest

from ticklake.core.time import HOUR, MINUTE
from ticklake.sources.wire.messages import read_message
from ticklake.sources.wire.reading import Memory

HEARD = 1_767_225_600 * 10**9
FAR = ("2026-01-01T09:00:00Z", "2262-04-11T23:47:16Z")


def iso(ns: int) -> str:
    return dt.datetime.fromtimestamp(ns // 10**9, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def bar(begin: str) -> dict[str, object]:
    prices = dict.fromkeys(("open", "high", "low", "close", "volume"), "1")
    entry = {**prices, "symbol": "BTC/USD", "interval_begin": begin, "trades": 1, "interval": 1}
    return {"channel": "ohlc", "type": "update", "data": [entry]}


def closed(memory: Memory, heard: int, begin: str) -> list[int]:
    reading = read_message(bar(begin), heard, memory=memory, exchange="kraken")
    assert reading is not None
    return [(row.values[0] - HEARD) // MINUTE for row in reading.rows]


@pytest.mark.parametrize("far", FAR)
def test_one_bar_far_ahead_closes_none_and_delays_none(far: str) -> None:
    memory: Memory = {}
    assert closed(memory, HEARD, iso(HEARD)) == []
    assert closed(memory, HEARD, far) == []
    assert closed(memory, HEARD, iso(HEARD)) == []
    assert closed(memory, HEARD + MINUTE, iso(HEARD + MINUTE)) == [0]
    assert closed(memory, HEARD + 2 * MINUTE, iso(HEARD + 2 * MINUTE)) == [1]


def test_bars_of_an_exchange_that_is_hours_ahead_are_closed() -> None:
    memory: Memory = {}
    for minute in range(4):
        begin = iso(HEARD + 5 * HOUR + minute * MINUTE)
        expected = [300 + minute - 1] if minute else []
        assert closed(memory, HEARD + minute * MINUTE, begin) == expected


@pytest.mark.parametrize("far", FAR)
def test_one_change_of_a_book_far_ahead_dates_no_other(far: str) -> None:
    memory: Memory = {}
    times = []
    for time in (iso(HEARD), far, iso(HEARD + MINUTE)):
        entry = {"symbol": "BTC/USD", "bids": [{"price": "1", "qty": "1"}], "asks": [], "timestamp": time}
        reading = read_message(
            {"channel": "book", "type": "update", "data": [entry]}, HEARD, memory=memory, exchange="kraken"
        )
        assert reading is not None
        times += [row.values[0] for row in reading.rows]
    assert times == [HEARD, HEARD, HEARD + MINUTE]
