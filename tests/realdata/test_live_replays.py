"""Recorded streams are played to the live feeds over sockets: every trade is stored exactly once, and every book holds."""

from __future__ import annotations

import dataclasses
import gzip
import heapq
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.realdata.played import Player, calls, frames, replay, texts
from ticklake.app import memory_lake
from ticklake.collect.capture import Capture
from ticklake.core.instrument import Instrument
from ticklake.core.time import parse_time
from ticklake.lake import Lake
from ticklake.sources.live import books
from ticklake.sources.wire.proof import Prover

PRICES = ["ts", "open", "high", "low", "close"]


@pytest.fixture
def lake() -> Iterator[Lake]:
    with memory_lake(clock=lambda: parse_time("2026-12-31")) as lake:
        yield lake


def instrument(exchange: str, symbol: str, native: str, market_type: str = "spot", **details: Any) -> Instrument:
    base, _, rest = symbol.partition("/")
    quote, _, settle = rest.partition(":")
    settle = settle.partition("-")[0]
    return Instrument(
        exchange,
        symbol,
        native,
        market_type,
        details={"base": base, "quote": quote, "settle": settle or None, **details},
    )


# Binance


def two_days(recorded: Path, market: str, days: Sequence[str]) -> tuple[list[str], str]:
    """Return the recorded messages of two days, and the answer to the call for the whole book among them."""
    lines = []
    for day in days:
        lines += gzip.decompress((recorded / f"ws_raw/binance_{market}_btcusdt_{day}.gz").read_bytes()).splitlines()
    messages = [line.partition(b" ")[2].decode() for line in lines]
    streamed = [message for message in messages if message.startswith('{"stream"')]
    (whole,) = [message for message in messages if message.startswith('{"lastUpdateId"')]
    return streamed, whole


class BinanceAnswers:
    """Accepts every request, and lists what was accepted."""

    def __init__(self) -> None:
        self.streams: list[str] = []

    def __call__(self, message: Any) -> list[Any]:
        if message["method"] == "SUBSCRIBE":
            self.streams += message["params"]
            return [{"result": None, "id": message["id"]}]
        return [{"result": self.streams, "id": message["id"]}]


def trades_of_binance(messages: Sequence[str]) -> list[tuple[str, float, float, str]]:
    events = [json.loads(message)["data"] for message in messages if "@trade" in message[:40]]
    return [
        (str(event["t"]), float(event["p"]), float(event["q"]), "sell" if event["m"] else "buy")
        for event in events
        if event.get("X", "MARKET") == "MARKET"
    ]


def stored_trades(lake: Lake, dataset: str) -> list[tuple[str, float, float, str]]:
    return lake.load(dataset).select("id", "price", "amount", "side").rows()


class Sides:
    """A book by its levels, and its best prices: heaps in which prices stay that are gone."""

    def __init__(self) -> None:
        self.levels: dict[tuple[str, float], float] = {}
        self.heaps: dict[str, list[float]] = {"bid": [], "ask": []}

    def set(self, side: str, price: float, amount: float) -> None:
        if amount == 0:
            self.levels.pop((side, price), None)
            return
        if (side, price) not in self.levels:
            heapq.heappush(self.heaps[side], -price if side == "bid" else price)
        self.levels[side, price] = amount

    def best(self, side: str) -> float:
        heap = self.heaps[side]
        while (side, abs(heap[0])) not in self.levels:
            heapq.heappop(heap)
        return abs(heap[0])

    @property
    def is_crossed(self) -> bool:
        return self.best("bid") >= self.best("ask")


def book_of_binance(messages: Sequence[str], whole: str) -> dict[tuple[str, float], float]:
    """Return the last book, from the recorded messages themselves."""
    base, levels = json.loads(whole), {}
    for side in ("bids", "asks"):
        levels |= {(side[:3], float(price)): float(amount) for price, amount in base[side]}
    for message in messages:
        if "@depth" not in message[:30]:
            continue
        change = json.loads(message)["data"]
        if change["u"] > base["lastUpdateId"]:
            for side in ("b", "a"):
                levels |= {
                    ({"b": "bid", "a": "ask"}[side], float(price)): float(amount) for price, amount in change[side]
                }
    return {level: amount for level, amount in levels.items() if amount}


