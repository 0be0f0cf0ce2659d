"""The door to dump sites: requests, and the translation of every error of theirs into ours."""

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
    """404: the site has no such file, which is an answer and no failure."""


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
        """Ask for *url* and give the answer while the block lasts; errors inside it are translated too.

        Raises
        ------
        NotThere
            404.
        RateLimited, SourceUnavailable, BadResponse
            429, 5xx and network errors, anything that is neither 200, 206 nor 416: worth another try.
        AccessDenied, Banned
            401, 403, 451, and 418.
        """
        await self.pace.turn(0)
        self.requests += 1
        try:
            async with self._opened().get(url, headers=headers or {}, allow_redirects=False) as response:
                with self.pace.minding():
                    _judge(response, url)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(error, OSError) and not isinstance(
                error, aiohttp.ClientError | TimeoutError | ConnectionError
            ):
                raise
            raise SourceUnavailable(f"{_named(url)}: {type(error).__name__} {error}".strip()) from error

    async def text(self, url: str) -> str:
        """Return a small file's text, asking again where that may help."""
        async for attempt in retrying(self.retry):
            with attempt:
                async with self.get(url) as response:
                    return (await _small(response.content)).decode("utf-8", "replace")
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Close the connections."""
        self.pace.close()
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            wait = aiohttp.ClientTimeout(total=None, connect=self._timeout, sock_read=self._timeout)
            self._session = aiohttp.ClientSession(timeout=wait, auto_decompress=False)
        return self._session


def _judge(response: aiohttp.ClientResponse, url: str) -> None:
    code, where = response.status, f"{_named(url)}: {response.status} {response.reason}"
    if code in {200, 206, 416}:
        return
    if code == 404:
        raise NotThere(where)
    after = retry_after({name.lower(): value for name, value in response.headers.items()}, time.time())
    if code == 429:
        raise RateLimited(f"{where}: too many requests", after)
    if code == 418:
        raise Banned(f"{where}: the site warns of a ban", after)
    if code in {401, 403, 451}:
        raise AccessDenied(f"{where}: the site does not serve this address")
    raise SourceUnavailable(where) if code >= 500 else BadResponse(where)


async def _small(content: aiohttp.StreamReader) -> bytes:
    """Read to the end, or as far as a small file may go: one read alone may bring a part of it."""
    data = b""
    while len(data) < SMALL and not content.at_eof():
        data += await content.read(SMALL - len(data))
    return data


def _named(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}{parts.path}"
