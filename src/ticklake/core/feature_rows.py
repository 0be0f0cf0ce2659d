"""Rows of feature sets: what users and functions pass, checked and brought into the form in which it is stored."""

from __future__ import annotations

import datetime as dt
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from ticklake.core.batch import canonical
from ticklake.core.dataset import Dataset
from ticklake.core.feature_columns import FeatureColumn
from ticklake.core.features import FeatureSet
from ticklake.core.kinds import TIME
from ticklake.core.knowledge import KNOWN_AT
from ticklake.core.lookup import absent, did_you_mean
from ticklake.core.time import parse_time
from ticklake.errors import InvalidData, InvalidTime

__all__ = ["ANY_EXCHANGE", "check_types", "rows_at", "split_by_symbol", "values_of"]

ANY_EXCHANGE = "any"
"""The exchange of values that belong to a symbol wherever it is traded."""
_NUMBERS = (pl.Float64, pl.Float32, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
_TEXTS = (pl.String, pl.Categorical, pl.Enum)
_FITTING: dict[str, tuple[Any, ...]] = {
    "float64": (*_NUMBERS, pl.Decimal),
    # Whole floats, too: a table with an absent integer makes floats of all.
    "int64": _NUMBERS,
    "bool": (pl.Boolean,),
    "string": _TEXTS,
    "time": (pl.Datetime, pl.Date, pl.Int64),
}


def split_by_symbol(
    features: FeatureSet, frame: pl.DataFrame, exchange: str | None = None, symbol: str | None = None
) -> list[tuple[Dataset, pl.DataFrame]]:
    """Return the rows of each symbol with the dataset that they belong to.

    Parameters
    ----------
    frame
        Columns ``symbol`` (unless *symbol* is given), ``exchange`` (optional), ``ts``, ``known_at`` (``ts`` by default), and values.

    Raises
    ------
    InvalidData
        If a column is missing or unknown or has another type, if a symbol is null, or if a row is known before its ``ts``.
    """
    if "ts" not in frame.columns:
        raise InvalidData(f"{features} needs a column 'ts': got {', '.join(frame.columns) or 'none'}")
    frame = _with_name(frame, "symbol", symbol)
    if exchange is None and "exchange" not in frame.columns:
        if "exchange" in features.keys:
            raise InvalidData(
                f"{features} has the keys {', '.join(features.keys)}: say exchange=, or add a column 'exchange'"
            )
        exchange = ANY_EXCHANGE
    frame = _with_name(frame, "exchange", exchange)
    for name in absent(frame.columns, {"exchange", "symbol", "ts", KNOWN_AT, *features.names}):
        hint = did_you_mean(name, features.names)
        raise InvalidData(f"{features} has no column {name!r}{hint}: its columns are {', '.join(features.names)}")
    check_types(features, frame)
    parts: list[tuple[Dataset, pl.DataFrame]] = []
    for key, rows in frame.partition_by("exchange", "symbol", maintain_order=True, as_dict=True).items():
        dataset = features.dataset(str(key[0]), str(key[1]))
        parts.append((dataset, _known(features, rows.drop("exchange", "symbol"))))
    return _joined(parts)


def _with_name(frame: pl.DataFrame, column: str, value: str | None) -> pl.DataFrame:
    """Return the frame with a column of names: its own, or one of a single *value*."""
    if column in frame.columns:
        names = frame[column]
        if names.dtype not in (*_TEXTS, pl.Null):
            raise InvalidData(f"column {column!r} holds {names.dtype}, not texts")
        if names.null_count():
            raise InvalidData(f"column {column!r} is null in {names.null_count():,} rows: name it in each")
        if value is not None and (names.cast(pl.String) != value).any():
            raise InvalidData(
                f"{column}={value!r} is not that of all rows: leave it out, or drop the column {column!r}"
            )
        return frame.with_columns(names.cast(pl.String))
    if value is None:
        raise InvalidData(f"rows without a column {column!r} belong to nothing: add it, or say {column}=")
    return frame.with_columns(pl.lit(str(value)).alias(column))


def _known(features: FeatureSet, rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with ``known_at`` in the types of the feature set."""
    if KNOWN_AT not in rows.columns:
        rows = rows.with_columns(pl.col("ts").alias(KNOWN_AT))
    rows = canonical(rows, features.kind).select(features.kind.names)
    # Told apart from rows without a time, which are refused one by one as all such rows are.
    early = rows.filter(pl.col(KNOWN_AT) < pl.col("ts"))
    if early.height:
        first = early.row(0, named=False)
        raise InvalidData(
            f"{features}: {early.height:,} rows have a known_at before their ts (the first at {first[0]}): "
            "a value cannot be known before its instant; set ts to the instant it is of"
        )
    return rows


def _joined(parts: Sequence[tuple[Dataset, pl.DataFrame]]) -> list[tuple[Dataset, pl.DataFrame]]:
    """Return each dataset once: texts may mean the same one, like two spellings of an exchange."""
    frames: dict[Dataset, list[pl.DataFrame]] = {}
    for dataset, rows in parts:
        frames.setdefault(dataset, []).append(rows)
    return [(dataset, pl.concat(rows)) for dataset, rows in frames.items()]


def check_types(features: FeatureSet, frame: pl.DataFrame) -> None:
    """Refuse columns whose type is not the declared one, all of them in one error.

    Raises
    ------
    InvalidData
    """
    wrong: list[str] = []
    for column in features.columns:
        if column.name in frame.columns:
            given = frame.schema[column.name]
            if given != pl.Null and given.base_type() not in _FITTING[column.dtype]:
                wrong.append(f"{column.name!r} is {column.dtype} and holds {given}")
    if wrong:
        raise InvalidData(f"{features}: column {'; column '.join(wrong)}: cast them, or register another version")


def values_of(features: FeatureSet, result: Any) -> dict[str, Any] | None:
    """Read what a function returned for an instant: values by column, a single value, or ``None`` for no row.

    Values that are no number become null, like those of all rows.

    Raises
    ------
    InvalidData
        If a column is unknown, or a value has another type than the column.
    """
    if result is None:
        return None
    if not isinstance(result, Mapping):
        if len(features.columns) != 1:
            raise InvalidData(
                f"the function returned {result!r}, and {features} has the columns {', '.join(features.names)}: return a dict"
            )
        result = {features.columns[0].name: result}
    for name in absent(result, features.names):
        hint = did_you_mean(name, features.names)
        raise InvalidData(
            f"the function returned {name!r}{hint}: {features} has the columns {', '.join(features.names)}"
        )
    return {column.name: _value(column, result.get(column.name)) for column in features.columns}


def _value(column: FeatureColumn, value: Any) -> Any:
    # Scalars of numpy know the value of Python that they stand for.
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if value is None:
        return None
    read = _READERS[column.dtype](value)
    if read is _REFUSED:
        raise InvalidData(
            f"the function returned {value!r} for {column.name!r}, which is {column.dtype}: return such a value"
        )
    return read


_REFUSED = object()


def _float(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _REFUSED
    try:
        number = float(value)
    except OverflowError:
        return _REFUSED
    if math.isnan(number):
        return None
    return number


def _int(value: Any) -> Any:
    if isinstance(value, bool):
        return _REFUSED
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if not value.is_integer():
            return _REFUSED
        value = int(value)
    try:
        number = operator.index(value)
    except TypeError:
        return _REFUSED
    if not -(2**63) <= number < 2**63:
        return _REFUSED
    return number


def _time(value: Any) -> Any:
    if isinstance(value, dt.datetime) and value.tzinfo is None:
        return _REFUSED
    try:
        return parse_time(value)
    except InvalidTime:
        return _REFUSED


def _bool(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    return _REFUSED


def _text(value: Any) -> Any:
    if isinstance(value, str):
        return value
    return _REFUSED


_READERS: dict[str, Any] = {"float64": _float, "int64": _int, "bool": _bool, "string": _text, "time": _time}


def rows_at(features: FeatureSet, instants: Sequence[int], values: Iterable[Mapping[str, Any] | None]) -> pl.DataFrame:
    """Return the row of each instant that has values: it is known at its instant."""
    kept: list[int] = []
    columns: dict[str, list[Any]] = {name: [] for name in features.names}
    for instant, row in zip(instants, values, strict=True):
        if row is None:
            continue
        kept.append(instant)
        for name, value in row.items():
            columns[name].append(value)
    times = pl.Series("ts", kept, pl.Int64).cast(TIME)
    series = [times, times.alias(KNOWN_AT)]
    for column in features.columns:
        read_as: Any = column.polars
        if column.dtype == "time":
            # As integers: objects of Python have no nanoseconds.
            read_as = pl.Int64()
        series.append(pl.Series(column.name, columns[column.name], read_as).cast(column.polars))
    return pl.DataFrame(series)