DAYS = {
    "spot": ("BTC/USDT", ("20240808", "20240809"), 19_904),
    "usdm": ("BTC/USDT:USDT", ("20240718", "20240719"), 10_701),
}
"""The symbol, the days, and the trades of the recordings of ``ws_raw``."""


def market_of(market: str) -> Instrument:
    kind = {"spot": "spot", "usdm": "swap"}[market]
    return instrument("binance", DAYS[market][0], "BTCUSDT", kind, linear=kind == "swap")


@pytest.mark.slow
@pytest.mark.parametrize("market", DAYS)
def test_two_days_of_binance_come_through_the_native_feed(market, recorded, lake):
    """Its raw trades come where the feed has asked for aggregated ones: they keep their own numbering."""
    symbol, days, count = DAYS[market]
    messages, whole = two_days(recorded, market, days)
    player = Player(messages, BinanceAnswers(), called=lambda _path: json.loads(whole))
    trades, book = f"binance:trades:{symbol}", f"binance:book:{symbol}"

    done = replay(lake, "binance", player, [trades, book], [market_of(market)])

    assert not done.named("gap")
    assert len(done.named("resynchronised")) == 1
    assert all(status.received == status.stored + status.duplicate for status in done.status)
    want = trades_of_binance(messages)
    assert len(want) == count
    assert Counter(stored_trades(lake, trades)) == Counter(want)
    assert_never_crossed(lake, book, messages, whole)
    if market == "spot":
        assert_equal_to_the_bars_of_the_exchange(lake, trades, recorded)


def assert_never_crossed(lake: Lake, books: str, messages: Sequence[str], whole: str) -> None:
    """Follow the stored book number by number; it ends as the recording does."""
    last = json.loads(whole)["lastUpdateId"]
    changes = [json.loads(message)["data"]["u"] for message in messages if "@depth" in message[:30]]
    rows = lake.load(books).sort("seq", maintain_order=True)
    numbers = rows["seq"].unique(maintain_order=True).to_list()
    assert numbers == [last, *(number for number in changes if number > last)]
    book, before = Sides(), numbers[0]
    for number, side, price, amount in rows.select("seq", "side", "price", "amount").iter_rows():
        if number != before:
            assert not book.is_crossed, before
            before = number
        book.set(side, price, amount)
    assert not book.is_crossed
    assert book.levels == book_of_binance(messages, whole)


def assert_equal_to_the_bars_of_the_exchange(lake: Lake, trades: str, recorded: Path) -> None:
    bars, span = "binance:ohlcv:1m:BTC/USDT", ("2024-08-08T23:55", "2024-08-09T00:05")
    lake.import_files(recorded / "ohlcv/binance_BTC_USDT_1m_202408.feather", bars, preset="freqtrade")
    made, want = lake.resample(trades, "1m", *span), lake.load(bars, *span)
    assert made.height == want.height == 10
    assert made.select(PRICES).equals(want.select(PRICES))
    assert made["volume"].round(8).equals(want["volume"].round(8))


@pytest.mark.slow
@pytest.mark.parametrize("market", DAYS)
def test_two_days_of_binance_come_through_the_tap(market, recorded, lake, monkeypatch):
    symbol, days, _ = DAYS[market]
    exchange = {"spot": "binance", "usdm": "binanceusdm"}[market]
    messages, _ = two_days(recorded, market, days)
    # The books are asked for over connections of their own.
    sent = [message for message in messages if "@depth" not in message[:30]]
    listed = dataclasses.replace(market_of(market), exchange=exchange)
    list_in_ccxt(monkeypatch, exchange, [listed])
    trades = f"{exchange}:trades:{symbol}"

    done = replay(lake, exchange, Player(sent, BinanceAnswers()), [trades], [listed], native=False, seconds=30)

    assert not done.named("gap")
    assert Counter(stored_trades(lake, trades)) == Counter(trades_of_binance(messages))
    if market == "spot":
        assert_equal_to_the_bars_of_the_exchange(lake, trades, recorded)


