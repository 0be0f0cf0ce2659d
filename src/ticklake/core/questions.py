"""Questions: what a walk over a span asks of a source, where rows can stand, and what it settles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ticklake.core.coverage import Covered
from ticklake.core.span import Span
from ticklake.core.time import MS
from ticklake.core.timeframe import Timeframe

__all__ = [
    "AskOther",
    "AskRows",
    "AskTraded",
    "AskTrades",
    "BarGrid",
    "EventGrid",
    "Grid",
    "Question",
    "Settled",
    "Step",
]


class Grid(Protocol):
    """Where rows can stand: how to step from one to another, and what one row covers."""

    @property
    def scheduled(self) -> bool:
        """Whether rows come at an interval, so that a silence shorter than one proves itself."""

    def step(self, ts: int, rows: int) -> int:
        """Return the place so many *rows* after *ts* (before it, if negative)."""

    def close(self, ts: int) -> int:
        """Return the end of what the row at *ts* covers."""


@dataclass(frozen=True, slots=True)
class BarGrid:
    """Bars of a timeframe: a row covers the time from its open to its close."""

    frame: Timeframe
    anchor: int | None = None
    scheduled: bool = False

    def step(self, ts: int, rows: int) -> int:
        """Return the open time so many bars after the one that contains *ts*."""
        return self.frame.advance(ts, rows, self.anchor)

    def close(self, ts: int) -> int:
        """Return the close of the bar that opens at *ts*."""
        return self.frame.next(ts, self.anchor)


@dataclass(frozen=True, slots=True)
class EventGrid:
    """Events at most every *spacing* nanoseconds, like funding; a row covers its own millisecond."""

    spacing: int
    scheduled: bool = True

    def step(self, ts: int, rows: int) -> int:
        """Return the time so many spacings after *ts*."""
        return ts + rows * self.spacing

    def close(self, ts: int) -> int:
        """Return the end of the millisecond of *ts*."""
        return ts + MS


@dataclass(frozen=True, slots=True)
class AskRows:
    """Ask the source for the rows of a window; the answer is their times, sorted and without repetition.

    If the source refuses such a window, the answer is its error.
    """

    span: Span


@dataclass(frozen=True, slots=True)
class AskOther:
    """Ask for the rows of another market in a window, by the same kind of call; the answer is their times.

    There are none if there is no other market, or none that answers.
    """

    span: Span


@dataclass(frozen=True, slots=True)
class AskTrades:
    """Ask for the newest trades of the market; the answer is their sorted times, or ``None`` if nobody can say."""


@dataclass(frozen=True, slots=True)
class AskTraded:
    """Ask for the first day inside a span that has trades by the source's daily bars; ``None`` if none or unknown."""

    span: Span


@dataclass(frozen=True, slots=True)
class Settled:
    """What is now known of the next part of the wanted span, in order."""

    pieces: tuple[Covered, ...]


Question = AskOther | AskRows | AskTrades | AskTraded
Step = Question | Settled
