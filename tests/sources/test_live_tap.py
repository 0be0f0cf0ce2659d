"""Live feeds through unmodified ccxt.pro, over real sockets on loopback."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest
from aiohttp import WSMessage, WSMsgType
from live_server import KRAKEN_MARKETS, Peer, Remembers, ScriptedServer, collected, instrument, options, until, wanted

from ticklake.core.instrument import Instrument
from ticklake.errors import SourceError, UnknownSymbol, Unsupported
from ticklake.sources.ccxt.client import ExchangeOptions
from ticklake.sources.ccxt.source import CcxtSource
from ticklake.sources.ccxt.tap import _Tapped, tapped_feeds
from ticklake.sources.live.base import Feed, LiveMessage
from ticklake.sources.live.feed import NativeFeed
from ticklake.sources.live.feeds import live_feeds
from ticklake.sources.live.options import FeedOptions

BINANCE = instrument("binance", "BTC/USDT", "BTCUSDT")
KRAKEN = instrument("kraken", "BTC/USD", "XXBTZUSD")
HTX = instrument("htx", "BTC/USDT", "btcusdt")
COINCHECK = instrument("coincheck", "BTC/JPY", "btc_jpy")

ANSWERS: dict[str, Any] = {
    "/api/v3/exchangeInfo": {
        "symbols": [
            {
                "symbol": "BTCUSDT",
                "status": "TRADING",
                "baseAsset": "BTC",
                "quoteAsset": "USDT",
                "permissions": ["SPOT"],
            }
        ]
    },
    **KRAKEN_MARKETS,
}


def tapped(server: ScriptedServer, exchange: str, kind: str, market: Instrument, **changes: Any) -> Feed:
    server.books = lambda path, _query: ANSWERS.get(path, {})
    settings = options(server, native=False, acknowledge_timeout=1.0, **changes)
    (feed,) = live_feeds(exchange, wanted(f"{exchange}:{kind}:{market.symbol}"), [market], settings)
    return feed


def run(scenario: Any) -> Any:
    return asyncio.run(asyncio.wait_for(scenario, 15))


def binance_trade(number: int) -> dict[str, Any]:
    return {
        "e": "aggTrade",
        "E": 1,
        "s": "BTCUSDT",
        "a": number,
        "p": "10.5",
        "q": "2",
        "T": 1_700_000_000_000 + number,
        "m": False,
    }


def kraken_trades(*numbers: int) -> dict[str, Any]:
    data = [
        {
            "symbol": "BTC/USD",
            "side": "buy",
            "price": 10.5,
            "qty": 2.0,
            "ord_type": "market",
            "trade_id": number,
            "timestamp": f"2026-01-01T00:00:00.{number:06d}Z",
        }
        for number in numbers
    ]
    return {"channel": "trade", "type": "update", "data": data}


async def binance(peer: Peer, message: Any) -> None:
    if message is not None and "method" in message:
        await peer.send({"result": None, "id": message["id"]})


async def kraken(peer: Peer, message: Any) -> None:
    if message is not None and message.get("method") == "subscribe":
        result = {"channel": message["params"]["channel"], "symbol": message["params"]["symbol"][0]}
        await peer.send({"method": "subscribe", "success": True, "result": result, "req_id": message["req_id"]})


class TestTrades:
    def test_every_trade_of_every_message_is_seen_once_however_slow_the_sink(self) -> None:
        """Far more than ccxt's own cache keeps, and nobody asks ccxt for any."""

        async def script(peer: Peer, message: Any) -> None:
            await kraken(peer, message)
            if message is not None and message.get("method") == "subscribe":
                for start in range(1, 6001, 60):
                    await peer.send(kraken_trades(*range(start, start + 60)))

        async def scenario() -> Remembers:
            sink = Remembers(delay=0.001)
            async with ScriptedServer(script) as server:
                feed = tapped(server, "kraken", "trades", KRAKEN)
                await collected(feed, sink, lambda: "6000" in sink.ids(), 10)
            return sink

        sink = run(scenario())
        assert [int(ident) for ident in sink.ids()] == list(range(1, 6001))
        assert not sink.named("gap")
        row = sink.rows[0]
        assert row.values[0] == 1_767_225_600_000_001_000
        assert (float(row.values[3]), float(row.values[4]), row.values[5]) == (10.5, 2.0, "buy")

    def test_binance_is_asked_for_the_numbering_that_calls_return(self) -> None:
        async def script(peer: Peer, message: Any) -> None:
            await binance(peer, message)
            if message is not None and "method" in message:
                await peer.send(binance_trade(1), binance_trade(2), binance_trade(5))

        async def scenario() -> tuple[Remembers, Peer]:
            sink = Remembers()
            async with ScriptedServer(script) as server:
                await collected(tapped(server, "binance", "trades", BINANCE), sink, lambda: "5" in sink.ids())
                return sink, server.peers[0]

        sink, peer = run(scenario())
        assert peer.path.startswith("/stream.binance.com:9443/ws")
        assert peer.received[0]["params"] == ["btcusdt@aggTrade"]
        assert {row.space for row in sink.rows} == {"agg"}
        (gap,) = sink.named("gap")
        assert (gap.first, gap.last) == (3, 4)

    def test_an_exchange_without_a_reader_is_read_by_ccxt(self) -> None:
        async def script(peer: Peer, message: Any) -> None:
            if message is not None:
                await peer.send([["1663318663", "2357062", "btc_jpy", "2820896.0", "5.0", "sell", "1", "2"]])
                same = ["1663318664", "2357063", "btc_jpy", "2820897.0", "1.0", "buy", "1", "2"]
                await peer.send([same, ["1663318664", "2357064", "btc_jpy", "2820898.0", "1.0", "buy", "1", "2"]])

        async def scenario() -> Remembers:
            sink = Remembers()
            async with ScriptedServer(script) as server:
                await collected(tapped(server, "coincheck", "trades", COINCHECK), sink, lambda: len(sink.rows) == 3)
            return sink

        sink = run(scenario())
        assert sink.ids() == ["2357062", "2357063", "2357064"]
        assert sink.rows[0].values[0] == 1_663_318_663_000_000_000
        assert sink.rows[0].values[3:] == (2820896.0, 5.0, "sell")

    def test_a_message_on_which_ccxt_fails_is_counted_and_ends_nothing(self) -> None:
        async def script(peer: Peer, message: Any) -> None:
            if message is not None:
                await peer.send([["x", None, 7]])
                await peer.send([["1663318663", "1", "btc_jpy", "2820896.0", "5.0", "sell", "1", "2"]])

        async def scenario() -> Remembers:
            sink = Remembers()
            async with ScriptedServer(script) as server:
                await collected(tapped(server, "coincheck", "trades", COINCHECK), sink, lambda: sink.rows)
            return sink

        sink = run(scenario())
        assert not sink.named("disconnected")
        assert sink.ids() == ["1"]


