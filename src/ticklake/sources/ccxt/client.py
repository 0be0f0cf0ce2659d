"""The client of one exchange through ccxt: calls, retries, and the translation of every error."""

from __future__ import annotations

import asyncio
import difflib
import json
import logging
import ssl
import time
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import ccxt.async_support as ccxt

from ticklake.core.redact import HIDDEN, redacted
from ticklake.core.retry import OF_CALLS, RetryPolicy
from ticklake.errors import (
    AccessDenied,
    BadResponse,
    Banned,
    RateLimited,
    SourceError,
    SourceUnavailable,
    TicklakeError,
    UnknownExchange,
    UnknownSymbol,
    Unsupported,
)
from ticklake.log import Log
from ticklake.sources.address import at_base
from ticklake.sources.pacing.headers import ban_of, retry_after
from ticklake.sources.pacing.pace import Pace
from ticklake.sources.retry import retrying

__all__ = ["RETRIES", "ExchangeClient", "ExchangeOptions", "addresses_at", "exchange_ids", "translated"]

_LOG = Log("sources")
RETRIES: ContextVar[list[str] | None] = ContextVar("RETRIES", default=None)
"""The list to which calls of this task add why they were repeated or had to wait."""


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """How to reach an exchange.

    ``url`` replaces scheme and host of every address that ccxt knows for it, ``rate_limit_ms`` the time between calls;
    ``timeout`` is in seconds; ``settings`` goes to ccxt's constructor as it is; ``pace`` gives turns to calls (by default a
    pace of this client alone).
    """

    url: str | None = None
    rate_limit_ms: float | None = None
    timeout: float = 20.0
    retry: RetryPolicy = OF_CALLS
    settings: dict[str, Any] | None = None
    pace: Pace | None = None


def exchange_ids() -> list[str]:
    """Return the ids of all exchanges that this ccxt knows."""
    return list(ccxt.exchanges)


class ExchangeClient:
    """One exchange through ccxt. Every call is paced, retried where that helps, and fails with our errors.

    ``ccxt`` is ccxt's own object for the exchange, ``calls`` the number of calls so far, with the repeated ones.
    """

    def __init__(self, exchange: str, options: ExchangeOptions) -> None:
        if exchange not in ccxt.exchanges:
            raise UnknownExchange(f"{exchange!r} is not an exchange ccxt knows{_near(exchange)}: 'ticklake exchanges'")
        self.exchange = exchange
        self.retry = options.retry
        self.ccxt: Any = _ccxt_exchange(exchange, options)
        self.ccxt.on_rest_response = self._on_response
        self.ccxt.throttle = self._throttle
        self.pace = options.pace or Pace(exchange)
        self.calls = 0

    async def call(self, method: str, *arguments: Any, **params: Any) -> Any:
        """Call a method of ccxt until it answers or a repetition cannot help.

        Raises
        ------
        TicklakeError
            The last error, translated.
        """
        return await retrying(self.retry, _note)(self._call_once, method, *arguments, **params)

    async def close(self) -> None:
        """Close the connections."""
        self.pace.close()
        await self.ccxt.close()

    async def _call_once(self, method: str, *arguments: Any, **params: Any) -> Any:
        self.calls += 1
        with self.pace.pause_on_refusal():
            try:
                return await getattr(self.ccxt, method)(*arguments, **params)
            except TicklakeError:
                raise
            except Exception as error:
                raise translated(error, self.exchange, self._secrets()) from error

    async def _throttle(self, cost: float | None = None) -> None:
        """Take a turn before a request, in the place of ccxt's own throttler, which knows of one process only."""
        if cost is None:
            cost = 1
        await self.pace.turn(self.ccxt.rateLimit * cost, _note)

    def _secrets(self) -> list[str]:
        """Return the credentials that are set, which must appear in no error."""
        secrets = []
        for name in ("apiKey", "secret", "password", "uid", "token", "privateKey"):
            value = getattr(self.ccxt, name, None)
            if isinstance(value, str) and value:
                secrets.append(value)
        return secrets

    def _on_response(
        self,
        code: int,
        reason: str,
        url: str,
        method: str,
        headers: dict[str, str],
        body: str,
        *_request: Any,
    ) -> str:
        """Raise our error for an answer by its status and shape; return the body for ccxt to read.

        ccxt maps statuses differently for each exchange (OKX's 429 becomes ``ExchangeNotAvailable``), and drops ``Retry-After``.
        """
        path = urlsplit(url).path
        where = f"{self.exchange} {method} {path}: {code} {reason}"
        self.pace.pause_by_headers(path, headers)
        lowered = {name.lower(): value for name, value in headers.items()}
        after = retry_after(lowered, time.time())
        if code == 429:
            raise RateLimited(f"{where}: too many requests", after)
        ban = ban_of(self.exchange, code, body)
        if code == 418 or ban:
            if after is None:
                after = ban
            text = f"{where}: the exchange warns of a ban; wait some minutes, then run the same command again"
            raise Banned(text, after)
        if code in {401, 403, 451}:
            raise AccessDenied(f"{where}: the exchange does not serve this address or key")
        if code >= 500:
            raise SourceUnavailable(where)
        # ccxt does not refuse such a body: it hands it on as text or as bytes.
        if code == 200 and not _is_json(body):
            raise BadResponse(f"{where}: the answer is cut short or no JSON")
        return body.strip()


