"""Heartbeats: recorded in the background while work is going on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import suppress

__all__ = ["Heartbeat"]


class Heartbeat:
    """Records heartbeats of numbered work, in one thread that exists only while there is any.

    Parameters
    ----------
    beat
        Called with the numbers of all active work; an error is ignored, because the next beat follows.
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
        """Start the heartbeats of *number*."""
        with self._turn:
            self._alive.add(number)
            if self._thread is None:
                self._thread = threading.Thread(target=self._go, name="ticklake-heartbeat", daemon=True)
                self._thread.start()

    def end(self, number: int) -> None:
        """Stop the heartbeats of *number*."""
        with self._turn:
            self._alive.discard(number)

    def stop(self) -> None:
        """Stop all heartbeats."""
        with self._turn:
            self._alive.clear()
            self._turn.notify_all()

    def _go(self) -> None:
        while alive := self._next():
            with suppress(Exception):
                self._beat(alive)

    def _next(self) -> Collection[int]:
        """Wait for the next beat and return the active numbers; if there are none, the thread ends."""
        with self._turn:
            self._turn.wait(self._every)
            if not self._alive:
                self._thread = None
            return frozenset(self._alive)