class TestSubscriptions:
    def test_a_rejection_that_ccxt_hides_is_told(self) -> None:
        async def script(peer: Peer, message: Any) -> None:
            if message is not None and message.get("method") == "subscribe":
                error = {"error": "Currency pair not supported BTC/USD", "success": False, "symbol": "BTC/USD"}
                await peer.send({"method": "subscribe", **error, "req_id": message["req_id"]})

        async def scenario() -> Remembers:
            sink = Remembers()
            async with ScriptedServer(script) as server:
                await collected(tapped(server, "kraken", "trades", KRAKEN), sink, lambda: False)
            return sink

        with pytest.raises(SourceError, match="kraken refuses kraken:trades:BTC/USD and every other stream"):
            run(scenario())

    def test_an_acknowledgement_is_told(self) -> None:
        async def scenario() -> Remembers:
            sink = Remembers()
            async with ScriptedServer(kraken) as server:
                await collected(tapped(server, "kraken", "trades", KRAKEN), sink, lambda: sink.named("subscribed"))
            return sink

        assert str(run(scenario()).named("subscribed")[0].dataset) == "kraken:trades:BTC/USD"

    def test_a_lost_connection_comes_back(self) -> None:
        async def script(peer: Peer, message: Any) -> None:
            await kraken(peer, message)
            if message is not None and message.get("method") == "subscribe":
                await peer.send(kraken_trades(1 + 2 * peer.number))
                if peer.number == 0:
                    await peer.socket.close()

        async def scenario() -> Remembers:
            sink = Remembers()
            async with ScriptedServer(script) as server:
                feed = tapped(server, "kraken", "trades", KRAKEN)
                await collected(feed, sink, lambda: "3" in sink.ids(), 10)
            return sink

        sink = run(scenario())
        assert "closed the connection" in sink.named("disconnected")[0].text
        (gap,) = sink.named("gap")
        assert (gap.first, gap.last) == (2, 2)

    def test_an_exchange_that_says_nothing_is_given_up(self) -> None:
        async def silent(peer: Peer, message: Any) -> None:
            return None

        async def scenario() -> Remembers:
            sink = Remembers()
            async with ScriptedServer(silent) as server:
                settings = {"connect_timeout": 0.3}
                feed = tapped(server, "kraken", "trades", KRAKEN, **settings)
                await collected(feed, sink, lambda: sink.named("disconnected"), 10)
            return sink

        assert run(scenario()).named("disconnected")[0].text == "no answer in 1 s"

    def test_a_kind_that_ccxt_has_no_stream_of_says_so(self) -> None:
        with pytest.raises(Unsupported, match="coincheck has no stream of quotes that ccxt knows"):
            live_feeds("coincheck", wanted("coincheck:quotes:BTC/JPY"), [COINCHECK])