# Native feeds on recorded sessions


def accepted_by_okx(message: Any) -> list[Any]:
    return [{"event": "subscribe", "arg": argument, "id": message["id"]} for argument in message["args"]]


def accepted_by_bybit(message: Any) -> list[Any]:
    return [{"success": True, "ret_msg": "", "op": "subscribe", "req_id": message["req_id"]}] * ("args" in message)


def answers_coinbase(frame: Any) -> bool:
    return '"channel":"subscriptions"' in frame


@pytest.fixture
def provers(monkeypatch: pytest.MonkeyPatch) -> list[Prover]:
    """Those that live feeds made, to be asked what they found."""
    made: list[Prover] = []

    class Kept(Prover):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            made.append(self)

    monkeypatch.setattr(books, "Prover", Kept)
    return made


def found(provers: Sequence[Prover], finding: str) -> int:
    return sum(prover.total(finding) for prover in provers)


NATIVE = {
    "okx": ("OKX.jsonl.zst", "", "checksum passed", 290),
    "bybit-linear": ("BYBIT.jsonl.zst", "BYBIT.ws.2", "chain followed", 1_594),
    "bybit-spot": ("BYBIT.jsonl.zst", "BYBIT.ws.3", "chain followed", 548),
    "coinbase": ("COINBASE.jsonl.zst", "", "chain followed", 0),
}


@pytest.mark.parametrize("session", NATIVE)
def test_recorded_sessions_come_through_native_feeds(session, recorded, lake, provers):
    exchange, _, part = session.partition("-")
    file, connection, finding, count = NATIVE[session]
    path = recorded / "ws_rec" / file
    sent = frames(path, connection)
    want = recorded_trades(sent, RECORDINGS[file][1])
    listed = listed_of(exchange, sorted(want))
    if part == "linear":
        listed = [
            instrument("bybit", f"{symbol_of(native)}:USDT", native, "swap", linear=True) for native in sorted(want)
        ]
    answer = {"okx": accepted_by_okx, "bybit": accepted_by_bybit}.get(exchange, lambda _message: ())
    player, kinds = Player(sent, answer), ["trades", "book"]
    if exchange == "coinbase":
        # All messages share one numbering, the answers included: the feed asks for what the recording has, in its order.
        player.waits, player.most_requests = answers_coinbase, 5
        kinds = ["trades", "ohlcv:5m", "quotes", "book"]
    names = [f"{exchange}:{kind}:{entry.symbol}" for kind in kinds for entry in listed]

    done = replay(lake, exchange, player, names, listed)

    assert not done.named("gap"), done.named("gap")
    assert not done.named("disconnected")
    assert len(done.named("resynchronised")) == len(listed), "each book came whole once, and nothing broke it"
    assert len({str(control.dataset) for control in done.named("subscribed")}) == len(names)
    assert not any(status.unparsed for status in done.status)
    assert found(provers, finding) == count
    assert [found(provers, wrong) for wrong in ("checksum failed", "chain broken", "crossed book")] == [0, 0, 0]
    for entry in listed:
        assert Counter(stored_trades(lake, f"{exchange}:trades:{entry.symbol}")) == want[entry.native_id]


BINANCE_RECORDED = {"BINANCE.jsonl.zst": "spot", "BINANCE_FUTURES.jsonl.zst": "swap"}


