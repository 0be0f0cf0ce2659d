"""Callers: who sends a request, by a token or by the session of a browser."""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import anyio
from anyio import CapacityLimiter

from ticklake.catalog.tokens import SessionTable, TokenTable
from ticklake.config import ServerSettings
from ticklake.core.access import Caller, Role
from ticklake.core.duration import parse_duration
from ticklake.core.hosts import is_loopback
from ticklake.core.time import SECOND
from ticklake.core.token_bucket import TokenBuckets
from ticklake.core.tokens import StoredToken, Token, digest_of, find_token
from ticklake.errors import BadInput, NotSignedIn, TicklakeError, TooManyRequests
from ticklake.lake import Lake

__all__ = ["Callers", "Known", "Session", "check_public", "csrf_token"]

T = TypeVar("T")
_OWNER = Caller("owner", Role.ADMIN)
"""Whoever reaches a server that needs no token: it listens on this machine alone."""
_REMEMBERED = 0.02
"""Seconds for which tokens are remembered: to ask the catalog at each request would take longer than some answers."""
_USE_NOTED_EVERY = 300.0
"""Seconds between two notes that a token is used."""
_KNOWN_WITHOUT_CATALOG = 600.0
"""Seconds for which tokens count that were valid before the catalog could not be read any more."""
_SESSION_BYTES = 32
_MOST_SEEN = 1000
_FAILURES_A_MINUTE = 20
"""Invalid tokens of one address that are answered as such."""


