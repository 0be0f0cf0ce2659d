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
        The parameters of ccxt's call that bound the window. ``since`` stands for ccxt's own argument. ``since`` and ``until``
        are sent in milliseconds, others in *unit*. No start means that the newest trades before the end come.
    unit
        The precision of the bounds, in nanoseconds.
    params
        Other parameters of each call.
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

        The call begins one unit early and ends with the end of the window, as bounds may be excluded and rows outside of it do
        no harm. If those are so many that they push out what is inside, the start is sent *exactly*.
        """
        end = -(-window.end // self.unit) * self.unit
        params: dict[str, object] = {**dict(self.params), self.end: self._sent(self.end, end)}
        if self.start is None:
            return None, params
        start = window.start // self.unit * self.unit
        if not exactly:
            start -= self.unit
        if self.start == "since":
            return start // MS, params
        params[self.start] = self._sent(self.start, start)
        return None, params

    def _sent(self, name: str, ns: int) -> int:
        """Return a bound in the unit in which the parameter *name* takes it."""
        if name == "until":
            return ns // MS
        return ns // self.unit


BY_SINCE = TradeCalls()
"""A window bounded by ccxt's own arguments, ``since`` and ``until``."""
