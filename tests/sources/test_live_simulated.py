"""Live feeds against the simulated exchange with faults: every trade that was served came, or is named as missing."""

from __future__ import annotations

import asyncio
import random

import pytest
from live_server import Remembers, until, wanted

from ticklake.core.dataset import Dataset
from ticklake.core.time import HOUR, MINUTE, parse_time
from ticklake.sources.ccxt.client import ExchangeOptions
from ticklake.sources.ccxt.source import CcxtSource
from ticklake.sources.live.feeds import live_feeds
from ticklake.sources.live.options import FeedOptions
from ticklake.sources.live.watchdog import Silence
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.generated import generated_market
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.server import SimulatedExchange

NOW = parse_time("2024-01-05T12:00:30Z")
DISTURBED = Faults(
    seed=11, socket_drop=0.01, socket_gap=0.02, socket_duplicate=0.02, socket_reorder=0.02, socket_half=0.5
)


def collect(
    market: Market, exchange: str, names: list[str], faults: Faults, *, native: bool
) -> tuple[Remembers, SimulatedExchange]:
    """Collect while half an hour of the simulated market passes."""
    simulated = SimulatedExchange(market, SimulatedClock(NOW), faults)
    sink = Remembers()

    async def main() -> None:
        url = f"{simulated.url}/{exchange}"
        source = CcxtSource(exchange, ExchangeOptions(url=url, rate_limit_ms=0.001))
        settings = FeedOptions(
            url, native, first_pause=0.01, longest_pause=0.05, acknowledge_timeout=0.5, ping_every=0.2, tick=0.02,
            silence=Silence(dead=5, shortest=0.2, longest=2), random=random.Random(5),
        )  # fmt: skip
        feeds = live_feeds(exchange, wanted(*names), await source.instruments(), settings)
        tasks = [asyncio.create_task(feed.run(sink)) for feed in feeds]
        await until(lambda: len(sink.named("subscribed")) >= len(names), 10)
        for _ in range(30):
            simulated.clock.advance(MINUTE)
            await asyncio.sleep(0.03)
        simulated.faults = Faults()
        newest = len(sink.rows)
        for _ in range(100):
            # A connection may be lost: the market goes on until another has taken its place.
            simulated.clock.advance(MINUTE)
            await asyncio.sleep(0.05)
            if len(sink.rows) > newest + 5:
                break
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await source.close()

    with simulated.running():
        asyncio.run(asyncio.wait_for(main(), 40))
    return sink, simulated


@pytest.mark.parametrize("native", [True, False])
def test_contracts_of_coin_m_come_natively_and_through_ccxt(native: bool) -> None:
    market = generated_market(NOW - 12 * HOUR, NOW + 12 * HOUR, coin_margined=True)
    name = "binance:trades:BTC/USD:BTC"
    sink, simulated = collect(market, "binance", [name], Faults(), native=native)
    ids = {int(ident) for ident in sink.ids()}
    assert len(ids) > 20
    assert ids == set(range(min(ids), max(ids) + 1))
    assert ids <= simulated.served[Dataset.parse(name)].ids()


@pytest.mark.parametrize("native", [True, False])
def test_every_id_between_the_first_and_the_last_came_or_is_named(market: Market, native: bool) -> None:
    name = "binance:trades:BTC/USDT"
    sink, simulated = collect(market, "binance", [name], DISTURBED, native=native)
    ids = {int(ident) for ident in sink.ids()}
    named = set()
    for gap in sink.named("gap"):
        if gap.first is not None and gap.last is not None:
            named.update(range(gap.first, gap.last + 1))
    assert len(ids) > 20
    assert set(range(min(ids), max(ids) + 1)) == ids | {number for number in named if min(ids) <= number <= max(ids)}
    assert named, "the faults took some"
    assert {ident for ident in simulated.served[Dataset.parse(name)].ids() if ident >= min(ids)} <= ids | named
