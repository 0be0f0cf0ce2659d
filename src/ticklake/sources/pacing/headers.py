"""Rate limits as exchanges report them in the headers of every response: a table of rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

__all__ = ["RULES", "Rule", "asked_pause", "ban_of", "retry_after"]

RESERVE = 0.1
"""The share of a budget that is not used: other programs behind the same address may need it."""
LONGEST = 120.0
"""The longest pause, in seconds, for a header of a response that is no refusal."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How exchanges report how much of a budget is used, and when it is reset.

    Parameters
    ----------
    exchanges
        The ids that it applies to; empty for all.
    path
        The beginning of the path of the call, if budgets differ by path.
    used, remaining
        The header with the amount that was used, or with the amount that is left.
    limit
        The header with the whole budget, or the budget itself if no header has it.
    reset
        The header with the end of the window: seconds or milliseconds since 1970, or a countdown in units of *unit* seconds.
    window
        The length of the window in seconds, if there is no *reset*. Windows begin at whole multiples of it.
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
"""OKX, Kraken and Coinbase report nothing before they refuse: they are called at ccxt's pace."""


_BANS: tuple[tuple[str, int, str, float], ...] = (
    # bybit-exchange.github.io/docs/v5/rate-limit: "403, access too frequent": at least 10 minutes; other 403 are for good
    ("bybit", 403, "too frequent", 600.0),
)
"""Exchange, status, words in the body, and for how many seconds this address is banned."""


def ban_of(exchange: str, status: int, body: str) -> float | None:
    """Return for how many seconds a response bans this address, if its status alone does not say that it is a ban."""
    text = body.lower()
    for banning_exchange, banning_status, words, seconds in _BANS:
        if (exchange, status) == (banning_exchange, banning_status) and words in text:
            return seconds
    return None


def asked_pause(exchange: str, path: str, headers: Mapping[str, str], now: float) -> float:
    """Return for how many seconds nobody should call, so that the reserve of a budget is not used.

    *headers* have lower-case names, *now* is in seconds since 1970. Headers that cannot be read are ignored.
    """
    longest = 0.0
    for rule in RULES:
        applies = not rule.exchanges or exchange in rule.exchanges
        if applies and rule.path in path:
            longest = max(longest, _pause(rule, headers, now))
    return min(longest, LONGEST)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds of ``Retry-After`` (a number or an HTTP date, RFC 9110 section 10.2.3), or ``None``."""
    text = headers.get("retry-after", "")
    seconds = _number(text)
    if seconds is None and text:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except ValueError:
            return None
    if seconds is None:
        return None
    return max(seconds, 0.0)


def _pause(rule: Rule, headers: Mapping[str, str], now: float) -> float:
    limit = _limit(rule, headers)
    remaining = _remaining(rule, headers, limit)
    if limit is None or remaining is None or remaining > limit * RESERVE:
        return 0.0
    if rule.window:
        return rule.window - now % rule.window
    reset = _number(headers.get(rule.reset))
    if reset is None:
        return 0.0
    return max(_seconds_until(reset, rule.unit, now), 0.0)


def _limit(rule: Rule, headers: Mapping[str, str]) -> float | None:
    if isinstance(rule.limit, str):
        return _number(headers.get(rule.limit))
    return rule.limit


def _remaining(rule: Rule, headers: Mapping[str, str], limit: float | None) -> float | None:
    if rule.remaining:
        return _number(headers.get(rule.remaining))
    used = _number(headers.get(rule.used))
    if used is None or limit is None:
        return None
    return limit - used


def _seconds_until(reset: float, unit: float, now: float) -> float:
    """Return the seconds until a reset. Exchanges write a time or a countdown under the same name: the size tells."""
    if reset >= 1e12:
        return reset / 1000 - now
    if reset >= 1e9:
        return reset - now
    return reset * unit


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
