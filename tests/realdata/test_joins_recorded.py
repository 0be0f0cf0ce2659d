"""Joins and events of recorded trades, held to a search and a sort in plain Python."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from pathlib import Path

import pytest

from ticklake.app import memory_lake
from ticklake.core.time import MINUTE, SECOND
from ticklake.lake import Lake

BTC, ETH = "binance:trades:BTC/USDT", "binance:trades:ETH/USDT"
BARS = "binance:ohlcv:1m:BTC/USDT"


@pytest.fixture(scope="module")
def lake(recorded: Path) -> Iterator[Lake]:
    """An hour of trades of two symbols, and the bars that those of one make."""
    with memory_lake() as lake:
        for symbol in ("BTC", "ETH"):
            path = recorded / f"trades/binance_{symbol}USDT_aggTrades_20201101T09.json.gz"
            lake.import_files(path, f"binance:trades:{symbol}/USDT")
        lake.save(BARS, lake.resample(BTC, "1m", columns=["ts", "open", "high", "low", "close", "volume"]))
        yield lake


def test_each_trade_gets_the_last_trade_of_the_other_symbol_before_it(lake):
    times = lake.load(BTC)["ts"].to_physical().to_list()
    ids = lake.load(BTC)["id"].to_list()
    expected = []
    for ts in lake.load(ETH)["ts"].to_physical():
        place = bisect.bisect_right(times, ts)
        expected.append(ids[place - 1] if place else None)
    assert len(expected) == 4700
    assert lake.asof(ETH, BTC, columns=["id"], knowledge="event")["id_right"].to_list() == expected


def test_no_trade_gets_a_bar_that_had_not_closed(lake):
    opens = lake.load(BARS)["ts"].to_physical().to_list()
    expected = []
    for ts in lake.load(BTC)["ts"].to_physical():
        # A trade at the very minute belongs to the bar that opens then, and gets the one that has just closed.
        place = bisect.bisect_right(opens, ts - MINUTE)
        expected.append(opens[place - 1] if place else None)
    joined = lake.asof(BTC, BARS, columns=["ts"])
    assert joined["ts_right"].to_physical().to_list() == expected


def test_events_are_all_rows_by_time(lake):
    expected = []
    for order, name in enumerate((BARS, ETH, BTC)):
        ends = MINUTE if name == BARS else 0
        times = lake.load(name)["ts"].to_physical()
        expected += [(ts + ends, order, place) for place, ts in enumerate(times)]
    names = [str(event.dataset) for event in lake.iterate([BARS, ETH, BTC])]
    assert names == [(BARS, ETH, BTC)[order] for _, order, _ in sorted(expected)]


def test_the_markout_of_trades_against_their_own_symbol(lake):
    rows = lake.load(ETH)
    times = rows["ts"].to_physical().to_list()
    prices = rows["price"].to_list()
    expected = []
    for ts, price, side in rows.select("ts", "price", "side").with_columns(ts=rows["ts"].to_physical()).rows():
        reference = prices[bisect.bisect_right(times, ts + 10 * SECOND) - 1]
        sign = {"buy": 1, "sell": -1}[side]
        expected.append(sign * (reference - price) if ts + 10 * SECOND <= times[-1] else None)
    assert lake.markout(ETH, ETH, offsets="10s")["markout_10s"].to_list() == expected
