"""The simulated exchange speaks the WebSocket protocols of Binance and Kraken: unmodified ccxt.pro works against it."""

from __future__ import annotations

import asyncio
import binascii
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import polars as pl
import pytest

from ticklake.core.dataset import Dataset
from ticklake.core.symbol import Symbol
from ticklake.core.time import DAY, MINUTE, MS, SECOND, parse_time
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.server import SimulatedExchange

NOW = parse_time("2024-01-05T12:00:30Z")
SPOT = "/stream.binance.com:9443"


@pytest.fixture
def exchange(market):
    """An exchange whose clock a test moves."""
    with SimulatedExchange(market, SimulatedClock(NOW)).running() as running:
        yield running


def talk(exchange: SimulatedExchange, path: str, use: Callable[[Any], Awaitable[Any]], *, autoping: bool = True) -> Any:
    """Let a coroutine function use one plain WebSocket."""

    async def main() -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(exchange.socket_url + path, autoping=autoping) as socket,
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


class TestMarkets:
    def test_recorded_trades_and_books_are_streamed(self, recorded_market_, http):
        """Prices far below one, and ids as they were recorded."""
        rows = recorded_market_.rows("binance", Symbol("XRP/ETH"), "trades").head(20)
        first, last = (int(rows["ts"].to_physical()[place]) for place in (0, -1))
        exchange = SimulatedExchange(recorded_market_, SimulatedClock(first - 1))

        async def use(socket: Any) -> list[Any]:
            exchange.clock.set(last)
            return await take(socket, 20)

        with exchange.running():
            got = talk(exchange, f"{SPOT}/ws/xrpeth@aggTrade", use)
            book = http(f"{exchange.url}/binance/api/v3/depth?symbol=XRPETH&limit=5").body

        assert [(str(trade["a"]), float(trade["p"])) for trade in got] == rows.select("id", "price").rows()
        bid, ask = float(book["bids"][0][0]), float(book["asks"][0][0])
        assert bid <= rows["price"][-1] < ask < bid * 1.001

    def test_trades_that_a_mood_withholds_are_not_streamed(self, exchange, market):
        want = trades_between(market, str(BTC_TRADES), NOW + 5 * MINUTE - NOW % MINUTE, NOW + 10 * MINUTE)

        # Before the stream begins: the server sends in another thread what it had drawn from the market before.
        exchange.be("withhold=BTC/USDT@2024-01-05T12:00/2024-01-05T12:05")

        async def use(socket: Any) -> list[Any]:
            exchange.clock.advance(10 * MINUTE)
            return await take(socket, want.height)

        got = talk(exchange, f"{SPOT}/ws/btcusdt@trade", use)

        assert [str(trade["t"]) for trade in got] == want["id"].to_list()

    def test_marks_and_liquidations_of_futures(self, exchange, market):
        async def use(socket: Any) -> list[Any]:
            exchange.clock.advance(60 * MINUTE)
            return await take(socket, 1200)

        got = talk(exchange, "/fstream.binance.com/stream?streams=btcusdt@markPrice/btcusdt@forceOrder", use)

        marks = [message["data"] for message in got if message["stream"].endswith("markPrice")]
        orders = [message["data"]["o"] for message in got if message["stream"].endswith("forceOrder")]
        prices = set(
            trades_between(market, "binance:trades:BTC/USDT:USDT", NOW - 60 * MINUTE, NOW + 60 * MINUTE)["price"]
        )
        assert {float(mark["p"]) for mark in marks} | {float(order["p"]) for order in orders} <= prices
        assert marks
        assert orders
        assert marks[1]["E"] - marks[0]["E"] == 3000


BTC_TRADES = Dataset.parse("binance:trades:BTC/USDT")


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


