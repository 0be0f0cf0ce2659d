"""The tables of tokens and of the sessions that were begun with them: both keep hashes, never a secret."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select, update

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact
from ticklake.catalog.database import Database
from ticklake.catalog.prepared import Prepared
from ticklake.core.access import Role
from ticklake.core.tokens import StoredToken, Token
from ticklake.errors import BadInput

__all__ = ["SessionTable", "TokenTable"]

_TOKENS = schema.tokens
_SESSIONS = schema.sessions
_IS_LIVE = _TOKENS.c.revoked_at.is_(None)
_NAMES = ("name", "role", "created_at", "expires_at", "revoked_at", "used_at", "digest")
_ALL = select(intact(_TOKENS.c.id), *(_TOKENS.c[name] for name in _NAMES)).order_by(_TOKENS.c.id)
# A server asks for these at every request.
_STORED = Prepared(_ALL)
_SESSION = Prepared(
    select(intact(_SESSIONS.c.token_id), _SESSIONS.c.expires_at).where(_SESSIONS.c.digest == bindparam("digest"))
)


class TokenTable:
    """Tokens in the catalog; one that was revoked stays, as the audit log names it."""

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self._database = database
        self._now = now

    def add(self, name: str, role: Role, digest: str, expires_at: int | None) -> Token:
        """Add a token.

        Raises
        ------
        BadInput
            If there is one of that name that is not revoked.
        """
        values = {
            "name": name,
            "role": role.value,
            "digest": digest,
            "created_at": self._now(),
            "expires_at": expires_at,
        }
        with self._database.write() as connection:
            if _row(connection, name) is not None:
                raise BadInput(f"there is a token {name!r} already: revoke it first, or choose another name")
            connection.execute(_TOKENS.insert(), values)
            added = _row(connection, name)
            assert added is not None  # noqa: S101 - it was inserted in this transaction
        return _token(tuple(added)).token

    def list(self) -> Sequence[StoredToken]:
        """Return all tokens, also those that were revoked, the oldest first."""
        return [_token(row) for row in self._database.fetch(_STORED, {})]

    def revoke(self, name: str) -> Token:
        """Revoke a token, and end the sessions that were begun with it.

        Raises
        ------
        BadInput
            If there is none of that name that is not revoked.
        """
        now = self._now()
        with self._database.write() as connection:
            row = _row(connection, name)
            if row is None:
                raise BadInput(f"there is no token {name!r} to revoke: 'ticklake token list' shows them")
            connection.execute(update(_TOKENS).where(_TOKENS.c.id == row.id).values(revoked_at=now))
            # In the same transaction: no browser may stay signed in by a token that is gone.
            connection.execute(delete(_SESSIONS).where(_SESSIONS.c.token_id == row.id))
            revoked = connection.execute(_ALL.where(_TOKENS.c.id == row.id)).one()
        return _token(tuple(revoked)).token

    def mark_used(self, ids: Iterable[int]) -> None:
        """Record that tokens were used now."""
        now = self._now()
        with self._database.write(durable=False) as connection:
            for number in ids:
                connection.execute(update(_TOKENS).where(_TOKENS.c.id == number).values(used_at=now))


class SessionTable:
    """Sessions: what stands for a token in the cookie of a browser, until it expires or is ended."""

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self._database = database
        self._now = now

    def add(self, digest: str, token_id: int, expires_at: int) -> None:
        """Add a session, and forget those that have expired."""
        now = self._now()
        values = {"digest": digest, "token_id": token_id, "created_at": now, "expires_at": expires_at}
        with self._database.write() as connection:
            # Nothing else removes them, and there is nothing to do with them.
            connection.execute(delete(_SESSIONS).where(_SESSIONS.c.expires_at <= now))
            connection.execute(_SESSIONS.insert(), values)

    def token_of(self, digest: str) -> int | None:
        """Return the number of the token with which a session was begun; ``None`` if it is unknown or has expired."""
        rows = self._database.fetch(_SESSION, {"digest": digest})
        if not rows or rows[0][1] <= self._now():
            return None
        return int(rows[0][0])

    def remove(self, digest: str) -> None:
        """End a session; one that is unknown has ended."""
        with self._database.write() as connection:
            connection.execute(delete(_SESSIONS).where(_SESSIONS.c.digest == digest))


def _row(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(_ALL.where(_TOKENS.c.name == name, _IS_LIVE)).first()


def _token(row: Sequence[Any]) -> StoredToken:
    number, name, role, created_at, expires_at, revoked_at, used_at, digest = row
    return StoredToken(Token(number, name, Role(role), created_at, expires_at, revoked_at, used_at), digest)
