"""Clients that stay connected: how many there may be, and their end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ticklake.errors import TooManyClients

__all__ = ["Clients"]


class Clients:
    """Those that are connected now. It is used in the event loop alone.

    Parameters
    ----------
    most
        How many there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._ends: list[Callable[[], object]] = []
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._ends)

    def refuse_more(self) -> None:
        """Refuse a client if there are as many as may be, or the server ends.

        Raises
        ------
        TooManyClients
        """
        if self._is_closed:
            raise TooManyClients("this server is about to end: come back soon")
        if len(self._ends) >= self._most:
            raise TooManyClients(
                f"{len(self._ends):,} clients are connected, and this server takes no more: come back later, or raise server.clients"
            )

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
        """Tell all that the server ends, and take no more."""
        self._is_closed = True
        for end in tuple(self._ends):
            end()
