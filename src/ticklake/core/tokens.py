"""Tokens: the secrets by which a server knows its callers."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ticklake.core.access import Role
from ticklake.core.display import Displayed
from ticklake.core.redact import redacted
from ticklake.errors import BadInput

__all__ = [
    "PREFIX",
    "NewToken",
    "StoredToken",
    "Token",
    "check_name",
    "digest_of",
    "find_token",
    "looks_like_token",
    "parse_role",
]

PREFIX = "tl_"
"""What every token begins with, so that people and scanners of repositories recognise it."""
_SECRET = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")
"""256 random bits, as base64 writes them for addresses."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True, slots=True, repr=False)
class Token(Displayed):
    """What is known of a token: all but its secret. Times are nanoseconds UTC.

    Attributes
    ----------
    used_at
        When it was used last, to within minutes; ``None`` for never.
    """

    id: int
    name: str
    role: Role
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    used_at: int | None = None

    def state(self, now: int) -> str:
        """Return ``valid``, ``expired`` or ``revoked``."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "valid"


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token with the SHA-256 of its secret, which is all that the catalog keeps of it."""

    token: Token
    digest: str


@dataclass(frozen=True, slots=True, repr=False)
class NewToken(Displayed):
    """A token that was just made, with its secret, which nobody can show a second time."""

    token: Token
    secret: str

    def _summary(self) -> dict[str, object]:
        # A secret that a notebook shows is stored with the notebook.
        return {"name": self.token.name, "role": self.token.role.value}


def find_token(stored: Iterable[StoredToken], secret: str, now: int) -> Token | None:
    """Return the valid token of a secret, or ``None``."""
    digest = digest_of(secret)
    found: Token | None = None
    # Every digest is compared, each in constant time: how long it takes says nothing of which token it is.
    for each in stored:
        if hmac.compare_digest(each.digest, digest) and each.token.state(now) == "valid":
            found = each.token
    return found


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a secret, in hexadecimal digits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def looks_like_token(text: str) -> bool:
    """Whether a text is written like a token."""
    return _SECRET.fullmatch(text) is not None


def parse_role(role: Role | str) -> Role:
    """Read a role.

    Raises
    ------
    BadInput
    """
    try:
        return Role(role)
    except ValueError:
        raise BadInput(f"role={role!r} is none: write {', '.join(Role)}") from None


def check_name(name: str) -> str:
    """Return the name of a token.

    Raises
    ------
    BadInput
        If it is no name, or is a token itself, which must not be stored.
    """
    # Before anything else, as the other error repeats the name.
    if isinstance(name, str) and redacted(name) != name:
        raise BadInput("this is a token and no name of one: 'ticklake token list' shows the names")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadInput(f"name={name!r} is no name of a token: write letters, digits, '.', '_', '@' or '-', up to 64")
    return name
