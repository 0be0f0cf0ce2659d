"""What Binance sends, of its spot market, USD-M and COIN-M futures. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.sources.wire.reading import Reader
from ticklake.sources.wire.rows import Row, levels, ms

__all__ = ["READERS"]


def _trade(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    # Futures also report trades of the insurance fund and of auto-deleveraging, which are not made in the order book.
    if message.get("X", "MARKET") not in {"MARKET", ""}:
        return
    if message["e"] == "aggTrade":
        ident, space = message["a"], "agg"
    else:
        ident, space = message["t"], "raw"
    side = "buy"
    if message["m"]:  # the buyer was the maker
        side = "sell"
    values = (ms(message["T"]), heard, str(ident), message["p"], message["q"], side)
    yield Row("trades", message["s"], values, space=space)


def _depth(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    ts, sides = ms(message.get("T", message["E"])), {"bid": message["b"], "ask": message["a"]}
    yield from levels(message["s"], ts, heard, message["u"], sides, whole=False)


def _time(message: Mapping[str, Any], heard: int | None) -> int | None:
    """Return the time of a message: Binance's futures send one, its spot markets do not."""
    if "T" in message:
        return ms(message["T"])
    return heard


def _snapshot(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    sides = {"bid": message["bids"], "ask": message["asks"]}
    yield from levels("", _time(message, heard), heard, message["lastUpdateId"], sides, whole=True)


def _ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    best = (message["b"], message["B"], message["a"], message["A"])
    yield Row("quotes", message["s"], (_time(message, heard), heard, message["u"], *best))


def _kline(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    del heard
    bar = message["k"]
    if bar["x"]:
        prices = tuple(bar[name] for name in "ohlcv")
        yield Row("ohlcv", bar["s"], (ms(bar["t"]), *prices, bar["q"], bar["n"]), bar["i"])


READERS: tuple[Reader, ...] = (
    Reader(lambda m: m.get("e") in {"aggTrade", "trade"}, _trade),
    Reader(lambda m: m.get("e") == "depthUpdate", _depth),
    Reader(lambda m: m.get("e") == "kline", _kline),
    Reader(lambda m: {"u", "s", "b", "B", "a", "A"} <= set(m), _ticker),
    Reader(lambda m: {"lastUpdateId", "bids", "asks"} <= set(m), _snapshot),
)
"""The readers of its messages. The first that fits reads the message."""