def with_base(urls: Any, base: str) -> Any:
    """Replace the scheme of all addresses by a base; the host becomes the first step of the path. Versions of ccxt name them differently."""
    if isinstance(urls, dict):
        return {name: with_base(value, base) for name, value in urls.items()}
    return f"{base}/{urls.removeprefix('wss://')}"


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
                client.urls["api"]["ws"] = with_base(client.urls["api"]["ws"], exchange.socket_url)
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

    @pytest.mark.parametrize("method", ["watch_ohlcv", "watch_ticker"])
    @pytest.mark.parametrize(
        ("name", "symbol"), [("binance", "ETH/USDT"), ("binanceusdm", "BTC/USDT:USDT"), ("kraken", "ETH/EUR")]
    )
    def test_bars_and_tickers(self, method, name, symbol, watch, market):
        got = watch(name, method, symbol)

        exchange = "kraken" if name == "kraken" else "binance"
        prices = market.rows(exchange, Dataset.of(exchange, symbol, "trades").symbol, "trades")["price"]
        last = got["last"] if method == "watch_ticker" else got[-1][4]
        assert last in prices

    def test_kraken_trades(self, watch, market):
        got = watch("kraken", "watch_trades", "BTC/USD")

        rows = market.rows("kraken", Dataset.of("kraken", "BTC/USD", "trades").symbol, "trades")
        row = rows.filter(pl.col("id") == got[-1]["id"]).row(0, named=True)
        assert (got[-1]["price"], got[-1]["amount"], got[-1]["side"]) == (row["price"], row["amount"], row["side"])
        assert got[-1]["timestamp"] == row["ts"].timestamp() * 1000

    def test_kraken_book(self, watch):
        book = watch("kraken", "watch_order_book", "BTC/USD", 25)

        assert (len(book["bids"]), len(book["asks"])) == (25, 25)
        assert book["bids"][0][0] < book["asks"][0][0]


KRAKEN = "/ws.kraken.com/v2"


