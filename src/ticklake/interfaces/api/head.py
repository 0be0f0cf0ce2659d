"""The head of a request: what can be refused before anything of its body is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote

from starlette.types import Scope

from ticklake.core.hosts import AllowedHosts, foreign_page, host_name
from ticklake.core.redact import redacted

__all__ = ["COOKIE", "CSRF_HEADER", "LIVE", "LOGIN", "UPLOADS", "Head", "Refused", "check_head", "content_length"]

COOKIE = "ticklake_session"
CSRF_HEADER = "x-csrf-token"
LOGIN = "/login"
UPLOADS = frozenset({"/api/v1/imports"})
"""Paths that take files, as they are."""
LIVE = ("/api/v1/events", "/api/v1/subscribe")
"""Paths whose answers go on until the client leaves."""
_FORMS = frozenset({"application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""})
"""Types of bodies that a page of others may send without being asked."""
_ONCE = frozenset({"host", "authorization", "content-length", "content-type", "cookie", "origin", "transfer-encoding"})
"""Headers that may not come twice: of two programs on the way, each may believe another one."""
_LONGEST = 8192
"""Characters of an address."""
_SECRET_PARAMETERS = frozenset({"token", "access_token", "api_key", "apikey"})
_SECRET_WORDS = ("tl_", "token", "key")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Refused(Exception):
    """A request that is not answered, for what its head says."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Head:
    """What a request says before its body. Headers are named in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    repeated: str | None
    """The name of a header that comes twice and may not."""
    address: str
    """Where the request comes from."""
    is_socket: bool
    """Whether it opens a WebSocket."""

    @classmethod
    def of(cls, scope: Scope) -> Head:
        """Read the head of the request in an ASGI scope."""
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        address = ""
        if scope.get("client"):
            address = scope["client"][0]
        return cls(
            scope.get("method", "GET"),
            scope["path"],
            scope["query_string"].decode("latin-1"),
            dict(pairs),
            _repeated(name for name, _ in pairs),
            address,
            scope["type"] == "websocket",
        )

    @property
    def is_safe(self) -> bool:
        """Whether the request changes nothing."""
        return self.method in _SAFE_METHODS

    @property
    def is_live(self) -> bool:
        """Whether the answer goes on until the client leaves."""
        return self.is_socket or self.path.startswith(LIVE)

    @property
    def is_upload(self) -> bool:
        """Whether the body is a file."""
        return self.path in UPLOADS

    @property
    def is_form(self) -> bool:
        """Whether the body is of a type that a page of others may send, and the path does not take it."""
        if not self.has_body:
            return False
        # Browsers judge the type without its parameters, which come after a semicolon.
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if self.path == LOGIN and kind == "application/x-www-form-urlencoded":
            return False
        return kind in _FORMS

    @property
    def has_body(self) -> bool:
        """Whether a body follows."""
        return "transfer-encoding" in self.headers or self.headers.get("content-length", "0").strip() != "0"

    @property
    def shown_path(self) -> str:
        """The path, as it may stand in a log: without secrets, and encoded, as a terminal would obey what is in it."""
        return quote(redacted(self.path), safe="/:@*+,;=~")[:500]

    @property
    def session(self) -> str | None:
        """The value of the session's cookie."""
        text = self.headers.get("cookie", "")
        if COOKIE not in text:
            return None
        try:
            found = SimpleCookie(text).get(COOKIE)
        except CookieError:
            # Other programs on this machine set cookies for localhost, too, and may write them as they like.
            return None
        if found is None:
            return None
        return found.value


def check_head(head: Head, hosts: AllowedHosts, origins: frozenset[str]) -> None:
    """Check what a request says before its body, whoever sent it.

    Raises
    ------
    Refused
    """
    _check_host(head, hosts)
    if len(head.path) + len(head.query) > _LONGEST:
        raise Refused(414, "UriTooLong", f"the address is longer than {_LONGEST:,} characters: send less in it")
    if _has_secret(head.query):
        raise Refused(
            400,
            "BadInput",
            "a token in an address ends up in logs: revoke it, and send another as 'Authorization: Bearer tl_...'",
        )
    # A socket is read by the page that opened it, whoever's page that is: it is judged as if it changed something.
    method = "POST" if head.is_socket else head.method
    page = foreign_page(method, head.headers, origins)
    if page is not None:
        raise Refused(
            403, "NotAllowed", f"the request was sent by {page}: name its origin in the setting server.allowed_origins"
        )


def _check_host(head: Head, hosts: AllowedHosts) -> None:
    if head.repeated is not None:
        raise Refused(400, "BadInput", f"the header {head.repeated} comes twice: send it once")
    name = host_name(head.headers.get("host", ""))
    if name is None:
        raise Refused(400, "BadInput", "the header Host names no host: send the name or the address of the server")
    if not hosts.includes(name):
        raise Refused(
            400, "BadInput", f"the server does not answer as {name!r}: add it to the setting server.allowed_hosts"
        )


def content_length(head: Head) -> int:
    """Return how many bytes of a body are announced; 0 if that is not said.

    Raises
    ------
    Refused
        If it is no number: who reads it as one may read another.
    """
    text = head.headers.get("content-length", "0")
    # Not int(): it takes signs, blanks and underscores, which a proxy before this server may read otherwise.
    if not (text.isascii() and text.isdigit()):
        raise Refused(400, "BadInput", "the header Content-Length is no number: send the length of the body")
    return int(text)


def _has_secret(query: str) -> bool:
    lowered = query.lower()
    # Quickly: nearly all queries have none, and to take one apart takes longer than all other checks of the head.
    if not any(word in lowered for word in _SECRET_WORDS):
        return False
    names = {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}
    return redacted(query) != query or not names.isdisjoint(_SECRET_PARAMETERS)


def _repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen and name in _ONCE:
            return name
        seen.add(name)
    return None
