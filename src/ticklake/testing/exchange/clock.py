"""The simulated exchange's clock. It stands still, runs, or jumps."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["SimulatedClock"]


class SimulatedClock:
    """A clock that starts at *start* and runs *speed* times as fast as the real one (0: stands still)."""

    def __init__(self, start: int, speed: float = 0.0, monotonic: Callable[[], int] = time.monotonic_ns) -> None:
        self._monotonic = monotonic
        self.speed = speed
        self.set(start)

    def now(self) -> int:
        """Return the simulated time in nanoseconds."""
        start, since = self._origin
        return start + int((self._monotonic() - since) * self.speed)

    def set(self, now: int) -> None:
        """Jump to *now*."""
        # One assignment: another thread that reads in between must not see half of a jump.
        self._origin = (now, self._monotonic())

    def advance(self, by: int) -> None:
        """Jump forward by *by* nanoseconds."""
        self.set(self.now() + by)
