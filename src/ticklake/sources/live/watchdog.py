"""When a silent connection is dead: pure arithmetic on times that the caller gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Silence", "Watchdog"]

Verdict = Literal["alive", "quiet", "dead"]
"""``quiet``: the exchange answers pings but sends no data for far longer than usual; ``dead``: there is no sign of life at all."""

_DECAY = 0.999
"""How fast the longest interval is forgotten, by message: after about 700 messages it counts half."""
_ENOUGH = 20
"""From so many intervals on, the rate of a connection is known."""


@dataclass(frozen=True, slots=True)
class Silence:
    """How long a connection may be silent, in seconds.

    Parameters
    ----------
    dead
        Without any sign of life, be it an answer to a ping.
    factor
        Without data: so many times the longest usual interval between two messages, but
    shortest, longest
        not less and not more than these.
    """

    dead: float = 30.0
    factor: float = 8.0
    shortest: float = 30.0
    longest: float = 900.0


class Watchdog:
    """Judges the silence of one connection by its usual rate.

    Times are seconds of a monotonic clock. A quiet market is no dead one: where the exchange shows that it is there, by answers to pings
    or by heartbeats, the connection is never ``dead``. Answers to pings may come from a proxy in front of the exchange, though; so a
    connection that has been busy and brings no data any more becomes ``quiet`` after a while: reason to open another, none to end it.
    """

    def __init__(self, silence: Silence, now: float) -> None:
        self._silence = silence
        self._sign_at = now
        self._data_at = now
        self._longest = 0.0
        self._intervals = 0

    def data(self, now: float) -> None:
        """Take note of a message with data, or of a heartbeat of the exchange itself."""
        interval = now - self._data_at
        self._longest = max(interval, self._longest * _DECAY)
        self._intervals += 1
        self._sign_at = self._data_at = now

    def sign(self, now: float) -> None:
        """Take note of an answer to a ping."""
        self._sign_at = now

    def pause(self, seconds: float) -> None:
        """Take note that nobody read from the connection for so long: that is no silence of the exchange."""
        self._sign_at += seconds
        self._data_at += seconds

    @property
    def patience(self) -> float:
        """For how long data may be missing; the longest allowed while the usual rate is not known."""
        if self._intervals < _ENOUGH:
            return self._silence.longest
        usual = self._silence.factor * self._longest
        return min(max(usual, self._silence.shortest), self._silence.longest)

    def verdict(self, now: float) -> Verdict:
        """Return what to think of the connection."""
        if now - self._sign_at > self._silence.dead:
            return "dead"
        if self._intervals >= _ENOUGH and now - self._data_at > self.patience:
            return "quiet"
        return "alive"
