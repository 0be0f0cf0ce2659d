"""Bars: by which rule they are made of trades or of shorter bars."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from ticklake.core.lookup import did_you_mean
from ticklake.core.sessions import SessionDay
from ticklake.core.time import DAY, TimeLike, format_time, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.errors import BadInput, UnknownTimeframe

__all__ = ["Bars", "Closed", "Fill", "Label", "Unit"]

Unit = Literal["time", "ticks", "volume", "dollars"]
Closed = Literal["left", "right"]
Label = Literal["open", "close"]
Fill = Literal["forward", "zero"]

_TEXT = re.compile(r"(\d+(?:\.\d+)?(?:e\d+)?)\s*(ticks?|volume|dollars?)", re.IGNORECASE)
_UNITS: dict[str, Unit] = {
    "tick": "ticks",
    "ticks": "ticks",
    "volume": "volume",
    "dollar": "dollars",
    "dollars": "dollars",
}
EXCHANGE = "exchange"
"""The session of the exchange itself: the days of its calendar."""


@dataclass(frozen=True, slots=True)
class Bars:
    """By which rule bars are made. Build it with :meth:`time`, :meth:`ticks`, :meth:`volume`, :meth:`dollars` or :meth:`parse`.

    Time bars hold what happened in ``[open, close)``. The others are closed by the trade with which they hold so many trades, so
    much volume or so much money: it belongs to the bar that it closes and is not split, and what is too much does not count for the next bar.

    Parameters
    ----------
    unit
        ``time``, ``ticks``, ``volume`` (of the base currency) or ``dollars`` (price times amount: the quote currency).
    timeframe
        Of time bars.
    size
        Of the others.
    closed
        Which end of time bars belongs to them: ``left`` is ``[open, close)``, ``right`` is ``(open, close]``.
    label
        Whether ``ts`` is the time at which a bar opens or closes.
    origin
        From when on bars count. Time bars count from the epoch or the exchange's anchor without it, the others from their first trade.
    session
        Where bars begin anew each day: ``exchange`` for the days of the exchange's calendar, a time zone, like
        ``America/New_York``, or a time in it, like ``17:00 America/New_York``.
    fill
        How time bars without rows are filled: ``forward`` with the close before them and no volume, ``zero`` with no volume and
        unknown prices. Without it there are none.

    Raises
    ------
    BadInput
        If one of them is none, or they contradict each other.
    """

    unit: Unit
    timeframe: Timeframe | None = None
    size: float | None = None
    closed: Closed = "left"
    label: Label = "open"
    origin: int | None = None
    session: str | None = None
    fill: Fill | None = None

    def __post_init__(self) -> None:
        for name, words in (("unit", Unit), ("closed", Closed), ("label", Label), ("fill", Fill)):
            value, known = getattr(self, name), get_args(words)
            if value not in known and (name, value) != ("fill", None):
                raise BadInput(f"{name}={value!r} is none{did_you_mean(value, known)}: use one of {', '.join(known)}")
        if self.session not in (None, EXCHANGE):
            SessionDay.parse(self.session)
        if self.unit == "time":
            self._check_time()
        else:
            self._check_size()

    def _check_time(self) -> None:
        if self.timeframe is None:
            raise BadInput("time bars need a timeframe, like 1h")
        if self.origin is not None and self.session is not None:
            raise BadInput("origin and session contradict each other: time bars count from one of them")
        if self.origin is not None and self.timeframe.is_month:
            raise BadInput(f"origin does not fit {self.timeframe}: months begin on their first day")
        if self.session is not None and self.timeframe.unit in "smh" and self.timeframe.length > DAY:
            raise BadInput(
                f"{self.timeframe} bars do not fit into the days of a session: use one of up to a day, or days"
            )

    def _check_size(self) -> None:
        size = self.size
        is_number = isinstance(size, int | float) and not isinstance(size, bool)
        if size is None or not is_number or not 0 < size < math.inf:
            raise BadInput(f"{size!r} is no size of bars: pass a number above 0, like Bars.{self.unit}(100)")
        if self.unit == "ticks" and size != int(size):
            raise BadInput(f"{size!r} is no number of trades: pass a whole one, like Bars.ticks(100)")
        object.__setattr__(self, "size", float(size))
        if self.closed != "left" or self.fill is not None:
            raise BadInput(f"closed and fill are for time bars: bars of {self.unit} end with a trade and none is empty")

    @classmethod
    def time(cls, timeframe: str | Timeframe, **edges: Any) -> Bars:
        """Return bars of a timeframe, like ``1h``."""
        return cls("time", Timeframe.parse(timeframe), **_edges(edges))

    @classmethod
    def ticks(cls, count: int, **edges: Any) -> Bars:
        """Return bars of so many trades."""
        return cls("ticks", size=count, **_edges(edges))

    @classmethod
    def volume(cls, amount: float, **edges: Any) -> Bars:
        """Return bars of so much volume."""
        return cls("volume", size=amount, **_edges(edges))

    @classmethod
    def dollars(cls, amount: float, **edges: Any) -> Bars:
        """Return bars of so much money: price times amount."""
        return cls("dollars", size=amount, **_edges(edges))

    @classmethod
    def parse(cls, rule: str | Timeframe | Bars, **edges: Any) -> Bars:
        """Read ``1h``, ``100ticks``, ``5volume`` or ``1000000dollars``; *edges* are the other parameters.

        Raises
        ------
        UnknownTimeframe
            If it is none of these.
        """
        if isinstance(rule, Bars):
            return replace(rule, **_edges(edges))
        if isinstance(rule, str):
            match = _TEXT.fullmatch(rule)
            if match:
                return cls(_UNITS[match[2].lower()], size=float(match[1]), **_edges(edges))
        try:
            return cls.time(rule, **edges)
        except UnknownTimeframe as error:
            raise UnknownTimeframe(f"{error}; other bars like 100ticks, 5volume or 1000000dollars") from None

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Bars:
        """Read what :meth:`to_json` returned."""
        edges = dict(kept)
        return cls.parse(edges.pop("bars"), **edges)

    def to_json(self) -> dict[str, Any]:
        """Return it as it is kept in a rule: what is as usual is left out."""
        kept: dict[str, Any] = {"bars": str(self)}
        if self.closed != "left":
            kept["closed"] = self.closed
        if self.label != "open":
            kept["label"] = self.label
        if self.origin is not None:
            kept["origin"] = format_time(self.origin)
        for name in ("session", "fill"):
            if getattr(self, name) is not None:
                kept[name] = getattr(self, name)
        return kept

    @property
    def is_time(self) -> bool:
        """Whether a bar ends with its time and not with a trade."""
        return self.unit == "time"

    def day(self, of_exchange: SessionDay) -> SessionDay | None:
        """Return where days begin with which bars begin anew, given those of the exchange; ``None`` without sessions."""
        if self.session is None:
            return None
        if self.session == EXCHANGE:
            return of_exchange
        return SessionDay.parse(self.session)

    def __str__(self) -> str:
        if self.size is None:
            return str(self.timeframe)
        # As it was written: 100ticks, and not 100.0ticks.
        if self.size.is_integer():
            return f"{int(self.size)}{self.unit}"
        return f"{self.size}{self.unit}"


def _edges(edges: Mapping[str, Any]) -> dict[str, Any]:
    known = ("closed", "label", "origin", "session", "fill")
    for name in edges:
        if name not in known:
            raise BadInput(f"bars have no {name!r}{did_you_mean(name, known)}: they have {', '.join(known)}")
    parsed = dict(edges)
    origin: TimeLike | None = parsed.get("origin")
    if origin is not None:
        parsed["origin"] = parse_time(origin)
    return parsed