class TestOtherKinds:
    def test_books_are_those_that_ccxt_builds(self) -> None:
        async def script(peer: Peer, message: Any) -> None:
            if message is not None:
                for price in ("2820896.0", "2820897.0"):
                    book = {"bids": [[price, "0.5"]], "asks": [["2820899.0", "1.5"]], "last_update_at": "1663321218"}
                    await peer.send(["btc_jpy", book])

        async def scenario() -> Remembers:
            sink = Remembers()
            async with ScriptedServer(script) as server:
                await collected(tapped(server, "coincheck", "book", COINCHECK), sink, lambda: len(sink.rows) == 4)
            return sink

        sink = run(scenario())
        prices = [row.values[4] for row in sink.rows if row.values[3] == "bid"]
        assert prices == [2820896.0, 2820897.0]
        assert all(row.values[7] for row in sink.rows)

    def test_quotes_come_whenever_they_change(self) -> None:
        async def script(peer: Peer, message: Any) -> None:
            await binance(peer, message)
            if message is not None and "method" in message:
                for number in (1, 2):
                    quote = {"u": number, "s": "BTCUSDT", "b": "10", "B": str(number), "a": "11", "A": "2"}
                    await peer.send(quote)

        async def scenario() -> tuple[Remembers, Peer]:
            sink = Remembers()
            async with ScriptedServer(script) as server:
                await collected(tapped(server, "binance", "quotes", BINANCE), sink, lambda: len(sink.rows) == 2)
                return sink, server.peers[0]

        sink, peer = run(scenario())
        assert peer.received[0]["params"] == ["btcusdt@bookTicker"]
        assert [row.values[2:5] for row in sink.rows] == [(1, "10", "1"), (2, "10", "2")]

    def test_nothing_is_read_while_the_sink_is_slow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from ticklake.sources.ccxt import tap

        monkeypatch.setattr(tap, "_MOST_WAITING", 20)
        handed = []

        async def script(peer: Peer, message: Any) -> None:
            await kraken(peer, message)
            if message is not None and message.get("method") == "subscribe":
                for number in range(1, 401):
                    await peer.send(kraken_trades(number))

        class Stuck(Remembers):
            async def put(self, feed: Feed, message: LiveMessage) -> None:
                await super().put(feed, message)
                if message.rows:
                    handed.append(len(message.rows))
                    await asyncio.sleep(0.0005)

        async def scenario() -> Remembers:
            sink = Stuck()
            async with ScriptedServer(script) as server:
                feed = tapped(server, "kraken", "trades", KRAKEN)
                await collected(feed, sink, lambda: "400" in sink.ids(), 10)
            return sink

        sink = run(scenario())
        assert sink.ids() == [str(number) for number in range(1, 401)]
        assert sink.named("slow")


