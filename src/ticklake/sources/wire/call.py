"""An answer of an exchange, and the rows of the tables that say how answers are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ticklake.core.native_ids import Market
from ticklake.core.time import MS, US, decimal_to_ns
from ticklake.sources.wire.rows import Row

__all__ = ["Answer", "Call", "at", "clock_of", "lists_of", "market_of"]

_PARTS: dict[str, Market] = {"api": "spot", "fapi": "linear", "dapi": "inverse", "v2": "inverse"}
"""Binance's parts, and Bybit's API of contracts; among these, names that end in USDT are linear all the same."""
_CATEGORIES: dict[str, Market] = {"spot": "spot", "linear": "linear", "inverse": "inverse"}


_CLOCKS: dict[str, tuple[str, int]] = {"deribit": ("usOut", US), "bybit": ("time", MS), "htx": ("ts", MS)}
"""The key of the exchange's own time in its answers, and what it counts."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of an answer, and what is known of the call.

    Parameters
    ----------
    exchange, market
        Whose it is, as far as that is known.
    body
        Its JSON.
    host, path, query
        The address, empty where it was not recorded.
    heard
        When it came, in nanoseconds.
    symbol, timeframe
        What the caller says that rows are of; empty if nothing.
    """

    exchange: str
    body: Any
    host: str = ""
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    heard: int | None = None
    market: Market | None = None
    symbol: str = ""
    timeframe: str = ""

    def with_parts(self, parts: Mapping[str, str | None]) -> Answer:
        """Return the same with the parts of the path among the parameters."""
        found = {name: text for name, text in parts.items() if text}
        return replace(self, query={**self.query, **found})


@dataclass(frozen=True, slots=True)
class Call:
    """One row of a table: a call of one exchange, or of several with the same API.

    Parameters
    ----------
    exchanges, path
        Whose call it is, and what its path looks like, with groups that are parameters.
    kind
        What its rows are.
    fits
        Whether a body is of the form that is documented, not an error, and not cut.
    read
        Yields the rows of a body that fits.
    refuses
        Says why the rows of a call may not come in; nothing if they may.
    by_look
        Whether its answers are told without their address, among those of the exchange.
    """

    exchanges: tuple[str, ...]
    path: str
    kind: str
    fits: Callable[[Any], bool]
    read: Callable[[Answer], Iterator[Row]]
    refuses: Callable[[Answer], str] = lambda _answer: ""
    by_look: bool = True


def market_of(answer: Answer) -> Market | None:
    """Return which part of the exchange an answer is about: by the path, the body, the parameters or the host."""
    part = _PARTS.get(answer.query.get("part", ""))
    category = at(answer.body, "result", "category") or answer.query.get("category")
    return part or _CATEGORIES.get(str(category)) or answer.market


def clock_of(answer: Answer) -> int | None:
    """Return the exchange's time of an answer, else when it came, in nanoseconds."""
    name, unit = _CLOCKS.get(answer.exchange, ("", 1))
    told = at(answer.body, name)
    return answer.heard if told is None else decimal_to_ns(told, unit)


def at(body: Any, *steps: str | int) -> Any:
    """Return what stands in a body below *steps*; ``None`` if it is not there.

    ``*`` is the value of the one key besides ``last``, and ``?`` that key.
    """
    for step in steps:
        if step in {"*", "?"} and isinstance(body, dict):
            names = [name for name in body if name != "last"]
            only = names[0] if len(names) == 1 else None
            body = only if step == "?" else body.get(only)
        elif isinstance(body, dict):
            body = body.get(step)
        elif isinstance(body, list) and isinstance(step, int):
            body = body[step] if len(body) > step else None
        else:
            return None
    return body


def lists_of(found: Any, width: int) -> bool:
    """Whether something is a list of lists with at least *width* entries each."""
    return isinstance(found, list) and all(isinstance(one, list) and len(one) >= width for one in found)
