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
        self._has_begun = threading.Lock()
        self._timer = threading.Timer(seconds, self._end_now)
        self._timer.daemon = True

    def begin(self, reason: str = "") -> None:
        """Begin to end, from any thread; the second call does nothing."""
        # A lock that is never released: whoever takes it first begins.
        if self._has_begun.acquire(blocking=False):
            self._timer.start()
            self._stop()
            _LOG.info("server ending", reason=reason or None, seconds=self._seconds)

    def hurry(self) -> None:
        """Begin to end, or end at once if that has begun: whoever waited for this process is gone."""
        if self._has_begun.locked():
            os._exit(1)
        self.begin("its parent has ended")

    @contextmanager
    def at_signals(self) -> Iterator[None]:
        """Begin to end at SIGTERM and Ctrl-C while the block runs; a second one ends the process at once."""

        def handle(number: int, _frame: object) -> None:
            for each in _SIGNALS:
                signal.signal(each, signal.SIG_DFL)
            self.begin(signal.Signals(number).name)

        before = {number: signal.signal(number, handle) for number in _SIGNALS}
        try:
            yield
        finally:
            self._timer.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end_now(self) -> None:
        _LOG.warning("server ended before its work did: what was committed is kept, the rest goes on later")
        try:
            self._give_up()
        finally:
            logging.shutdown()
            # Threads that hang cannot be ended in another way.
            os._exit(0)