def test_a_source_of_ccxt_offers_feeds() -> None:
    """Of Ticklake's own protocol where there is one; symbols are looked up among what the exchange lists."""

    async def script(peer: Peer, message: Any) -> None:
        await kraken(peer, message)
        if message is not None and message.get("method") == "subscribe":
            await peer.send(kraken_trades(1))

    async def scenario() -> tuple[Remembers, type[Feed]]:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            server.books = lambda path, _query: ANSWERS.get(path, {})
            source = CcxtSource("kraken", ExchangeOptions(url=server.url, rate_limit_ms=0.001))
            (feed,) = await source.feeds(wanted("kraken:trades:BTC/USD"))
            await collected(feed, sink, lambda: sink.rows)
            await source.close()
            return sink, type(feed)

    sink, kind = run(scenario())
    assert kind is NativeFeed
    assert sink.ids() == ["1"]


def test_a_symbol_that_is_not_listed_says_so() -> None:
    with pytest.raises(UnknownSymbol, match="kraken does not list XRP/USD"):
        live_feeds("kraken", wanted("kraken:trades:XRP/USD"), [KRAKEN])


def test_markets_that_share_a_name_have_feeds_of_their_own() -> None:
    spot = instrument("gate", "BTC/USDT", "BTC_USDT")
    perpetual = instrument("gate", "BTC/USDT:USDT", "BTC_USDT", "swap", linear=True)
    feeds = tapped_feeds(
        "gate",
        wanted("gate:trades:BTC/USDT", "gate:trades:BTC/USDT:USDT"),
        {entry.symbol: entry for entry in (spot, perpetual)},
        FeedOptions(),
    )
    assert [str(feed.datasets["trades", "BTC_USDT", ""]) for feed in feeds] == [
        "gate:trades:BTC/USDT",
        "gate:trades:BTC/USDT:USDT",
    ]


@pytest.mark.parametrize(
    ("exchange", "native", "said"),
    [("htx", "btcusdt", "BTCUSDT"), ("upbit", "USDT-BTC", "BTC-USDT"), ("bitstamp", "btcusdt", "BTCUSDT")],
)
def test_a_market_is_known_by_the_name_that_readers_give_it(exchange: str, native: str, said: str) -> None:
    listed = instrument(exchange, "BTC/USDT", native)
    (feed,) = tapped_feeds(exchange, wanted(f"{exchange}:trades:BTC/USDT"), {listed.symbol: listed}, FeedOptions())
    assert str(feed.datasets["trades", said, ""]) == f"{exchange}:trades:BTC/USDT"


def test_a_new_connection_can_run_work_of_ccxt(monkeypatch: pytest.MonkeyPatch) -> None:
    """KuCoin's address is asked for in a task of ccxt, which has no loop before its first call."""
    import ccxt.pro

    listed = instrument("kucoin", "BTC/USDT", "BTC-USDT")

    async def load_markets(self: Any, *_arguments: Any, **_more: Any) -> Any:
        if not self.markets:
            self.open()
            self.set_markets(
                [
                    self.safe_market_structure(
                        {
                            "id": "BTC-USDT",
                            "symbol": "BTC/USDT",
                            "base": "BTC",
                            "quote": "USDT",
                            "type": "spot",
                            "spot": True,
                        }
                    )
                ]
            )
        return self.markets

    monkeypatch.setattr(ccxt.pro.kucoin, "load_markets", load_markets)

    async def script(peer: Peer, message: Any) -> None:
        if message is not None and message.get("type") == "subscribe":
            match = {
                "symbol": "BTC-USDT",
                "side": "buy",
                "size": "1",
                "price": "2",
                "time": "1619378327739050725",
                "type": "match",
                "tradeId": str(peer.number),
            }
            await peer.send(
                {"type": "message", "topic": "/market/match:BTC-USDT", "subject": "trade.l3match", "data": match}
            )
            if peer.number == 0:
                await peer.socket.close()

    async def scenario() -> Remembers:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            place = {"endpoint": server.url.replace("http", "ws"), "pingInterval": 18_000}
            server.books = lambda _path, _query: {"code": "200000", "data": {"token": "t", "instanceServers": [place]}}
            settings = options(server, native=False, acknowledge_timeout=1.0)
            (feed,) = live_feeds("kucoin", wanted("kucoin:trades:BTC/USDT"), [listed], settings)
            await collected(feed, sink, lambda: "1" in sink.ids(), 5)
        return sink

    assert run(scenario()).ids() == ["0", "1"]


