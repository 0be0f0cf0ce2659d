"""Persistence: loops that go on after whatever fails, and say so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ticklake.errors import CatalogReplaced, CatalogTooNew, ReadOnlyLake, TicklakeError
from ticklake.log import Log

__all__ = ["CANNOT_PASS", "FIRST_PAUSE", "LONGEST_PAUSE", "Persistent", "text_of", "unexpected"]

CANNOT_PASS = (CatalogReplaced, CatalogTooNew, ReadOnlyLake)
"""Errors after which the lake has to be opened anew."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds until a loop that failed begins again; pauses double."""
_SOON = 5.0
"""Seconds within which a loop that cannot go on fails again: it looks at the lake each second."""
_LOG = Log("jobs")


def unexpected(error: BaseException) -> BaseException | None:
    """Return an error whose traceback says more than its text: none of ours."""
    if isinstance(error, TicklakeError):
        return None
    return error


def text_of(error: BaseException) -> str:
    """Return an error in a line, with its name if it is none of ours."""
    if isinstance(error, TicklakeError):
        return str(error)
    return f"{type(error).__name__}: {error}"


@dataclass
class Persistent:
    """A loop that begins again, after a pause, whenever an error ends it.

    Parameters
    ----------
    name
        What it does, for the log.
    loop
        Returns once *stopping* is set.
    say
        Called with a text for each failure.
    """

    name: str
    loop: Callable[[], object]
    stopping: threading.Event
    say: Callable[[str], None] = lambda _text: None
    _failure: BaseException | None = field(default=None, init=False)
    _begun: float = field(default=0.0, init=False)
    _is_waiting: bool = field(default=False, init=False)

    def run(self) -> None:
        """Run the loop until stopped.

        Raises
        ------
        CatalogReplaced, CatalogTooNew, ReadOnlyLake
            If to begin again is of no use.
        """
        pause = FIRST_PAUSE
        while not self.stopping.is_set():
            self._begun, self._is_waiting = time.monotonic(), False
            try:
                self.loop()
            except CANNOT_PASS:
                raise
            # What collects for months must go on after errors that nobody thought of, too.
            except Exception as error:
                if time.monotonic() - self._begun > LONGEST_PAUSE:
                    pause = FIRST_PAUSE
                self._tell(error, pause)
                self._is_waiting = True
                self.stopping.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _tell(self, error: Exception, pause: float) -> None:
        self._failure = error
        said = {"loop": self.name, "reason": text_of(error), "again_in": f"{pause:g} s"}
        _LOG.error("collection failed", failure=unexpected(error), **said)
        self.say(f"{self.name}: {text_of(error)}; again in {pause:g} s")

    @property
    def problem(self) -> str | None:
        """What keeps it from its work now: the name of the error, as its text may name files; ``None`` while it goes on."""
        failure = self._failure
        # Between two failures that follow at once it runs for some milliseconds, in which nothing is well.
        if failure is None or (not self._is_waiting and time.monotonic() - self._begun > _SOON):
            return None
        return f"{self.name} cannot go on ({type(failure).__name__}): see the log"
