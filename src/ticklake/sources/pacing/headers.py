"""What exchanges say about their rate limits in the headers of every answer: a table of rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

__all__ = ["RULES", "Rule", "asked_pause", "ban_of", "retry_after"]

RESERVE = 0.1
"""This share of a budget is left alone: others behind the same address may need it."""
LONGEST = 120.0
"""Seconds that a header which is no refusal can hold anybody up."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How exchanges tell how much of a budget is used, and when it is whole again.

    Parameters
    ----------
    exchanges
        The ids it holds for; none are all.
    path
        How the path of the call begins, where budgets differ by it.
    used, remaining
        The header with what was used, or with what is left.
    limit
        The header with the whole budget, or the budget itself where no header tells.
    reset
        The header with the end of the window: seconds or milliseconds since 1970, or a countdown of *unit* seconds.
    window
        Without *reset*: windows of so many seconds begin at whole multiples of it.
    """

    exchanges: tuple[str, ...] = ()
    path: str = ""
    used: str = ""
    remaining: str = ""
    limit: str | float = ""
    reset: str = ""
    unit: float = 1.0
    window: float = 0.0


_BINANCE = ("binance", "binanceus", "binanceusdm", "binancecoinm")
RULES: tuple[Rule, ...] = (
    # developers.binance.com, "Limits": the address's weight of this minute; spot allows 6,000, futures 2,400
    Rule(_BINANCE, "/fapi", used="x-mbx-used-weight-1m", limit=2_400, window=60),
    Rule(_BINANCE, "/dapi", used="x-mbx-used-weight-1m", limit=2_400, window=60),
    Rule(_BINANCE, "/api", used="x-mbx-used-weight-1m", limit=6_000, window=60),
    # bybit-exchange.github.io/docs/v5/rate-limit: of this endpoint; the reset is in milliseconds since 1970
    Rule(("bybit",), remaining="x-bapi-limit-status", limit="x-bapi-limit", reset="x-bapi-limit-reset-timestamp"),
    # kucoin.com/docs-new/rate-limit: of the pool of this address; the reset is a countdown in milliseconds
    Rule(
        ("kucoin", "kucoinfutures"),
        remaining="gw-ratelimit-remaining",
        limit="gw-ratelimit-limit",
        reset="gw-ratelimit-reset",
        unit=0.001,
    ),
    # gate.com/docs/developers/apiv4, "Rate limit": of this endpoint
    Rule(
        ("gate", "gateio"),
        remaining="x-gate-ratelimit-requests-remain",
        limit="x-gate-ratelimit-limit",
        reset="x-gate-ratelimit-reset-timestamp",
    ),
    # bitmex.com/app/restAPI and many others
    Rule(remaining="x-ratelimit-remaining", limit="x-ratelimit-limit", reset="x-ratelimit-reset"),
    # draft-ietf-httpapi-ratelimit-headers
    Rule(remaining="ratelimit-remaining", limit="ratelimit-limit", reset="ratelimit-reset"),
)
"""OKX, Kraken and Coinbase tell nothing before they refuse: their pace is ccxt's."""


_BANS: tuple[tuple[str, int, str, float], ...] = (
    # bybit-exchange.github.io/docs/v5/rate-limit: "403, access too frequent": at least 10 minutes; other 403 are for good
    ("bybit", 403, "too frequent", 600.0),
)
"""Exchange, status, words of the answer, and for how many seconds this address is banned."""


def ban_of(exchange: str, status: int, body: str) -> float | None:
    """Return for how long an answer bans this address, where it is one that other exchanges give for other reasons."""
    words = body.lower()
    return next(
        (long for name, code, told, long in _BANS if (name, code) == (exchange, status) and told in words), None
    )


def asked_pause(exchange: str, path: str, headers: Mapping[str, str], now: float) -> float:
    """Return for how many seconds nobody should call, so that the reserve of a budget is not touched.

    *headers* have lower-case names, *now* is in seconds since 1970. What cannot be read says nothing.
    """
    rules = (rule for rule in RULES if not rule.exchanges or exchange in rule.exchanges)
    pauses = (_pause(rule, headers, now) for rule in rules if rule.path in path)
    return min(max(pauses, default=0.0), LONGEST)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds of ``Retry-After`` (a number or an HTTP date, RFC 9110 section 10.2.3), if it says any."""
    text = headers.get("retry-after", "")
    seconds = _number(text)
    if seconds is None and text:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except ValueError:
            return None
    return None if seconds is None else max(seconds, 0.0)


def _pause(rule: Rule, headers: Mapping[str, str], now: float) -> float:
    limit = rule.limit if isinstance(rule.limit, float | int) else _number(headers.get(rule.limit))
    left = _left(rule, headers, limit)
    if limit is None or left is None or left > limit * RESERVE:
        return 0.0
    if rule.window:
        return rule.window - now % rule.window
    reset = _number(headers.get(rule.reset))
    return 0.0 if reset is None else max(_seconds_until(reset, rule.unit, now), 0.0)


def _left(rule: Rule, headers: Mapping[str, str], limit: float | None) -> float | None:
    if rule.remaining:
        return _number(headers.get(rule.remaining))
    used = _number(headers.get(rule.used))
    return None if used is None or limit is None else limit - used


def _seconds_until(reset: float, unit: float, now: float) -> float:
    """Tell times since 1970 from countdowns by their size."""
    if reset >= 1e12:
        return reset / 1000 - now
    return reset - now if reset >= 1e9 else reset * unit


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
