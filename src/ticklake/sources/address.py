"""Addresses of exchanges at another host: a simulated exchange, or a proxy."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["at_base"]


def at_base(url: str, base: str | None) -> str:
    """Return an address of an exchange at *base*, which replaces its scheme and host.

    Addresses of streams keep their host as part of the path: it tells one market of an exchange from another where paths do not.

    >>> at_base("https://api.binance.com/api/v3/depth?limit=5", "http://127.0.0.1:8000")
    'http://127.0.0.1:8000/api/v3/depth?limit=5'
    >>> at_base("wss://stream.binance.com:9443/ws", "http://127.0.0.1:8000/binance")
    'ws://127.0.0.1:8000/stream.binance.com:9443/ws'
    """
    if base is None:
        return url
    theirs = urlsplit(url)
    if theirs.scheme in {"ws", "wss"}:
        ours = urlsplit(base)
        scheme = {"http": "ws", "https": "wss"}.get(ours.scheme, ours.scheme)
        return f"{scheme}://{ours.netloc}/{theirs.netloc}{theirs.path}"
    query = f"?{theirs.query}" if theirs.query else ""
    return f"{base.rstrip('/')}{theirs.path}{query}"
