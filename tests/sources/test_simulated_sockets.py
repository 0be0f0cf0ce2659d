"""The simulated exchange speaks the WebSocket protocols of Binance and Kraken: unmodified ccxt.pro works against it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import polars as pl
import pytest

from ticklake.core.dataset import Dataset
from ticklake.core.time import MINUTE, MS, SECOND, parse_time
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.server import SimulatedExchange

NOW = parse_time("2024-01-05T12:00:30Z")
SPOT = "/stream.binance.com:9443"


@pytest.fixture
def exchange(market):
    """An exchange whose clock a test moves."""
    with SimulatedExchange(market, SimulatedClock(NOW)).running() as running:
        yield running


def talk(exchange: SimulatedExchange, path: str, use: Callable[[Any], Awaitable[Any]]) -> Any:
    """Let a coroutine function use one plain WebSocket."""

    async def main() -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(exchange.socket_url + path, autoping=True) as socket,
        ):
            return await use(socket)

    return asyncio.run(asyncio.wait_for(main(), 10))


async def take(socket: Any, count: int) -> list[Any]:
    return [json.loads((await socket.receive(timeout=3)).data) for _ in range(count)]


def trades_between(market: Any, text: str, start: int, end: int) -> pl.DataFrame:
    dataset = Dataset.parse(text)
    rows = market.rows(dataset.exchange, dataset.symbol, "trades")
    ts = pl.col("ts").to_physical()
    return rows.filter((ts > start) & (ts <= end))


class TestBinance:
    def test_trades_on_the_socket_are_the_rows_of_the_market(self, exchange, market):
        want = trades_between(market, "binance:trades:BTC/USDT", NOW, NOW + 10 * MINUTE)

        async def use(socket: Any) -> list[Any]:
            await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1})
            assert await take(socket, 1) == [{"result": None, "id": 1}]
            exchange.clock.advance(10 * MINUTE)
            return await take(socket, want.height)

        got = talk(exchange, f"{SPOT}/ws", use)

        assert [str(trade["t"]) for trade in got] == want["id"].to_list()
        assert [trade["T"] * MS for trade in got] == want["ts"].to_physical().to_list()
        assert [(float(t["p"]), float(t["q"]), ["buy", "sell"][t["m"]]) for t in got] == want.select(
            "price", "amount", "side"
        ).rows()
        journal = exchange.served[Dataset.parse("binance:trades:BTC/USDT")]
        assert journal.ids() == {int(identity) for identity in want["id"]}
