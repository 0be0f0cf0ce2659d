"""Binance's streams through a live feed, over real sockets on loopback."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
from live_server import Peer, Remembers, ScriptedServer, collected, instrument, options, subscription, until, wanted

from ticklake.core.instrument import Instrument
from ticklake.core.native_ids import Market
from ticklake.errors import SourceError, Unsupported
from ticklake.sources.live.binance import Binance
from ticklake.sources.live.feeds import live_feeds
from ticklake.sources.live.protocol import Limits
from ticklake.sources.live.watchdog import Silence

BTC = instrument("binance", "BTC/USDT", "BTCUSDT")
ETH = instrument("binance", "ETH/USDT", "ETHUSDT")
PERPETUAL = instrument("binance", "BTC/USDT:USDT", "BTCUSDT", "swap", linear=True)


SENT = 1_700_000_000_000
"""Some time in milliseconds: a row at 5 ms is refused."""


def trade(number: int, ts: int = 0, native: str = "BTCUSDT") -> dict[str, Any]:
    data = {"e": "aggTrade", "E": 1, "s": native, "a": number, "p": "10.5", "q": "2", "T": ts or number, "m": False}
    return {"stream": f"{native.lower()}@aggTrade", "data": data}


def change(first: int, last: int, native: str = "BTCUSDT", **more: Any) -> dict[str, Any]:
    data = {"e": "depthUpdate", "E": last, "s": native, "U": first, "u": last, "b": [["10", "1"]], "a": [], **more}
    return {"stream": f"{native.lower()}@depth@100ms", "data": data}


def whole(number: int) -> dict[str, Any]:
    return {"lastUpdateId": number, "bids": [["10", "1"]], "asks": [["11", "1"]]}


async def accept(peer: Peer, message: Any) -> None:
    if message is not None:
        await peer.send({"result": None, "id": message["id"]})


def run(scenario: Any) -> Any:
    return asyncio.run(asyncio.wait_for(scenario, 8))


def seqs(sink: Remembers) -> list[int]:
    return [row.values[2] for row in sink.rows if row.kind == "book"]


def test_a_subscription_counts_once_it_is_acknowledged() -> None:
    async def script(peer: Peer, message: Any) -> None:
        if message is not None:
            await peer.send(trade(1), {"result": None, "id": message["id"]}, trade(2))

    async def scenario() -> Remembers:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            (feed,) = live_feeds("binance", wanted("binance:trades:BTC/USDT"), [BTC], options(server))
            await collected(feed, sink, lambda: len(sink.rows) == 2)
            assert server.peers[0].path == "/stream.binance.com:9443/stream"
            assert server.peers[0].received[0] == {"method": "SUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 1}
        return sink

    sink = run(scenario())
    order = [control.name for control in sink.controls if control.name != "heartbeat"]
    assert order == ["connected", "subscribed"]
    assert sink.named("subscribed")[0].dataset == subscription("binance:trades:BTC/USDT").dataset
    assert sink.ids() == ["1", "2"]


def test_one_refused_stream_does_not_take_the_others_down() -> None:
    async def script(peer: Peer, message: Any) -> None:
        if message is None:
            return
        if "ethusdt@aggTrade" in message.get("params", ()):
            await peer.send({"error": {"code": 2, "msg": "Invalid request: unknown stream"}, "id": message["id"]})
        else:
            await peer.send({"result": None, "id": message["id"]}, trade(1))

    async def scenario() -> Remembers:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            both = wanted("binance:trades:BTC/USDT", "binance:trades:ETH/USDT")
            (feed,) = live_feeds("binance", both, [BTC, ETH], options(server))
            await collected(feed, sink, lambda: sink.named("refused") and sink.rows)
        return sink

    sink = run(scenario())
    (refused,) = sink.named("refused")
    assert str(refused.dataset) == "binance:trades:ETH/USDT"
    assert refused.text == "2: Invalid request: unknown stream"
    assert [str(control.dataset) for control in sink.named("subscribed")] == ["binance:trades:BTC/USDT"]


def test_a_feed_of_which_everything_is_refused_ends_with_an_error() -> None:
    async def script(peer: Peer, message: Any) -> None:
        if message is not None:
            await peer.send({"error": {"code": 2, "msg": "no"}, "id": message["id"]})

    async def scenario() -> None:
        async with ScriptedServer(script) as server:
            (feed,) = live_feeds("binance", wanted("binance:trades:BTC/USDT"), [BTC], options(server))
            await collected(feed, Remembers(), lambda: False)

    with pytest.raises(SourceError, match="binance refuses btcusdt@aggTrade and every other stream: 2: no"):
        run(scenario())


def test_without_any_acknowledgement_the_connection_is_given_up() -> None:
    async def script(peer: Peer, message: Any) -> None:
        if message is not None and peer.number == 1:
            await accept(peer, message)

    async def scenario() -> Remembers:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            (feed,) = live_feeds("binance", wanted("binance:trades:BTC/USDT"), [BTC], options(server))
            await collected(feed, sink, lambda: sink.named("subscribed"))
        return sink

    sink = run(scenario())
    assert sink.named("disconnected")[0].text == "no subscription was acknowledged in 0.15 s: btcusdt@aggTrade"


def test_a_stream_that_is_never_acknowledged_beside_others_counts_as_refused() -> None:
    async def script(peer: Peer, message: Any) -> None:
        if message is not None and message.get("params") == ["btcusdt@aggTrade"]:
            await accept(peer, message)

    async def scenario() -> tuple[Remembers, int]:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            both = wanted("binance:trades:BTC/USDT", "binance:trades:ETH/USDT")
            settings = options(server, acknowledge_timeout=0.03)
            (feed,) = live_feeds("binance", both, [BTC, ETH], settings)
            feed._protocol = OneAtATime()  # type: ignore[attr-defined]
            await collected(feed, sink, lambda: sink.named("refused"), 5)
            return sink, len(server.peers)

    sink, connections = run(scenario())
    assert connections == 1
    assert sink.named("refused")[0].text == "not acknowledged in 3 attempts, while other streams are"


def test_a_silent_connection_is_given_up_and_opened_anew() -> None:
    async def scenario() -> Remembers:
        sink = Remembers()
        async with ScriptedServer(accept) as server:
            server.is_deaf = True
            settings = options(server, silence=Silence(dead=0.2))
            (feed,) = live_feeds("binance", wanted("binance:trades:BTC/USDT"), [BTC], settings)
            await collected(feed, sink, lambda: len(sink.named("subscribed")) == 2)
        return sink

    sink = run(scenario())
    assert sink.named("disconnected")[0].text == "no sign of life for 0.2 s"


def test_a_quiet_market_keeps_its_connection_while_pings_are_answered() -> None:
    async def scenario() -> tuple[Remembers, int]:
        sink = Remembers()
        async with ScriptedServer(accept) as server:
            (feed,) = live_feeds("binance", wanted("binance:trades:BTC/USDT"), [BTC], options(server))
            await collected(feed, sink, lambda: len(sink.named("heartbeat")) > 20)
            return sink, len(server.peers)

    sink, connections = run(scenario())
    assert connections == 1
    assert not sink.named("disconnected")


def test_busy_streams_that_fall_silent_get_another_connection_beside_the_old_one() -> None:
    async def script(peer: Peer, message: Any) -> None:
        await accept(peer, message)
        if message is not None and peer.number == 0:
            for number in range(1, 31):
                await peer.send(trade(number))
                await asyncio.sleep(0.001)
        elif message is not None:
            await peer.send(trade(31))

    async def scenario() -> Remembers:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            (feed,) = live_feeds("binance", wanted("binance:trades:BTC/USDT"), [BTC], options(server))
            await collected(feed, sink, lambda: "31" in sink.ids())
        return sink

    sink = run(scenario())
    assert not sink.named("disconnected")
    assert not sink.named("gap")


def test_ids_that_are_missing_over_a_reconnect_are_named() -> None:
    async def script(peer: Peer, message: Any) -> None:
        if message is None:
            return
        await accept(peer, message)
        if peer.number == 0:
            await peer.send(trade(1, ts=SENT + 5), trade(2, ts=SENT + 6))
            await peer.socket.close()
        else:
            await peer.send(trade(2, ts=SENT + 6), trade(5, ts=SENT + 9))

    async def scenario() -> Remembers:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            (feed,) = live_feeds("binance", wanted("binance:trades:BTC/USDT"), [BTC], options(server))
            await collected(feed, sink, lambda: "5" in sink.ids())
        return sink

    sink = run(scenario())
    assert sink.named("disconnected")[0].text == "the exchange closed the connection (code 1000)"
    (gap,) = sink.named("gap")
    assert (gap.first, gap.last) == (3, 4)
    assert gap.span is not None
    assert tuple(gap.span) == ((SENT + 6) * 10**6, (SENT + 9) * 10**6 + 1)


@pytest.mark.parametrize(
    "garbage", ["{half", "null", "[]", '{"stream":"x","data":7}', '{"e":"aggTrade"}', b"\x1f\x8b\x00", '"']
)
def test_a_message_that_cannot_be_read_is_counted_and_ends_nothing(garbage: Any) -> None:
    async def script(peer: Peer, message: Any) -> None:
        await accept(peer, message)
        if message is not None:
            await peer.send(garbage, trade(1))

    async def scenario() -> Remembers:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            (feed,) = live_feeds("binance", wanted("binance:trades:BTC/USDT"), [BTC], options(server))
            await collected(feed, sink, lambda: sink.rows)
        return sink

    sink = run(scenario())
    (unknown,) = [message for message in sink.messages if not message.is_known]
    assert unknown.raw == (garbage if isinstance(garbage, bytes) else garbage.encode())
    assert not sink.named("disconnected")


def test_rows_of_markets_that_nobody_wants_are_left_out() -> None:
    async def script(peer: Peer, message: Any) -> None:
        await accept(peer, message)
        if message is not None:
            await peer.send(trade(1, native="ETHUSDT"), trade(2))

    async def scenario() -> Remembers:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            (feed,) = live_feeds("binance", wanted("binance:trades:BTC/USDT"), [BTC], options(server))
            await collected(feed, sink, lambda: sink.rows)
        return sink

    assert run(scenario()).ids() == ["2"]


def test_a_book_begins_with_the_answer_to_a_call_that_the_changes_lead_on_from() -> None:
    async def script(peer: Peer, message: Any) -> None:
        if message is not None:
            await peer.send(change(5, 7), change(8, 8))
            await accept(peer, message)
            await asyncio.sleep(0.05)
            await peer.send(change(9, 12), change(13, 14))

    async def scenario() -> tuple[Remembers, list[str]]:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            server.books = lambda _path, _query: whole(7)
            (feed,) = live_feeds("binance", wanted("binance:book:BTC/USDT"), [BTC], options(server))
            await collected(feed, sink, lambda: 14 in seqs(sink))
            return sink, server.calls

    sink, calls = run(scenario())
    assert calls == ["/api/v3/depth?symbol=BTCUSDT&limit=1000"]
    assert seqs(sink) == [7, 7, 8, 12, 14]
    times = [row.values[0] for row in sink.rows]
    assert times == sorted(times), "the whole book stands before the changes that follow it"
    assert [control.name for control in sink.controls if control.name != "heartbeat"][-1] == "resynchronised"


def test_a_whole_book_older_than_the_first_change_is_fetched_again() -> None:
    async def script(peer: Peer, message: Any) -> None:
        await accept(peer, message)
        if message is not None:
            for number in range(10, 60):
                await peer.send(change(number, number))
                await asyncio.sleep(0.003)

    async def scenario() -> tuple[Remembers, int]:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            server.books = lambda _path, _query: whole(3 if len(server.calls) < 3 else 20)
            (feed,) = live_feeds("binance", wanted("binance:book:BTC/USDT"), [BTC], options(server), Quick())
            await collected(feed, sink, lambda: 59 in seqs(sink))
            return sink, len(server.calls)

    sink, calls = run(scenario())
    assert calls == 3
    assert seqs(sink) == [20, 20, *range(21, 60)]


@pytest.mark.parametrize("listed", [BTC, PERPETUAL])
def test_a_break_of_the_chain_is_a_gap_and_the_book_begins_anew(listed: Instrument) -> None:
    sink = Remembers()
    tasks: list[asyncio.Task[None]] = []

    def step(first: int, last: int, previous: int) -> dict[str, Any]:
        more = {"pu": previous, "T": last} if listed is PERPETUAL else {}
        return change(first, last, **more)

    async def script(peer: Peer, message: Any) -> None:
        await accept(peer, message)
        if message is not None:
            await peer.send(step(8, 9, 7), step(10, 12, 9))
            tasks.append(asyncio.create_task(later(peer)))

    async def later(peer: Peer) -> None:
        await until(lambda: 12 in seqs(sink))
        await peer.send(step(15, 16, 14), step(17, 18, 16))

    async def scenario() -> None:
        async with ScriptedServer(script) as server:
            server.books = lambda _path, _query: whole(7 if len(server.calls) < 2 else 16)
            (feed,) = live_feeds("binance", wanted(f"binance:book:{listed.symbol}"), [listed], options(server), Quick())
            await collected(feed, sink, lambda: 18 in seqs(sink))

    run(scenario())
    (gap,) = sink.named("gap")
    assert (gap.first, gap.last) == (13, 14)
    assert gap.span is not None
    assert tuple(gap.span) == (12_000_000, 18_000_000)
    assert seqs(sink) == [7, 7, 9, 12, 16, 16, 18]
    assert len(sink.named("resynchronised")) == 2


def test_a_repeated_change_breaks_nothing() -> None:
    async def script(peer: Peer, message: Any) -> None:
        await accept(peer, message)
        if message is not None:
            await asyncio.sleep(0.03)
            await peer.send(change(8, 9), change(8, 9), change(10, 11))

    async def scenario() -> Remembers:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            server.books = lambda _path, _query: whole(7)
            (feed,) = live_feeds("binance", wanted("binance:book:BTC/USDT"), [BTC], options(server))
            await collected(feed, sink, lambda: 11 in seqs(sink))
        return sink

    sink = run(scenario())
    assert not sink.named("gap")


def test_another_connection_takes_over_before_the_first_one_ends() -> None:
    """Both send for a while; trades and books go on without a gap."""
    sent = iter(range(1, 100_000))
    living: set[int] = set()
    newest = [0]

    async def script(peer: Peer, message: Any) -> None:
        await accept(peer, message)
        if message is not None:
            living.add(peer.number)

    async def scenario() -> tuple[Remembers, int]:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            server.books = lambda _path, _query: whole(newest[0])

            async def market() -> None:
                for number in sent:
                    newest[0] = number
                    for peer in server.peers:
                        if peer.number in living and not peer.socket.closed:
                            await peer.send(trade(number), change(number, number))
                    await asyncio.sleep(0.002)

            task = asyncio.create_task(market())
            both = wanted("binance:trades:BTC/USDT", "binance:book:BTC/USDT")
            settings = options(server, lifetime=0.25)
            (feed,) = live_feeds("binance", both, [BTC], settings, Quick())
            await collected(feed, sink, lambda: len(server.peers) == 4, 6)
            task.cancel()
            return sink, len(server.peers)

    sink, _ = run(scenario())
    assert not sink.named("gap")
    assert not sink.named("disconnected")
    assert len(sink.named("connected")) == 1
    ids = sorted({int(ident) for ident in sink.ids()})
    assert ids == list(range(ids[0], ids[-1] + 1))
    numbers = sorted(set(seqs(sink)))
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert len(sink.named("resynchronised")) >= 3


def test_cancelling_closes_the_connection() -> None:
    async def scenario() -> bool:
        sink = Remembers()
        async with ScriptedServer(accept) as server:
            (feed,) = live_feeds("binance", wanted("binance:trades:BTC/USDT"), [BTC], options(server))
            await collected(feed, sink, lambda: sink.named("subscribed"))
            await asyncio.sleep(0.02)
            return server.peers[0].socket.closed

    assert run(scenario())


def test_a_slow_sink_is_reported_and_is_no_silence_of_the_exchange() -> None:
    async def script(peer: Peer, message: Any) -> None:
        await accept(peer, message)
        if message is not None:
            await peer.send(trade(1), trade(2), trade(3))

    async def scenario() -> Remembers:
        sink = Remembers(delay=0.25)
        async with ScriptedServer(script) as server:
            settings = options(server, slow=0.1, ping_every=0.15, acknowledge_timeout=2)
            (feed,) = live_feeds("binance", wanted("binance:trades:BTC/USDT"), [BTC], settings)
            await collected(feed, sink, lambda: "3" in sink.ids())
        return sink

    sink = run(scenario())
    assert sink.named("slow")
    assert not sink.named("disconnected")


def test_a_stream_that_binance_accepts_and_does_not_carry_is_subscribed_again() -> None:
    async def script(peer: Peer, message: Any) -> None:
        if message is None:
            return
        requests = [request for request in peer.received if request["method"] == "SUBSCRIBE"]
        if message["method"] == "LIST_SUBSCRIPTIONS":
            carried = ["btcusdt@aggTrade"] if len(requests) == 1 else ["btcusdt@aggTrade", "ethusdt@aggTrade"]
            await peer.send({"result": carried, "id": message["id"]})
        else:
            await accept(peer, message)
            if message["params"] == ["ethusdt@aggTrade"]:
                await peer.send(trade(1, native="ETHUSDT"))

    async def scenario() -> Remembers:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            both = wanted("binance:trades:BTC/USDT", "binance:trades:ETH/USDT")
            (feed,) = live_feeds("binance", both, [BTC, ETH], options(server))
            await collected(feed, sink, lambda: sink.rows)
        return sink

    assert run(scenario()).ids() == ["1"]


def test_an_error_of_the_sink_ends_the_feed() -> None:
    class Broken(Remembers):
        async def put(self, feed: Any, message: Any) -> None:
            raise SourceError("the store is away")

    async def scenario() -> None:
        async with ScriptedServer(accept) as server:
            (feed,) = live_feeds("binance", wanted("binance:trades:BTC/USDT"), [BTC], options(server))
            await collected(feed, Broken(), lambda: False)

    with pytest.raises(SourceError, match="the store is away"):
        run(scenario())


def test_captured_messages_are_as_received() -> None:
    async def script(peer: Peer, message: Any) -> None:
        await accept(peer, message)
        if message is not None:
            await peer.send(trade(1))

    async def scenario() -> Remembers:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            settings = options(server, capture=True)
            (feed,) = live_feeds("binance", wanted("binance:trades:BTC/USDT"), [BTC], settings)
            await collected(feed, sink, lambda: sink.rows)
        return sink

    sink = run(scenario())
    assert next(message.raw for message in sink.messages if message.rows).startswith(b'{"stream": "btcusdt@aggTrade"')


def test_bars_come_with_the_interval_that_they_complete() -> None:
    bar = {
        "t": 0,
        "T": 59_999,
        "s": "BTCUSDT",
        "i": "1m",
        "o": "1",
        "h": "2",
        "l": "1",
        "c": "2",
        "v": "3",
        "q": "4",
        "n": 5,
    }

    async def script(peer: Peer, message: Any) -> None:
        await accept(peer, message)
        if message is not None:
            for is_final in (False, True):
                data = {"e": "kline", "E": 1, "s": "BTCUSDT", "k": {**bar, "x": is_final}}
                await peer.send({"stream": "btcusdt@kline_1m", "data": data})

    async def scenario() -> Remembers:
        sink = Remembers()
        async with ScriptedServer(script) as server:
            (feed,) = live_feeds("binance", wanted("binance:ohlcv:1m:BTC/USDT"), [BTC], options(server))
            await collected(feed, sink, lambda: sink.named("interval_complete"))
        return sink

    sink = run(scenario())
    assert len(sink.rows) == 1
    (complete,) = sink.named("interval_complete")
    assert complete.span is not None
    assert tuple(complete.span) == (0, 60_000_000_000)


def test_hundreds_of_streams_are_divided_over_connections() -> None:
    natives = [f"C{number}USDT" for number in range(500)]
    listed = [
        instrument("binance", f"C{number}/USDT:USDT", native, "swap", linear=True)
        for number, native in enumerate(natives)
    ]
    many = [subscription(f"binance:trades:{market.symbol}") for market in listed]
    feeds = live_feeds("binance", many, listed)
    assert [len(feed.subscriptions) for feed in feeds] == [167, 167, 166]
    assert {entry for feed in feeds for entry in feed.subscriptions} == set(many)


def test_a_kind_without_a_stream_says_so() -> None:
    with pytest.raises(Unsupported, match="binance has no stream of open_interest: collect it by calls"):
        live_feeds("binance", wanted("binance:open_interest:BTC/USDT:USDT"), [PERPETUAL])


class Quick:
    """A pace that lets every call pass at once."""

    async def turn(self, _length: float) -> None:
        return None

    def pause_on_refusal(self) -> Any:
        return nullcontext()

    def pause_by_headers(self, *_arguments: Any) -> None:
        return None


class OneAtATime(Binance):
    """Binance, with one stream a request."""

    def limits(self, market: Market) -> Limits:
        return replace(super().limits(market), per_message=1, messages_per_second=1000)