_ERRORS: tuple[tuple[type[Exception], type[TicklakeError]], ...] = (
    (ccxt.BadSymbol, UnknownSymbol),
    # The two for too many requests are siblings under NetworkError: they must come before it.
    (ccxt.RateLimitExceeded, RateLimited),
    (ccxt.DDoSProtection, RateLimited),
    (ccxt.PermissionDenied, AccessDenied),
    (ccxt.AuthenticationError, AccessDenied),
    (ccxt.NetworkError, SourceUnavailable),
    (ccxt.NotSupported, Unsupported),
    (ccxt.BadRequest, SourceError),
    (ccxt.ExchangeError, BadResponse),
    (asyncio.TimeoutError, SourceUnavailable),
    (OSError, SourceUnavailable),
)
"""Errors of ccxt and what they become: the first row that fits counts."""


def translated(error: Exception, exchange: str, secrets: Sequence[str] = ()) -> TicklakeError:
    """Return our error for one of ccxt's, without the secrets that an answer may have repeated."""
    text = str(error)
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    # The addresses of private calls are signed.
    text = redacted(text)[:300]
    if not text.startswith(exchange):
        text = f"{exchange}: {text}"
    # ccxt has no rule for these words of Kraken's and would call them a bad answer.
    if "Unknown asset pair" in text:
        return UnknownSymbol(text)
    error_type = _error_type(error)
    if error_type is SourceUnavailable:
        text = f"{text}: no answer; check the network, or try later"
    return error_type(text)


def _error_type(error: Exception) -> type[TicklakeError]:
    for theirs, ours in _ERRORS:
        if isinstance(error, theirs):
            return ours
    return BadResponse


def _note(text: str) -> None:
    """Keep for the run's log why a call was repeated or had to wait."""
    _LOG.debug("call put off", reason=text)
    notes = RETRIES.get()
    if notes is not None:
        notes.append(text)


def _is_json(body: str) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def _ccxt_exchange(exchange: str, options: ExchangeOptions) -> Any:
    logging.getLogger("ccxt").setLevel(logging.CRITICAL)
    # ccxt calls its throttle, which is ours, only if it is to keep a rate.
    settings = {"enableRateLimit": True, "timeout": int(options.timeout * 1000), **(options.settings or {})}
    if options.rate_limit_ms is not None:
        settings["rateLimit"] = options.rate_limit_ms
    client = getattr(ccxt, exchange)(settings)
    if options.url is not None:
        client.urls["api"] = addresses_at(client.urls["api"], options.url)
    # ccxt waits a quarter of a second for connections to close; aiohttp's close() returns only when they are.
    client.timeout_on_exit = 0
    if not settings.keys() & {"cafile", "verify"} and not client.options.get("include_OS_certificates"):
        client.ssl_context = _tls_context(client.cafile)
    _disable_filters(client)
    return client


@cache  # reading all root certificates takes 15 ms, and each run has a client of its own
def _tls_context(root_certificates: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=root_certificates)


def _disable_filters(client: Any) -> None:
    """Stop ccxt from cutting an answer to the asked limit and start: repeated rows would push real ones out."""
    by_value = client.filter_by_value_since_limit
    client.filter_by_since_limit = lambda array, *_, **__: client.to_array(array or [])
    client.filter_by_value_since_limit = lambda array, field, value=None, *_, **__: by_value(array, field, value)


def addresses_at(urls: Any, base: str) -> Any:
    """Return ccxt's table of addresses with all of them at *base*."""
    if isinstance(urls, dict):
        return {name: addresses_at(url, base) for name, url in urls.items()}
    if isinstance(urls, str):
        return at_base(urls, base)
    return urls


def _near(exchange: str) -> str:
    close = difflib.get_close_matches(str(exchange), ccxt.exchanges, n=3)
    if not close:
        return ""
    return f" (did you mean {' or '.join(close)}?)"