@pytest.mark.parametrize("file", BINANCE_RECORDED)
def test_recorded_books_of_binance_come_whole_through_the_native_feed(file, recorded, lake):
    kind = BINANCE_RECORDED[file]
    path = recorded / "ws_rec" / file
    answers = calls(path)
    natives = sorted(name.partition("symbol=")[2].partition("&")[0] for name in answers if "symbol=" in name)
    listed = [
        instrument("binance", symbol_of(native) + (":USDT" if kind == "swap" else ""), native, kind, linear=True)
        for native in natives
    ]
    player = Player(frames(path), BinanceAnswers(), called=answers.__getitem__, books=4)

    done = replay(lake, "binance", player, [f"binance:book:{entry.symbol}" for entry in listed], listed)

    assert not done.named("gap")
    assert len(done.named("resynchronised")) == 4
    for entry in listed:
        messages = [frame for frame in player.sent if json.loads(frame)["data"].get("s") == entry.native_id]
        (whole,) = [json.dumps(answer) for name, answer in answers.items() if f"symbol={entry.native_id}&" in name]
        assert_never_crossed(lake, f"binance:book:{entry.symbol}", messages, whole)


def test_a_capture_replays_into_the_same_lake(recorded, lake, tmp_path):
    path = recorded / "ws_rec/BINANCE_FUTURES.jsonl.zst"
    answers = calls(path)
    listed = [instrument("binance", "SUSHI/USDT:USDT", "SUSHIUSDT", "swap", linear=True)]
    player = Player(frames(path), BinanceAnswers(), called=answers.__getitem__, books=1)
    names = [f"binance:{kind}:SUSHI/USDT:USDT" for kind in ("trades", "quotes", "book")]
    replay(lake, "binance", player, names, listed, capture=Capture(tmp_path))
    (capture,) = tmp_path.iterdir()

    with memory_lake(clock=lambda: parse_time("2026-12-31")) as again:
        again.streams.replay([str(capture)])
        for name in names:
            first, second = lake.load(name), again.load(name)
            assert first.height == second.height, name
            assert first.equals(second), name


# ccxt

QUOTES = ("U21", "USDT", "USDC", "HUSD", "BUSD", "TESTUSD", "USD", "EUR", "CHF", "CRO", "ETH", "BTC", "XBT", "KRW")


def symbol_of(native: str) -> str:
    """Return a symbol for a market's own name: the exchange of the test lists it under this one."""
    plain = native.removeprefix("t").upper().replace("-SWAP", "")
    for separator in "/-_:":
        if separator in plain:
            first, _, second = plain.partition(separator)
            return f"{second}/{first}" if first in {"KRW", "BTC"} and second not in QUOTES else f"{first}/{second}"
    quote = next(name for name in QUOTES if plain.endswith(name))
    return f"{plain.removesuffix(quote)}/{quote}"


Trade = tuple[str, str | None, float, float, str]
"""Market, id, price, amount and side, as a recording has them."""


def of_kraken(message: Any) -> Iterator[Trade]:
    if isinstance(message, list) and message[-2] == "trade":
        for price, amount, _, side, *_ in message[1]:
            yield message[-1], None, float(price), float(amount), {"b": "buy", "s": "sell"}[side]


def of_okx(message: Any) -> Iterator[Trade]:
    if message.get("arg", {}).get("channel") == "trades":
        for entry in message.get("data", ()):
            yield entry["instId"], entry["tradeId"], float(entry["px"]), float(entry["sz"]), entry["side"]


def of_bybit(message: Any) -> Iterator[Trade]:
    if message.get("topic", "").startswith("publicTrade"):
        for entry in message["data"]:
            yield entry["s"], entry["i"], float(entry["p"]), float(entry["v"]), entry["S"].lower()


def of_coinbase(message: Any) -> Iterator[Trade]:
    if message["channel"] == "market_trades":
        for entry in (entry for event in message["events"] for entry in event["trades"]):
            # The side of the maker.
            side = {"BUY": "sell", "SELL": "buy"}[entry["side"]]
            yield entry["product_id"], entry["trade_id"], float(entry["price"]), float(entry["size"]), side


def of_binance(message: Any) -> Iterator[Trade]:
    event = message["data"]
    if event.get("e") == "aggTrade":
        side = "sell" if event["m"] else "buy"
        yield event["s"], str(event["a"]), float(event["p"]), float(event["q"]), side


