"""The body of a request: how large it may be, and how slowly it may come."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from ticklake.config import ServerSettings
from ticklake.core.access import Caller, Role
from ticklake.errors import NotAllowed, NotSignedIn
from ticklake.interfaces.api.access import SIGN_IN_FIRST
from ticklake.interfaces.api.head import LOGIN, Head, Refused, content_length

__all__ = ["LimitedBody", "check_body", "discard", "most_bytes", "too_large"]

_LARGEST_SIGN_IN = 8192
"""Bytes of a body that anybody may send."""
_DISCARDED_FOR = 1.0
_MOST_DISCARDED = 64 * 1024**2
_LARGEST_QUERY = 1024**2
"""Bytes of a body of callers who may only read."""

_LEAST_RATE = 10_000
"""Bytes a second at which a body has to come, once the time for a small one is over."""


def most_bytes(head: Head, caller: Caller | None, options: ServerSettings) -> int:
    """Return how many bytes the body of a request may have."""
    if head.path == LOGIN:
        return _LARGEST_SIGN_IN
    if head.is_upload:
        return int(options.max_upload)
    if caller is None or not caller.role.includes(Role.COLLECT):
        return min(_LARGEST_QUERY, int(options.max_body))
    return int(options.max_body)


def check_body(head: Head, caller: Caller | None, most: int) -> None:
    """Check a body before it is read: what no route would take of this caller would fill memory, or the disk.

    Raises
    ------
    NotSignedIn, NotAllowed
    Refused
        If it is larger than *most* bytes, or says so in a way that has two readings.
    """
    length = content_length(head)
    if not head.has_body:
        return
    if caller is None and head.path != LOGIN:
        raise NotSignedIn(SIGN_IN_FIRST)
    if caller is not None and head.is_upload and not caller.role.includes(Role.COLLECT):
        raise NotAllowed(f"{caller.name!r} has the role {caller.role}, and uploads need {Role.COLLECT}")
    if length > most:
        raise Refused(413, "ContentTooLarge", _too_large(most))


async def discard(receive: Receive, head: Head) -> None:
    """Take what a client still sends of a body that is refused: if its connection ended meanwhile, it would not read the answer."""
    # Who waits to be told to go on sends nothing, and would be told by the first receive.
    if not head.has_body or "expect" in head.headers:
        return
    size = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_DISCARDED_FOR):
            while size < _MOST_DISCARDED:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


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
    return HTTPException(413, _too_large(most))


def _too_large(most: int) -> str:
    return f"the body is larger than {most:,} bytes: send less at once"
