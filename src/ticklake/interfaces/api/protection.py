"""Headers of answers that browsers obey: what pages may load, who may embed an answer, and who may keep it."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Message, Send

from ticklake.interfaces.api.body import LimitedBody

__all__ = ["ProtectedAnswer", "protected_headers"]

_Header = tuple[bytes, bytes]
_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not no-referrer: with that, browsers send the origin of our own forms as null.
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_ENCODED = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]


def protected_headers(headers: Iterable[_Header]) -> list[_Header]:
    """Return the headers of an answer with those that protect it; what a route says itself counts."""
    protected = list(headers)
    names = {name.lower() for name, _ in protected}
    protected += [header for header in _ENCODED if header[0] not in names]
    if b"cache-control" not in names:
        # An answer with a tag may be kept, and has to be asked for again each time: who may see it may change.
        if b"etag" in names:
            protected.append((b"cache-control", b"private, no-cache"))
        else:
            protected.append((b"cache-control", b"no-store"))
    return protected


class ProtectedAnswer:
    """Sends an answer with protected headers.

    Parameters
    ----------
    send
        Where the messages of the answer go.
    body
        The body of the request.
    """

    def __init__(self, send: Send, body: LimitedBody) -> None:
        self._send = send
        self._body = body
        self._is_open = False
        self.status = 500
        """The status that was sent; that of a defect until there is one."""

    async def send(self, message: Message) -> None:
        """Send the next message of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = protected_headers(message["headers"])
            if not self._body.is_complete:
                # What is left of the body would be taken for the next request.
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        self._is_open = message["type"] == "http.response.start" or message.get("more_body", False)
        await self._send(message)

    async def finish(self) -> None:
        """End an answer that was left open, as its client was told to be gone and is not."""
        if self._is_open:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
