"""The client of Dukascopy's feed. It paces and repeats calls and translates errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import aiohttp

from ticklake.errors import AccessDenied, BadResponse, RateLimited, SourceError, SourceUnavailable
from ticklake.sources.base import SourceOptions
from ticklake.sources.retry import retrying

__all__ = ["FEED", "Client"]

T = TypeVar("T")
FEED = "https://datafeed.dukascopy.com"
AT_ONCE = 4
LARGEST = 16 * 2**20


class Client:
    """Fetches files of the feed. ``repeated`` has a line for each call that was repeated."""

    def __init__(self, options: SourceOptions) -> None:
        self._base = (options.url or FEED).rstrip("/")
        self._options = options
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None
        self.repeated: list[str] = []

    async def get(self, path: str, read: Callable[[bytes], T]) -> T | None:
        """Return the result of *read* on the bytes of a file, or ``None`` if the feed says that there is no such file.

        A file that cannot be read is fetched again, like one that does not arrive.
        """
        return await retrying(self._options.retry, self.repeated.append)(self._get_once, path, read)

    async def close(self) -> None:
        """Close the connections."""
        self._options.pace.close()
        if self._session is not None:
            await self._session.close()

    async def _get_once(self, path: str, read: Callable[[bytes], T]) -> T | None:
        async with self._slots:
            await self._options.pace.turn(self._options.rate_limit_ms or 0, self.repeated.append)
            try:
                with self._options.pace.pause_on_refusal():
                    body = await self._body(path)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise SourceUnavailable(f"dukascopy {path}: {error or type(error).__name__}: no answer") from error
        if body is None:
            return None
        # Unpacking an hour of ticks takes long enough to delay the other downloads.
        return await asyncio.to_thread(read, body)

    async def _body(self, path: str) -> bytes | None:
        async with self._open_session().get(f"{self._base}/{path}", allow_redirects=False) as response:
            if response.status == 404:
                return None
            if response.status != 200:
                raise _refusal(f"dukascopy {path}: {response.status} {response.reason}", response.status)
            body = b""
            # Not read(): the length that an answer announces need not be its length.
            while not response.content.at_eof() and len(body) <= LARGEST:
                body += await response.content.read(LARGEST + 1 - len(body))
            if len(body) > LARGEST:
                raise BadResponse(f"dukascopy {path}: the answer is larger than {LARGEST:,} bytes")
            return body

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._options.timeout))
        return self._session


def _refusal(text: str, status: int) -> SourceError:
    if status == 429:
        return RateLimited(f"{text}: too many requests")
    if status in {401, 403, 451}:
        return AccessDenied(f"{text}: the feed does not serve this address")
    if status >= 500:
        return SourceUnavailable(text)
    return BadResponse(text)
