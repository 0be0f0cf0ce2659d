"""What HTX (Huobi) sends, of its spot market and its contracts. Formats are those of its public API documentation.

Names with a dash are those of contracts, whose amounts are counts of contracts. Books that sum up several levels (``step1`` and on)
are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.core.native_ids import Market
from ticklake.sources.wire.reading import Mark, Reader
from ticklake.sources.wire.rows import BY_TIME, Row, field, levels, ms, time_or, trade

__all__ = ["READERS"]

_NOTICE = re.compile(r"public\.[^.]+\.(liquidation_orders|funding_rate)")


def _channel(pattern: str) -> Any:
    """Return a test for messages of channels below ``market.<name>``."""
    channel = re.compile(rf"market\.[^.]+\.{pattern}")
    return lambda m: channel.fullmatch(m["ch"]) is not None and isinstance(m["tick"], dict)


def _market_of(message: Mapping[str, Any]) -> tuple[str, Market | None]:
    """Return the name of the market in a channel, and in what it is settled if it is a contract."""
    return _named(str((message.get("ch") or message.get("rep") or "").split(".")[1]).upper())


def _named(native: str) -> tuple[str, Market | None]:
    parts = native.split("-")
    if len(parts) == 1:
        return native, None
    if parts[1] == "USD":
        return native, "inverse"
    return native, "linear"


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    native, market = _market_of(message)
    for entry in message["tick"]["data"]:
        # Contracts have no other id; of the spot market it is the id of the trade and the order together.
        ident = field(entry, "tradeId", "id")
        yield trade(
            native, ms(entry["ts"]), heard, entry["price"], entry["amount"], entry["direction"], ident, market=market
        )


def _depth(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    """Yield a book: whole each time, but for the changes of the contracts' channel of high frequency."""
    tick = message["tick"]
    native, market = _market_of(message)
    whole, ts, last = tick.get("event", "snapshot") == "snapshot", ms(tick.get("ts", message["ts"])), None
    seq, space = ts, BY_TIME
    if "version" in tick:
        last, seq, space = int(tick["version"]), int(tick["version"]), ""
    sides = {"bid": tick.get("bids") or (), "ask": tick.get("asks") or ()}
    yield from levels(native, ts, heard, seq, sides, whole=whole, space=space, market=market)
    if last is not None:
        yield Mark("book", native, last, last, starts=whole)


def _by_price(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    """Yield changes of a book; the book that they begin at, which has to be requested; or the best levels of ``refresh``."""
    native, market = _market_of(message)
    whole = "rep" in message or ".refresh." in message["ch"]
    tick = message["data"] if "rep" in message else message["tick"]
    number, sides = int(tick["seqNum"]), {"bid": tick.get("bids") or (), "ask": tick.get("asks") or ()}
    ts = time_or(message, "ts", heard)
    yield from levels(native, ts, heard, number, sides, whole=whole, market=market)
    previous = None
    if not whole:
        previous = int(tick["prevSeqNum"])
    yield Mark("book", native, number, number, previous, starts=whole)


def _best(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    tick = message["tick"]
    native, market = _market_of(message)
    ts = ms(tick["quoteTime"] if "quoteTime" in tick else tick.get("ts", message["ts"]))
    if isinstance(tick["bid"], list):
        best = (*tick["bid"][:2], *tick["ask"][:2])
        number = tick.get("version")
    else:
        best = (tick["bid"], tick["bidSize"], tick["ask"], tick["askSize"])
        number = tick.get("seqId")
    if number is not None:
        number = int(number)
    yield Row("quotes", native, (ts, heard, number, *best), market=market)


def _bar(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield nothing: no message says that a bar is over."""
    del message, heard
    yield from ()


def _notice(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["data"]:
        native, market = _named(entry["contract_code"])
        if message["topic"].endswith(".liquidation_orders"):
            ts, amount = ms(entry["created_at"]), entry["volume"]
            price, side = entry["price"], entry["direction"]
            yield trade(native, ts, heard, price, amount, side, market=market, kind="liquidations")
        else:
            ts, due = ms(message["ts"]), ms(entry["settlement_time"])
            values = (ts, heard, entry["funding_rate"], due, None, None)
            yield Row("predicted_funding", native, values, market=market)


READERS: tuple[Reader, ...] = (
    Reader(_channel(r"trade\.detail"), _trades),
    Reader(_channel(r"depth\.(?:step0|size_\d+\.high_freq)"), _depth),
    Reader(_channel(r"mbp\.(?:refresh\.)?\d+"), _by_price),
    Reader(lambda m: re.fullmatch(r"market\.[^.]+\.mbp\.\d+", m["rep"]) is not None and "data" in m, _by_price),
    Reader(lambda m: _channel(r"(?:bbo|ticker)")(m) and "bid" in m["tick"], _best),
    Reader(_channel(r"kline\.\w+"), _bar),
    Reader(lambda m: m["op"] == "notify" and _NOTICE.fullmatch(m["topic"]) is not None, _notice),
)
"""The readers of its messages. The first that fits reads the message."""
