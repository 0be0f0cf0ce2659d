"""A remote lake as of one version."""

from __future__ import annotations

from ticklake.core.time import format_time
from ticklake.interfaces.client.asking import Pin
from ticklake.interfaces.client.connection import Connection
from ticklake.interfaces.client.remote_view import RemoteView

__all__ = ["RemoteSnapshot"]


class RemoteSnapshot(RemoteView):
    """A remote lake as of one version: every answer is of that version. Made by :meth:`RemoteLake.at`.

    Attributes
    ----------
    version
        The version that every answer is of.
    """

    def __init__(self, connection: Connection, version: int, at: int | None = None) -> None:
        super().__init__(connection, Pin(version, at))
        self.version = version

    def __repr__(self) -> str:
        named = ""
        if self._pin.at is not None:
            named = f", {format_time(self._pin.at)}"
        return f"RemoteSnapshot({self._connection.url!r}, version {self.version}{named})"
