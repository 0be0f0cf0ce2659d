"""The pace of one exchange: every call takes a turn, and what one process is told holds for all of them."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ticklake.errors import Banned, RateLimited
from ticklake.sources.pacing.headers import asked_pause

if TYPE_CHECKING:
    from ticklake.sources.pacing.ledger import Ledger, Pause

__all__ = ["Pace"]

_Answer = TypeVar("_Answer")

FIRST_PAUSE = 1.0
"""Seconds after a refusal that says no number; each one that follows soon is twice as long."""
LONGEST_PAUSE = 60.0
SOON = 60.0
BAN = 300.0
"""Seconds after a ban that says no number."""
TELL = 1.0
"""Waits from so many seconds on are told."""


class Pace:
    """Turns at one exchange.

    Parameters
    ----------
    name
        The exchange.
    key
        Whose budget it is: the exchange, or its address where that was replaced.
    path
        The ledger that all processes share; ``None`` is one of our own. Where it cannot be kept, the pace holds in
        this process only, and the first who waits is told.
    """

    def __init__(
        self, name: str = "", key: str = "", path: Path | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.name = name
        self.key = key or name
        self._path = path
        self._clock = clock
        self._ledger: Ledger | None = None

    async def turn(self, length_ms: float, tell: Callable[[str], object] = lambda _text: None) -> None:
        """Wait until we may call, and take a turn that lasts *length_ms* milliseconds.

        Raises
        ------
        Banned
            If the exchange has banned this address, until then.
        """
        told = False
        while (verdict := self._asked(lambda kept: kept.take(self.key, length_ms, self._now()), tell)).wait:
            if verdict.pause is not None and verdict.pause.is_ban:
                raise Banned(self._ban_text(verdict.pause), verdict.wait / 1_000)
            if not told and verdict.pause is not None and verdict.wait >= TELL * 1_000:
                tell(f"waited {verdict.wait / 1_000:.0f} s: {self.name} asked everybody here to slow down")
                told = True
            await asyncio.sleep(verdict.wait / 1_000)

    def heard(self, path: str, headers: Mapping[str, str]) -> None:
        """Take note of what an answer's headers (of any case) say about the budget."""
        lowered = {name.lower(): value for name, value in headers.items()}
        seconds = asked_pause(self.name, path, lowered, self._clock())
        if seconds > 0:
            self._pause(seconds)

    @contextmanager
    def minding(self) -> Iterator[None]:
        """Make what the block is told everybody's: a refusal is a pause, a ban a long one."""
        try:
            yield
        except RateLimited as error:
            self._pause(self._next_pause() if error.retry_after is None else error.retry_after)
            raise
        except Banned as error:
            self._pause(BAN if error.retry_after is None else error.retry_after, is_ban=True)
            raise

    def close(self) -> None:
        """Close the ledger."""
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def _pause(self, seconds: float, *, is_ban: bool = False) -> None:
        self._asked(lambda kept: kept.pause(self.key, int(seconds * 1_000) + 1, self._now(), is_ban=is_ban))

    def _next_pause(self) -> float:
        last, now = self._asked(lambda kept: kept.last_pause(self.key)), self._now()
        if last.left(now) or now - last.end > SOON * 1_000:
            return FIRST_PAUSE
        return min(max(FIRST_PAUSE, 2 * (last.end - last.start) / 1_000), LONGEST_PAUSE)

    def _asked(
        self, question: Callable[[Ledger], _Answer], tell: Callable[[str], object] = lambda _text: None
    ) -> _Answer:
        """Ask the ledger; one that cannot be written any more (a full disk, a home that is read-only now) is given up."""
        try:
            return question(self._kept(tell))
        except sqlite3.Error as error:
            self.close()
            return question(self._alone(error, tell))

    def _kept(self, tell: Callable[[str], object] = lambda _text: None) -> Ledger:
        from ticklake.sources.pacing.ledger import Ledger

        if self._ledger is None:
            try:
                self._ledger = Ledger(self._path)
            except (OSError, sqlite3.Error) as error:
                return self._alone(error, tell)
        return self._ledger

    def _alone(self, error: Exception, tell: Callable[[str], object]) -> Ledger:
        from ticklake.sources.pacing.ledger import Ledger

        tell(f"rate limits hold in this process only: {self._path} cannot be kept ({error})")
        self._ledger = Ledger(None)
        return self._ledger

    def _ban_text(self, pause: Pause) -> str:
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(pause.end / 1_000))
        return f"{self.name} has banned this address until {until}: wait, then run the same command again"

    def _now(self) -> int:
        return int(self._clock() * 1_000)
