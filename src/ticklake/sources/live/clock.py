"""The clock that messages are stamped with: this machine's time, which runs evenly whatever happens to the wall clock."""

from __future__ import annotations

import time
from collections.abc import Callable

from ticklake.core.time import SECOND

__all__ = ["SteeredClock"]

_SLEW = 2_000
"""A small error is corrected by one part in so many: 500 microseconds a second, as NTP clients do."""
_STEP = SECOND
"""A larger error means that the wall clock was set, or that the machine slept: it is taken over at once."""


class SteeredClock:
    """Nanoseconds UTC: the wall clock's time at the start and a monotonic clock since, steered slowly to the wall clock.

    Two messages are stamped in the order in which they came, though the wall clock be adjusted by milliseconds in between.

    Parameters
    ----------
    wall, monotonic
        Clocks in nanoseconds.
    """

    def __init__(
        self, wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._steered_at = monotonic()
        self._offset = wall() - self._steered_at

    def __call__(self) -> int:
        """Return the time."""
        now = self._monotonic()
        elapsed = now - self._steered_at
        if elapsed >= SECOND:
            self._steer(now, elapsed)
        return self._offset + now

    def _steer(self, now: int, elapsed: int) -> None:
        error = self._wall() - (self._offset + now)
        if abs(error) < _STEP:
            most = elapsed // _SLEW
            error = max(-most, min(most, error))
        self._offset += error
        self._steered_at = now