def of_kucoin(message: Any) -> Iterator[Trade]:
    entry = message.get("data", {})
    if message.get("subject") == "trade.l3match":
        yield entry["symbol"], entry["tradeId"], float(entry["price"]), float(entry["size"]), entry["side"]


def of_gate(message: Any) -> Iterator[Trade]:
    entry = message["result"]
    if message["channel"] == "spot.trades" and message["event"] == "update":
        price, amount = float(entry["price"]), float(entry["amount"])
        yield entry["currency_pair"], str(entry["id"]), price, amount, entry["side"]


def of_htx(message: Any) -> Iterator[Trade]:
    if message.get("ch", "").endswith(".trade.detail"):
        for entry in message["tick"]["data"]:
            native = message["ch"].split(".")[1]
            yield native, str(entry["tradeId"]), entry["price"], entry["amount"], entry["direction"]


def of_upbit(message: Any) -> Iterator[Trade]:
    if message["ty"] == "trade":
        side = {"BID": "buy", "ASK": "sell"}[message["ab"]]
        yield message["cd"], str(message["sid"]), message["tp"], message["tv"], side


def of_cryptocom(message: Any) -> Iterator[Trade]:
    result = message.get("result", {})
    if result.get("channel") == "trade":
        for entry in result["data"]:
            yield entry["i"], str(entry["d"]), float(entry["p"]), float(entry["q"]), entry["s"].lower()


def of_bitmex(message: Any) -> Iterator[Trade]:
    if message.get("table") == "trade":
        for entry in message["data"]:
            yield entry["symbol"], entry["trdMatchID"], entry["price"], entry["size"], entry["side"].lower()


def of_dydx(message: Any) -> Iterator[Trade]:
    if message.get("channel") == "v3_trades" and "contents" in message:
        for entry in message["contents"]["trades"]:
            yield message["id"], None, float(entry["price"]), float(entry["size"]), entry["side"].lower()


class OfBitfinex:
    """Each trade is sent as executed and as updated; the channel's first message has some of before."""

    def __init__(self) -> None:
        self.natives: dict[int, str] = {}

    def __call__(self, message: Any) -> Iterator[Trade]:
        if isinstance(message, dict):
            if message.get("channel") == "trades":
                self.natives[message["chanId"]] = message["symbol"]
        elif message[0] in self.natives and message[1] != "hb":
            entries = message[1] if isinstance(message[1], list) else [message[2]]
            for ident, _, amount, price in entries:
                side = "buy" if amount > 0 else "sell"
                yield self.natives[message[0]], str(ident), float(price), float(abs(amount)), side


def of_hyperliquid(message: Any) -> Iterator[Trade]:
    if message["channel"] == "trades":
        for entry in message["data"]:
            side = {"B": "buy", "A": "sell"}[entry["side"]]
            yield entry["coin"], str(entry["tid"]), float(entry["px"]), float(entry["sz"]), side


RECORDINGS = {
    "BINANCE.jsonl.zst": ("binance", of_binance),
    "BINANCE_FUTURES.jsonl.zst": ("binanceusdm", of_binance),
    "KRAKEN.jsonl.zst": ("kraken", of_kraken),
    "OKX.jsonl.zst": ("okx", of_okx),
    "BYBIT.jsonl.zst": ("bybit", of_bybit),
    "COINBASE.jsonl.zst": ("coinbase", of_coinbase),
    "KUCOIN.jsonl.zst": ("kucoin", of_kucoin),
    "GATEIO.jsonl.zst": ("gate", of_gate),
    "HUOBI.jsonl.zst": ("htx", of_htx),
    "UPBIT.jsonl.zst": ("upbit", of_upbit),
    "CRYPTO.COM.jsonl.zst": ("cryptocom", of_cryptocom),
    "BITFINEX.jsonl.zst": ("bitfinex", OfBitfinex()),
    "DYDX.ws.1.0.zst": ("dydx", of_dydx),
}


