"""What is peculiar to each exchange: a table of facts, so that the page loops need no branches for exchanges.

Sources: the exchanges' public API documentation, and what their answers showed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ticklake.core.time import DAY, HOUR, SECOND, decimal_to_ns
from ticklake.sources.ccxt.exact_time import exact_time
from ticklake.sources.ccxt.trade_calls import BY_SINCE, TradeCalls

__all__ = ["QUIRKS", "Quirks", "quirks_of"]


def _kraken_time(trade: dict[str, Any]) -> int:
    """Kraken sends decimal seconds with more digits than milliseconds."""
    return decimal_to_ns(trade["info"][2])


@dataclass(frozen=True, slots=True)
class Quirks:
    """How an exchange differs.

    Parameters
    ----------
    page_bars, contract_bars
        Bars that fit one call. The smaller one of *page_bars* and ccxt's limit for the type of market counts, 100 if neither is
        known. *contract_bars* counts for contracts, whatever ccxt says.
    recent_bars
        Each call returns this many of the newest bars, whatever it asks for.
    served_bars
        A call may begin only so many bars before now; older ones are refused.
    until
        Whether calls for bars take the end of a window.
    quote_volume, bar_trades
        The indices of the quote volume and the number of trades in a bar as the exchange sends it, a list.
    trades
        How trades are paged: by ``id``, by ``time``, by ``window``, or ``recent`` if only the newest are served.
    trade_calls, trade_days
        How a window of trades is asked for, and for how many days trades are served, where older ones are refused.
    page_trades, trade_window
        Trades that fit one call; the time that they usually span, in nanoseconds.
    trade_time
        Reads a trade's time as exactly as the exchange sends it.
    since_param
        The parameter that takes a nanosecond trade cursor, exclusive.
    id_space
        The name of the numbering of trade ids, where the exchange has several.
    page_events
        Funding rates that fit one call.
    funding, funding_end
        How funding rates are paged: from a cursor on, the oldest first, or by windows that fit even hourly rates. *funding_end*
        is the parameter for the end of a window.
    funding_page, inverse_funding_page
        The parameter for the number of a page, where calls take no times and page 1 holds the newest rates; *inverse_funding_page*
        where only calls for contracts that settle in their base currency are so.
    funding_cursor
        The parameter for the cursor of a page, and the field of the exchange's rows that holds the cursor of the next one, where
        calls take cursors and no times.
    open_interest_days
        Open interest is served for this many days only.
    keeps
        The kinds whose history is kept whole since the listing. For these, an older row of another market proves a silence, too;
        for other kinds, only an older row of the market itself does.
    open_interest_frames, page_open_interest
        The timeframes of open interest that can be asked for; how many of its rows fit one call.
    """

    page_bars: int | None = None
    contract_bars: int | None = None
    recent_bars: int | None = None
    served_bars: int | None = None
    until: bool = False
    quote_volume: int | None = None
    bar_trades: int | None = None
    trades: Literal["id", "time", "window", "recent"] = "recent"
    trade_calls: TradeCalls = BY_SINCE
    trade_days: int | None = None
    page_trades: int = 500
    trade_window: int = HOUR
    trade_time: Callable[[dict[str, Any]], int | None] = exact_time
    since_param: str | None = None
    id_space: str = ""
    page_events: int = 100
    funding: Literal["cursor", "window"] = "window"
    funding_end: str = "until"
    funding_page: str | None = None
    inverse_funding_page: str | None = None
    funding_cursor: tuple[str, str] | None = None
    open_interest_days: int | None = None
    keeps: frozenset[str] = frozenset()
    open_interest_frames: tuple[str, ...] = ()
    page_open_interest: int = 500


_BARS = frozenset({"ohlcv"})
_BARS_AND_FUNDING = frozenset({"ohlcv", "funding"})
_BARS_AND_TRADES = frozenset({"ohlcv", "trades"})
_EVERYTHING = frozenset({"ohlcv", "trades", "funding"})
_BINANCE = Quirks(
    page_bars=1000,
    until=True,
    quote_volume=7,
    bar_trades=8,
    trades="id",
    trade_calls=TradeCalls(longest=HOUR - SECOND),
    page_trades=1000,
    id_space="agg",
    page_events=1000,
    funding="cursor",
    open_interest_days=30,
    keeps=_EVERYTHING,
    open_interest_frames=("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d"),
    contract_bars=1000,
)
_BYBIT = Quirks(
    page_bars=1000,
    until=True,
    page_events=200,
    keeps=_BARS_AND_FUNDING,
    open_interest_frames=("5m", "15m", "30m", "1h", "4h", "1d"),
    page_open_interest=200,
)
_OKX = Quirks(
    trades="window",
    page_trades=100,
    trade_calls=TradeCalls(
        start=None, end="after", params=(("method", "publicGetMarketHistoryTrades"), ("type", "2")), longest=DAY
    ),
    page_bars=100,
    until=True,
    quote_volume=7,
    funding_end="after",
    keeps=_BARS,
    open_interest_frames=("5m", "1h", "1d"),
    page_open_interest=100,
)
_KUCOIN = Quirks(
    page_bars=1500,
    until=True,
    open_interest_frames=("5m", "15m", "30m", "1h", "4h", "1d"),
    page_open_interest=200,
)
# "Candlestick too long ago. Maximum 10000 points ago are allowed": a page of them less, as a run takes its time.
_GATE = Quirks(
    trades="window",
    page_trades=1000,
    trade_calls=TradeCalls(start="from", end="to", unit=SECOND),
    page_bars=999,
    served_bars=9_900,
    until=True,
    open_interest_frames=("5m", "15m", "30m", "1h", "4h", "1d"),
    page_open_interest=100,
)
_ORDERLY = Quirks(funding_page="page", page_events=25)

QUIRKS: dict[str, Quirks] = {
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
        keeps=frozenset({"trades"}),
    ),
    "okx": _OKX,
    "okxus": _OKX,
    "myokx": _OKX,
    "bybit": _BYBIT,
    "bybiteu": _BYBIT,
    "bybitid": _BYBIT,
    "bitget": Quirks(
        funding_page="pageNo", page_bars=200, until=True, trades="window", page_trades=1000, trade_days=90
    ),
    "deribit": Quirks(
        trades="window", page_trades=1000, trade_calls=TradeCalls(params=(("sorting", "asc"),), longest=30 * DAY)
    ),
    "kucoin": _KUCOIN,
    "kucoinfutures": _KUCOIN,
    "gate": _GATE,
    "gateeu": _GATE,
    # ccxt cuts windows of its spot bars to 500, whatever limit it announces.
    "mexc": Quirks(page_bars=500, until=True, funding_page="page_num"),
    # More than 50 rates a page of inverse contracts are refused.
    "htx": Quirks(
        page_events=50,
        inverse_funding_page="page_index",
        open_interest_frames=("1h", "4h", "12h", "1d"),
        page_open_interest=200,
    ),
    # ccxt sends the end of a window in seconds, its start in milliseconds.
    "modetrade": _ORDERLY,
    "pacifica": Quirks(funding_cursor=("cursor", "next_cursor")),
    "woofipro": _ORDERLY,
    "extended": Quirks(open_interest_frames=("1h", "1d"), page_open_interest=100),
    "coinbase": Quirks(
        page_bars=300,
        until=True,
        trades="window",
        page_trades=1000,
        trade_calls=TradeCalls(unit=SECOND),
        keeps=_BARS,
    ),
    "bitstamp": Quirks(page_bars=1000, keeps=_BARS),
    "bitfinex": Quirks(
        page_bars=10_000, until=True, trades="time", page_trades=10_000, trade_window=30 * DAY, keeps=_BARS_AND_TRADES
    ),
}

_UNKNOWN = Quirks()


def quirks_of(exchange: str) -> Quirks:
    """Return what is peculiar to an exchange; cautious defaults for one that has no row."""
    return QUIRKS.get(exchange, _UNKNOWN)
