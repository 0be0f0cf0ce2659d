"""Retries: how patiently what failed is tried again, whether it is a call, a download or a job."""

from __future__ import annotations

from dataclasses import dataclass

from ticklake.core.time import SECOND

__all__ = ["OF_CALLS", "OF_JOBS", "RetryPolicy"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently something is tried again: waits double, and jitter so that many do not return together.

    ``attempts`` counts the first try; ``first_wait`` and ``longest_wait`` are seconds.
    """

    attempts: int
    first_wait: float
    longest_wait: float

    def wait(self, attempt: int, chance: float, at_least: float = 0.0) -> int:
        """Return nanoseconds to wait after the given failed attempt (1 is the first).

        Half of the wait is certain, the other half is *chance* (0 to 1). *at_least* is what the exchange asked for, in seconds.
        """
        # Far beyond the longest wait the power stops growing: no float holds 2 to the power of any attempt.
        doubled = min(self.first_wait * 2 ** min(attempt - 1, 32), self.longest_wait)
        return int(max(doubled * (0.5 + 0.5 * chance), at_least) * SECOND)


OF_CALLS = RetryPolicy(attempts=6, first_wait=0.5, longest_wait=30.0)
"""Of calls of an exchange and downloads, unless the settings say otherwise."""
OF_JOBS = RetryPolicy(attempts=5, first_wait=30.0, longest_wait=3600.0)
"""Of jobs, unless the settings say otherwise."""