def test_a_numbered_channel_is_known_though_nothing_is_awaited() -> None:
    """Bitfinex names a channel once, by a number, and again after a new subscription."""
    listed = instrument("bitfinex", "BTC/USD", "tBTCUSD")

    async def scenario() -> list[Any]:
        (feed,) = tapped_feeds("bitfinex", wanted("bitfinex:trades:BTC/USD"), {listed.symbol: listed}, FeedOptions())
        sink = Remembers()
        tapped_now = _Tapped(feed, sink, {}, None)  # type: ignore[arg-type]
        tapped_now.on_message(
            lambda: None, {"event": "subscribed", "channel": "trades", "chanId": 17, "symbol": "tBTCUSD"}
        )
        tapped_now.on_message(lambda: None, [17, "te", [401597395, 1574694478808, 0.005, 7245.3]])
        await tapped_now._drain()
        await tapped_now._close()
        return sink.ids()

    assert asyncio.run(scenario()) == ["401597395"]


@pytest.mark.parametrize(
    "bad", ['{"half": ', "[1, 2", b"\xff\xfe", {**binance_trade(5), "a": "five"}], ids=["cut", "list", "bytes", "id"]
)
def test_a_message_that_ccxt_cannot_take_does_not_end_the_stream(bad: Any) -> None:
    async def script(peer: Peer, message: Any) -> None:
        await binance(peer, message)
        if message is not None and "method" in message:
            await peer.send(binance_trade(1), bad, binance_trade(2))

    async def scenario() -> Remembers:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            await collected(tapped(server, "binance", "trades", BINANCE), sink, lambda: "2" in sink.ids(), 5)
            assert len(server.peers) == 1
        return sink

    sink = run(scenario())
    assert sink.ids() == ["1", "2"]
    assert sum(not message.is_known for message in sink.messages) == 1


def test_ccxt_unpacks_no_message_that_is_huge_when_unpacked() -> None:
    huge = gzip.compress(bytes(2**20)) * 65
    (feed,) = tapped_feeds("htx", wanted("htx:trades:BTC/USDT"), {HTX.symbol: HTX}, FeedOptions())

    async def scenario() -> list[bool]:
        tapped_now = _Tapped(feed, Remembers(), {}, None)  # type: ignore[arg-type]
        client = tapped_now._ccxt.client("ws://127.0.0.1:9/ws")
        assert client.gunzip
        client.handle_message(WSMessage(WSMsgType.BINARY, huge, None))
        client.handle_message(WSMessage(WSMsgType.BINARY, gzip.compress(b'{"status": "ok"}'), None))
        known = [message.is_known for message in tapped_now._waiting]
        await tapped_now._close()
        return known

    assert asyncio.run(scenario())[0] is False


def test_what_was_read_is_handed_over_when_the_feed_is_cancelled() -> None:
    class Stuck(Remembers):
        async def put(self, feed: Feed, message: LiveMessage) -> None:
            await super().put(feed, message)
            if message.rows and len(self.ids()) == 1:
                await asyncio.Event().wait()

    async def script(peer: Peer, message: Any) -> None:
        await kraken(peer, message)
        if message is not None and message.get("method") == "subscribe":
            await peer.send(*(kraken_trades(number) for number in range(1, 11)))

    async def scenario() -> Remembers:
        sink = Stuck()
        async with ScriptedServer(script) as server:
            task = asyncio.create_task(tapped(server, "kraken", "trades", KRAKEN).run(sink))
            await until(sink.ids)
            await asyncio.sleep(0.2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return sink

    assert run(scenario()).ids() == [str(number) for number in range(1, 11)]