class KrakenBook:
    """A client's book, as Kraken's guide to checksums describes it; numbers stay texts."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.sides: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}

    def apply(self, message: Any) -> None:
        data = message["data"][0]
        if message["type"] == "snapshot":
            self.sides = {"bids": {}, "asks": {}}
        for side, levels in self.sides.items():
            for level in data[side]:
                if float(level["qty"]) == 0:
                    levels.pop(level["price"], None)
                else:
                    levels[level["price"]] = level["qty"]
            for price in self.prices(side)[self.depth :]:
                del levels[price]

    def prices(self, side: str) -> list[str]:
        return sorted(self.sides[side], key=float, reverse=side == "bids")

    def checksum(self) -> int:
        text = ""
        for side in ("asks", "bids"):
            for price in self.prices(side)[:10]:
                for part in (price, self.sides[side][price]):
                    text += str(int(part.replace(".", "")))
        return binascii.crc32(text.encode())


async def kraken_subscribe(socket: Any, **params: Any) -> list[Any]:
    await socket.send_json({"method": "subscribe", "params": params, "req_id": 7})
    return await take(socket, 1)


class TestKraken:
    @pytest.mark.parametrize("depth", [10, 25, 100, 500, 1000])
    def test_checksums_prove_each_change_of_the_book(self, depth, market):
        trade = trades_between(market, "kraken:trades:BTC/USD", NOW, NOW + 10 * MINUTE)["ts"].to_physical()[0]
        exchange = SimulatedExchange(market, SimulatedClock(trade - 2 * SECOND))
        count = 60 if depth > 100 else 400

        def texts(message: Any) -> Any:
            return json.loads(message.data, parse_float=str, parse_int=str)

        async def use(socket: Any) -> list[Any]:
            await take(socket, 1)
            await kraken_subscribe(socket, channel="book", symbol=["BTC/USD"], depth=depth)
            exchange.clock.advance(2 * MINUTE)
            return [texts(await socket.receive(timeout=3)) for _ in range(count)]

        with exchange.running():
            got = talk(exchange, KRAKEN, use)

        book = KrakenBook(depth)
        best: set[str] = set()
        assert [message["type"] for message in got[:2]] == ["snapshot", "update"]
        assert len(got[0]["data"][0]["bids"]) == depth
        for message in got:
            book.apply(message)
            assert int(message["data"][0]["checksum"]) == book.checksum()
            best.add(book.prices("bids")[0])
        assert len(best) > 1, "the trade moved the book"

    def test_each_symbol_is_acknowledged(self, exchange):
        async def use(socket: Any) -> list[Any]:
            await take(socket, 1)
            request = {"channel": "trade", "symbol": ["BTC/USD", "NO/SUCH", "ETH/EUR"], "snapshot": False}
            await socket.send_json({"method": "subscribe", "params": request, "req_id": 9})
            return await take(socket, 3)

        got = talk(exchange, KRAKEN, use)

        assert [(answer["success"], answer["req_id"]) for answer in got] == [(True, 9), (False, 9), (True, 9)]
        assert got[0]["result"] == {"channel": "trade", "symbol": "BTC/USD", "snapshot": False}
        assert got[1]["error"] == "Currency pair not supported NO/SUCH"

    def test_trades_follow_their_snapshot_without_a_break(self, exchange, market):
        want = trades_between(market, "kraken:trades:BTC/USD", NOW, NOW + 10 * MINUTE)

        async def use(socket: Any) -> list[Any]:
            await take(socket, 1)
            await kraken_subscribe(socket, channel="trade", symbol=["BTC/USD"])
            snapshot = await take(socket, 1)
            exchange.clock.advance(10 * MINUTE)
            ids: list[str] = []
            while len(ids) < want.height:
                message = (await take(socket, 1))[0]
                if message["channel"] == "trade":
                    ids += [str(trade["trade_id"]) for trade in message["data"]]
            return [snapshot[0], ids]

        snapshot, ids = talk(exchange, KRAKEN, use)

        assert ids == want["id"].to_list()
        assert snapshot["data"][-1]["trade_id"] + 1 == int(ids[0])
        assert len(snapshot["data"]) == 50

    def test_bars_reach_the_state_that_the_calls_have(self, exchange, http):
        async def use(socket: Any) -> list[Any]:
            await take(socket, 1)
            await kraken_subscribe(socket, channel="ohlc", symbol=["BTC/USD"], interval=1, snapshot=False)
            exchange.clock.advance(10 * MINUTE)
            got: list[Any] = []
            while len({bar["interval_begin"] for bar in got}) < 6:
                got += [bar for bar in (await take(socket, 1))[0].get("data", []) if "interval_begin" in bar]
            return got

        got = talk(exchange, KRAKEN, use)

        last = {parse_time(bar["interval_begin"]) // SECOND: bar for bar in got}
        calls = http(f"{exchange.url}/kraken/0/public/OHLC?pair=XXBTZUSD&interval=1").body["result"]["XXBTZUSD"]
        by_time = {bar[0]: bar for bar in calls}
        # The first bar began before the subscription, the last one goes on.
        for at in sorted(last)[1:-1]:
            bar, call = last[at], by_time[at]
            assert [bar["open"], bar["high"], bar["low"], bar["close"], bar["volume"]] == [
                float(call[place]) for place in (1, 2, 3, 4, 6)
            ]
            assert bar["trades"] == call[7]

    def test_status_instruments_pings_and_heartbeats(self, exchange):
        async def use(socket: Any) -> list[Any]:
            status = await take(socket, 1)
            await socket.send_json({"method": "ping", "req_id": 3})
            pong = await take(socket, 1)
            await kraken_subscribe(socket, channel="instrument")
            instruments = await take(socket, 1)
            exchange.clock.advance(2 * SECOND)
            return [*status, *pong, *instruments, *(await take(socket, 1))]

        status, pong, instruments, heartbeat = talk(exchange, KRAKEN, use)

        assert (status["channel"], status["data"][0]["system"]) == ("status", "online")
        assert (pong["method"], pong["req_id"]) == ("pong", 3)
        pairs = {pair["symbol"]: pair for pair in instruments["data"]["pairs"]}
        assert sorted(pairs) == ["BTC/USD", "ETH/EUR"]
        assert (pairs["BTC/USD"]["price_precision"], pairs["BTC/USD"]["qty_precision"]) == (5, 8)
        assert heartbeat == {"channel": "heartbeat"}


async def ids_until_closed(socket: Any, count: int, key: str = "t") -> list[int]:
    """Return the ids of trades that come, until there are *count*, or the connection ends, or nothing comes."""
    got: list[int] = []
    while len(got) < count:
        try:
            # The trades of the market are made when they are first needed.
            message = await socket.receive(timeout=0.3 if got else 5)
        except TimeoutError:
            break
        if message.type is aiohttp.WSMsgType.PING:
            continue
        if message.type is not aiohttp.WSMsgType.TEXT:
            break
        got.append(json.loads(message.data)[key])
    return got


class TestFaults:
    @pytest.fixture
    def disturbed(self, market):
        """Return the trade ids that a client receives in an hour with these faults, and the exchange afterwards."""

        def run(**switches: Any) -> tuple[list[int], SimulatedExchange]:
            faults = Faults(**switches)
            with SimulatedExchange(market, SimulatedClock(NOW), faults).running() as exchange:

                async def use(socket: Any) -> list[int]:
                    exchange.clock.advance(60 * MINUTE)
                    return await ids_until_closed(socket, 10**6)

                return talk(exchange, f"{SPOT}/ws/btcusdt@trade", use, autoping=False), exchange

        return run

    @pytest.fixture
    def all_ids(self, market):
        return [int(i) for i in trades_between(market, str(BTC_TRADES), NOW, NOW + 60 * MINUTE)["id"]]

    @pytest.mark.parametrize("name", ["drop", "silence", "gap", "duplicate", "reorder"])
    def test_a_seed_repeats(self, name, disturbed):
        runs = [disturbed(**{f"socket_{name}": 0.05}, seed=seed)[0] for seed in (1, 1, 2)]

        assert runs[0] == runs[1]
        assert runs[0] != runs[2]

    @pytest.mark.parametrize("name", ["drop", "silence"])
    def test_nothing_comes_after_a_drop_or_in_a_silence(self, name, disturbed, all_ids):
        got, exchange = disturbed(**{f"socket_{name}": 0.05})

        assert got == all_ids[: len(got)]
        assert 0 < len(got) < len(all_ids)
        assert exchange.served[BTC_TRADES].ids() == set(got)

    def test_a_gap_is_in_the_journal(self, disturbed, all_ids):
        got, exchange = disturbed(socket_gap=0.05)

        withheld = exchange.withheld[BTC_TRADES].ids()
        assert withheld
        assert got == [identity for identity in all_ids if identity not in withheld]
        assert exchange.served[BTC_TRADES].ids() == set(got)

    def test_duplicates_and_neighbours_that_change_places(self, disturbed, all_ids):
        twice, _ = disturbed(socket_duplicate=0.05)
        swapped, _ = disturbed(socket_reorder=0.05)

        assert len(twice) > len(all_ids)
        assert sorted(set(twice)) == all_ids
        assert twice == sorted(twice)
        assert swapped != all_ids
        # A message that waits for the next one may still wait at the end.
        assert set(all_ids) - set(swapped) <= {all_ids[-1]}
        assert all(abs(all_ids.index(identity) - place) <= 1 for place, identity in enumerate(swapped))

    def test_a_skewed_clock_shifts_events_but_not_trades(self, exchange):
        exchange.faults = Faults(socket_skew=-2.5)

        async def use(socket: Any) -> list[Any]:
            exchange.clock.advance(10 * MINUTE)
            return await take(socket, 3)

        for trade in talk(exchange, f"{SPOT}/ws/btcusdt@trade", use):
            assert trade["T"] - trade["E"] == 2500

    def test_a_wrong_checksum(self, exchange):
        exchange.faults = Faults(socket_checksum=0.1)

        async def use(socket: Any) -> list[Any]:
            await take(socket, 1)
            await kraken_subscribe(socket, channel="book", symbol=["BTC/USD"])
            exchange.clock.advance(10 * SECOND)
            return [
                json.loads((await socket.receive(timeout=3)).data, parse_float=str, parse_int=str) for _ in range(100)
            ]

        book, wrong = KrakenBook(10), 0
        for message in talk(exchange, KRAKEN, use):
            book.apply(message)
            wrong += int(message["data"][0]["checksum"]) != book.checksum()
        assert 0 < wrong < 30

    def test_a_refused_subscription(self, exchange):
        exchange.faults = Faults(socket_reject=1.0)

        async def binance(socket: Any) -> list[Any]:
            await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1})
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 2})
            return await take(socket, 2)

        async def kraken(socket: Any) -> list[Any]:
            await take(socket, 1)
            return await kraken_subscribe(socket, channel="trade", symbol=["BTC/USD"])

        error, listed = talk(exchange, f"{SPOT}/ws", binance)
        assert (error["error"]["code"], listed["result"]) == (-1003, [])
        assert not talk(exchange, KRAKEN, kraken)[0]["success"]

    def test_half_of_a_request_is_acknowledged(self, exchange):
        exchange.faults = Faults(socket_half=1.0)

        async def use(socket: Any) -> list[Any]:
            await take(socket, 1)
            request = {"channel": "ticker", "symbol": ["BTC/USD", "ETH/EUR"], "snapshot": False}
            await socket.send_json({"method": "subscribe", "params": request})
            await socket.send_json({"method": "ping"})
            return await take(socket, 2)

        acknowledged, pong = talk(exchange, KRAKEN, use)

        assert acknowledged["result"]["symbol"] == "BTC/USD"
        assert pong["method"] == "pong"

    def test_a_restart_closes_all_and_refuses_for_a_while(self, market):
        faults = Faults(socket_restart_every=3600.0, socket_restart_seconds=20.0)
        exchange = SimulatedExchange(market, SimulatedClock(parse_time("2024-01-05T12:59:50Z")), faults)

        async def use(socket: Any) -> Any:
            exchange.clock.advance(10 * SECOND)
            return await socket.receive(timeout=3)

        with exchange.running():
            closed = talk(exchange, f"{SPOT}/ws", use)
            with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
                talk(exchange, f"{SPOT}/ws", use)
            exchange.clock.advance(21 * SECOND)
            time.sleep(0.1)
            assert talk(exchange, f"{SPOT}/ws", lambda socket: socket.send_str("{")) is None

        assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1012)

    def test_binance_closes_a_connection_after_a_day(self, exchange):
        async def use(socket: Any) -> Any:
            exchange.clock.advance(DAY - SECOND)
            with pytest.raises(TimeoutError):
                await socket.receive(timeout=0.3)
            exchange.clock.advance(SECOND)
            return await socket.receive(timeout=3)

        assert talk(exchange, f"{SPOT}/ws", use).type is aiohttp.WSMsgType.CLOSE

    def test_a_client_that_does_not_read_is_disconnected(self, exchange):
        exchange.faults = Faults(socket_slow_bytes=100_000)

        async def main() -> tuple[int, int]:
            host, port = "127.0.0.1", exchange.port
            reader, writer = await asyncio.open_connection(host, port, limit=1024)
            writer.write(
                f"GET {SPOT}/ws/btcusdt@depth@100ms HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
            )
            await reader.readuntil(b"\r\n\r\n")
            for _ in range(20):
                exchange.clock.advance(20 * MINUTE)
                await asyncio.sleep(0.2)
                if not exchange._sockets._connections:
                    break
            writer.close()
            return len(exchange._sockets._connections), len(exchange.served)

        assert asyncio.run(asyncio.wait_for(main(), 15)) == (0, 0)

    def test_sockets_are_disturbed_at_run_time(self, exchange, http):
        async def use(socket: Any) -> Any:
            await asyncio.to_thread(http, f"{exchange.url}/_sim/sockets", {"do": "drop"})
            return (await socket.receive(timeout=3)).type

        assert talk(exchange, f"{SPOT}/ws", use) in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        assert http(f"{exchange.url}/_sim/sockets", {"do": "sing"}).status == 400
        assert http(f"{exchange.url}/_sim/served").body == {"served": {}, "withheld": {}}
