"""What Kraken, OKX, Bybit and Coinbase are asked, and how their answers are taken, over real sockets on loopback."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from live_server import Peer, Remembers, ScriptedServer, collected, instrument, options, subscription, wanted

from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument
from ticklake.errors import SourceError, Unsupported
from ticklake.sources.live.feeds import live_feeds
from ticklake.sources.live.okx import Okx
from ticklake.sources.wire.ladder import CHECKSUMS, Ladder
from ticklake.sources.wire.rows import Row

KRAKEN = [instrument("kraken", "BTC/USD", "XXBTZUSD"), instrument("kraken", "ETH/USD", "XETHZUSD")]
OKX = [
    instrument("okx", "BTC/USDT", "BTC-USDT"),
    instrument("okx", "BTC/USDT:USDT", "BTC-USDT-SWAP", "swap", linear=True),
]
BYBIT = [
    instrument("bybit", "BTC/USDT", "BTCUSDT"),
    instrument("bybit", "BTC/USDT:USDT", "BTCUSDT", "swap", linear=True),
    instrument("bybit", "BTC/USD:BTC", "BTCUSD", "swap", inverse=True),
]
COINBASE = [instrument("coinbase", "BTC/USD", "BTC-USD"), instrument("coinbase", "ETH/USD", "ETH-USD")]
LISTED: dict[str, list[Instrument]] = {"kraken": KRAKEN, "okx": OKX, "bybit": BYBIT, "coinbase": COINBASE}


def run(scenario: Any) -> Any:
    return asyncio.run(asyncio.wait_for(scenario, 10))


def played(
    script: Any, exchange: str, names: list[str], holds: Any, **changes: Any
) -> tuple[Remembers, ScriptedServer]:
    """Run the one feed that carries these streams against a script until something holds of the sink."""

    async def scenario() -> tuple[Remembers, ScriptedServer]:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            settings = options(server, **{"ping_every": 5.0, "acknowledge_timeout": 1.0, **changes})
            (feed,) = live_feeds(exchange, wanted(*names), LISTED[exchange], settings)
            await collected(feed, sink, lambda: holds(sink))
        return sink, server

    result: tuple[Remembers, ScriptedServer] = run(scenario())
    return result


async def accept(peer: Peer, message: Any) -> None:
    """Accept as the exchange does of which the request is."""
    if not isinstance(message, dict):
        return
    if message.get("method") == "subscribe":
        for symbol in message["params"]["symbol"]:
            result = {**message["params"], "symbol": symbol}
            await peer.send({"method": "subscribe", "success": True, "result": result, "req_id": message["req_id"]})
    elif message.get("op") == "subscribe" and "id" in message:
        for argument in message["args"]:
            await peer.send({"id": message["id"], "event": "subscribe", "arg": argument, "connId": "a"})
    elif message.get("op") == "subscribe":
        await peer.send(
            {"success": True, "ret_msg": "", "op": "subscribe", "req_id": message["req_id"], "conn_id": "a"}
        )


def names_of(sink: Remembers, control: str) -> list[str]:
    return [str(entry.dataset) for entry in sink.named(control)]


# Kraken


def kraken_book(kind: str, checksum: int | None = None, bid: str = "10.0", amount: str = "1.00") -> str:
    """Return a message as Kraken writes it: numbers are no texts, and their zeros count."""
    book = f'"symbol":"BTC/USD","bids":[{{"price":{bid},"qty":{amount}}}],"asks":[{{"price":11.0,"qty":2.50}}]'
    return f'{{"channel":"book","type":"{kind}","data":[{{{book},"checksum":{checksum},"timestamp":"2026-01-01T00:00:00.000001Z"}}]}}'


def kraken_checksum(bid: str, amount: str) -> int:
    ladder = Ladder()
    ladder.apply(
        [
            Row("book", "", (0, 0, 0, "bid", bid, amount, None, True)),
            Row("book", "", (0, 0, 0, "ask", "11.0", "2.50", None, True)),
        ]
    )
    return CHECKSUMS["kraken"](ladder)


def test_kraken_is_asked_for_a_channel_of_many_markets_at_once() -> None:
    names = [
        "kraken:trades:BTC/USD",
        "kraken:trades:ETH/USD",
        "kraken:quotes:BTC/USD",
        "kraken:ohlcv:5m:BTC/USD",
        "kraken:book:BTC/USD",
    ]
    sink, server = played(accept, "kraken", names, lambda sink: len(sink.named("subscribed")) == 5)
    assert sorted(names_of(sink, "subscribed")) == sorted(names)
    assert server.peers[0].path == "/ws.kraken.com/v2"
    assert [request["params"] for request in server.peers[0].received] == [
        {"channel": "trade", "symbol": ["BTC/USD", "ETH/USD"]},
        {"channel": "ticker", "symbol": ["BTC/USD"], "event_trigger": "bbo"},
        {"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 5},
        {"channel": "book", "symbol": ["BTC/USD"], "depth": 1000},
    ]


def test_kraken_refuses_one_market_of_several() -> None:
    async def script(peer: Peer, message: Any) -> None:
        if message is not None and message.get("method") == "subscribe":
            request = {**message, "params": {"channel": "trade", "symbol": ["BTC/USD"]}}
            await accept(peer, request)
            error = {"error": "Currency pair not supported ETH/USD", "success": False, "symbol": "ETH/USD"}
            await peer.send({"method": "subscribe", **error, "req_id": message["req_id"]})

    names = ["kraken:trades:BTC/USD", "kraken:trades:ETH/USD"]
    sink, _ = played(script, "kraken", names, lambda sink: sink.named("refused"))
    assert names_of(sink, "subscribed") == ["kraken:trades:BTC/USD"]
    assert [(str(entry.dataset), entry.text) for entry in sink.named("refused")] == [
        ("kraken:trades:ETH/USD", "Currency pair not supported ETH/USD")
    ]


def test_a_refusal_that_will_pass_is_tried_again() -> None:
    async def script(peer: Peer, message: Any) -> None:
        if message is None or message.get("method") != "subscribe":
            return
        requests = [request for request in peer.received if request.get("method") == "subscribe"]
        if message["params"]["symbol"] == ["ETH/USD"] and len(requests) == 2:
            await peer.send(
                {"method": "subscribe", "error": "Exceeded msg rate", "success": False, "req_id": message["req_id"]}
            )
        else:
            await accept(peer, message)

    names = ["kraken:trades:BTC/USD", "kraken:quotes:ETH/USD"]
    sink, _ = played(script, "kraken", names, lambda sink: len(sink.named("subscribed")) == 2, acknowledge_timeout=0.1)
    assert not sink.named("refused")


def test_a_wrong_checksum_is_a_gap_and_the_book_is_subscribed_anew() -> None:
    async def script(peer: Peer, message: Any) -> None:
        await accept(peer, message)
        if message is None or message.get("method") != "subscribe":
            return
        if len([request for request in peer.received if request.get("method") == "subscribe"]) == 1:
            right = kraken_checksum("10.0", "1.00")
            await peer.send(
                kraken_book("snapshot", right), kraken_book("update", right), kraken_book("update", right + 1)
            )
            await peer.send(kraken_book("update", right))
        else:
            await peer.send(kraken_book("snapshot", kraken_checksum("9.5", "3.00"), "9.5", "3.00"))

    sink, server = played(
        script, "kraken", ["kraken:book:BTC/USD"], lambda sink: len(sink.named("resynchronised")) == 2
    )
    (gap,) = sink.named("gap")
    assert gap.text == "the book's checksum is not that of the exchange"
    methods = [request["method"] for request in server.peers[0].received]
    assert methods == ["subscribe", "unsubscribe", "subscribe"]
    bids = [(row.values[4], row.values[7]) for row in sink.rows if row.values[3] == "bid"]
    assert bids == [("10.0", True), ("10.0", False), ("9.5", True)]


def test_heartbeats_of_kraken_are_signs_of_life() -> None:
    async def script(peer: Peer, message: Any) -> None:
        await accept(peer, message)
        if message is not None:
            await peer.send({"channel": "heartbeat"})

    sink, _ = played(script, "kraken", ["kraken:trades:BTC/USD"], lambda sink: sink.named("heartbeat"))
    assert all(message.is_known for message in sink.messages)


# OKX


def okx_book(action: str, number: int, previous: int) -> dict[str, Any]:
    levels = {"bids": [["10", "1", "0", "1"]], "asks": [["11", "1", "0", "1"]]}
    entry = {**levels, "ts": str(number), "seqId": number, "prevSeqId": previous, "checksum": 0}
    return {"arg": {"channel": "books", "instId": "BTC-USDT"}, "action": action, "data": [entry]}


def test_okx_serves_bars_and_all_trades_at_another_address() -> None:
    names = ["okx:trades:BTC/USDT", "okx:ohlcv:1h:BTC/USDT", "okx:book:BTC/USDT", "okx:predicted_funding:BTC/USDT:USDT"]
    feeds = live_feeds("okx", wanted(*names), OKX)
    carried = [sorted(str(entry.dataset) for entry in feed.subscriptions) for feed in feeds]
    assert carried == [["okx:ohlcv:1h:BTC/USDT", "okx:trades:BTC/USDT"], sorted(names[2:])]


def test_okx_names_the_refused_channel_in_words() -> None:
    async def script(peer: Peer, message: Any) -> None:
        if isinstance(message, dict):
            await accept(
                peer, {**message, "args": [argument for argument in message["args"] if argument["channel"] == "books"]}
            )
            text = "Wrong URL or channel:bbo-tbt,instId:BTC-USDT doesn't exist. Please use the correct URL, channel and parameters."
            await peer.send({"event": "error", "code": "60018", "msg": text, "connId": "a"})

    sink, server = played(
        script, "okx", ["okx:book:BTC/USDT", "okx:quotes:BTC/USDT"], lambda sink: sink.named("refused")
    )
    assert names_of(sink, "refused") == ["okx:quotes:BTC/USDT"]
    assert names_of(sink, "subscribed") == ["okx:book:BTC/USDT"]
    assert server.peers[0].path == "/ws.okx.com:8443/ws/v5/public"


def test_a_book_of_okx_whose_numbers_jump_is_subscribed_anew() -> None:
    async def script(peer: Peer, message: Any) -> None:
        await accept(peer, message)
        if isinstance(message, dict) and message["op"] == "subscribe":
            start = 10 * len(peer.received)
            await peer.send(okx_book("snapshot", start, -1), okx_book("update", start + 2, start))
            await peer.send(okx_book("update", start + 2, start + 2), okx_book("update", start + 7, start + 5))

    sink, server = played(script, "okx", ["okx:book:BTC/USDT"], lambda sink: len(sink.named("resynchronised")) == 2)
    gap = sink.named("gap")[0]
    assert (gap.first, gap.last) == (13, 15)
    assert gap.span is not None
    assert tuple(gap.span) == (12_000_000, 30_000_000)
    assert server.peers[0].received[1]["op"] == "unsubscribe"


def test_liquidations_of_okx_are_subscribed_for_all_contracts_of_a_sort() -> None:
    order = {"bkPx": "60000", "sz": "2", "side": "sell", "ts": "1700000000000"}

    async def script(peer: Peer, message: Any) -> None:
        await accept(peer, message)
        if isinstance(message, dict):
            data = [{"instId": native, "details": [order]} for native in ("ETH-USDT-SWAP", "BTC-USDT-SWAP")]
            await peer.send({"arg": {"channel": "liquidation-orders", "instType": "SWAP"}, "data": data})

    name = "okx:liquidations:BTC/USDT:USDT"
    sink, server = played(script, "okx", [name], lambda sink: sink.rows)
    assert server.peers[0].received[0]["args"] == [{"channel": "liquidation-orders", "instType": "SWAP"}]
    assert [control.dataset for control in sink.named("subscribed")] == [Dataset.parse(name)]
    assert [(row.native, row.values[3:]) for row in sink.rows] == [("BTC-USDT-SWAP", ("60000", "2", "sell"))]


def test_refused_liquidations_of_okx_are_named_by_their_sort() -> None:
    text = "Wrong URL or channel:liquidation-orders,instType:SWAP doesn't exist."
    reply = Okx().reply({"event": "error", "code": "60018", "msg": text})
    assert reply is not None
    assert reply.channels == ("liquidation-orders:SWAP",)


def test_okx_sends_bars_of_mark_and_index_prices_under_the_names_of_the_contract_and_the_index() -> None:
    async def script(peer: Peer, message: Any) -> None:
        await accept(peer, message)
        if isinstance(message, dict):
            for channel, native in [("mark-price-candle1m", "BTC-USDT-SWAP"), ("index-candle1m", "BTC-USDT")]:
                bar = ["1700000040000", "1", "3", "0.5", "2", "1"]
                await peer.send({"arg": {"channel": channel, "instId": native}, "data": [bar]})

    names = ["okx:mark_ohlcv:1m:BTC/USDT:USDT", "okx:index_ohlcv:1m:BTC/USDT:USDT"]
    sink, server = played(script, "okx", names, lambda sink: len(sink.rows) == 2)
    assert [(argument["channel"], argument["instId"]) for argument in server.peers[0].received[0]["args"]] == [
        ("mark-price-candle1m", "BTC-USDT-SWAP"),
        ("index-candle1m", "BTC-USDT"),
    ]
    assert [(row.kind, row.native) for row in sink.rows] == [
        ("mark_ohlcv", "BTC-USDT-SWAP"),
        ("index_ohlcv", "BTC-USDT"),
    ]


def test_contracts_that_share_an_index_have_its_bars_over_connections_of_their_own() -> None:
    future = instrument("okx", "BTC/USDT:USDT-261225", "BTC-USDT-261225", "future", linear=True)
    names = ["okx:index_ohlcv:1m:BTC/USDT:USDT", "okx:index_ohlcv:1m:BTC/USDT:USDT-261225"]
    feeds = live_feeds("okx", wanted(*names), [*OKX, future])
    assert [[str(dataset) for dataset in feed.datasets.values()] for feed in feeds] == [[name] for name in names]


def test_okx_is_pinged_by_a_text() -> None:
    async def script(peer: Peer, message: Any) -> None:
        await accept(peer, message)
        if message == "ping":
            await peer.send("pong")

    sink, _ = played(script, "okx", ["okx:book:BTC/USDT"], lambda sink: sink.named("heartbeat"), ping_every=0.02)
    assert all(message.is_known for message in sink.messages)


# Bybit


def test_bybit_has_an_address_for_each_part_and_ten_topics_a_request_on_the_spot_market() -> None:
    names = [f"bybit:trades:{market.symbol}" for market in BYBIT]
    feeds = live_feeds("bybit", wanted(*names), BYBIT)
    assert [len(feed.subscriptions) for feed in feeds] == [1, 1, 1]
    many = [instrument("bybit", f"C{number}/USDT", f"C{number}USDT") for number in range(25)]

    async def scenario() -> list[int]:
        sink = Remembers()
        async with ScriptedServer(accept) as server:
            wants = [subscription(f"bybit:trades:{market.symbol}") for market in many]
            (feed,) = live_feeds("bybit", wants, many, options(server, ping_every=5.0, acknowledge_timeout=2.0))
            await collected(feed, sink, lambda: len(sink.named("subscribed")) == 25)
            return [len(request["args"]) for request in server.peers[0].received]

    assert run(scenario()) == [10, 10, 5]


def test_tickers_of_bybit_carry_two_kinds_by_one_subscription() -> None:
    async def script(peer: Peer, message: Any) -> None:
        await accept(peer, message)
        if message is not None:
            data = {
                "symbol": "BTCUSDT",
                "openInterest": "5",
                "fundingRate": "0.0001",
                "nextFundingTime": "1700000000000",
                "markPrice": "10",
            }
            await peer.send({"topic": "tickers.BTCUSDT", "type": "snapshot", "ts": 1_690_000_000_000, "data": data})

    names = ["bybit:open_interest:BTC/USDT:USDT", "bybit:predicted_funding:BTC/USDT:USDT"]
    sink, server = played(script, "bybit", names, lambda sink: len(sink.rows) == 2)
    assert sorted(row.kind for row in sink.rows) == ["open_interest", "predicted_funding"]
    assert sorted(names_of(sink, "subscribed")) == names
    assert server.peers[0].received[0]["args"] == ["tickers.BTCUSDT"]


def test_bybit_refuses_a_request_as_a_whole_so_that_each_topic_is_tried_alone() -> None:
    async def script(peer: Peer, message: Any) -> None:
        if message is None:
            return
        if "orderbook.1000.BTCUSDT" in message["args"]:
            await peer.send(
                {"success": False, "ret_msg": "Invalid topic", "op": "subscribe", "req_id": message["req_id"]}
            )
        else:
            await accept(peer, message)

    names = ["bybit:trades:BTC/USDT", "bybit:book:BTC/USDT"]
    sink, _ = played(script, "bybit", names, lambda sink: sink.named("refused") and sink.named("subscribed"))
    assert names_of(sink, "refused") == ["bybit:book:BTC/USDT"]
    assert names_of(sink, "subscribed") == ["bybit:trades:BTC/USDT"]


# Coinbase


class CoinbaseScript:
    """Numbers all messages of a connection, and lists what is subscribed."""

    def __init__(self, skip: int = -1) -> None:
        self.skip = skip

    async def __call__(self, peer: Peer, message: Any) -> None:
        if message is None:
            self.number = 0
            self.subscribed: dict[str, list[str]] = {}
            return
        self.subscribed.setdefault(message["channel"], []).extend(message.get("product_ids", ["heartbeats"]))
        await self.send(peer, "subscriptions", [{"subscriptions": self.subscribed}])
        if message["channel"] == "market_trades":
            for ident in range(3):
                await self.send(peer, "market_trades", [self.trade(ident)])

    def trade(self, ident: int) -> dict[str, Any]:
        trade = {"trade_id": str(ident), "product_id": "BTC-USD", "price": "10", "size": "1", "side": "BUY"}
        return {"type": "update", "trades": [{**trade, "time": "2026-01-01T00:00:00Z"}]}

    async def send(self, peer: Peer, channel: str, events: list[Any]) -> None:
        if self.number == self.skip and peer.number == 0:
            self.number += 1
        message = {
            "channel": channel,
            "timestamp": "2026-01-01T00:00:00Z",
            "sequence_num": self.number,
            "events": events,
        }
        self.number += 1
        await peer.send(message)


def test_coinbase_answers_by_listing_what_is_subscribed() -> None:
    names = ["coinbase:trades:BTC/USD", "coinbase:trades:ETH/USD", "coinbase:book:BTC/USD"]
    sink, server = played(CoinbaseScript(), "coinbase", names, lambda sink: len(sink.named("subscribed")) == 3)
    assert sorted(names_of(sink, "subscribed")) == sorted(names)
    assert [request["channel"] for request in server.peers[0].received] == ["heartbeats", "market_trades", "level2"]


def test_a_hole_in_the_numbers_of_a_connection_ends_it_before_later_rows_are_delivered() -> None:
    sink, _ = played(CoinbaseScript(skip=3), "coinbase", ["coinbase:trades:BTC/USD"], lambda sink: len(sink.ids()) == 4)
    assert sink.ids() == ["0", "0", "1", "2"]
    (gap,) = sink.named("gap")
    assert (gap.first, gap.last) == (3, 3)
    assert sink.named("disconnected")[0].text == "messages 3 to 3 of the connection are missing"


def test_an_error_of_coinbase_is_about_the_request_that_waits_for_an_answer() -> None:
    async def script(peer: Peer, message: Any) -> None:
        if message is not None and message["channel"] != "heartbeats":
            await peer.send({"type": "error", "message": "failure to subscribe"})

    with pytest.raises(
        SourceError, match="coinbase refuses market_trades:BTC-USD and every other stream: failure to subscribe"
    ):
        played(script, "coinbase", ["coinbase:trades:BTC/USD"], lambda sink: False)


def test_coinbase_has_bars_of_five_minutes_only() -> None:
    with pytest.raises(Unsupported, match="coinbase has a stream of bars of 5m only, none of 1m"):
        live_feeds("coinbase", wanted("coinbase:ohlcv:1m:BTC/USD"), COINBASE)
