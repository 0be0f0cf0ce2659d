"""The namespace ``lake.tokens``: who may call a server of this lake."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from ticklake.catalog.database import Database
from ticklake.catalog.tokens import TokenTable
from ticklake.core.access import Role
from ticklake.core.duration import DurationLike, parse_duration
from ticklake.core.tokens import PREFIX, NewToken, Token, check_name, digest_of, parse_role
from ticklake.errors import BadInput

__all__ = ["Tokens"]

_BYTES = 32


class Tokens:
    """Tokens of a lake: ``lake.tokens.create("dashboard", "read")``, ``lake.tokens.list()``, ``lake.tokens.revoke("dashboard")``.

    A server needs no token on loopback until the first one is made; from then on every request needs one.
    """

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self._table = TokenTable(database, now)
        self._now = now

    def create(self, name: str, role: Role | str, *, expires: DurationLike | None = None) -> NewToken:
        """Make a token; its ``secret`` is in what is returned and nowhere else: the lake keeps the SHA-256 of it.

        Parameters
        ----------
        name
            How lists and the audit log call it.
        role
            ``read``, ``collect`` (reads, and collects) or ``admin`` (may do everything).
        expires
            After which time it is valid no more, like ``"30d"``; never by default.

        Raises
        ------
        BadInput
            If there is a token of that name that is not revoked, or a value cannot be meant.
        """
        name, role = check_name(name), parse_role(role)
        expires_at = None
        if expires is not None:
            length = parse_duration(expires)
            if length == 0:
                raise BadInput(f"expires={expires!r} is over at once: write it like '30d'")
            expires_at = self._now() + length
        secret = PREFIX + secrets.token_urlsafe(_BYTES)
        return NewToken(self._table.add(name, role, digest_of(secret), expires_at), secret)

    def list(self) -> list[Token]:
        """Return all tokens, also those that expired or were revoked, the oldest first."""
        return [stored.token for stored in self._table.list()]

    def revoke(self, name: str) -> Token:
        """End a token, and the sessions that were begun with it, at once; the audit log still names it.

        Raises
        ------
        BadInput
            If there is no such token.
        """
        return self._table.revoke(check_name(name))
