"""The end of a server: what SIGTERM begins, and what happens if that takes too long."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ticklake.log import Log

__all__ = ["Ending"]

_LOG = Log("server")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Ending:
    """Ends a process in good order, within a time.

    Parameters
    ----------
    seconds
        After so many, the process ends, whatever still goes on.
    stop
        Called once, when the end begins; must return at once.
    give_up
        Called if time is up, before the process ends: what is left undone is to go on elsewhere.
    """

    def __init__(self, seconds: float, stop: Callable[[], object], give_up: Callable[[], object]) -> None:
        self._seconds = seconds
        self._stop = stop
        self._give_up = give_up
        self._reason = ""
        self._first = threading.Lock()
        self._begun, self._done = threading.Event(), threading.Event()

    def begin(self, reason: str = "") -> None:
        """Begin to end, from any thread; the second call does nothing."""
        # A lock that is never released: whoever takes it first begins. A signal may interrupt anything, a line of the log or the start of
        # a thread among it: all that takes a lock is left to the thread that watches.
        if self._first.acquire(blocking=False):
            self._reason = reason
            self._stop()
            self._begun.set()

    def hurry(self) -> None:
        """Begin to end, or end at once if that has begun: whoever waited for this process is gone."""
        if self._first.locked():
            os._exit(1)
        self.begin("its parent has ended")

    @contextmanager
    def at_signals(self) -> Iterator[None]:
        """Begin to end at SIGTERM and Ctrl-C while the block runs; a second one ends the process at once."""

        def handle(number: int, _frame: object) -> None:
            for each in _SIGNALS:
                signal.signal(each, signal.SIG_DFL)
            self.begin(signal.Signals(number).name)

        watching = threading.Thread(target=self._watch, name="ticklake-ending", daemon=True)
        watching.start()
        before = {number: signal.signal(number, handle) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._done.set()
            # It may still be waiting for a beginning that does not come.
            self._begun.set()
            watching.join()

    def _watch(self) -> None:
        """Say that the end has begun, and see to it that it comes in time."""
        self._begun.wait()
        if self._first.locked():
            _LOG.info("server ending", reason=self._reason or None, seconds=self._seconds)
        if not self._done.wait(self._seconds):
            self._end_now()

    def _end_now(self) -> None:
        _LOG.warning("server ended before its work did: what was committed is kept, the rest goes on later")
        try:
            self._give_up()
        finally:
            logging.shutdown()
            # Threads that hang cannot be ended in another way.
            os._exit(0)
