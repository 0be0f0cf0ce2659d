"""How an exchange is asked for the trades of a window of time."""

from __future__ import annotations

from dataclasses import dataclass

from ticklake.core.span import Span
from ticklake.core.time import DAY, MS

__all__ = ["BY_SINCE", "TradeCalls"]


@dataclass(frozen=True, slots=True)
class TradeCalls:
    """How an exchange is asked for a window of trades.

    Parameters
    ----------
    start, end
        Parameters of ccxt's call that bound the window: ``since`` is its argument; no start means that the newest trades
        before the end come. ``since`` and ``until`` are in milliseconds.
    unit
        The precision of the bounds, in nanoseconds; what is sent under another name than these two is in this unit.
    params
        What is sent along.
    longest
        The longest window that the exchange takes.
    """

    start: str | None = "since"
    end: str = "until"
    unit: int = MS
    params: tuple[tuple[str, str], ...] = ()
    longest: int = 6 * DAY

    def bounds(self, window: Span, *, exactly: bool = False) -> tuple[int | None, dict[str, object]]:
        """Return ccxt's ``since`` and ``params`` for a window.

        It is asked from one unit early on and to its end inclusively, as bounds may be excluded and rows outside do no
        harm, unless those are so many that they push out what is inside: then it is asked *exactly*.
        """
        early = self.unit if self.start and not exactly else 0
        start, end = window.start // self.unit * self.unit - early, -(-window.end // self.unit) * self.unit
        params: dict[str, object] = {**dict(self.params), self.end: self._sent(self.end, end)}
        if self.start not in {None, "since"}:
            params[str(self.start)] = self._sent(str(self.start), start)
        return (start // MS if self.start == "since" else None), params

    def _sent(self, name: str, ns: int) -> int:
        return ns // (MS if name in {"since", "until"} else self.unit)


BY_SINCE = TradeCalls()
"""By ccxt's own arguments."""
