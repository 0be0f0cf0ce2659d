"""The feed that asks by calls where an exchange has no stream."""

from __future__ import annotations

import asyncio

import polars as pl
import pytest
from live_server import Remembers, instrument, until, wanted

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.time import MINUTE, SECOND, parse_time
from ticklake.errors import BadInput, SourceUnavailable
from ticklake.sources.ccxt.polled import PolledFeed
from ticklake.sources.live.options import FeedOptions

NOW = parse_time("2024-01-05T12:00:30Z")
FIRST, SECOND_ONE = "binance:open_interest:BTC/USDT:USDT", "binance:open_interest:ETH/USDT:USDT"
LISTED = {
    "BTC/USDT:USDT": instrument("binance", "BTC/USDT:USDT", "BTCUSDT", "swap", linear=True),
    "ETH/USDT:USDT": instrument("binance", "ETH/USDT:USDT", "ETHUSDT", "swap", linear=True),
}


class Exchange:
    """Values of every five minutes up to its time; it may fail."""

    def __init__(self):
        self.time, self.errors, self.asked = NOW, {}, []

    async def now(self):
        return self.time

    def ask(self, dataset):
        async def ask(span):
            self.asked.append((dataset, span))
            if dataset in self.errors:
                raise self.errors[dataset]
            times = range(-(-span.start // (5 * MINUTE)) * 5 * MINUTE, min(span.end, self.time), 5 * MINUTE)
            return pl.DataFrame(
                {
                    "ts": pl.Series(list(times), dtype=pl.Int64).cast(TIME),
                    "open_interest": [1.5] * len(times),
                    "open_interest_value": [None] * len(times),
                }
            )

        return ask


def polled(names, during):
    """Run the feed while *during* goes on."""
    exchange, sink = Exchange(), Remembers()

    async def main():
        options = FeedOptions(first_pause=0.01, longest_pause=0.02)
        feed = PolledFeed("binance", wanted(*names), LISTED, exchange.ask, exchange.now, options, every=0.01)
        running = asyncio.create_task(feed.run(sink))
        try:
            await during(exchange, sink)
            if running.done():
                running.result()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(asyncio.wait_for(main(), 10))
    return sink, exchange


def times(sink):
    return [(row.values[0] - NOW + 30 * SECOND) // MINUTE for row in sink.rows]


def test_each_value_comes_once_as_the_time_goes_on():
    async def during(exchange, sink):
        await until(lambda: len(exchange.asked) > 3)
        exchange.time += 10 * MINUTE
        await until(lambda: len(sink.rows) == 4)
        await until(lambda: len(exchange.asked) > 10)

    sink, _ = polled([FIRST], during)
    assert times(sink) == [-5, 0, 5, 10]
    assert [control.name for control in sink.controls] == ["connected", "subscribed"]


def test_a_call_that_fails_is_a_hole_and_the_next_one_brings_what_it_missed():
    async def during(exchange, sink):
        await until(lambda: len(sink.rows) == 2)
        exchange.errors = {Dataset.parse(FIRST): SourceUnavailable("gone for a while")}
        await until(lambda: sink.named("disconnected"))
        exchange.time += 10 * MINUTE
        exchange.errors = {}
        await until(lambda: len(sink.rows) == 4)

    sink, _ = polled([FIRST], during)
    assert times(sink) == [-5, 0, 5, 10]
    assert sink.named("disconnected")[0].text == "gone for a while"
    assert len(sink.named("subscribed")) == 2


def test_what_is_refused_is_not_asked_for_again_and_ends_no_other():
    async def during(exchange, sink):
        exchange.errors = {Dataset.parse(FIRST): BadInput("not this one")}
        await until(lambda: len(sink.rows) == 2 and len(exchange.asked) > 5)

    sink, exchange = polled([FIRST, SECOND_ONE], during)
    assert [control.text for control in sink.named("refused")] == ["not this one"]
    assert [dataset for dataset, _ in exchange.asked].count(Dataset.parse(FIRST)) == 1


def test_if_all_is_refused_the_feed_ends_with_that():
    async def during(exchange, sink):
        exchange.errors = {Dataset.parse(FIRST): BadInput("not this one")}
        await until(lambda: exchange.asked)
        await asyncio.sleep(0.1)

    with pytest.raises(BadInput, match="not this one"):
        polled([FIRST], during)
