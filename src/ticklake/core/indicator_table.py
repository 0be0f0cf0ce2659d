"""The indicators that can be asked for: what each reads, gives and needs, and the function of TA-Lib that computes it.

How many bars an indicator needs is part of its definition, so that its value at an instant never depends on how much history
was loaded. There are three ways to find that number (``memory``):

========= ====================================================================================================
window    the bars that the formula reads
recursive the bars before which less than 1e-10 of the value comes from: the formula goes back for ever, each bar weighs less
          than the next one
anchored  the number in the name: sums that begin at 0 so many bars ago
========= ====================================================================================================

Indicators whose memory has no such bound are left out: parabolic SAR, KAMA, MAMA and the Hilbert transforms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import ceil, comb, log
from typing import Literal

__all__ = ["DEFINITIONS", "GROUPS", "Definition", "Parameter"]

Memory = Literal["window", "recursive", "anchored"]

_CLOSE = ("close",)
_RANGE = ("high", "low")
_PRICES = ("high", "low", "close")
_BALANCE = ("close", "volume")
_ALL = ("high", "low", "close", "volume")
_FORGOTTEN = 1e-10
"""The part of a value that may come from the bars before its warm-up: a thousandth of the 1e-7 that is promised."""
_LONGEST = 10_000
_SIMPLE = 0
"""TA-Lib's number of the plain moving average."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One of the numbers in an indicator's name; ``usual`` is what most people use. Only a ``decimal`` one may have a fraction."""

    name: str
    usual: float
    least: float = 2
    most: float = _LONGEST
    decimal: bool = False


@dataclass(frozen=True, slots=True)
class Definition:
    """What the indicators of one name have in common.

    Attributes
    ----------
    memory, warm_up
        How it is found how many bars an indicator needs, and the number, made of those in its name.
    function, arguments
        The function of TA-Lib, and what it is called with after the columns, made of the numbers in the name.
    outputs
        The names of its results in TA-Lib's order; empty if there is one, which then has the indicator's name.
    is_ratio
        It divides by what moved or was traded: where nothing did it has no value, and TA-Lib says 0.
    ascending
        How many of the numbers, from the first on, must each be larger than the one before.
    """

    memory: Memory
    function: str
    title: str
    formula: str
    columns: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    warm_up: Callable[..., int]
    outputs: tuple[str, ...] = ()
    arguments: Callable[..., tuple[float, ...]] = lambda *numbers: numbers
    is_ratio: bool = False
    ascending: int = 0


def _settled(alpha: float, stages: int = 1) -> int:
    """Return after how many bars averages with the weight *alpha*, one after the other, have forgotten how they began."""
    if alpha >= 1:
        return stages - 1
    bars = ceil(log(_FORGOTTEN) / log(1 - alpha))
    # Each average of averages forgets later: the weight is that of a negative binomial distribution.
    while comb(bars + stages - 1, stages - 1) * alpha ** (stages - 1) * (1 - alpha) ** bars > _FORGOTTEN:
        bars += 1
    return bars


def _exponential(length: int, stages: int = 1) -> int:
    """Return the bars that exponential averages need: TA-Lib begins each with the plain average of its first bars."""
    return stages * (length - 1) + 1 + _settled(2 / (length + 1), stages)


def _wilder(length: int, stages: int = 1) -> int:
    """Return the bars that Wilder's averages of changes need; a change needs the bar before, too."""
    return stages * length + 1 + _settled(1 / length, stages)


def _macd(_fast: int, slow: int, signal: int) -> int:
    return slow + signal - 1 + _settled(2 / (max(slow, signal) + 1), 2)


def _as_many(length: int, *_others: float) -> int:
    return length


def _and_one_before(*numbers: int) -> int:
    return numbers[-1] + 1


def _no_arguments(_length: int) -> tuple[float, ...]:
    return ()


def _length(usual: int, least: int = 2) -> tuple[Parameter]:
    return (Parameter("length", usual, least),)


_window = partial(Definition, "window")
_recursive = partial(Definition, "recursive")
_anchored = partial(Definition, "anchored", arguments=_no_arguments)

_TREND = {
    "sma": _window("SMA", "simple moving average", "mean of the last n closes", _CLOSE, _length(20), _as_many),
    "ema": _recursive(
        "EMA", "exponential moving average", "a close weighs 2 / (n + 1)", _CLOSE, _length(50), _exponential
    ),
    "wma": _window("WMA", "weighted moving average", "weights 1 to n, the newest most", _CLOSE, _length(20), _as_many),
    "dema": _recursive(
        "DEMA",
        "double exponential moving average",
        "Mulloy 1994: 2 ema - ema(ema)",
        _CLOSE,
        _length(20),
        lambda n: _exponential(n, 2),
    ),
    "tema": _recursive(
        "TEMA",
        "triple exponential moving average",
        "Mulloy 1994: 3 ema - 3 ema(ema) + ema(ema(ema))",
        _CLOSE,
        _length(20),
        lambda n: _exponential(n, 3),
    ),
    "trix": _recursive(
        "TRIX",
        "change of a triple exponential average",
        "Hutson: change of ema(ema(ema)) in percent",
        _CLOSE,
        _length(15),
        lambda n: _exponential(n, 3) + 1,
    ),
    "macd": _recursive(
        "MACD",
        "moving average convergence/divergence",
        "Appel: ema(fast) - ema(slow); signal is its ema, hist their difference",
        _CLOSE,
        (Parameter("fast", 12), Parameter("slow", 26), Parameter("signal", 9, 1)),
        _macd,
        outputs=("macd", "signal", "hist"),
        ascending=2,
    ),
    "adx": _recursive(
        "ADX", "average directional index", "Wilder 1978", _PRICES, _length(14), lambda n: _wilder(n, 2), is_ratio=True
    ),
    "plus_di": _recursive(
        "PLUS_DI", "plus directional indicator", "Wilder 1978", _PRICES, _length(14), _wilder, is_ratio=True
    ),
    "minus_di": _recursive(
        "MINUS_DI", "minus directional indicator", "Wilder 1978", _PRICES, _length(14), _wilder, is_ratio=True
    ),
    "aroon": _window(
        "AROON",
        "Aroon",
        "Chande 1995: how long ago the lowest low and the highest high were",
        _RANGE,
        _length(14),
        _and_one_before,
        outputs=("down", "up"),
    ),
    "linreg_slope": _window(
        "LINEARREG_SLOPE",
        "slope of the regression line",
        "least squares through the last n closes",
        _CLOSE,
        _length(14),
        _as_many,
    ),
}

