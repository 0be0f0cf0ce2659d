"""Headers of answers that browsers obey: what pages may load, who may embed an answer, and who may keep it."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["protected_headers"]

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