@dataclass(frozen=True, slots=True)
class Known:
    """Who sends a request: nobody known for ``None``; and the session or the number of the token by which they are known."""

    caller: Caller | None = None
    session: str | None = None
    token_id: int | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that signed in: the value of its cookie, and for how many seconds it is valid."""

    value: str
    seconds: int


class Callers:
    """Knows the callers of a server."""

    def __init__(self, lake: Lake, options: ServerSettings) -> None:
        database, self._now = lake.engine.catalog.database, lake.engine.now
        self._table = TokenTable(database, self._now)
        self._sessions = SessionTable(database, self._now)
        self._require_token = options.require_token
        self._session_length = parse_duration(options.session)
        self._stored: Sequence[StoredToken] = ()
        self._stored_at = -_REMEMBERED
        self._read_at = -math.inf
        """When the catalog could be read."""
        self._noted: dict[int, float] = {}
        self._failures = TokenBuckets(_FAILURES_A_MINUTE / 60, _FAILURES_A_MINUTE)
        self._seen: OrderedDict[str, None] = OrderedDict()
        """The digests of sessions that were valid, the one seen last at the end."""
        # Threads of their own: who calls is known while all others read, and while a writer waits for the catalog.
        self._reader, self._writer = CapacityLimiter(1), CapacityLimiter(1)
        self._notes: set[asyncio.Task[None]] = set()
        """Notes of use that are being written: a task that nobody holds may vanish."""

    async def known(self, authorization: str | None, cookie: str | None, address: str) -> Known:
        """Return who sends a request from *address*.

        Raises
        ------
        NotSignedIn
            If a token was sent, and is not valid.
        TooManyRequests
            If so many of the same address were not.
        """
        if authorization is not None:
            token = await self._valid_token(_bearer(authorization), address)
            self._note_use(token)
            return Known(_caller(token), token_id=token.id)
        if cookie is not None:
            caller = await self._with_session(cookie, address)
            if caller is not None:
                return Known(caller, cookie)
        if await self._is_open(address):
            return Known(_OWNER)
        return Known()

    async def is_allowed(self, known: Known, address: str) -> bool:
        """Whether who was known is known still: their token is valid, or their session goes on."""
        if known.session is not None:
            return await self._with_session(known.session, address) is not None
        if known.token_id is None:
            return await self._is_open(address)
        valid = (stored.token for stored in await self._tokens() if stored.token.state(self._now()) == "valid")
        return known.token_id in {token.id for token in valid}

    async def sign_in(self, secret: str, address: str) -> tuple[Caller, Session]:
        """Begin a session of a browser.

        Raises
        ------
        NotSignedIn
            If the token is not valid.
        TooManyRequests
            If so many of the same address were not.
        """
        token = await self._valid_token(secret, address)
        now = self._now()
        expires_at = now + self._session_length
        if token.expires_at is not None:
            expires_at = min(expires_at, token.expires_at)
        value = secrets.token_urlsafe(_SESSION_BYTES)
        digest = digest_of(value)
        await anyio.to_thread.run_sync(self._sessions.add, digest, token.id, expires_at, limiter=self._writer)
        self._remember(digest)
        self._note_use(token)
        return _caller(token), Session(value, (expires_at - now) // SECOND)

    async def sign_out(self, session: str) -> None:
        """End a session."""
        await anyio.to_thread.run_sync(self._sessions.remove, digest_of(session), limiter=self._writer)

    async def close(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._notes)

    def forget(self) -> None:
        """Ask the catalog for tokens at the next request: they were changed."""
        self._stored_at = -_REMEMBERED

    async def _with_session(self, session: str, address: str) -> Caller | None:
        digest = digest_of(session)
        # Invented cookies must not keep the thread busy that all others wait for.
        if digest not in self._seen and self._failures.is_empty(address, time.monotonic()):
            return None
        number = await self._in_thread(lambda: self._sessions.token_of(digest))
        for stored in await self._tokens():
            if stored.token.id == number and stored.token.state(self._now()) == "valid":
                self._remember(digest)
                return _caller(stored.token)
        self._failures.take(address, time.monotonic())
        return None

    def _remember(self, digest: str) -> None:
        """Remember a session that was valid: it is looked up again, however many invalid ones come."""
        self._seen[digest] = None
        self._seen.move_to_end(digest)
        if len(self._seen) > _MOST_SEEN:
            self._seen.popitem(last=False)

    async def _is_open(self, address: str) -> bool:
        """Whether a request without a token may do everything."""
        # Checked again here, although a public address needs a token at the start: a socket may be handed on to others.
        if self._require_token or not is_loopback(address):
            return False
        if self._require_token is False:
            return True
        # Also a token that was revoked or has expired counts: to lose the last one must not open the lake.
        return not await self._tokens()

    async def _valid_token(self, secret: str, address: str) -> Token:
        token = find_token(await self._tokens(), secret, self._now())
        if token is None:
            # A valid token is taken however many invalid ones came: others behind the same proxy are not locked out.
            wait = self._failures.take(address, time.monotonic())
            if wait:
                raise TooManyRequests("too many invalid tokens came from this address: wait", wait)
            raise NotSignedIn("the token is not valid: 'ticklake token list' says if it expired or was revoked")
        return token

    async def _tokens(self) -> Sequence[StoredToken]:
        if time.monotonic() - self._stored_at >= _REMEMBERED:
            # The time before, not after: what was changed while they were read may not be among them.
            asked_at = time.monotonic()
            try:
                self._stored = await self._in_thread(self._table.list)
            except TicklakeError:
                # While the catalog cannot be read, no token can be revoked, and whoever may know that has to be told.
                if asked_at - self._read_at > _KNOWN_WITHOUT_CATALOG:
                    raise
                return self._stored
            self._stored_at = self._read_at = asked_at
        return self._stored

    def _note_use(self, token: Token) -> None:
        """Note that a token is used, beside the request: it must not wait until the catalog can be written."""
        now = time.monotonic()
        if now - self._noted.get(token.id, -_USE_NOTED_EVERY) < _USE_NOTED_EVERY:
            return
        self._noted[token.id] = now
        task = asyncio.create_task(self._write_use(token))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _write_use(self, token: Token) -> None:
        # A lake that cannot be written can be read all the same.
        with suppress(TicklakeError):
            await anyio.to_thread.run_sync(self._table.mark_used, [token.id], limiter=self._writer)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(function, limiter=self._reader)


def csrf_token(session: str) -> str:
    """Return what a page sends with each change, to show that it belongs to the session: other pages cannot know it."""
    return hashlib.sha256(f"csrf:{session}".encode()).hexdigest()


def check_public(lake: Lake, options: ServerSettings) -> None:
    """Refuse to serve other machines before the lake has a token.

    Raises
    ------
    BadInput
    """
    reason = _why_public(options)
    if reason is None:
        return
    if options.require_token is False:
        raise BadInput(f"{reason}, and require_token is false: leave it out")
    now = lake.engine.now()
    if any(token.state(now) == "valid" for token in lake.tokens.list()):
        return
    raise BadInput(
        f"{reason}, and the lake has no valid token: make one with 'ticklake token create NAME --role read', then start again"
    )


def _why_public(options: ServerSettings) -> str | None:
    """Return why other machines reach the server; ``None`` if they do not."""
    if not is_loopback(options.host):
        return f"host={options.host!r} is reached from other machines"
    # Something stands before a server on loopback that has a name, or a proxy.
    for setting in ("allowed_hosts", "proxies"):
        names = getattr(options, setting)
        if names:
            return f"server.{setting} names {names[0]!r}: other machines reach the server through it"
    return None


def _bearer(authorization: str) -> str:
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise NotSignedIn("the header Authorization holds no token: send 'Authorization: Bearer tl_...'")
    return secret.strip()


def _caller(token: Token) -> Caller:
    return Caller(token.name, token.role)