def recorded_trades(messages: Sequence[Any], read: Any) -> dict[str, Counter[Trade]]:
    """Return the trades of each market, each once; those without an id as often as they are in the recording."""
    trades: dict[str, Counter[Trade]] = {}
    for message in texts(messages):
        for trade in read(message):
            of_market = trades.setdefault(trade[0], Counter())
            if trade[1] is None or trade[1:] not in of_market:
                of_market[trade[1:]] += 1
    return trades


def list_in_ccxt(monkeypatch: pytest.MonkeyPatch, exchange: str, listed: Sequence[Instrument]) -> None:
    """Let ccxt know markets without a call; everything else of it is as it is."""
    import ccxt.pro

    async def load_markets(self: Any, *_arguments: Any, **_more: Any) -> Any:
        if not self.markets:
            self.open()
            markets = []
            for entry in listed:
                details = entry.details
                markets.append(
                    self.safe_market_structure(
                        {
                            "id": entry.native_id,
                            "lowercaseId": entry.native_id.lower(),
                            "symbol": entry.symbol,
                            "base": details["base"],
                            "quote": details["quote"],
                            "settle": details["settle"],
                            "type": entry.market_type,
                            "spot": entry.market_type == "spot",
                            "swap": entry.market_type == "swap",
                            "contract": entry.market_type != "spot",
                            "linear": details.get("linear"),
                            "inverse": details.get("inverse"),
                            "active": True,
                            "baseName": details["base"],
                        }
                    )
                )
            self.set_markets(markets)
        return self.markets

    monkeypatch.setattr(getattr(ccxt.pro, exchange), "load_markets", load_markets)


def listed_of(exchange: str, natives: Sequence[str]) -> list[Instrument]:
    listed = []
    for native in natives:
        symbol = symbol_of(native)
        if exchange in {"binanceusdm", "bitmex", "dydx", "hyperliquid"}:
            settle = symbol.partition("/")[2]
            listed.append(instrument(exchange, f"{symbol}:{settle}", native, "swap", linear=True, inverse=False))
        else:
            listed.append(instrument(exchange, symbol, native))
    return listed


def test_trades_of_hyperliquid_come_through_the_tap(recorded, lake, monkeypatch):
    """ccxt's ids are numbers there; messages name the coin."""
    lines = gzip.decompress((recorded / "ws_raw/hyperliquid_btcusd_20250126.gz").read_bytes()).decode().splitlines()
    sent = [line.partition(" ")[2] for line in lines]
    want = recorded_trades(sent, of_hyperliquid)
    listed = [instrument("hyperliquid", "BTC/USDC:USDC", "0", "swap", linear=True, inverse=False, baseName="BTC")]
    list_in_ccxt(monkeypatch, "hyperliquid", listed)
    trades = "hyperliquid:trades:BTC/USDC:USDC"

    replay(lake, "hyperliquid", Player(sent), [trades], listed, native=False, seconds=8)

    assert Counter(stored_trades(lake, trades)) == want["BTC"]


@pytest.mark.parametrize("file", RECORDINGS)
def test_every_trade_comes_through_the_tap_once(file, recorded, lake, monkeypatch):
    exchange, read = RECORDINGS[file]
    sent = frames(recorded / "ws_rec" / file)
    if exchange == "kucoin":
        # At a change of a book, which comes over a connection of its own, ccxt would fetch the whole one, and give up without.
        sent = [frame for frame in sent if "level2" not in str(frame)]
    want = recorded_trades(sent, read)
    listed = listed_of(exchange, sorted(want))
    list_in_ccxt(monkeypatch, exchange, listed)
    player = Player(sent, called=lambda path: called(exchange, path, player))
    names = {entry.native_id: f"{exchange}:trades:{entry.symbol}" for entry in listed}

    done = replay(lake, exchange, player, list(names.values()), listed, native=False)

    for native, name in names.items():
        assert Counter(stored_trades(lake, name)) == want[native], native
    assert not done.named("gap")


def called(exchange: str, path: str, player: Player) -> Any:
    if exchange == "kucoin":
        server = {"endpoint": player.url.replace("http", "ws"), "pingInterval": 18_000}
        return {"code": "200000", "data": {"token": "t", "instanceServers": [server]}}
    return {}
