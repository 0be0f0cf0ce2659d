"""Live connections: they end when their caller is allowed no longer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.types import Message, Receive

__all__ = ["WhileAllowed"]

_CHECKED_EVERY = 5.0
"""Seconds until a token that was revoked, or a session that was ended, ends the connections that were begun with it."""


class WhileAllowed:
    """Receives the messages of a live connection; once its caller is no longer allowed, it says that the client is gone.

    Parameters
    ----------
    receive
        Where the messages come from.
    is_allowed
        Whether the caller is still allowed.
    gone
        The message that says that a client is gone.
    """

    def __init__(self, receive: Receive, is_allowed: Callable[[], Awaitable[bool]], gone: Message) -> None:
        self._receive = receive
        self._is_allowed = is_allowed
        self._gone = gone
        self._checked_at = time.monotonic()

    async def __call__(self) -> Message:
        """Return the next message."""
        pending = asyncio.ensure_future(self._receive())
        try:
            while not pending.done():
                if await self._is_over():
                    return self._gone
                await asyncio.wait([pending], timeout=_CHECKED_EVERY)
            # A client that sends all the time never lets the wait above time out.
            if await self._is_over():
                return self._gone
            return pending.result()
        finally:
            # Also when the wait itself is cancelled: it would take the next message, and give it to nobody.
            pending.cancel()

    async def _is_over(self) -> bool:
        now = time.monotonic()
        if now - self._checked_at < _CHECKED_EVERY:
            return False
        self._checked_at = now
        return not await self._is_allowed()
