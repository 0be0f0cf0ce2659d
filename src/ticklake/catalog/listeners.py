"""Listeners: who in this process is told that there is a new version, as soon as it is committed.

They hear nothing of its content: that is in the change feed, and how far somebody has read is for them to keep. So a slow
listener loses nothing and holds up nobody.
"""

from __future__ import annotations

import threading

__all__ = ["CommitListeners", "Listener"]


class Listener:
    """Hears of commits of this process: the newest version alone, however many there were since it last looked.

    That is its queue of one: it takes no memory while nobody looks, and no commit ever waits for it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._newest: int | None = None

    def put(self, version: int) -> None:
        """Tell of a version; versions that come late are passed over."""
        with self._changed:
            self._newest = max(version, self._newest or 0)
            self._changed.notify_all()

    def get(self, timeout: float | None = None) -> int | None:
        """Wait for a version that was not told yet, at most *timeout* seconds; ``None`` if there is none by then."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None, timeout)
            version, self._newest = self._newest, None
            return version


class CommitListeners:
    """Who is told of the commits of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()

    def add(self) -> Listener:
        """Return a new listener; it hears of commits until it is removed."""
        listener = Listener()
        with self._lock:
            self._listeners = (*self._listeners, listener)
        return listener

    def remove(self, listener: Listener) -> None:
        """Tell *listener* nothing more."""
        with self._lock:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

    def tell(self, version: int) -> None:
        """Tell everybody of a version; it takes no longer than a lock that is held for an assignment."""
        for listener in self._listeners:
            listener.put(version)
