"""Clocks for tests: nanoseconds UTC, as :func:`ticklake.open` takes them with ``clock=``."""

from __future__ import annotations

import time
from typing import Generic, TypeVar

__all__ = ["ManualClock", "OffsetClock"]

Number = TypeVar("Number", int, float)


class ManualClock(Generic[Number]):
    """A clock that stands still until a test sets ``now``; the unit is the test's own, nanoseconds for a lake."""

    def __init__(self, now: Number) -> None:
        self.now: Number = now

    def __call__(self) -> Number:
        """Return the time that was set."""
        return self.now


class OffsetClock:
    """The real time, ``ahead`` nanoseconds ahead of itself: the ages of real files make sense then."""

    def __init__(self, ahead: int = 0) -> None:
        self.ahead = ahead

    def __call__(self) -> int:
        """Return the time of now, and what it is ahead."""
        return time.time_ns() + self.ahead
