"""What is peculiar to each exchange: one row a fact, no branch in the flow.

Sources: the exchanges' public API documentation and the field notes in ``docs/explanation/field-notes.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ticklake.core.time import DAY, HOUR, decimal_to_ns
from ticklake.sources.ccxt.exacttime import exact_time

__all__ = ["Quirks", "quirks_of"]


def _kraken_time(trade: dict[str, Any]) -> int:
    """Kraken sends decimal seconds with more digits than milliseconds."""
    return decimal_to_ns(trade["info"][2])


@dataclass(frozen=True, slots=True)
class Quirks:
    """How an exchange differs.

    Parameters
    ----------
    page_bars
        Bars that fit one call for sure; ``None`` takes ccxt's word, else 100.
    recent_bars
        Only this many of the newest bars are served, whatever is asked.
    until
        Whether the end of a window may be sent along.
    quote_volume, bar_trades
        Where the raw bar keeps its quote volume and its number of trades, as list indices.
    trades
        How trades are paged: by ``id``, by ``time``, or ``recent`` if only the newest are served.
    page_trades, trade_window
        Trades that fit one call; the longest window a call by time may span (nanoseconds).
    trade_time
        Reads a trade's time as exactly as the exchange sends it.
    since_param
        The parameter that takes a nanosecond trade cursor, exclusive.
    id_space
        Which numbering the trade ids belong to.
    page_events
        Funding rates that fit one call.
    funding, funding_end
        How they are paged: from a cursor on, where the oldest come first, or by windows that fit even hourly
        rates, whose end goes by this parameter.
    open_interest_days
        Open interest is served for this many days only.
    """

    page_bars: int | None = None
    recent_bars: int | None = None
    until: bool = False
    quote_volume: int | None = None
    bar_trades: int | None = None
    trades: Literal["id", "time", "recent"] = "recent"
    page_trades: int = 500
    trade_window: int = HOUR
    trade_time: Callable[[dict[str, Any]], int | None] = exact_time
    since_param: str | None = None
    id_space: str = ""
    page_events: int = 100
    funding: Literal["cursor", "window"] = "window"
    funding_end: str = "until"
    open_interest_days: int | None = None


_BINANCE = Quirks(
    page_bars=1000,
    until=True,
    quote_volume=7,
    bar_trades=8,
    trades="id",
    page_trades=1000,
    id_space="agg",
    page_events=1000,
    funding="cursor",
    open_interest_days=30,
)

_QUIRKS: dict[str, Quirks] = {
    "binance": _BINANCE,
    "binanceusdm": _BINANCE,
    "binancecoinm": _BINANCE,
    "binanceus": _BINANCE,
    "kraken": Quirks(
        recent_bars=720,
        bar_trades=7,
        trades="time",
        page_trades=1000,
        trade_window=DAY,
        trade_time=_kraken_time,
        since_param="since",
    ),
    "okx": Quirks(page_bars=100, until=True, quote_volume=7, funding_end="after"),
    "bybit": Quirks(page_bars=1000, until=True, page_events=200),
    "bitget": Quirks(page_bars=200, until=True),
    "kucoin": Quirks(page_bars=1500, until=True),
    "gate": Quirks(page_bars=999, until=True),
    "coinbase": Quirks(page_bars=300, until=True),
    "bitfinex": Quirks(page_bars=10_000, until=True, trades="time", page_trades=10_000, trade_window=30 * DAY),
    "bitmex": Quirks(page_bars=1000, trades="time", page_trades=1000, trade_window=DAY),
}

_UNKNOWN = Quirks()


def quirks_of(exchange: str) -> Quirks:
    """Return what is known about an exchange; cautious answers for those nobody wrote down."""
    return _QUIRKS.get(exchange, _UNKNOWN)
