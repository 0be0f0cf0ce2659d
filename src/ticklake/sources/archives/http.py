"""The HTTP client for dump sites. It translates every error into one of ours."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp

from ticklake.core.retry import OF_CALLS, RetryPolicy
from ticklake.errors import (
    AccessDenied,
    BadResponse,
    Banned,
    RateLimited,
    SourceError,
    SourceUnavailable,
)
from ticklake.sources.pacing.headers import retry_after
from ticklake.sources.pacing.pace import Pace
from ticklake.sources.retry import retrying

__all__ = ["NotThere", "Site"]

SMALL = 64 * 1024
"""A checksum file is never longer than this."""


class NotThere(SourceError):
    """404: the site has no such file. That is an answer, not a failure."""


class Site:
    """One dump site. Connections are opened on first use and closed by :meth:`close`.

    ``timeout`` is seconds without a byte.
    """

    def __init__(self, retry: RetryPolicy = OF_CALLS, pace: Pace | None = None, timeout: float = 20.0) -> None:
        self.retry = retry
        self._timeout = timeout
        self.pace = pace or Pace("the dump site")
        self._session: aiohttp.ClientSession | None = None
        self.requests = 0

    @asynccontextmanager
    async def get(self, url: str, headers: dict[str, str] | None = None) -> AsyncIterator[aiohttp.ClientResponse]:
        """Request *url* and give the response while the block lasts. Errors inside the block are translated too.

        Raises
        ------
        NotThere
            404.
        RateLimited, SourceUnavailable, BadResponse
            429; 5xx and network errors; any other status but 200, 206 and 416. These may be tried again.
        AccessDenied, Banned
            401, 403, 451, and 418.
        """
        await self.pace.turn(0)
        self.requests += 1
        try:
            async with self._opened().get(url, headers=headers or {}, allow_redirects=False) as response:
                with self.pace.pause_on_refusal():
                    _check_status(response, url)
                yield response
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            # Any other OSError comes from the caller's block, as a full disk does: the caller translates it.
            raise SourceUnavailable(f"{_without_query(url)}: {type(error).__name__} {error}".strip()) from error

    async def text(self, url: str) -> str:
        """Return the text of a small file, retrying as often as ``retry`` allows."""
        async for attempt in retrying(self.retry):
            with attempt:
                async with self.get(url) as response:
                    data = await _read_small(response.content)
                    return data.decode("utf-8", "replace")
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Close the connections."""
        self.pace.close()
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # No total: a monthly file may take an hour, as long as bytes keep coming.
            timeout = aiohttp.ClientTimeout(total=None, connect=self._timeout, sock_read=self._timeout)
            self._session = aiohttp.ClientSession(timeout=timeout, auto_decompress=False)
        return self._session


def _check_status(response: aiohttp.ClientResponse, url: str) -> None:
    status = response.status
    text = f"{_without_query(url)}: {status} {response.reason}"
    if status in {200, 206, 416}:
        return
    if status == 404:
        raise NotThere(text)
    wait = retry_after(response.headers, time.time())
    if status == 429:
        raise RateLimited(f"{text}: too many requests", wait)
    if status == 418:
        raise Banned(f"{text}: the site warns of a ban", wait)
    if status in {401, 403, 451}:
        raise AccessDenied(f"{text}: the site does not serve this address")
    if status >= 500:
        raise SourceUnavailable(text)
    raise BadResponse(text)


async def _read_small(content: aiohttp.StreamReader) -> bytes:
    """Read to the end, at most ``SMALL`` bytes."""
    data = b""
    # A single read may return only the bytes that have arrived so far.
    while len(data) < SMALL and not content.at_eof():
        data += await content.read(SMALL - len(data))
    return data


def _without_query(url: str) -> str:
    address = urlsplit(url)
    return f"{address.hostname}{address.path}"
