"""When a silent connection is dead: pure arithmetic on times that the caller gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Silence", "Watchdog"]

Verdict = Literal["alive", "quiet", "dead"]
"""``quiet``: the exchange answers pings but sends no data for far longer than usual; ``dead``: there is no sign of life at all."""

_DECAY = 0.999
"""How fast the longest interval is forgotten, by message: after about 700 messages it counts half."""
_ENOUGH = 5
"""From so many intervals on, the rate of a connection is known."""
_MOST_DOUBLINGS = 4


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
    connection that brings no data for far longer than usual becomes ``quiet``: reason to open another, none to end it.

    Parameters
    ----------
    before
        That of the connection before: the usual rate is known from it. If that one was quiet, this one may be so twice as long, until
        data come: the market itself may be quiet.
    """

    def __init__(self, silence: Silence, now: float, before: Watchdog | None = None) -> None:
        self._silence = silence
        self._sign_at = self._since = self._data_at = now
        self._longest = 0.0
        self._intervals = self._doublings = 0
        if before is not None:
            self._data_at = before._data_at
            self._longest, self._intervals = before._longest, before._intervals
            self._doublings = before._doublings
            if before.verdict(now) == "quiet":
                self._doublings = min(self._doublings + 1, _MOST_DOUBLINGS)

    def restart(self, now: float) -> None:
        """Take note that the connection is open."""
        self._sign_at = self._since = now

    def data(self, now: float) -> None:
        """Take note of a message with data, or of a heartbeat of the exchange itself."""
        interval = now - self._data_at
        self._longest = max(interval, self._longest * _DECAY)
        self._intervals += 1
        self._doublings = 0
        self._sign_at = self._since = self._data_at = now

    def sign(self, now: float) -> None:
        """Take note of an answer to a ping."""
        self._sign_at = now

    def pause(self, seconds: float) -> None:
        """Take note that nobody read from the connection for so long: that is no silence of the exchange."""
        self._sign_at += seconds
        self._since += seconds
        self._data_at += seconds

    @property
    def patience(self) -> float:
        """For how long data may be missing; the longest allowed while the usual rate is not known."""
        usual = self._silence.longest
        if self._intervals >= _ENOUGH:
            usual = min(max(self._silence.factor * self._longest, self._silence.shortest), usual)
        return float(usual * 2**self._doublings)

    def verdict(self, now: float) -> Verdict:
        """Return what to think of the connection."""
        if now - self._sign_at > self._silence.dead:
            return "dead"
        if now - self._since > self.patience:
            return "quiet"
        return "alive"
