"""Bars that nothing ends but the exchange's time: of quiet markets no later bar comes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from live_server import KRAKEN_MARKETS, Peer, Remembers, ScriptedServer, collected, instrument, options, wanted

from ticklake.core.dataset import Dataset
from ticklake.core.time import HOUR, MINUTE, SECOND
from ticklake.errors import InvalidData
from ticklake.sources.live.feeds import live_feeds
from ticklake.sources.live.final_bars import FinalBars
from ticklake.sources.live.watchdog import Silence
from ticklake.sources.wire.reading import Memory
from ticklake.sources.wire.rows import Row
from ticklake.sources.wire.states import closed

START = 1_767_225_600 * SECOND
KEY = ("ohlcv", "BTC/USD", "1m")
BARS = Dataset.parse("kraken:ohlcv:1m:BTC/USD")


def bar(start: int, volume: float = 1.0, native: str = "BTC/USD", timeframe: str = "1m") -> Row:
    return Row("ohlcv", native, (start, 1.0, 1.0, 1.0, 1.0, volume, None, 1), timeframe)


def memory_of(*bars: Row) -> Memory:
    memory: Memory = {}
    assert list(closed(memory, bars, None)) == []
    return memory


class TestFinalBars:
    def test_a_bar_is_over_some_seconds_after_its_end_as_the_monotonic_clock_goes(self) -> None:
        final, memory = FinalBars({KEY: BARS}), memory_of(bar(START))
        assert final.find(memory, None, START, 100.0) == []
        assert final.find(memory, None, START, 174.0) == []
        assert final.find(memory, None, START, 175.0) == [bar(START)]
        assert final.find(memory, None, START, 300.0) == []

    def test_the_time_of_any_row_of_the_connection_shows_what_time_it_is(self) -> None:
        final, memory = FinalBars({KEY: BARS}), memory_of(bar(START))
        assert final.find(memory, START + 75 * SECOND, START + 75 * SECOND, 0.0) == [bar(START)]

    def test_the_wall_clock_ends_no_bar(self) -> None:
        final, memory = FinalBars({KEY: BARS}), memory_of(bar(START))
        assert final.find(memory, START + 30 * SECOND, START + 5 * HOUR, 0.0) == []

    def test_a_row_of_the_future_ends_no_bar(self) -> None:
        final, memory = FinalBars({KEY: BARS}), memory_of(bar(START))
        assert final.find(memory, START + HOUR, START + SECOND, 0.0) == []

    def test_a_bar_that_changes_after_its_end_is_given_again(self) -> None:
        final, memory = FinalBars({KEY: BARS}), memory_of(bar(START))
        now = START + 2 * MINUTE
        assert final.find(memory, now, now, 0.0) == [bar(START)]
        assert list(closed(memory, [bar(START, 2.0)], None)) == []
        assert final.find(memory, now, now, 1.0) == [bar(START, 2.0)]

    def test_a_later_bar_does_not_give_the_one_before_again(self) -> None:
        final, memory = FinalBars({KEY: BARS}), memory_of(bar(START))
        now = START + 2 * MINUTE
        assert final.find(memory, now, now, 0.0) == [bar(START)]
        assert list(closed(memory, [bar(START + MINUTE)], None)) == []
        assert list(closed(memory, [bar(START + 2 * MINUTE)], None)) == [bar(START + MINUTE)]

    def test_bars_that_nobody_wants_stay(self) -> None:
        final, memory = FinalBars({KEY: BARS}), memory_of(bar(START, native="ETH/USD"))
        assert final.find(memory, START + HOUR, START + HOUR, 0.0) == []

    def test_months_end_after_the_longest_one(self) -> None:
        final, memory = FinalBars({("ohlcv", "BTC/USD", "1M"): BARS}), memory_of(bar(START, timeframe="1M"))
        january = START + 31 * 24 * HOUR
        assert final.find(memory, january, january, 0.0) == []
        assert final.find(memory, january, january, 15.0) == [bar(START, timeframe="1M")]

    def test_what_is_no_bar_is_refused_before_it_can_be_given_out(self) -> None:
        with pytest.raises(InvalidData):
            memory_of(Row("ohlcv", "BTC/USD", (START, [1], 1.0, 1.0, 1.0, 1.0, None, 1), "1m"))


@pytest.mark.parametrize("native", [True, False], ids=["native", "ccxt"])
def test_the_last_bar_of_a_quiet_market_is_delivered_once_it_is_over(native: bool) -> None:
    later = [0.0]

    async def script(peer: Peer, message: Any) -> None:
        if message is None or message.get("method") != "subscribe":
            await peer.send({"channel": "heartbeat"})
            return
        result = {**message["params"], "symbol": message["params"]["symbol"][0]}
        await peer.send({"method": "subscribe", "success": True, "result": result, "req_id": message["req_id"]})
        prices = {"open": 1.5, "high": 1.5, "low": 1.5, "close": 1.5, "vwap": 1.5, "volume": 2.0, "trades": 3}
        begin = "2026-01-01T00:00:00.000000000Z"
        data = [{"symbol": "BTC/USD", **prices, "interval_begin": begin, "interval": 1, "timestamp": begin}]
        await peer.send({"channel": "ohlc", "type": "update", "data": data})

    async def scenario() -> Remembers:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            server.books = lambda path, _query: KRAKEN_MARKETS.get(path, {})
            settings = options(
                server,
                native=native,
                acknowledge_timeout=1.0,
                silence=Silence(dead=1e6, longest=1e6, shortest=1e6),
                monotonic=lambda: time.monotonic() + later[0],
            )
            market = instrument("kraken", "BTC/USD", "XXBTZUSD")
            (feed,) = live_feeds("kraken", wanted("kraken:ohlcv:1m:BTC/USD"), [market], settings)

            def has_bar() -> bool:
                if sink.named("subscribed"):
                    later[0] += 1.0
                return bool(sink.named("interval_complete"))

            await collected(feed, sink, has_bar)
        return sink

    sink = asyncio.run(asyncio.wait_for(scenario(), 15))
    (row,) = sink.rows
    assert [float(value) for value in row.values[:6]] == [START, 1.5, 1.5, 1.5, 1.5, 2.0]
    assert [entry.span.length for entry in sink.named("interval_complete") if entry.span] == [MINUTE]
