"""Heartbeats: signs of life of what is going on, given in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import suppress

__all__ = ["Heartbeat"]


class Heartbeat:
    """Gives signs of life of things by their numbers, from one thread that is there only while there are any.

    Parameters
    ----------
    beat
        Called with the numbers of all that is going on; an error is passed over, the next beat comes.
    every
        Seconds between two beats.
    """

    def __init__(self, beat: Callable[[Collection[int]], None], every: float) -> None:
        self._beat = beat
        self._every = every
        self._alive: set[int] = set()
        self._turn = threading.Condition()
        self._thread: threading.Thread | None = None

    def begin(self, number: int) -> None:
        """Give signs of life of *number* from now on."""
        with self._turn:
            self._alive.add(number)
            if self._thread is None:
                self._thread = threading.Thread(target=self._go, name="ticklake-heartbeat", daemon=True)
                self._thread.start()

    def end(self, number: int) -> None:
        """Give no more of it."""
        with self._turn:
            self._alive.discard(number)

    def stop(self) -> None:
        """Give none any more."""
        with self._turn:
            self._alive.clear()
            self._turn.notify_all()

    def _go(self) -> None:
        while alive := self._next():
            with suppress(Exception):
                self._beat(alive)

    def _next(self) -> Collection[int]:
        """Wait for the next beat and return what is alive then; the thread ends with nothing."""
        with self._turn:
            self._turn.wait(self._every)
            if not self._alive:
                self._thread = None
            return frozenset(self._alive)
