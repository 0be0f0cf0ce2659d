"""Clients that stay connected: they are told when the server ends, as it would wait for them for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Clients"]


class Clients:
    """Those that are connected now. It is used in the event loop alone; how many there may be is decided by the gate."""

    def __init__(self) -> None:
        self._ends: list[Callable[[], object]] = []
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._ends)

    @contextmanager
    def joined(self, end: Callable[[], object]) -> Iterator[None]:
        """Count a client while the block lasts; *end* tells it that the server ends."""
        self._ends.append(end)
        if self._is_closed:
            end()
        try:
            yield
        finally:
            self._ends.remove(end)

    def end(self) -> None:
        """Tell all that the server ends, and those that come later, too."""
        self._is_closed = True
        # A copy: who is told leaves the list.
        for end in tuple(self._ends):
            end()
