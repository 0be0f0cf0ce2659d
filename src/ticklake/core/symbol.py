"""Symbols: CCXT's unified market names, kept exactly as they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from ticklake.errors import InvalidName

__all__ = ["Symbol", "check_exchange", "exchange_id"]

_LONGEST = 200
_EXCHANGE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_PARTS = re.compile(
    r"(?P<base>[^/:]+)/(?P<quote>[^/:]+)"
    r"(?::(?P<settle>[^/:-]+)(?:-(?P<expiry>\d{6})(?:-(?P<strike>[^-]+)-(?P<option>[CP]))?)?)?"
)


def check_exchange(name: str) -> str:
    """Return *name* if it can be an exchange id.

    Raises
    ------
    InvalidName
        If it has anything but lower-case letters, digits, ``-`` and ``_``.
    """
    if not isinstance(name, str) or not _EXCHANGE.fullmatch(name):
        raise InvalidName(f"{name!r} is not an exchange id: use CCXT's, in lower case, like 'binance'")
    return name


def exchange_id(name: str) -> str:
    """Return the exchange id that *name* means, in any case: ``BINANCE`` is ``binance``.

    Raises
    ------
    InvalidName
        If it can be none.
    """
    # Letters that only become ASCII in lower case, like the sign of Kelvin, are refused with the rest.
    if isinstance(name, str) and name.isascii():
        name = name.lower()
    return check_exchange(name)


@dataclass(frozen=True, slots=True, order=True)
class Symbol:
    """A market's unified symbol: any case, any alphabet, never changed.

    ``BTC/USDT`` is spot, ``BTC/USDT:USDT`` a linear perpetual, ``BTC/USD:BTC-241227`` a future,
    ``BTC/USD:BTC-241227-60000-C`` an option.

    Raises
    ------
    InvalidName
        If the text is empty, too long, padded, or holds control characters or path steps.
    """

    text: str

    def __post_init__(self) -> None:
        problem = _problem(self.text)
        if problem:
            raise InvalidName(f"{self.text!r} is not a symbol: {problem}; write it like 'BTC/USDT'")

    def __str__(self) -> str:
        return self.text

    @property
    def base(self) -> str | None:
        """What is traded, where the symbol says so."""
        return self._part("base")

    @property
    def quote(self) -> str | None:
        """What it is priced in, where the symbol says so."""
        return self._part("quote")

    @property
    def settle(self) -> str | None:
        """What a contract is settled in; ``None`` for spot."""
        return self._part("settle")

    @property
    def market_type(self) -> str:
        """One of ``spot``, ``swap``, ``future``, ``option``."""
        if self._part("option"):
            return "option"
        if self._part("expiry"):
            return "future"
        if self.settle:
            return "swap"
        return "spot"

    @property
    def escaped(self) -> str:
        """The symbol as one path component, percent-escaped."""
        # Not even the slash is safe: it would make a folder of the base.
        return quote(self.text, safe="")

    def _part(self, name: str) -> str | None:
        match = _PARTS.fullmatch(self.text)
        if match is None:
            return None
        return match[name]


def _problem(text: str) -> str | None:
    if not isinstance(text, str) or not text:
        return "it is empty"
    # Symbols that differ in blanks alone would look the same in every table.
    if text != text.strip():
        return "it begins or ends with a blank"
    if not text.isprintable():
        return "it holds a control character"
    # On Windows a backslash separates folders, too.
    steps = text.replace("\\", "/").split("/")
    if "." in steps or ".." in steps:
        return "it holds a path step ('.' or '..')"
    if len(quote(text, safe="")) > _LONGEST:
        return f"its escaped form is longer than {_LONGEST} characters"
    return None