_MOMENTUM = {
    "rsi": _recursive("RSI", "relative strength index", "Wilder 1978", _CLOSE, _length(14), _wilder, is_ratio=True),
    "roc": _window(
        "ROC", "rate of change", "percent from the close n bars before", _CLOSE, _length(10, 1), _and_one_before
    ),
    "mom": _window(
        "MOM", "momentum", "difference from the close n bars before", _CLOSE, _length(10, 1), _and_one_before
    ),
    "stoch": _window(
        "STOCH",
        "stochastic",
        "Lane: where the close is between low and high; k and d are plain averages",
        _PRICES,
        (Parameter("length", 14, 1), Parameter("smooth", 3, 1), Parameter("d", 3, 1)),
        lambda n, smooth, d: n + smooth + d - 2,
        outputs=("k", "d"),
        arguments=lambda n, smooth, d: (n, smooth, _SIMPLE, d, _SIMPLE),
        is_ratio=True,
    ),
    "willr": _window(
        "WILLR",
        "Williams' %R",
        "how far the close is below the highest high, 0 to -100",
        _PRICES,
        _length(14),
        _as_many,
        is_ratio=True,
    ),
    "cci": _window("CCI", "commodity channel index", "Lambert 1980", _PRICES, _length(20), _as_many, is_ratio=True),
    "cmo": _recursive(
        "CMO",
        "Chande momentum oscillator",
        "gains less losses over both, by Wilder's averages",
        _CLOSE,
        _length(14),
        _wilder,
        is_ratio=True,
    ),
    "ultosc": _window(
        "ULTOSC",
        "ultimate oscillator",
        "Williams 1985",
        _PRICES,
        (Parameter("short", 7, 1), Parameter("middle", 14, 1), Parameter("long", 28, 1)),
        _and_one_before,
        is_ratio=True,
        ascending=3,
    ),
}

_VOLATILITY = {
    "atr": _recursive("ATR", "average true range", "Wilder 1978", _PRICES, _length(14), _wilder),
    "natr": _recursive(
        "NATR", "normalized average true range", "atr in percent of the close", _PRICES, _length(14), _wilder
    ),
    "stddev": _window(
        "STDDEV",
        "standard deviation",
        "of the last n closes; divided by n",
        _CLOSE,
        _length(20),
        _as_many,
        arguments=lambda n: (n, 1.0),
    ),
    "bbands": _window(
        "BBANDS",
        "Bollinger bands",
        "sma, and width standard deviations (divided by n) above and below",
        _CLOSE,
        (Parameter("length", 20), Parameter("width", 2, 0.1, 100, decimal=True)),
        _as_many,
        outputs=("upper", "middle", "lower"),
        arguments=lambda n, width: (n, float(width), float(width)),
    ),
}

_VOLUME = {
    "obv": _anchored(
        "OBV",
        "on-balance volume",
        "Granville: 0 at the close n bars before; volume of bars that rise less of those that fall",
        _BALANCE,
        _length(60),
        _and_one_before,
    ),
    "ad": _anchored(
        "AD",
        "accumulation/distribution",
        "Chaikin: 0 n bars before; volume by where the close is between low and high",
        _ALL,
        _length(60),
        _as_many,
    ),
    "vwap": _anchored(
        "VWAP",
        "volume-weighted average price",
        "(high + low + close) / 3 of the last n bars, by volume",
        _ALL,
        _length(60),
        _as_many,
        is_ratio=True,
    ),
    "cmf": _window(
        "CMF",
        "Chaikin money flow",
        "ad of the last n bars over their volume",
        _ALL,
        _length(20),
        _as_many,
        is_ratio=True,
    ),
    "mfi": _window(
        "MFI",
        "money flow index",
        "Quong and Soudack 1989: typical price times volume, up over all",
        _ALL,
        _length(14),
        _and_one_before,
        is_ratio=True,
    ),
}

GROUPS: Mapping[str, Mapping[str, Definition]] = {
    "trend": _TREND,
    "momentum": _MOMENTUM,
    "volatility": _VOLATILITY,
    "volume": _VOLUME,
}
DEFINITIONS: Mapping[str, Definition] = {**_TREND, **_MOMENTUM, **_VOLATILITY, **_VOLUME}
"""All indicators by name."""
