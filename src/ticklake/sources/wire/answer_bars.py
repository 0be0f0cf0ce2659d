"""Calls that answer with bars: the places of their rows and columns; see :mod:`~ticklake.sources.wire.answers` for the sources."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ticklake.core.time import MS, SECOND
from ticklake.core.timeframe import Timeframe
from ticklake.sources.wire.call import Answer, Call, at, clock_of, has, lists_of, market_of, read_time, value_at
from ticklake.sources.wire.rows import Row

__all__ = ["BARS"]

_PRICES = ("open", "high", "low", "close")
_NUMBERED = ("ts", *_PRICES, "volume", "quote_volume", "trades")
_LETTERS = {"m": "m", "min": "m", "H": "h", "h": "h", "hour": "h", "D": "d", "d": "d", "day": "d", "W": "w", "w": "w", "week": "w", "M": "M", "mon": "M"}  # fmt: skip
_INTERVAL = re.compile(r"(\d+)([A-Za-z]+?)(?:utc)?")
_SECONDS = {"ONE_MINUTE": 60, "FIVE_MINUTE": 300, "FIFTEEN_MINUTE": 900, "THIRTY_MINUTE": 1800, "ONE_HOUR": 3600, "TWO_HOUR": 7200, "SIX_HOUR": 21600, "ONE_DAY": 86400}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Bars:
    """The places of bars in the answer of a call.

    Parameters
    ----------
    rows
        The steps to the list of bars in the body.
    columns
        The index or key of each of our columns in a bar.
    unit
        What times count, in nanoseconds; 0 if they are ISO texts.
    interval, in_minutes
        The parameter with the length of bars, and whether it counts minutes. Letters mean the same everywhere.
    native
        The parameter that names the market.
    named_by
        The steps to the name of the market in the body, if no parameter has it.
    contracts
        Columns that differ for contracts: for all of them (OKX), or for inverse ones (Bybit, Binance).
    final
        The column that says whether a bar is over.
    closes
        The column with the time at which a bar closes, if the call has an end (``endTime``).
    at_end
        Whether bars are stamped with their ends. Such an exchange leaves out the bar that is not over.
    """

    rows: tuple[str | int, ...]
    columns: Mapping[str, int | str]
    unit: int = MS
    interval: str = "interval"
    in_minutes: bool = False
    native: str = "symbol"
    named_by: tuple[str | int, ...] = ()
    contracts: Mapping[str, int | str | None] = field(default_factory=dict)
    final: int | str | None = None
    closes: int | None = None
    at_end: bool = False


def _numbered(names: str) -> dict[str, int | str]:
    """Return the indexes of columns from their first letters: time, open, high, low, close, volume, quote volume, trades (``n``)."""
    letters = dict(zip("tohlcvqn", _NUMBERED, strict=True))
    columns: dict[str, int | str] = {}
    for place, letter in enumerate(names):
        if letter in letters:
            columns[letters[letter]] = place
    return columns


def _call(exchanges: str, path: str, bars: _Bars) -> Call:
    indexes = [place for place in bars.columns.values() if isinstance(place, int)]

    def fits(body: Any) -> bool:
        entries = _entries(bars, body)
        if not isinstance(entries, list):
            return False
        if indexes:
            return lists_of(entries, max(indexes) + 1)
        return all(isinstance(bar, dict) and has(bar, _keys(bars)) for bar in entries)

    return Call(
        tuple(exchanges.split()),
        path,
        "ohlcv",
        fits,
        lambda answer: _read(bars, answer),
        lambda answer: _problem(bars, answer),
    )


def _keys(bars: _Bars) -> list[int | str]:
    return [bars.columns[name] for name in ("ts", *_PRICES)]


def _problem(bars: _Bars, answer: Answer) -> str:
    if bars.at_end and not _timeframe(bars, answer):
        return "bars are stamped with their ends, and nothing says how long they are: name the dataset (--dataset)"
    is_known = answer.symbol or _native(bars, answer)
    if bars.contracts and bars.native == "instId" and not is_known:
        return "the unit of volumes depends on the instrument, and nothing says which one it is: name the dataset (--dataset)"
    return ""


def _timeframe(bars: _Bars, answer: Answer) -> str:
    """Return the timeframe of an answer by the parameters of its call, or by the caller's options."""
    text = answer.query.get(bars.interval, "")
    text = str(_SECONDS.get(text, text))
    if text.isdigit() and bars.in_minutes:
        return _of_minutes(int(text))
    if text.isdigit() and bars.interval == "granularity":
        return _of_minutes(int(text) // 60)
    if not text[:1].isdigit():
        text = f"1{text}"
    match = _INTERVAL.fullmatch(text)
    if match is None or match[2] not in _LETTERS:
        return answer.timeframe
    number, letter = match[1], _LETTERS[match[2]]
    if letter == "m":
        return _of_minutes(int(number))
    return f"{number}{letter}"


def _of_minutes(minutes: int) -> str:
    for length, letter in ((10_080, "w"), (1_440, "d"), (60, "h")):
        if minutes % length == 0:
            return f"{minutes // length}{letter}"
    return f"{minutes}m"


def _native(bars: _Bars, answer: Answer) -> str:
    native = answer.native(bars.native, bars.named_by)
    if not isinstance(native, str):
        return ""
    return native


def _entries(bars: _Bars, body: Any) -> Any:
    """Return the list of bars in a body. Deribit sends a list per column instead."""
    entries = at(body, *bars.rows)
    if not isinstance(entries, dict) or not all(isinstance(entries.get(name), list) for name in _keys(bars)):
        return entries
    columns = {name: column for name, column in entries.items() if isinstance(column, list)}
    return [dict(zip(columns, bar, strict=True)) for bar in zip(*columns.values(), strict=True)]


def _read(bars: _Bars, answer: Answer) -> Iterator[Row]:
    """Yield the bars that are over."""
    timeframe, native = _timeframe(bars, answer), _native(bars, answer)
    columns: dict[str, int | str | None] = dict(bars.columns)
    if _is_of_contracts(bars, answer, native):
        columns.update(bars.contracts)
    entries = _entries(bars, answer.body)
    starts = [_start(bars, bar[columns["ts"]], timeframe) for bar in entries]
    newest = max(starts, default=0)
    for start, bar in zip(starts, entries, strict=True):
        if _is_over(bars, answer, bar, start, newest, timeframe):
            values = [value_at(bar, columns.get(name)) for name in _NUMBERED[1:]]
            yield Row("ohlcv", native, (start, *values), timeframe)


def _is_of_contracts(bars: _Bars, answer: Answer, native: str) -> bool:
    if bars.native != "instId":
        return market_of(answer) == "inverse"
    if native:
        # OKX: BTC-USDT is spot, BTC-USDT-SWAP a contract.
        return native.count("-") > 1
    return ":" in answer.symbol


def _start(bars: _Bars, written: Any, timeframe: str) -> int:
    ts = read_time(written, bars.unit)
    if bars.at_end:
        ts -= Timeframe.parse(timeframe).length
    return ts


def _is_over(bars: _Bars, answer: Answer, bar: Sequence[Any], start: int, newest: int, timeframe: str) -> bool:
    """Whether a bar was over when the answer was sent: by a column, by the clock, or because a later bar follows."""
    # Older answers of Gate have no such column.
    if bars.final is not None and has(bar, [bars.final]):
        return str(value_at(bar, bars.final)).lower() in {"1", "true"}
    if bars.at_end and answer.query.get("partial") != "true":
        return True
    clock = clock_of(answer)
    if timeframe and clock is not None:
        return Timeframe.parse(timeframe).is_over(start, clock)
    end = answer.query.get("endTime", "")
    if bars.closes is not None and end.isdigit():
        return int(bar[bars.closes]) <= int(end)
    return start < newest


_KLINE = _numbered("tohlcv-qn")
_NAMED_PRICES = {"open": "open", "high": "high", "low": "low", "close": "close"}
_NAMED = {"ts": "start", **_NAMED_PRICES, "volume": "volume"}
_CHART = {"ts": "ticks", **_NAMED_PRICES, "volume": "volume", "quote_volume": "cost"}
_HTX = {"ts": "id", **_NAMED_PRICES, "volume": "amount", "quote_volume": "vol", "trades": "count"}
_BUCKET = {
    "ts": "timestamp",
    **_NAMED_PRICES,
    "trades": "trades",
    "volume": "homeNotional",
    "quote_volume": "foreignNotional",
}

BARS: tuple[Call, ...] = (
    _call("binance binanceus", r"^/(?P<part>api|fapi|dapi)/v\d/klines$", _Bars((), _KLINE, contracts={"volume": 7, "quote_volume": None}, closes=6)),
    _call("bitfinex", r"^/v2/candles/trade:(?P<interval>\w+):(?P<symbol>t[\w:]+)/hist$", _Bars((), _numbered("tochlv"))),
    _call("kraken", r"^/0/public/OHLC$", _Bars(("result", "*"), _numbered("tohlc-vn"), SECOND, in_minutes=True, native="-", named_by=("result", "?"))),
    _call("bybit", r"^/v5/market/kline$", _Bars(("result", "list"), _numbered("tohlcvq"), in_minutes=True, named_by=("result", "symbol"), contracts={"volume": 6, "quote_volume": 5})),
    _call("okx", r"^/api/v5/market/(?:history-)?candles$", _Bars(("data",), _numbered("tohlcv-q"), interval="bar", native="instId", contracts={"volume": 6}, final=8)),
    _call("coinbase", r"/products/(?P<product>[\w-]+)/candles$", _Bars(("candles",), _NAMED, SECOND, interval="granularity", native="product")),
    _call("coinbase", r"^/products/(?P<product>[\w-]+)/candles$", _Bars((), _numbered("tlhocv"), SECOND, interval="granularity", native="product")),
    _call("kucoin", r"^/api/v1/market/candles$", _Bars(("data",), _numbered("tochlvq"), SECOND, interval="type")),
    _call("gate", r"^/api/v4/spot/candlesticks$", _Bars((), _numbered("tqchlov"), SECOND, native="currency_pair", final=7)),
    _call("htx", r"^/market/history/kline$", _Bars(("data",), _HTX, SECOND, interval="period")),
    _call("deribit", r"^/api/v2/public/get_tradingview_chart_data$", _Bars(("result",), _CHART, interval="resolution", in_minutes=True, native="instrument_name")),
    _call("bitmex", r"^/api/v1/trade/bucketed$", _Bars((), _BUCKET, 0, interval="binSize", named_by=(0, "symbol"), at_end=True)),
)  # fmt: skip
"""Every call that answers with bars."""
