"""Listeners: they are notified in this process of each new version, as soon as it is committed.

They get the version alone: its content is in the change feed, and each reader keeps its own position there. So a slow listener
loses nothing and delays nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["CommitListeners", "Listener"]


class Listener:
    """Receives the newest version of this process's commits, however many there were since it was last read.

    It is a queue of one: it does not grow while nobody reads it, and no commit ever waits for it. *wake* is called for each
    commit, in the thread that made it, and must return at once.
    """

    def __init__(self, wake: Callable[[], object] = lambda: None) -> None:
        self._wake = wake
        self._changed = threading.Condition()
        self._newest: int | None = None

    def put(self, version: int) -> None:
        """Set the newest version; older versions that come late are ignored."""
        with self._changed:
            self._newest = max(version, self._newest or 0)
            self._changed.notify_all()
        self._wake()

    def get(self, timeout: float | None = None) -> int | None:
        """Wait at most *timeout* seconds for a version that was not returned yet; ``None`` if there is none by then."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None, timeout)
            version, self._newest = self._newest, None
            return version


class CommitListeners:
    """The listeners to the commits of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()

    def add(self, wake: Callable[[], object] = lambda: None) -> Listener:
        """Return a new listener; it receives versions until it is removed."""
        listener = Listener(wake)
        with self._lock:
            self._listeners = (*self._listeners, listener)
        return listener

    def remove(self, listener: Listener) -> None:
        """Send *listener* no more versions."""
        with self._lock:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

    def tell(self, version: int) -> None:
        """Send a version to all listeners; that takes no longer than an assignment under a lock."""
        for listener in self._listeners:
            listener.put(version)
