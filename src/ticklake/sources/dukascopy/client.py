"""The door to Dukascopy's feed: paced and repeated calls, errors translated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import aiohttp

from ticklake.errors import AccessDenied, BadResponse, RateLimited, SourceError, SourceUnavailable
from ticklake.sources.base import SourceOptions
from ticklake.sources.retry import retrying

__all__ = ["FEED", "Door"]

T = TypeVar("T")
FEED = "https://datafeed.dukascopy.com"
AT_ONCE = 4
LARGEST = 16 * 2**20


class Door:
    """Fetches files of the feed. ``repeated`` says which calls were repeated, and why."""

    def __init__(self, options: SourceOptions) -> None:
        self._base = (options.url or FEED).rstrip("/")
        self._options = options
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None
        self.repeated: list[str] = []

    async def get(self, path: str, read: Callable[[bytes], T]) -> T | None:
        """Return what *read* makes of a file, or ``None`` if the feed says that there is none.

        An answer that cannot be read is asked for again, like one that does not come.
        """
        return await retrying(self._options.retry, self.repeated.append)(self._once, path, read)

    async def close(self) -> None:
        """Close the connections."""
        self._options.pace.close()
        if self._session is not None:
            await self._session.close()

    async def _once(self, path: str, read: Callable[[bytes], T]) -> T | None:
        async with self._turns:
            await self._options.pace.turn(self._options.rate_limit_ms or 0, self.repeated.append)
            try:
                with self._options.pace.minding():
                    body = await self._body(path)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise SourceUnavailable(f"dukascopy {path}: {error or type(error).__name__}: no answer") from error
        return None if body is None else await asyncio.to_thread(read, body)

    async def _body(self, path: str) -> bytes | None:
        async with self._client().get(f"{self._base}/{path}", allow_redirects=False) as answer:
            if answer.status == 404:
                return None
            if answer.status != 200:
                raise _refusal(f"dukascopy {path}: {answer.status} {answer.reason}", answer.status)
            body = await answer.content.read(LARGEST + 1)
            while not answer.content.at_eof() and len(body) <= LARGEST:
                body += await answer.content.read(LARGEST + 1 - len(body))
            if len(body) > LARGEST:
                raise BadResponse(f"dukascopy {path}: the answer is larger than {LARGEST:,} bytes")
            return body

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._options.timeout))
        return self._session


def _refusal(text: str, status: int) -> SourceError:
    if status == 429:
        return RateLimited(f"{text}: too many requests")
    if status in {401, 403, 451}:
        return AccessDenied(f"{text}: the feed does not serve this address")
    return SourceUnavailable(text) if status >= 500 else BadResponse(text)
