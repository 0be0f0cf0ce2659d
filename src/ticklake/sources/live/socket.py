"""One WebSocket connection: opened within a time, read frame by frame, and the pauses between attempts to open one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp

from ticklake.errors import AccessDenied, InvalidData, RateLimited, SourceUnavailable
from ticklake.sources.wire.decode import LARGEST, gunzipped, inflated

__all__ = ["Backoff", "Socket"]

_CLOSING = frozenset({aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED})


@dataclass(slots=True)
class Backoff:
    """Pauses between attempts: they double, and each is drawn from between nothing and that (full jitter).

    Many collectors that lost their connections at once must not come back at once.

    Parameters
    ----------
    first, longest
        The bound of the first pause and of all, in seconds.
    random
        Where the jitter comes from.
    """

    first: float = 0.5
    longest: float = 60.0
    random: random.Random = field(default_factory=random.Random)
    attempts: int = 0

    def pause(self) -> float:
        """Return how long to wait before the next attempt, in seconds."""
        # Beyond 2**32 times the first pause the bound counts anyway.
        bound = min(self.longest, self.first * 2 ** min(self.attempts, 32))
        self.attempts += 1
        return self.random.uniform(0, bound)

    def reset(self) -> None:
        """Begin with short pauses again: an attempt has succeeded."""
        self.attempts = 0


class Socket:
    """An open connection. Nothing here knows an exchange."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, session: aiohttp.ClientSession, url: str, within: float) -> Socket:
        """Connect within so many seconds.

        Raises
        ------
        SourceUnavailable, RateLimited, AccessDenied
            If the exchange cannot be reached or refuses the connection.
        """
        try:
            async with asyncio.timeout(within):
                # Pings are answered below: aiohttp would hide the answers to ours, which are signs of life.
                # Texts stay bytes: whoever reads the JSON decodes them.
                connection = await session.ws_connect(url, autoping=False, max_msg_size=LARGEST, decode_text=False)
        except aiohttp.WSServerHandshakeError as error:
            raise _refusal(url, error.status) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reason = str(error) or f"no answer in {within:g} s"
            raise SourceUnavailable(f"{url}: cannot connect ({reason}); trying again") from error
        return cls(connection)

    async def receive(self) -> bytes | None:
        """Return the next message; ``None`` for a ping, which was answered, or for the answer to one of ours.

        Raises
        ------
        SourceUnavailable
            When the connection has ended, with the reason.
        """
        message = await self._connection.receive()
        kind = message.type
        if kind is aiohttp.WSMsgType.TEXT:
            text: bytes = message.data
            return text
        if kind is aiohttp.WSMsgType.BINARY:
            return unpacked(message.data)
        if kind is aiohttp.WSMsgType.PING:
            await self._answer(message.data)
            return None
        if kind is aiohttp.WSMsgType.PONG:
            return None
        if kind in _CLOSING:
            raise SourceUnavailable(f"the exchange closed the connection (code {self._connection.close_code})")
        raise SourceUnavailable(f"the connection broke: {self._connection.exception() or message.data}")

    async def send(self, text: str) -> None:
        """Send a text message."""
        with _translated_errors():
            await self._connection.send_str(text)

    async def ping(self) -> None:
        """Send a ping of the WebSocket protocol."""
        with _translated_errors():
            await self._connection.ping()

    async def close(self) -> None:
        """Close the connection; the other side may be gone already."""
        try:
            async with asyncio.timeout(1):
                await self._connection.close()
        except TimeoutError:
            pass

    async def _answer(self, data: bytes) -> None:
        with _translated_errors():
            await self._connection.pong(data)


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Translate the errors of writing to a connection that has ended."""
    try:
        yield
    except (aiohttp.ClientError, OSError, RuntimeError) as error:
        raise SourceUnavailable(f"the connection broke: {error}") from error


def unpacked(data: bytes) -> bytes:
    """Return the text of a binary message, which some exchanges compress. What cannot be unpacked is returned as it is.

    >>> import gzip
    >>> unpacked(b"plain"), unpacked(gzip.compress(b"packed"))
    (b'plain', b'packed')
    """
    try:
        if data[:2] == b"\x1f\x8b":
            return gunzipped(data)
        if data[:1] not in b"{[" and not data.isascii():
            return inflated(data)
    except InvalidData:
        return data
    return data


def _refusal(url: str, status: int) -> Exception:
    if status == 429:
        return RateLimited(f"{url}: too many connections; waiting before the next")
    if status in {401, 403, 451}:
        return AccessDenied(f"{url}: the exchange does not serve this address ({status})")
    return SourceUnavailable(f"{url}: the exchange refuses the connection ({status}); trying again")
