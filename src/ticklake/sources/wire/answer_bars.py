"""Calls that answer with bars: where their rows and columns stand; see :mod:`~ticklake.sources.wire.answers` for the sources."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ticklake.core.time import MS, SECOND, decimal_to_ns, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.sources.wire.call import Answer, Call, at, clock_of, lists_of, market_of
from ticklake.sources.wire.rows import Row

__all__ = ["BARS"]

_PRICES = ("open", "high", "low", "close")
_NUMBERED = ("ts", *_PRICES, "volume", "quote_volume", "trades")
_LETTERS = {"m": "m", "min": "m", "H": "h", "h": "h", "hour": "h", "D": "d", "d": "d", "day": "d", "W": "w", "w": "w", "week": "w", "M": "M", "mon": "M"}  # fmt: skip
_INTERVAL = re.compile(r"(\d+)([A-Za-z]+?)(?:utc)?")
_SECONDS = {"ONE_MINUTE": 60, "FIVE_MINUTE": 300, "FIFTEEN_MINUTE": 900, "THIRTY_MINUTE": 1800, "ONE_HOUR": 3600, "TWO_HOUR": 7200, "SIX_HOUR": 21600, "ONE_DAY": 86400}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Bars:
    """Where the bars of a call stand.

    Parameters
    ----------
    rows
        The steps to the list of bars in the body.
    columns
        Where each of our columns stands in a bar: an index or a key.
    unit
        What times count, in nanoseconds; 0 if they are ISO texts.
    interval, in_minutes
        The parameter that says how long bars are, and whether it counts minutes; letters mean the same everywhere.
    native
        The parameter that names the market.
    named_by
        The steps to the name of the market in the body, where no parameter has it.
    contracts
        Other columns of what is not spot (OKX), or of inverse contracts (Bybit, Binance).
    final
        The column that says whether a bar is over.
    closes
        The column with the time at which a bar closes, if the call has an end (``endTime``).
    at_end
        Whether bars are named by their ends; such an exchange leaves out the bar that is not over.
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
    """Return the places of columns by their first letters: time, open, high, low, close, volume, quote volume, trades (``n``)."""
    letters = dict(zip("tohlcvqn", _NUMBERED, strict=True))
    return {letters[letter]: place for place, letter in enumerate(names) if letter in letters}


def _call(exchanges: str, path: str, bars: _Bars, *, by_look: bool = True) -> Call:
    def fits(body: Any) -> bool:
        found = _listed(bars, body)
        if not isinstance(found, list):
            return False
        places = [place for place in bars.columns.values() if isinstance(place, int)]
        if places:
            return lists_of(found, max(places) + 1)
        return all(isinstance(one, dict) and all(name in one for name in _keys(bars)) for one in found)

    return Call(
        tuple(exchanges.split()),
        path,
        "ohlcv",
        fits,
        lambda answer: _read(bars, answer),
        lambda answer: _problem(bars, answer),
        by_look,
    )


def _keys(bars: _Bars) -> Iterator[int | str]:
    return (bars.columns[name] for name in ("ts", *_PRICES))


def _problem(bars: _Bars, answer: Answer) -> str:
    if bars.at_end and not _timeframe(bars, answer):
        return "bars are named by their ends, and nothing says how long they are: name the dataset (--dataset)"
    if bars.contracts and bars.native == "instId" and not (_native(bars, answer) or answer.symbol):
        return "which instrument bars are of is not told, and in what volumes count depends on it: name the dataset (--dataset)"
    return ""


