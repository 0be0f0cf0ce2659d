"""The answer of an exchange to a call, and the tables' rows that say how answers are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ticklake.core.native_ids import Market
from ticklake.core.time import MS, US, decimal_to_ns, parse_time
from ticklake.sources.wire.rows import Row

__all__ = ["Answer", "Call", "at", "clock_of", "has", "lists_of", "market_of", "read_time", "value_at"]

_PARTS: dict[str, Market] = {
    "api": "spot",
    "fapi": "linear",
    "dapi": "inverse",
    "v2": "inverse",
    "usdt": "linear",
    "usd": "linear",
    "btc": "inverse",
}
"""The first step of Binance's paths and of Bybit's old API of contracts (names that end in USDT are linear all the same), and what
Gate's paths say that contracts are settled in."""
_CATEGORIES: dict[str, Market] = {"spot": "spot", "linear": "linear", "inverse": "inverse"}
_CLOCKS: dict[str, tuple[str, int]] = {"deribit": ("usOut", US), "bybit": ("time", MS), "htx": ("ts", MS)}
"""The key of the exchange's own time in its answers, and its unit."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of an answer, with its call as far as it was recorded.

    Parameters
    ----------
    exchange, market
        The exchange and its part; empty or ``None`` if unknown.
    body
        The parsed JSON.
    host, path, query
        The address of the call, empty if it was not recorded.
    heard
        When the answer was received, in nanoseconds.
    symbol, timeframe
        The dataset of the rows by the caller's options; empty if there are none.
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
        """Return the answer with the parts of its path added to the parameters."""
        named = {name: text for name, text in parts.items() if text}
        return replace(self, query={**self.query, **named})

    def native(self, parameter: str, steps: tuple[str | int, ...]) -> str:
        """Return the exchange's name of the market, from a parameter of the call or below *steps* in the body."""
        name = self.query.get(parameter)
        if not name and steps:
            name = at(self.body, *steps)
        return name or ""


@dataclass(frozen=True, slots=True)
class Call:
    """One row of a table: a call of one exchange, or of several with the same API.

    Parameters
    ----------
    exchanges, path
        The exchanges that have it, and a pattern of its path. Named groups of the pattern are parameters.
    kind
        The kind of its rows.
    fits
        Returns whether a body has the documented form: it is no error, and it is complete.
    read
        Yields the rows of a body that fits.
    refuses
        Returns why the rows of an answer must not be imported; empty if they may.
    by_look
        Whether an answer without an address is recognised as one of this call if its body fits.
    """

    exchanges: tuple[str, ...]
    path: str
    kind: str
    fits: Callable[[Any], bool]
    read: Callable[[Answer], Iterator[Row]]
    refuses: Callable[[Answer], str] = lambda _answer: ""
    by_look: bool = True


def market_of(answer: Answer) -> Market | None:
    """Return the part of the exchange that an answer is of, by its path, body, parameters or host."""
    part = _PARTS.get(answer.query.get("part", ""))
    category = at(answer.body, "result", "category") or answer.query.get("category")
    return part or _CATEGORIES.get(str(category)) or answer.market


def clock_of(answer: Answer) -> int | None:
    """Return the exchange's time in an answer, or when the answer was received, in nanoseconds."""
    name, unit = _CLOCKS.get(answer.exchange, ("", 1))
    written = at(answer.body, name)
    if written is None:
        return answer.heard
    return decimal_to_ns(written, unit)


def at(body: Any, *steps: str | int) -> Any:
    """Return the value below *steps* in a body, or ``None`` if there is none.

    ``?`` stands for the only key besides ``last``, and ``*`` for the value of that key: Kraken names the market so.
    """
    for step in steps:
        if isinstance(body, dict):
            if step == "?":
                body = _only_name(body)
            elif step == "*":
                body = body.get(_only_name(body))
            else:
                body = body.get(step)
        elif isinstance(body, list) and isinstance(step, int) and len(body) > step:
            body = body[step]
        else:
            return None
    return body


def _only_name(body: dict[str, Any]) -> str | None:
    """Return the only key besides ``last``, which is Kraken's cursor."""
    names = [name for name in body if name != "last"]
    if len(names) != 1:
        return None
    return names[0]


def has(entry: Any, places: Iterable[int | str]) -> bool:
    """Whether *entry* is an object with these keys, or a list with these indexes."""
    if isinstance(entry, dict):
        return all(place in entry for place in places)
    return isinstance(entry, list) and all(isinstance(place, int) and place < len(entry) for place in places)


def value_at(entry: Any, place: int | str | None) -> Any:
    """Return the value at a key or an index of *entry*; ``None`` if it has no such place."""
    if place is None:
        return None
    if isinstance(entry, dict):
        return entry.get(place)
    if int(place) < len(entry):
        return entry[int(place)]
    return None


def read_time(written: Any, unit: int) -> int:
    """Return a time in nanoseconds. *unit* is what numbers count, in nanoseconds; 0 means ISO text."""
    if unit:
        return decimal_to_ns(written, unit)
    return parse_time(written)


def lists_of(value: Any, width: int) -> bool:
    """Whether *value* is a list of lists with at least *width* entries each."""
    return isinstance(value, list) and all(isinstance(entry, list) and len(entry) >= width for entry in value)
