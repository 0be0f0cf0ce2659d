"""The client of yfinance. It paces and repeats calls, translates errors and contains yfinance's global state."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from ticklake.errors import (
    BadResponse,
    MissingExtra,
    RateLimited,
    SourceUnavailable,
    TicklakeError,
    UnknownSymbol,
)
from ticklake.sources.base import SourceOptions
from ticklake.sources.retry import retrying

__all__ = ["Client", "History", "Ticker"]

T = TypeVar("T")
_CALL_LOCK = threading.Lock()
"""Held during each call: yfinance has one session per process."""


@dataclass(frozen=True, slots=True)
class Ticker:
    """Yahoo's description of a ticker: its currency, time zone, and first trade (seconds since the epoch)."""

    currency: str
    zone: str
    first_trade: int | None


@dataclass(frozen=True, slots=True)
class History:
    """A pandas frame as yfinance returns it, with prices that are adjusted for splits and not for dividends."""

    frame: Any
    ticker: Ticker


class Client:
    """Calls yfinance. ``repeated`` has a line for each call that was repeated."""

    def __init__(self, options: SourceOptions) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import yfinance
                from curl_cffi.requests import Session
        except ImportError as error:
            raise MissingExtra("equities need yfinance: pip install 'ticklake[equities]'") from error
        self.version = str(yfinance.__version__)
        self.repeated: list[str] = []
        self._options = options
        self._session: Any = Session(impersonate="chrome")
        if options.url is not None:
            _move(self._session, options.url.rstrip("/"))

    async def ticker(self, name: str) -> Ticker:
        """Return Yahoo's description of a ticker.

        Raises
        ------
        UnknownSymbol
            If Yahoo does not know it.
        """
        history = await self._call(lambda: self._fetch(name, {"period": "5d"}))
        if history is None:
            raise UnknownSymbol(f"Yahoo does not know {name!r}: look it up on finance.yahoo.com; it may be delisted")
        return history.ticker

    async def history(
        self, name: str, interval: str, start: dt.datetime, end: dt.datetime | None = None
    ) -> History | None:
        """Return bars and events from *start* to *end* (now), or ``None`` if Yahoo says thrice that there are none."""
        options = {"interval": interval, "start": start, "end": end, "period": None}
        for _ in range(3):
            history = await self._call(lambda: self._fetch(name, options))
            if history is not None:
                return history
        return None

    async def close(self) -> None:
        """Close the connections."""
        self._options.pace.close()
        await asyncio.to_thread(self._session.close)

    async def _call(self, call: Callable[[], T]) -> T:
        return await retrying(self._options.retry, self.repeated.append)(self._call_once, call)

    async def _call_once(self, call: Callable[[], T]) -> T:
        await self._options.pace.turn(self._options.rate_limit_ms or 0, self.repeated.append)
        with self._options.pace.pause_on_refusal():
            return await asyncio.to_thread(call)

    def _fetch(self, name: str, options: dict[str, Any]) -> History | None:
        """Fetch once. Return ``None`` if Yahoo says that there is nothing."""
        import yfinance
        from yfinance.data import YfData
        from yfinance.exceptions import YFPricesMissingError, YFTzMissingError

        logging.getLogger("yfinance").setLevel(logging.CRITICAL)
        with _CALL_LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            debug = yfinance.config.debug
            hides_exceptions = debug.hide_exceptions
            # Else yfinance logs an error and returns an empty frame, which would look like a time without bars.
            debug.hide_exceptions = False
            # It would answer from its cache even if the last call failed.
            YfData.cache_get.cache_clear()
            ticker = yfinance.Ticker(name, session=self._session)
            try:
                arguments = {"interval": "1d", **options, "timeout": self._options.timeout}
                frame = ticker.history(auto_adjust=False, actions=True, **arguments)
                return History(frame, _described(ticker.get_history_metadata()))
            except (YFPricesMissingError, YFTzMissingError) as error:
                if _is_empty(ticker, error):
                    return None
                raise BadResponse(f"Yahoo, {name}: {error}") from error
            except Exception as error:
                raise _translated(error, name) from error
            finally:
                debug.hide_exceptions = hides_exceptions


def _described(metadata: Mapping[str, Any]) -> Ticker:
    # yfinance formats its metadata in place: the number of seconds may have become a time.
    first_trade: Any = metadata.get("firstTradeDate")
    if hasattr(first_trade, "timestamp"):
        first_trade = first_trade.timestamp()
    if first_trade is not None:
        first_trade = int(first_trade)
    return Ticker(str(metadata["currency"]), str(metadata["exchangeTimezoneName"]), first_trade)


def _is_empty(ticker: Any, error: Exception) -> bool:
    """Whether Yahoo says that there is nothing, or describes the ticker without sending bars."""
    # yfinance raises the same errors for an empty history and for a broken answer.
    reason = str(getattr(error, "yahoo_reason", None) or "").lower()
    if reason:
        return any(words in reason for words in ("no data found", "data doesn't exist", "not found"))
    return "currency" in ticker.get_history_metadata()


def _translated(error: Exception, name: str) -> TicklakeError:
    from curl_cffi.requests.exceptions import RequestException
    from yfinance.exceptions import YFRateLimitError

    text = f"Yahoo, {name}: {type(error).__name__}: {str(error)[:200]}"
    if isinstance(error, YFRateLimitError):
        return RateLimited(f"{text}: wait, or set exchanges.NAME.rate_limit_ms")
    if isinstance(error, RequestException | OSError):
        return SourceUnavailable(f"{text}: no answer; check the network, or try later")
    return BadResponse(text)


def _move(session: Any, base: str) -> None:
    """Send every request of a session to *base*, with its own path and query."""
    original = session.request

    def request(method: str, url: str, *arguments: Any, **options: Any) -> Any:
        address = urlsplit(url)
        path = urlunsplit(("", "", address.path, address.query, ""))
        return original(method, f"{base}{path}", *arguments, **options)

    session.request = request