def _timeframe(bars: _Bars, answer: Answer) -> str:
    text = answer.query.get(bars.interval, "")
    text = str(_SECONDS.get(text, text))
    if text.isdigit() and (bars.in_minutes or bars.interval == "granularity"):
        return _of_minutes(int(text) if bars.in_minutes else int(text) // 60)
    match = _INTERVAL.fullmatch(text if text[:1].isdigit() else f"1{text}")
    letter = _LETTERS.get(match[2]) if match else None
    if match is None or letter is None:
        return answer.timeframe
    return _of_minutes(int(match[1])) if letter == "m" else f"{match[1]}{letter}"


def _of_minutes(minutes: int) -> str:
    for length, letter in ((10_080, "w"), (1_440, "d"), (60, "h")):
        if minutes % length == 0:
            return f"{minutes // length}{letter}"
    return f"{minutes}m"


def _native(bars: _Bars, answer: Answer) -> str:
    found = answer.query.get(bars.native) or (at(answer.body, *bars.named_by) if bars.named_by else "")
    return found if isinstance(found, str) else ""


def _listed(bars: _Bars, body: Any) -> Any:
    """Return the bars of a body one by one; Deribit writes them column by column."""
    found = at(body, *bars.rows)
    if not isinstance(found, dict) or not all(isinstance(found.get(name), list) for name in _keys(bars)):
        return found
    names = [name for name, column in found.items() if isinstance(column, list)]
    return [dict(zip(names, bar, strict=True)) for bar in zip(*(found[name] for name in names), strict=True)]


def _read(bars: _Bars, answer: Answer) -> Iterator[Row]:
    """Yield the bars that are over."""
    timeframe, native = _timeframe(bars, answer), _native(bars, answer)
    columns = {**bars.columns, **(bars.contracts if _is_of_contracts(bars, answer, native) else {})}
    found = _listed(bars, answer.body)
    starts = [_start(bars, bar[columns["ts"]], timeframe) for bar in found]
    newest = max(starts, default=0)
    for start, bar in zip(starts, found, strict=True):
        if _is_over(bars, answer, bar, start, newest, timeframe):
            values = (_value(bar, columns.get(name)) for name in _NUMBERED[1:])
            yield Row("ohlcv", native, (start, *values), timeframe)


def _is_of_contracts(bars: _Bars, answer: Answer, native: str) -> bool:
    if bars.native == "instId":
        return native.count("-") > 1 if native else ":" in answer.symbol
    return market_of(answer) == "inverse"


def _start(bars: _Bars, text: Any, timeframe: str) -> int:
    ts = decimal_to_ns(text, bars.unit) if bars.unit else parse_time(text)
    return ts - Timeframe.parse(timeframe).length if bars.at_end else ts


def _value(bar: Any, place: int | str | None) -> Any:
    if place is None:
        return None
    return bar[place] if isinstance(place, int) else bar.get(place)


def _is_over(bars: _Bars, answer: Answer, bar: Sequence[Any], start: int, newest: int, timeframe: str) -> bool:
    """Whether a bar was over when the answer came: by what it says, by the clock, or because a later one follows."""
    if bars.final is not None and (isinstance(bar, dict) or len(bar) > int(bars.final)):
        return str(_value(bar, bars.final)).lower() in {"1", "true"}
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
_NAMED = {"ts": "start", **{name: name for name in (*_PRICES, "volume")}}
_CHART = {"ts": "ticks", **{name: name for name in _PRICES}, "volume": "volume", "quote_volume": "cost"}
_BUCKET = {
    "ts": "timestamp",
    **{name: name for name in (*_PRICES, "trades")},
    "volume": "homeNotional",
    "quote_volume": "foreignNotional",
}

BARS: tuple[Call, ...] = (
    _call("binance binanceus", r"^/(?P<part>api|fapi|dapi)/v\d/klines$", _Bars((), _KLINE, contracts={"volume": 7, "quote_volume": None}, closes=6)),
    _call("bitfinex", r"^/v2/candles/trade:(?P<interval>\w+):(?P<symbol>t[\w:]+)/hist$", _Bars((), _numbered("tochlv"))),
    _call("kraken", r"^/0/public/OHLC$", _Bars(("result", "*"), {**_numbered("tohlc-vn")}, SECOND, in_minutes=True, native="-", named_by=("result", "?"))),
    _call("bybit", r"^/v5/market/kline$", _Bars(("result", "list"), _numbered("tohlcvq"), in_minutes=True, named_by=("result", "symbol"), contracts={"volume": 6, "quote_volume": 5})),
    _call("okx", r"^/api/v5/market/(?:history-)?candles$", _Bars(("data",), _numbered("tohlcv-q"), interval="bar", native="instId", contracts={"volume": 6}, final=8)),
    _call("coinbase", r"/products/(?P<product>[\w-]+)/candles$", _Bars(("candles",), _NAMED, SECOND, interval="granularity", native="product")),
    _call("coinbase", r"^/products/(?P<product>[\w-]+)/candles$", _Bars((), _numbered("tlhocv"), SECOND, interval="granularity", native="product")),
    _call("kucoin", r"^/api/v1/market/candles$", _Bars(("data",), _numbered("tochlvq"), SECOND, interval="type")),
    _call("gate", r"^/api/v4/spot/candlesticks$", _Bars((), _numbered("tqchlov"), SECOND, native="currency_pair", final=7)),
    _call("htx", r"^/market/history/kline$", _Bars(("data",), {"ts": "id", **{name: name for name in _PRICES}, "volume": "amount", "quote_volume": "vol", "trades": "count"}, SECOND, interval="period")),
    _call("deribit", r"^/api/v2/public/get_tradingview_chart_data$", _Bars(("result",), _CHART, interval="resolution", in_minutes=True, native="instrument_name")),
    _call("bitmex", r"^/api/v1/trade/bucketed$", _Bars((), _BUCKET, 0, interval="binSize", named_by=(0, "symbol"), at_end=True)),
)  # fmt: skip
"""Every call that answers with bars."""
