"""What a frame is to hold, as it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ticklake.core.dataset import Dataset
from ticklake.core.duration import DurationLike, parse_duration
from ticklake.core.indicator_names import Indicator, parse_indicators
from ticklake.core.knowledge import Knowledge, parse_knowledge
from ticklake.core.lookup import did_you_mean
from ticklake.core.selection import parse_count, parse_names
from ticklake.core.span import ALL_TIME
from ticklake.core.symbol import Symbol, exchange_id
from ticklake.core.timeframe import Timeframe
from ticklake.errors import BadInput

if TYPE_CHECKING:
    from ticklake.core.timeline import Times

__all__ = ["EVENT_KINDS", "FRAME_KINDS", "STATES", "FrameRequest"]

EVENT_KINDS = ("trades", "quotes", "funding", "open_interest")
"""Kinds of which a frame has the rows that happened in its window."""
FRAME_KINDS = ("trades", "book", "quotes", "funding", "open_interest")
STATES = frozenset({"funding", "open_interest"})
"""Kinds whose newest row holds until the next one: a frame has it even if it is older than the window."""


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """What a frame is to hold. Build it with :meth:`of`, which takes what users write.

    ``kinds`` is ``None`` for all that the lake has.
    """

    exchange: str
    symbol: Symbol
    window: int
    timeframes: tuple[Timeframe, ...]
    kinds: tuple[str, ...] | None = None
    book_depth: int | None = None
    indicators: tuple[Indicator, ...] = ()
    features: tuple[str, ...] = ()
    knowledge: Knowledge = "default"
    fill: Literal["forward"] | None = None

    @classmethod
    def of(
        cls,
        exchange: str,
        symbol: str,
        *,
        window: DurationLike = "60m",
        timeframes: str | Sequence[str] = ("1m",),
        kinds: str | Sequence[str] | None = None,
        book_depth: int | None = None,
        indicators: str | Sequence[str] = (),
        features: str | Sequence[str] = (),
        knowledge: str = "default",
        fill: str | None = None,
    ) -> FrameRequest:
        """Return the request that is written so.

        Raises
        ------
        BadInput
            If a value is none that it can have; the error names it.
        """
        frames = tuple(dict.fromkeys(map(Timeframe.parse, _several("timeframes", timeframes))))
        if book_depth is not None:
            book_depth = parse_count("book_depth", book_depth, 1, of="levels")
        return cls(
            exchange_id(exchange),
            Symbol(symbol),
            _length(window),
            frames,
            _kinds(kinds),
            book_depth,
            _indicators(indicators, frames),
            tuple(_several("features", features)),
            parse_knowledge(knowledge),
            _fill(fill),
        )

    def since(self, at: Times) -> Times:
        """Return when the windows of instants begin."""
        # Near the begin of time, the difference would wrap around.
        return np.where(at < ALL_TIME.start + self.window, ALL_TIME.start, at - self.window)

    @property
    def looked_up(self) -> tuple[str, ...]:
        """The kinds of which a frame has rows besides bars, if the lake has them."""
        if self.kinds is None:
            return FRAME_KINDS
        if self.book_depth is None or "book" in self.kinds:
            return self.kinds
        return (*self.kinds, "book")

    @property
    def warm_up(self) -> int:
        """How many bars its indicators need."""
        return max((indicator.warm_up for indicator in self.indicators), default=0)

    def dataset(self, kind: str, timeframe: Timeframe | None = None) -> Dataset:
        """Return the dataset of a kind."""
        return Dataset(self.exchange, kind, self.symbol, timeframe)


def _length(window: DurationLike) -> int:
    length = parse_duration(window)
    if length == 0:
        raise BadInput(f"window={window!r} is empty: pass a length of time like '60m'")
    return length


def _indicators(names: str | Sequence[str] | None, timeframes: tuple[Timeframe, ...]) -> tuple[Indicator, ...]:
    if names is None:
        return ()
    wanted = tuple(parse_indicators(names))
    if wanted and not timeframes:
        raise BadInput("indicators are computed from bars, and timeframes names none: add one, like timeframes=['1m']")
    return wanted


def _fill(fill: str | None) -> Literal["forward"] | None:
    if fill is None:
        return None
    if fill != "forward":
        raise BadInput(f"fill={fill!r} is not known: leave it out, or pass 'forward' to repeat the last close")
    return "forward"


def _several(name: str, value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, Timeframe):
        return [value]
    # Timeframes need not be texts; what else they may be, Timeframe.parse knows.
    if name == "timeframes" and isinstance(value, Iterable) and not isinstance(value, str):
        return list(value)
    return parse_names(name, value)


def _kinds(kinds: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if kinds is None:
        return None
    names: dict[str, None] = {}
    for name in parse_names("kinds", kinds):
        # Bars are there anyway: which ones, timeframes says.
        if name == "ohlcv":
            continue
        if name not in FRAME_KINDS:
            hint = did_you_mean(name, list(FRAME_KINDS))
            raise BadInput(f"a frame has no kind {name!r}{hint}: use some of ohlcv, {', '.join(FRAME_KINDS)}")
        names[name] = None
    return tuple(names)
