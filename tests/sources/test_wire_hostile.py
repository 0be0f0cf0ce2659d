"""Messages of other exchanges, and damaged ones: readers take them, leave them or refuse them with a reason, and never raise anything else."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.sources.wire_reading import HEARD
from ticklake.errors import InvalidData
from ticklake.sources.wire.channels import Channels
from ticklake.sources.wire.messages import READERS, read_message
from ticklake.sources.wire.reading import Reading

OWN = (
    *("bitflyer", "bitget", "bithumb", "bitstamp", "cryptocom", "dydx", "gate", "gemini", "hitbtc", "htx"),
    *("hyperliquid", "krakenfutures", "kucoin", "phemex", "poloniex", "upbit"),
)
EXAMPLES: dict[str, tuple[Any, ...]] = {
    exchange: importlib.import_module(f"tests.sources.test_wire_{exchange}").MESSAGES for exchange in OWN
}
EXAMPLES |= {
    "binance": (
        {"e": "trade", "s": "BTCUSDT", "t": 5, "p": "1", "q": "2", "T": 1723161255208, "m": True, "M": True},
        {"e": "depthUpdate", "E": 1723161255208, "s": "BTCUSDT", "U": 1, "u": 2, "b": [["1", "2"]], "a": []},
        {"u": 4, "s": "BTCUSDT", "b": "1", "B": "2", "a": "3", "A": "4"},
        {"lastUpdateId": 4, "bids": [["1", "2"]], "asks": []},
        {"stream": "btcusdt@kline_1m", "data": {"e": "kline", "s": "BTCUSDT", "k": {"t": 1, "s": "BTCUSDT", "x": True}}},
    ),
    "bybit": ({"topic": "publicTrade.BTCUSDT", "data": [{"s": "BTCUSDT", "T": 1, "p": "1", "v": "2", "S": "Buy", "i": "1"}]},),
    "okx": ({"arg": {"channel": "trades", "instId": "BTC-USDT"}, "data": [{"instId": "BTC-USDT", "ts": "1"}]},),
    "coinbase": ({"channel": "market_trades", "events": [{"trades": [{"time": "2024-01-01T00:00:00Z", "side": "BUY"}]}]},),
    "kraken": ([1, [["1", "2", "1618678142.5", "s", "l", ""]], "trade", "XBT/USD"], [1, {"b": [], "a": []}, "ticker", "XBT/USD"]),
    "bitmex": ({"table": "trade", "action": "insert", "data": [{"timestamp": "2024-01-01T00:00:00Z", "symbol": "XBTUSD"}]},),
    "": (None, 7, "text", [], {}, [None], [[]], {"data": None}, [7, "hb"], [7, [1, 2, 3]], {"result": None}, {"id": 1}),
}  # fmt: skip
DAMAGE: tuple[Any, ...] = (
    None,
    [],
    {},
    "x",
    "",
    -1,
    True,
    [[]],
    [None],
    {"x": []},
    1e300,
    float("nan"),
    10**30,
    [1, 2],
)


def read(exchange: str, message: Any, before: Any = None) -> Reading | str | None:
    """Return what a message says, or the reason why it is refused; *before* came over the same connection."""
    channels = Channels()
    channels.of(before)
    sort = channels.of(message)
    assert isinstance(sort.channel, str)
    try:
        return read_message(message, HEARD, channels.subscription_of(message), exchange=exchange)
    except InvalidData as error:
        reason = str(error)
        assert reason
        assert "\n" not in reason
        return reason


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a message."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in entries:
        yield (*path, name)
        yield from places(inner, (*path, name))


def damaged(message: Any) -> Iterator[Any]:
    """Yield a message with each of its values left out, and replaced by values of other forms."""
    for path in places(message):
        for damage in (..., *DAMAGE):
            broken = copy.deepcopy(message)
            place = broken
            for step in path[:-1]:
                place = place[step]
            if damage is ...:
                del place[path[-1]]
            else:
                place[path[-1]] = damage
            yield broken


@pytest.mark.parametrize("exchange", sorted({*READERS, ""}))
def test_readers_survive_the_messages_of_all_other_exchanges(exchange):
    for other, messages in EXAMPLES.items():
        for message in messages:
            if other != exchange:
                read(exchange, message)


@pytest.mark.parametrize("exchange", sorted(set(READERS) & set(EXAMPLES)))
def test_readers_survive_damaged_messages(exchange):
    for message in EXAMPLES[exchange]:
        for broken in damaged(message):
            read(exchange, broken)


def test_readers_of_numbered_channels_survive_damaged_messages():
    book, *others = importlib.import_module("tests.sources.test_wire_poloniex").NUMBERED
    for message in (book, *others):
        for broken in damaged(message):
            read("poloniex", broken, book)


@pytest.mark.parametrize("exchange", OWN)
def test_readers_know_the_messages_of_their_own_exchange(exchange):
    for message in EXAMPLES[exchange]:
        assert isinstance(read(exchange, message), Reading), message
        assert not Channels().of(message).is_control, message


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"feed": "trade", "product_id": "PI_XBTUSD", "time": 1612266317519, "side": "buy", "qty": 1}, "it has no 'price'"),
        ({"feed": "trade", "product_id": "PI_XBTUSD", "time": "soon", "side": "buy", "qty": 1, "price": 2}, "'soon' is not a number of time units"),
        ({"feed": "trade", "product_id": "PI_XBTUSD", "time": 1, "side": "buy", "qty": [1], "price": 2}, "it has list where the trades have one value"),
        ({"feed": "trade", "product_id": 7, "time": 1, "side": "buy", "qty": 1, "price": 2}, "7 is no name of a market"),
    ],
)  # fmt: skip
def test_the_reason_says_what_is_wrong(message, reason):
    assert read("krakenfutures", message) == reason
