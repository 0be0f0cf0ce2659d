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

    def test_diffs_replay_onto_the_book_of_a_call(self, exchange, http):
        """As Binance's documentation has it for spot: drop what is older, then no update id is left out."""

        async def use(socket: Any) -> list[Any]:
            await take(socket, 0)
            exchange.clock.advance(2 * SECOND)
            return await take(socket, 20)

        before = http(f"{exchange.url}/binance/api/v3/depth?symbol=BTCUSDT&limit=5000").body
        diffs = talk(exchange, f"{SPOT}/ws/btcusdt@depth@100ms", use)
        after = http(f"{exchange.url}/binance/api/v3/depth?symbol=BTCUSDT&limit=5000").body

        assert_diffs_lead_from(before, diffs, after)

    def test_diffs_of_futures_name_the_update_before(self, exchange, http):
        depth = f"{exchange.url}/binance/fapi/v1/depth?symbol=BTCUSDT&limit=1000"

        async def use(socket: Any) -> list[Any]:
            exchange.clock.advance(2 * MINUTE)
            return await take(socket, 2 * 600)

        before = http(depth).body["lastUpdateId"]
        diffs = talk(exchange, "/fstream.binance.com/public/ws/btcusdt@depth@0ms", use)

        first = next(diff for diff in diffs if diff["u"] >= before)
        assert first["U"] <= before <= first["u"]
        assert [diff["pu"] for diff in diffs[1:]] == [diff["u"] for diff in diffs[:-1]]

    def test_final_bars_are_those_of_the_calls(self, exchange, http):
        async def use(socket: Any) -> list[Any]:
            exchange.clock.advance(5 * MINUTE)
            got: list[Any] = []
            while sum(kline["k"]["x"] for kline in got) < 5:
                got += await take(socket, 1)
            return got

        got = talk(exchange, f"{SPOT}/ws/btcusdt@kline_1m", use)

        final = [kline["k"] for kline in got if kline["k"]["x"]]
        start = final[0]["t"]
        calls = http(f"{exchange.url}/binance/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime={start}&limit=5").body
        assert [[k["t"], k["o"], k["h"], k["l"], k["c"], k["v"], k["T"], k["q"], k["n"]] for k in final] == [
            bar[:9] for bar in calls
        ]
        assert any(not kline["k"]["x"] for kline in got)

    def test_a_combined_connection_names_the_stream_of_each_message(self, exchange):
        async def use(socket: Any) -> list[Any]:
            exchange.clock.advance(2 * SECOND)
            return await take(socket, 20)

        got = talk(exchange, f"{SPOT}/stream?streams=btcusdt@bookTicker/ethusdt@bookTicker", use)

        assert {message["stream"] for message in got} == {"btcusdt@bookTicker", "ethusdt@bookTicker"}
        assert {message["data"]["s"] for message in got} == {"BTCUSDT", "ETHUSDT"}

    def test_requests_are_answered_as_documented(self, exchange):
        async def use(socket: Any) -> list[Any]:
            for request in (
                {"method": "SUBSCRIBE", "params": ["btcusdt@trade", "nosuch@trade"], "id": 1},
                {"method": "LIST_SUBSCRIPTIONS", "id": 2},
                {"method": "UNSUBSCRIBE", "params": ["nosuch@trade"], "id": 3},
                {"method": "LIST_SUBSCRIPTIONS", "id": 4},
                {"method": "SING", "id": 5},
            ):
                await socket.send_json(request)
            await socket.send_str("{")
            return await take(socket, 6)

        got = talk(exchange, f"{SPOT}/ws", use)

        assert got[:4] == [
            {"result": None, "id": 1},
            {"result": ["btcusdt@trade", "nosuch@trade"], "id": 2},
            {"result": None, "id": 3},
            {"result": ["btcusdt@trade"], "id": 4},
        ]
        assert (got[4]["error"]["code"], got[4]["id"]) == (2, 5)
        assert got[5]["error"]["code"] == 3


def assert_diffs_lead_from(before: Any, diffs: list[Any], after: Any) -> None:
    sides = {"b": dict(before["bids"]), "a": dict(before["asks"])}
    last = before["lastUpdateId"]
    for diff in (diff for diff in diffs if diff["u"] > before["lastUpdateId"]):
        assert diff["U"] <= last + 1 <= diff["u"]
        last = diff["u"]
        for side, levels in sides.items():
            for price, amount in diff[side]:
                if float(amount):
                    levels[price] = amount
                else:
                    levels.pop(price, None)
        assert max(map(float, sides["b"])) < min(map(float, sides["a"]))
    assert (sides["b"], sides["a"]) == (dict(after["bids"]), dict(after["asks"]))


CCXT_HOSTS = {
    "binance": {"spot": "/stream.binance.com:9443/ws", "linear": "/fstream.binance.com/ws"},
    "binanceusdm": {"linear": "/fstream.binance.com/ws"},
    "kraken": {"publicV2": "/ws.kraken.com/v2"},
}


class TestRealCcxtPro:
    @pytest.fixture
    def watch(self, exchange):
        """Call a method of real ccxt.pro until it returns, while the exchange's time runs."""

        def run(name: str, method: str, *arguments: Any) -> Any:
            import ccxt.pro

            async def main() -> Any:
                client = getattr(ccxt.pro, name)({"enableRateLimit": False})
                rest = f"{exchange.url}/{'kraken' if name == 'kraken' else 'binance'}"
                for key, url in client.urls["api"].items():
                    if isinstance(url, str):
                        client.urls["api"][key] = rest + "/" + url.split("/", 3)[3] if url.count("/") > 2 else rest
                for key, path in CCXT_HOSTS[name].items():
                    client.urls["api"]["ws"][key] = exchange.socket_url + path
                try:
                    return await getattr(client, method)(*arguments)
                finally:
                    await client.close()

            exchange.clock.speed = 60.0
            return asyncio.run(asyncio.wait_for(main(), 15))

        return run

    @pytest.mark.parametrize(
        ("name", "symbol"), [("binance", "BTC/USDT"), ("binance", "BTC/USDT:USDT"), ("binanceusdm", "ETH/USDT:USDT")]
    )
    def test_binance_trades(self, name, symbol, watch, market):
        got = watch(name, "watch_trades", symbol)

        rows = market.rows("binance", Dataset.of("binance", symbol, "trades").symbol, "trades")
        row = rows.filter(pl.col("id") == got[0]["id"]).row(0, named=True)
        assert (got[0]["symbol"], got[0]["price"], got[0]["amount"]) == (symbol, row["price"], row["amount"])

    @pytest.mark.parametrize(("name", "symbol"), [("binance", "BTC/USDT"), ("binanceusdm", "BTC/USDT:USDT")])
    def test_binance_book(self, name, symbol, watch):
        book = watch(name, "watch_order_book", symbol)

        assert book["bids"][0][0] < book["asks"][0][0]
        assert len(book["bids"]) > 100
