"""The body of a request: how large it may be, and how slowly it may come."""

from __future__ import annotations

import asyncio
import time

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from ticklake.interfaces.api.head import Head

__all__ = ["LimitedBody"]

_LEAST_RATE = 10_000
"""Bytes a second at which a body has to come, once the time for a small one is over."""


class LimitedBody:
    """Receives the body of a request, up to *most* bytes, in *seconds* and a second more for every 10,000 bytes.

    Parameters
    ----------
    receive
        Where the messages of the request come from.
    """

    def __init__(self, receive: Receive, head: Head, most: int, seconds: float) -> None:
        self._receive = receive
        self._most = most
        self._seconds = seconds
        self._began_at: float | None = None
        self._received = 0
        self.is_complete = not head.has_body
        """Whether all of it was received: else the connection has to be closed, as the rest may follow."""

    async def __call__(self) -> Message:
        """Return the next message.

        Raises
        ------
        HTTPException
            With 413 if the body is too large, 408 if it comes too slowly.
        """
        if self.is_complete:
            # What comes now is that the client went away, which may take hours.
            return await self._receive()
        message = await self._in_time()
        self._received += len(message.get("body", b""))
        if self._received > self._most:
            raise too_large(self._most)
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self.is_complete = True
        return message

    async def _in_time(self) -> Message:
        now = time.monotonic()
        if self._began_at is None:
            self._began_at = now
        left = self._began_at + self._seconds + self._received / _LEAST_RATE - now
        try:
            return await asyncio.wait_for(self._receive(), max(left, 0))
        except TimeoutError:
            raise HTTPException(408, "the body came too slowly: send it again, over a better connection") from None


def too_large(most: int) -> HTTPException:
    """Return the error of a body that is larger than *most* bytes."""
    return HTTPException(413, f"the body is larger than {most:,} bytes: send less, or raise the server's setting")
