"""Addresses of servers, and the tokens that are sent to them."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from ticklake.errors import BadInput

__all__ = ["PREFIX", "checked_token", "is_loopback", "server_url"]

PREFIX = "/api/v1"
_TOKEN = re.compile(r"[\x21-\x7e]+")


def server_url(url: str) -> str:
    """Return the address of a server without what is not part of it.

    Raises
    ------
    BadInput
        If it is no address of a server. What it says is not repeated where that may be a password.
    """
    if not isinstance(url, str):
        raise BadInput(f"url={url!r} is no address: write it like http://127.0.0.1:8470")
    try:
        parts = urlsplit(url.strip())
        # Read for their errors: a port that is no number, and a name that no machine can have.
        _ = parts.port, (parts.hostname or "").encode("idna")
    except ValueError:
        raise BadInput("url=... is no address: write it like http://127.0.0.1:8470") from None
    if parts.username is not None or parts.password is not None:
        raise BadInput(f"url={parts.scheme}://...@{parts.hostname} holds a password: pass token=... instead")
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in parts.hostname:
        raise BadInput(f"url={url!r} is no address of a server: write it like http://127.0.0.1:8470")
    if parts.query or parts.fragment:
        raise BadInput(f"url={parts.scheme}://{parts.netloc}/... has a part after ? or #: leave it out")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix(PREFIX)}"


def checked_token(token: str | None) -> str | None:
    """Return a token as it is sent. It is a secret: no error repeats it.

    Raises
    ------
    BadInput
        If it cannot be one.
    """
    if token is None:
        return None
    if not isinstance(token, str) or not _TOKEN.fullmatch(token.strip()):
        raise BadInput("token=... is no token: pass the text that 'ticklake token create' printed")
    return token.strip()


def is_loopback(url: str) -> bool:
    """Whether a server is on this machine, so that nobody else hears what is sent."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
