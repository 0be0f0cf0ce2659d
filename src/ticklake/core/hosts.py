"""Hosts and origins of requests: which a server answers to, so that web pages of others cannot use it.

A browser lets any page send requests to any address. A name that its owner points at 127.0.0.1 ("DNS rebinding") makes a server on
this machine look like a part of that page: the ``Host`` header is what tells. ``Origin`` and ``Sec-Fetch-Site`` tell which page sent a
request.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["AllowedHosts", "foreign_page", "host_name", "is_loopback"]

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}))(?::\d{1,5})?")
_PORT_OF = {"http": ":80", "https": ":443"}
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES = frozenset({"same-origin", "none"})
"""``none``: a person typed the address, or opened a bookmark."""


def host_name(header: str) -> str | None:
    """Return the name or address in a ``Host`` header, in lower case and without the port; ``None`` if it is no such header.

    >>> host_name("[::1]:8470"), host_name("LocalHost"), host_name("a b")
    ('::1', 'localhost', None)
    """
    found = _HOST.fullmatch(header)
    if found is None:
        return None
    return found["name"].strip("[]").lower()


def is_loopback(name: str) -> bool:
    """Whether a name or an address is this machine's own, which other machines do not reach."""
    if name == "localhost":
        return True
    address = _address(name)
    return address is not None and address.is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """The hosts that a server answers to.

    Parameters
    ----------
    listening
        The address that it listens on.
    names
        More names, like ``lake.example.com`` or ``*.example.com``.
    """

    listening: str
    names: tuple[str, ...] = ()

    def includes(self, name: str) -> bool:
        """Whether requests to a name or an address are answered."""
        if is_loopback(name) or name == self.listening:
            return True
        address = _address(name)
        if address is not None and self._is_any_address():
            # Rebinding needs a name: no page of others has an address of this machine as its origin.
            return True
        return any(_matches(name, pattern.lower()) for pattern in self.names)

    def _is_any_address(self) -> bool:
        address = _address(self.listening)
        return address is not None and address.is_unspecified


def _matches(name: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return name.endswith(pattern[1:])
    return name == pattern.strip("[]")


def foreign_page(method: str, headers: Mapping[str, str], allowed: frozenset[str]) -> str | None:
    """Return the origin of the web page that sent a request, if it is neither one of this server nor *allowed*; else ``None``.

    Parameters
    ----------
    headers
        Those of the request, with names in lower case; ``host`` is one that the server answers to.
    allowed
        Origins like ``https://example.com``.
    """
    origin = headers.get("origin")
    # What a browser says of the origin counts most: it is there with each request that could change something.
    if origin is not None:
        if origin in allowed or _authority(origin) == _without_port(headers.get("host", "").lower(), origin):
            return None
        return origin
    site = headers.get("sec-fetch-site", "none")
    if site in _OWN_SITES or _is_link(method, headers):
        return None
    # Another port of this machine is the same site, and another program.
    return f"a {site} page"


def _is_link(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a person follows a link of another page: the answer is shown, and that page cannot read it."""
    is_shown = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return is_shown and method in _SAFE_METHODS


def _authority(origin: str) -> str | None:
    """Return the host and port of an origin, without the port that its scheme implies; ``None`` for ``null``."""
    scheme, separator, authority = origin.lower().partition("://")
    if not separator or scheme not in _PORT_OF:
        return None
    return authority.removesuffix(_PORT_OF[scheme])


def _without_port(host: str, origin: str) -> str:
    scheme = origin.lower().partition("://")[0]
    return host.removesuffix(_PORT_OF.get(scheme, ""))
