"""Which market of Binance sent a recorded message: spot, USD-M futures (linear) or COIN-M futures (inverse).

The three send the same events and name BTCUSDT alike. Each has fields that the others lack, as their API documentation lists
them: ``pu``, ``T`` (transaction time) and ``ps`` in depth and book tickers, ``X`` in trades, ``M`` in trades of the spot market. Bars are the
same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ticklake.core.native_ids import Market
from ticklake.errors import InvalidData
from ticklake.files.frames import Origin
from ticklake.sources.wire.rows import Row

__all__ = ["CALLED", "in_one_market", "market_of_message"]

CALLED: dict[Market, str] = {"spot": "spot market", "linear": "USD-M futures", "inverse": "COIN-M futures"}
_INVERSE = re.compile(r"[A-Z0-9]+USD_(?:PERP|\d{6})")
_FUTURES_EVENTS = {"markPriceUpdate", "forceOrder", "continuous_kline", "indexPriceUpdate", "contractInfo"}
_MOST_WAITING = 200_000
"""At most this many rows are held back until a message shows the market."""


def market_of_message(message: Any) -> Market | None:
    """Return the market of Binance that sent a message; ``None`` if the message does not show it, or is of another exchange.

    >>> market_of_message({"e": "depthUpdate", "s": "BTCUSDT", "U": 1, "u": 2, "pu": 0, "T": 5, "b": [], "a": []})
    'linear'
    """
    if not isinstance(message, dict):
        return None
    # Combined streams wrap each message and add the name of its stream.
    if "stream" in message and isinstance(message.get("data"), dict):
        message = message["data"]
    is_future = _is_future(message)
    if is_future is None:
        return None
    if not is_future:
        return "spot"
    if "ps" in message or "pair" in message or _INVERSE.fullmatch(str(message.get("s"))):
        return "inverse"
    return "linear"


def _is_future(message: Mapping[str, Any]) -> bool | None:
    event = message.get("e")
    if event in _FUTURES_EVENTS or _INVERSE.fullmatch(str(message.get("s"))):
        return True
    if event == "depthUpdate":
        return "pu" in message or "T" in message
    if event in {"trade", "aggTrade"}:
        if "M" in message:
            return False
        if "X" in message or {"f", "l"} <= set(message):
            return True
        return None
    if {"u", "s", "b", "B", "a", "A"} <= set(message):
        return "T" in message or event == "bookTicker"
    if {"lastUpdateId", "bids", "asks"} <= set(message):
        return "T" in message
    return None


def in_one_market(messages: Iterable[tuple[Market | None, Sequence[Row]]]) -> Iterator[Origin]:
    """Yield the rows of messages with their one market; rows before the first message that shows it wait for it.

    Raises
    ------
    InvalidData
        If messages are of several markets: rows that do not show theirs could be of either.
    """
    file_market: Market | None = None
    waiting: list[Row] = []
    passed = 0
    for market, rows in messages:
        _refuse_mixture(file_market, market, passed)
        file_market = file_market or market
        waiting += rows
        if file_market is None:
            if len(waiting) < _MOST_WAITING:
                continue
            passed += len(waiting)
        for row in waiting:
            yield Origin(row, "", file_market)
        waiting = []
    for row in waiting:
        yield Origin(row, "", file_market)


def _refuse_mixture(file_market: Market | None, market: Market | None, passed: int) -> None:
    if market is None or market == file_market:
        return
    if file_market is not None:
        raise InvalidData(
            f"it mixes messages of Binance's {CALLED[file_market]} and of its {CALLED[market]}: "
            "divide it into a file for each market, and import these"
        )
    if passed:
        raise InvalidData(
            f"its first {passed:,} rows do not tell their market, and those after them are of Binance's {CALLED[market]}: "
            "divide the file before them"
        )
