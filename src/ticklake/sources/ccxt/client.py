"""The door to ccxt: clients, calls, retries, and the translation of every error."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import ccxt.async_support as ccxt

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
from ticklake.sources.pacing.headers import ban_of, retry_after
from ticklake.sources.pacing.pace import Pace
from ticklake.sources.retry import retrying

__all__ = ["RETRIES", "Door", "ExchangeOptions", "exchange_ids"]

T = TypeVar("T")
RETRIES: ContextVar[list[str] | None] = ContextVar("RETRIES", default=None)
"""Where the task that calls wants to read which calls were repeated, and why."""


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """How to reach an exchange.

    ``url`` replaces scheme and host of every address that ccxt knows for it; ``rate_limit_ms`` its pace;
    ``timeout`` is in seconds; ``settings`` goes to ccxt's constructor as it is; ``pace`` gives turns to calls (one of
    our own, if not given).
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


class Door:
    """One exchange through ccxt. Every call is paced, retried where that helps, and fails with our errors."""

    def __init__(self, exchange: str, options: ExchangeOptions) -> None:
        if exchange not in ccxt.exchanges:
            raise UnknownExchange(f"{exchange!r} is not an exchange ccxt knows{_near(exchange)}: 'ticklake exchanges'")
        self.exchange = exchange
        self.retry = options.retry
        self.client: Any = _client(exchange, options)
        self.client.on_rest_response = self._on_response
        self.client.throttle = self._throttle
        self.pace = options.pace or Pace(exchange)
        self.calls = 0

    async def call(self, method: str, *arguments: Any, **params: Any) -> Any:
        """Call a method of ccxt until it answers or there is no hope."""
        return await retrying(self.retry, _note)(self._once, method, *arguments, **params)

    async def close(self) -> None:
        """Close the connections."""
        self.pace.close()
        await self.client.close()

    async def _once(self, method: str, *arguments: Any, **params: Any) -> Any:
        self.calls += 1
        with self.pace.minding():
            return await self._translated(lambda: getattr(self.client, method)(*arguments, **params))

    async def _throttle(self, cost: float | None = None) -> None:
        """Take a turn before a request, in the place of ccxt's own throttler, which knows of one process only."""
        await self.pace.turn(self.client.rateLimit * (1 if cost is None else cost), _note)

    def _secrets(self) -> list[str]:
        names = ("apiKey", "secret", "password", "uid", "token", "privateKey")
        return [value for name in names if isinstance(value := getattr(self.client, name, None), str) and value]

    async def _translated(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await call()
        except TicklakeError:
            raise
        except Exception as error:
            raise translated(error, self.exchange, self._secrets()) from error

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
        """Judge an answer by its status and shape before ccxt reads it."""
        path = urlsplit(url).path
        where = f"{self.exchange} {method} {path}: {code} {reason}"
        self.pace.heard(path, headers)
        after = retry_after({name.lower(): value for name, value in headers.items()}, time.time())
        if code == 429:
            raise RateLimited(f"{where}: too many requests", after)
        ban = ban_of(self.exchange, code, body)
        if code == 418 or ban:
            text = f"{where}: the exchange warns of a ban; wait some minutes, then run the same command again"
            raise Banned(text, ban if after is None else after)
        if code in {401, 403, 451}:
            raise AccessDenied(f"{where}: the exchange does not serve this address or key")
        if code >= 500:
            raise SourceUnavailable(where)
        if code == 200 and not _is_json(body):
            raise BadResponse(f"{where}: the answer is cut short or no JSON")
        return body.strip()


def translated(error: Exception, exchange: str, secrets: Sequence[str] = ()) -> TicklakeError:
    """Return our error for one of ccxt's, without the secrets that an answer may have repeated."""
    text = str(error)
    for secret in secrets:
        text = text.replace(secret, "***")
    text = text[:300] if text.startswith(exchange) else f"{exchange}: {text[:300]}"
    if "Unknown asset pair" in text:
        return UnknownSymbol(text)
    table: tuple[tuple[type[Exception], type[TicklakeError]], ...] = (
        (ccxt.BadSymbol, UnknownSymbol),
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
    ours = next((ours for theirs, ours in table if isinstance(error, theirs)), BadResponse)
    return ours(f"{text}: no answer; check the network, or try later" if ours is SourceUnavailable else text)


def _note(text: str) -> None:
    """Keep for the run's log what was repeated, and why."""
    notes = RETRIES.get()
    if notes is not None:
        notes.append(text)


def _is_json(body: str) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def _client(exchange: str, options: ExchangeOptions) -> Any:
    logging.getLogger("ccxt").setLevel(logging.CRITICAL)
    settings = {"enableRateLimit": True, "timeout": int(options.timeout * 1000), **(options.settings or {})}
    if options.rate_limit_ms is not None:
        settings["rateLimit"] = options.rate_limit_ms
    client = getattr(ccxt, exchange)(settings)
    if options.url is not None:
        client.urls["api"] = _moved(client.urls["api"], options.url.rstrip("/"))
    _untrimmed(client)
    return client


def _untrimmed(client: Any) -> None:
    """Stop ccxt from cutting an answer to the asked limit and start: repeated rows would push real ones out."""
    by_value = client.filter_by_value_since_limit
    client.filter_by_since_limit = lambda array, *_, **__: client.to_array(array or [])
    client.filter_by_value_since_limit = lambda array, field, value=None, *_, **__: by_value(array, field, value)


def _moved(urls: Any, base: str) -> Any:
    """Return ccxt's table of addresses with every scheme and host replaced by *base*."""
    if isinstance(urls, dict):
        return {name: _moved(url, base) for name, url in urls.items()}
    return base + urlsplit(urls).path if isinstance(urls, str) else urls


def _near(exchange: str) -> str:
    import difflib

    close = difflib.get_close_matches(str(exchange), ccxt.exchanges, n=3)
    return f" (did you mean {' or '.join(close)}?)" if close else ""
