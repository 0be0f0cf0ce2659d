"""How live feeds connect: times, pauses and what else callers choose."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ticklake.sources.live.socket import Backoff
from ticklake.sources.live.watchdog import Silence

__all__ = ["FeedOptions"]


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """How live feeds connect. Times are in seconds.

    Parameters
    ----------
    url
        Replaces scheme and host of every address; the exchange's host becomes the first part of the path of streams.
    native
        Whether to use Ticklake's own protocols where there are some; otherwise every exchange goes through ccxt.
    capture
        Whether messages carry the text that was received.
    connect_timeout, acknowledge_timeout
        How long the exchange may take to accept a connection, and to acknowledge a subscription.
    ping_every
        Time between pings; ``None`` for what suits the exchange.
    silence
        When a silent connection counts as dead.
    first_pause, longest_pause
        Bounds of the pauses before new connections.
    lifetime
        The age at which the exchange ends connections; ``None`` for what is known of it.
    overlap
        How long an old connection still delivers after another has taken over.
    slow
        A message that takes longer to hand over is reported as ``slow``.
    tick
        How often deadlines are looked at.
    random
        Where jitter comes from.
    monotonic
        A monotonic clock in seconds.
    """

    url: str | None = None
    native: bool = True
    capture: bool = False
    connect_timeout: float = 10.0
    acknowledge_timeout: float = 10.0
    ping_every: float | None = None
    silence: Silence = field(default_factory=Silence)
    first_pause: float = 0.5
    longest_pause: float = 60.0
    lifetime: float | None = None
    overlap: float = 10.0
    slow: float = 1.0
    tick: float = 0.25
    random: random.Random = field(default_factory=random.Random)
    monotonic: Callable[[], float] = time.monotonic

    def backoff(self) -> Backoff:
        """Return pauses that begin anew."""
        return Backoff(self.first_pause, self.longest_pause, self.random)
