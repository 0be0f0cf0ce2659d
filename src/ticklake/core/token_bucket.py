"""Token buckets: how often something may be done by each of many callers."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["TokenBuckets"]

_MOST = 10_000
"""Callers that are remembered; the one that was idle for longest is forgotten first."""


class TokenBuckets:
    """A bucket for each key: it holds up to *burst*, gains *rate* a second, and each use takes one.

    Times are seconds of a clock that never goes back.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """What was left in each bucket, and when."""

    def take(self, key: str, now: float) -> float:
        """Take one from the bucket of *key*; return 0, or the seconds until there is one if it is empty."""
        level = self._level(key, now)
        wait = 0.0
        if level >= 1:
            level -= 1
        else:
            wait = (1 - level) / self._rate
        # Also where nothing was taken: to ask again and again does not make the wait longer.
        self._levels[key] = (level, now)
        self._levels.move_to_end(key)
        if len(self._levels) > _MOST:
            self._levels.popitem(last=False)
        return wait

    def is_empty(self, key: str, now: float) -> bool:
        """Whether nothing can be taken from the bucket of *key*."""
        return self._level(key, now) < 1

    def _level(self, key: str, now: float) -> float:
        left, since = self._levels.get(key, (self._burst, now))
        return min(self._burst, left + (now - since) * self._rate)
