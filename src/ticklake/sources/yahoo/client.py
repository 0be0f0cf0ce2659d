"""The door to yfinance: paced and repeated calls, errors translated, its global state contained."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

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

__all__ = ["About", "Answer", "Door"]

T = TypeVar("T")
_ONE_AT_A_TIME = threading.Lock()
"""yfinance has one session a process: calls take turns."""


@dataclass(frozen=True, slots=True)
class About:
    """What Yahoo says of a ticker: its currency, time zone, and first trade (seconds since the epoch)."""

    currency: str
    zone: str
    first_trade: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A pandas frame as yfinance returns it, with prices that are adjusted for splits and not for dividends."""

    frame: Any
    about: About


class Door:
    """Asks yfinance. ``repeated`` says which calls were repeated, and why."""

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

    async def about(self, ticker: str) -> About:
        """Return what Yahoo says of a ticker.

        Raises
        ------
        UnknownSymbol
            If it does not know it.
        """
        answer = await self._call(lambda: self._ask(ticker, {"period": "5d"}))
        if answer is None:
            raise UnknownSymbol(f"Yahoo does not know {ticker!r}: look it up on finance.yahoo.com; it may be delisted")
        return answer.about

    async def history(
        self, ticker: str, interval: str, start: dt.datetime, end: dt.datetime | None = None
    ) -> Answer | None:
        """Return bars and events from *start* to *end* (now), or ``None`` if Yahoo says thrice that there are none."""
        for _ in range(3):
            answer = await self._call(
                lambda: self._ask(ticker, {"interval": interval, "start": start, "end": end, "period": None})
            )
            if answer is not None:
                return answer
        return None

    async def close(self) -> None:
        """Close the connections."""
        self._options.pace.close()
        await asyncio.to_thread(self._session.close)

    async def _call(self, call: Callable[[], T]) -> T:
        return await retrying(self._options.retry, self.repeated.append)(self._once, call)

    async def _once(self, call: Callable[[], T]) -> T:
        await self._options.pace.turn(self._options.rate_limit_ms or 0, self.repeated.append)
        with self._options.pace.minding():
            return await asyncio.to_thread(call)

    def _ask(self, ticker: str, asked: dict[str, Any]) -> Answer | None:
        """Ask once. yfinance's own memory of answers is emptied before: it would repeat failures."""
        import yfinance
        from yfinance.data import YfData
        from yfinance.exceptions import YFPricesMissingError, YFTzMissingError

        logging.getLogger("yfinance").setLevel(logging.CRITICAL)
        with _ONE_AT_A_TIME, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hidden, yfinance.config.debug.hide_exceptions = yfinance.config.debug.hide_exceptions, False
            YfData.cache_get.cache_clear()
            one = yfinance.Ticker(ticker, session=self._session)
            try:
                options = {"interval": "1d", **asked, "timeout": self._options.timeout}
                frame = one.history(auto_adjust=False, actions=True, **options)
                return Answer(frame, _about(one.get_history_metadata()))
            except (YFPricesMissingError, YFTzMissingError) as error:
                if _is_empty(one, error):
                    return None
                raise BadResponse(f"Yahoo, {ticker}: {error}") from error
            except Exception as error:
                raise _translated(error, ticker) from error
            finally:
                yfinance.config.debug.hide_exceptions = hidden


def _about(metadata: Mapping[str, Any]) -> About:
    first = metadata.get("firstTradeDate")
    seconds = None if first is None else int(first.timestamp() if hasattr(first, "timestamp") else first)
    return About(str(metadata["currency"]), str(metadata["exchangeTimezoneName"]), seconds)


def _is_empty(one: Any, error: Exception) -> bool:
    """Whether Yahoo said in its own words that there is nothing, or described the ticker and sent no bars of it."""
    reason = str(getattr(error, "yahoo_reason", None) or "").lower()
    if reason:
        return any(words in reason for words in ("no data found", "data doesn't exist", "not found"))
    return "currency" in one.get_history_metadata()


def _translated(error: Exception, ticker: str) -> TicklakeError:
    from curl_cffi.requests.exceptions import RequestException
    from yfinance.exceptions import YFRateLimitError

    text = f"Yahoo, {ticker}: {type(error).__name__}: {str(error)[:200]}"
    if isinstance(error, YFRateLimitError):
        return RateLimited(f"{text}: wait, or set exchanges.NAME.rate_limit_ms")
    if isinstance(error, RequestException | OSError):
        return SourceUnavailable(f"{text}: no answer; check the network, or try later")
    return BadResponse(text)


def _move(session: Any, base: str) -> None:
    """Send every request of a session to *base*, with the path and query that it has."""
    original = session.request

    def moved(method: str, url: str, *arguments: Any, **options: Any) -> Any:
        parts = urlsplit(url)
        return original(
            method, f"{base}{parts.path}" + (f"?{parts.query}" if parts.query else ""), *arguments, **options
        )

    session.request = moved
