"""Which part of Binance a recorded message is of: its spot market, its USD-M (linear) or its COIN-M (inverse) futures.

The three write the same events and name BTCUSDT alike. They differ in the fields that each has alone, as their API documentation lists
them: ``pu``, ``T`` (transaction time) and ``ps`` in depth and book tickers, ``X`` in trades, ``M`` in trades of the spot market. Bars look the
same everywhere and tell nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ticklake.core.native_ids import Market
from ticklake.errors import InvalidData
from ticklake.sources.wire.messages import Row

__all__ = ["CALLED", "in_one_market", "market_of_message"]

CALLED: dict[Market, str] = {"spot": "spot market", "linear": "USD-M futures", "inverse": "COIN-M futures"}
_INVERSE = re.compile(r"[A-Z0-9]+USD_(?:PERP|\d{6})")
_FUTURES_ALONE = {"markPriceUpdate", "forceOrder", "continuous_kline", "indexPriceUpdate", "contractInfo"}
_MOST_WAITING = 200_000


def market_of_message(message: Any) -> Market | None:
    """Return which part of Binance a message is of; ``None`` if it does not tell, or is of another exchange.

    >>> market_of_message({"e": "depthUpdate", "s": "BTCUSDT", "U": 1, "u": 2, "pu": 0, "T": 5, "b": [], "a": []})
    'linear'
    """
    if not isinstance(message, dict):
        return None
    inner = message["data"] if "stream" in message and isinstance(message.get("data"), dict) else message
    is_future = _is_future(inner)
    if is_future is None:
        return None
    if not is_future:
        return "spot"
    return "inverse" if "ps" in inner or "pair" in inner or _INVERSE.fullmatch(str(inner.get("s"))) else "linear"


def _is_future(message: Mapping[str, Any]) -> bool | None:
    event = message.get("e")
    if event in _FUTURES_ALONE or _INVERSE.fullmatch(str(message.get("s"))):
        return True
    if event == "depthUpdate":
        return "pu" in message or "T" in message
    if event in {"trade", "aggTrade"}:
        if "M" in message:
            return False
        return True if "X" in message or {"f", "l"} <= set(message) else None
    if {"u", "s", "b", "B", "a", "A"} <= set(message):
        return "T" in message or event == "bookTicker"
    if {"lastUpdateId", "bids", "asks"} <= set(message):
        return "T" in message
    return None


def in_one_market(found: Iterable[tuple[Market | None, Sequence[Row]]]) -> Iterator[tuple[Row, str, Market | None]]:
    """Yield the rows of messages with the one market that they are of; those before the first that tells it wait for it.

    Raises
    ------
    InvalidData
        If messages are of several markets: rows that do not tell theirs could be of either.
    """
    told: Market | None = None
    waiting: list[Row] = []
    passed = 0
    for market, rows in found:
        _refuse_mixture(told, market, passed)
        told = told or market
        waiting += rows
        if told is None and len(waiting) < _MOST_WAITING:
            continue
        passed += 0 if told else len(waiting)
        yield from ((row, "", told) for row in waiting)
        waiting = []
    yield from ((row, "", told) for row in waiting)


def _refuse_mixture(told: Market | None, market: Market | None, passed: int) -> None:
    if market is None or market == told:
        return
    if told is not None:
        raise InvalidData(
            f"it mixes messages of Binance's {CALLED[told]} and of its {CALLED[market]}: "
            "divide it into a file for each market, and import these"
        )
    if passed:
        raise InvalidData(
            f"its first {passed:,} rows do not tell their market, and those after them are of Binance's {CALLED[market]}: "
            "divide the file before them"
        )
