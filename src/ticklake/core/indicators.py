"""Indicators of bars: values of technical analysis at a bar, computed by TA-Lib over a fixed number of bars.

An indicator reads exactly the last :attr:`Indicator.warm_up` bars up to a row, so that its value depends neither on how much
history was loaded nor on any later bar. All of them are in :mod:`ticklake.core.indicator_table`.

TA-Lib is an optional part, imported when the first value is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import isnan, nan
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ticklake.core.indicator_names import Indicator, parse_indicators
from ticklake.core.indicator_table import DEFINITIONS
from ticklake.errors import BadInput, InvalidData, MissingExtra

__all__ = ["Indicator", "compute", "compute_at", "parse_indicators", "why_missing"]

Floats = NDArray[np.float64]
Integers = NDArray[np.integer[Any]]

_LOWEST = (0, 8)
"""Before it TA-Lib took the spread of prices below 1e-5 for 0."""


def compute(bars: pl.DataFrame, indicators: Sequence[Indicator]) -> dict[str, float | None]:
    """Return the values of indicators at the last row of *bars*, by output.

    A value is ``None`` where there are fewer rows than the indicator's warm-up, where one of them has no finite number in a
    column that it reads, or where nothing moved or was traded that it divides by. :func:`why_missing` says which.

    Parameters
    ----------
    bars
        Whole bars, sorted by time, the newest last.

    Raises
    ------
    InvalidData
        If *bars* have not the columns that an indicator reads.
    MissingExtra
        If TA-Lib is not installed.
    """
    functions = _functions()
    longest = max((indicator.warm_up for indicator in indicators), default=0)
    columns = _columns(bars.tail(longest), indicators)
    height = min(bars.height, longest)
    first_usable = {name: _first_usable(column) for name, column in columns.items()}
    values: dict[str, float | None] = {}
    for indicator in indicators:
        start = height - indicator.warm_up
        usable = start >= 0
        window: list[Floats] = []
        for name in indicator.columns:
            usable = usable and start >= first_usable[name]
            window.append(columns[name][start:])
        if not usable:
            values.update(dict.fromkeys(indicator.outputs))
            continue
        found = _last(functions, indicator, window)
        for output, value in zip(indicator.outputs, found, strict=True):
            values[output] = value
            if isnan(value):
                values[output] = None
    return values


def compute_at(bars: pl.DataFrame, ends: Integers, indicators: Sequence[Indicator]) -> dict[str, Floats]:
    """Return the values of indicators at many rows: for each of *ends*, those at the last of the first *ends* rows.

    They are those that :func:`compute` returns for ``bars.head(end)``, bit for bit; NaN stands for ``None``. Each different
    end is computed once.

    Raises
    ------
    BadInput
        If an end is negative or beyond the rows.
    """
    functions = _functions()
    columns = _columns(bars, indicators)
    rows, places = np.unique(np.asarray(ends, dtype=np.int64), return_inverse=True)
    if rows.size and (rows[0] < 0 or rows[-1] > bars.height):
        raise BadInput(f"rows {rows[0]} to {rows[-1]} are not all among the {bars.height} bars")
    first_usable = {name: _first_usable_at(column, rows) for name, column in columns.items()}
    values: dict[str, Floats] = {}
    for indicator in indicators:
        starts = rows - indicator.warm_up
        usable = starts >= 0
        for name in indicator.columns:
            usable &= starts >= first_usable[name]
        inputs = [columns[name] for name in indicator.columns]
        found: list[list[float]] = []
        for start, end in zip(starts[usable].tolist(), rows[usable].tolist(), strict=True):
            found.append(_last(functions, indicator, [column[start:end] for column in inputs]))
        by_row = np.full((rows.size, len(indicator.outputs)), np.nan)
        if found:
            by_row[usable] = found
        for output, column in zip(indicator.outputs, by_row.T, strict=True):
            values[output] = column[places]
    return values


def why_missing(bars: pl.DataFrame, indicators: Sequence[Indicator]) -> dict[str, str]:
    """Return, for each output that :func:`compute` has no value of, the reason in a few words."""
    values = compute(bars, indicators)
    reasons: dict[str, str] = {}
    for indicator in indicators:
        for output in indicator.outputs:
            if values[output] is None:
                reasons[output] = _reason(bars, indicator)
    return reasons


def _reason(bars: pl.DataFrame, indicator: Indicator) -> str:
    if bars.height < indicator.warm_up:
        return f"it needs {indicator.warm_up} bars and there are {bars.height}"
    window = bars.tail(indicator.warm_up)
    for name in indicator.columns:
        unknown = indicator.warm_up - int(window[name].cast(pl.Float64).is_finite().fill_null(value=False).sum())
        if unknown:
            return f"{name} is unknown in {unknown} of the {indicator.warm_up} bars that it needs"
    return f"nothing moved or was traded in the {indicator.warm_up} bars that it needs"


def _last(functions: Mapping[str, Callable[..., Any]], indicator: Indicator, window: list[Floats]) -> list[float]:
    """Return the values at the end of the *window*; NaN if there is none."""
    found = functions[indicator.function](*window, *indicator.arguments)
    if not isinstance(found, tuple):
        found = (found,)
    values = [column.item(-1) for column in found]
    if indicator.is_ratio and 0.0 in values and _nothing_happened(indicator, window):
        return [nan] * len(values)
    return values


def _nothing_happened(indicator: Indicator, window: list[Floats]) -> bool:
    """Whether all prices are the same, or nothing was traded."""
    prices = window
    if indicator.columns[-1] == "volume":
        *prices, volume = window
        if not volume.any():
            return True
    highest = max(float(price.max()) for price in prices)
    lowest = min(float(price.min()) for price in prices)
    return highest == lowest


def _columns(bars: pl.DataFrame, indicators: Sequence[Indicator]) -> dict[str, Floats]:
    """Return each column that an indicator reads as one piece of floats, NaN where it is null."""
    columns: dict[str, Floats] = {}
    for indicator in indicators:
        for name in indicator.columns:
            if name in columns:
                continue
            try:
                column = bars.get_column(name).to_numpy()
            except pl.exceptions.ColumnNotFoundError as error:
                message = f"{indicator.name} reads the column {name!r}, which these bars do not have"
                raise InvalidData(message) from error
            columns[name] = column.astype(np.float64, copy=False)
    return columns


def _first_usable(column: Floats) -> int:
    """Return the row from which on all numbers are finite."""
    finite = np.isfinite(column)
    if finite.all():
        return 0
    return int(np.flatnonzero(~finite)[-1]) + 1


def _first_usable_at(column: Floats, rows: Integers) -> Integers:
    """Return :func:`_first_usable` of the first *rows* of a column, for each of them."""
    unknown = np.flatnonzero(~np.isfinite(column))
    # One more in front: the row before the first, for those with no unknown number before them.
    last_unknown = np.concatenate([[-1], unknown])
    first: Integers = last_unknown[np.searchsorted(unknown, rows)] + 1
    return first


@cache
def _functions() -> Mapping[str, Callable[..., Any]]:
    """Return the functions of TA-Lib by name, without the wrappers that look for frames among the arguments."""
    try:
        import talib
    except ImportError as error:
        raise MissingExtra("indicators need TA-Lib: pip install 'ticklake[ta]'") from error
    version = tuple(map(int, talib.__version__.split(".")[:2]))
    if version < _LOWEST:
        raise MissingExtra(f"TA-Lib {talib.__version__} is too old for indicators: pip install -U 'ticklake[ta]'")
    functions: dict[str, Callable[..., Any]] = {}
    for definition in DEFINITIONS.values():
        function = getattr(talib, definition.function)
        functions[definition.function] = getattr(function, "__wrapped__", function)
    functions["OBV"] = _from_zero(functions["OBV"])
    return functions


def _from_zero(obv: Callable[..., Floats]) -> Callable[..., Floats]:
    """Return an on-balance volume that begins at 0: TA-Lib's begins at the volume of the first bar."""

    def balance(close: Floats, volume: Floats) -> Floats:
        volume = volume.copy()
        volume[0] = 0.0
        return obv(close, volume)

    return balance
