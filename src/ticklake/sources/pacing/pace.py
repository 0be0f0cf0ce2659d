"""The pace of one exchange: every call takes a turn, and a refusal that one process gets holds for all processes."""

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

_Result = TypeVar("_Result")

FIRST_PAUSE = 1.0
"""Seconds to pause after a refusal without ``Retry-After``. The pause doubles if another follows soon."""
LONGEST_PAUSE = 60.0
SOON = 60.0
BAN = 300.0
"""Seconds to pause after a ban that does not say its end."""
TELL = 1.0
"""The shortest pause, in seconds, that is reported."""


class Pace:
    """Turns at one exchange.

    Parameters
    ----------
    name
        The exchange.
    key
        The owner of the budget: the exchange, or its address if the settings replace it.
    path
        The ledger that all processes share; ``None`` for one of this process alone. If the file cannot be written, the
        pace holds in this process only, and the first call reports it.
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
        is_reported = False
        while True:
            verdict = self._with_ledger(lambda ledger: ledger.take(self.key, length_ms, self._now()), tell)
            if not verdict.wait:
                return
            seconds = verdict.wait / 1_000
            if verdict.pause is not None and verdict.pause.is_ban:
                raise Banned(self._ban_text(verdict.pause), seconds)
            if not is_reported and verdict.pause is not None and seconds >= TELL:
                tell(f"waited {seconds:.0f} s: {self.name} asked everybody here to slow down")
                is_reported = True
            await asyncio.sleep(seconds)

    def pause_by_headers(self, path: str, headers: Mapping[str, str]) -> None:
        """Pause if the headers of a response (names in any case) say that the budget is nearly used."""
        lowered = {name.lower(): value for name, value in headers.items()}
        seconds = asked_pause(self.name, path, lowered, self._clock())
        if seconds > 0:
            self._pause(seconds)

    @contextmanager
    def pause_on_refusal(self) -> Iterator[None]:
        """Pause all processes if the block is refused or banned."""
        try:
            yield
        except (RateLimited, Banned) as error:
            is_ban = isinstance(error, Banned)
            seconds = error.retry_after
            if seconds is None:
                seconds = BAN if is_ban else self._next_pause()
            self._pause(seconds, is_ban=is_ban)
            raise

    def close(self) -> None:
        """Close the ledger."""
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def _pause(self, seconds: float, *, is_ban: bool = False) -> None:
        length = int(seconds * 1_000) + 1
        self._with_ledger(lambda ledger: ledger.pause(self.key, length, self._now(), is_ban=is_ban))

    def _next_pause(self) -> float:
        last = self._with_ledger(lambda ledger: ledger.last_pause(self.key))
        now = self._now()
        # A pause that still holds is of another call that was under way: it is no second refusal.
        if last.left(now) or now - last.end > SOON * 1_000:
            return FIRST_PAUSE
        doubled = 2 * (last.end - last.start) / 1_000
        return min(max(FIRST_PAUSE, doubled), LONGEST_PAUSE)

    def _with_ledger(
        self, use: Callable[[Ledger], _Result], tell: Callable[[str], object] = lambda _text: None
    ) -> _Result:
        """Return the result of *use*, with a ledger in memory if the file cannot be written (any more)."""
        try:
            return use(self._open_ledger(tell))
        except sqlite3.Error as error:
            # The disk may be full, or the home read-only since the ledger was opened.
            self.close()
            return use(self._use_memory(error, tell))

    def _open_ledger(self, tell: Callable[[str], object]) -> Ledger:
        from ticklake.sources.pacing.ledger import Ledger

        if self._ledger is None:
            try:
                self._ledger = Ledger(self._path)
            except (OSError, sqlite3.Error) as error:
                return self._use_memory(error, tell)
        return self._ledger

    def _use_memory(self, error: Exception, tell: Callable[[str], object]) -> Ledger:
        from ticklake.sources.pacing.ledger import Ledger

        tell(f"rate limits hold in this process only: {self._path} cannot be written ({error})")
        self._ledger = Ledger(None)
        return self._ledger

    def _ban_text(self, pause: Pause) -> str:
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(pause.end / 1_000))
        return f"{self.name} has banned this address until {until}: wait, then run the same command again"

    def _now(self) -> int:
        return int(self._clock() * 1_000)
