"""Batches: canonical frames of one dataset, whatever they were before."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from typing import Any

import polars as pl

from ticklake.core.kinds import PROVENANCE, TIME, Column, Kind
from ticklake.core.lookup import did_you_mean
from ticklake.core.time import FIRST_PLAUSIBLE, parse_time
from ticklake.errors import InvalidData, InvalidTime

__all__ = [
    "Records",
    "canonical",
    "canonical_all",
    "from_rows",
    "is_ordered",
    "number_prints",
    "present",
    "sort",
    "ties",
    "times_of",
]

Records = Any
"""A Polars, pandas or Arrow frame, or a sequence of records (dataclasses or mappings)."""

_MARK = Column(PROVENANCE, pl.Int32, 50)
_EXACT_NUMBERS = (int, Decimal)
# A time of today has 10 digits in seconds, 13 in milliseconds and 16 in microseconds.
_UNITS = ((10**11, "seconds", 10**9), (10**14, "milliseconds", 10**6), (10**17, "microseconds", 10**3))


def canonical(data: Records, kind: Kind, provenance: int = 0) -> pl.DataFrame:
    """Return *data* with exactly the stored columns and types of *kind*, in the order it came.

    Columns that are absent and may be null become null; floats that are not numbers become null.

    Raises
    ------
    InvalidData
        If a required column is missing, a column is unknown, a type does not fit, or times are naive
        or in a unit other than nanoseconds.
    """
    frame = _to_frame(data, kind)
    given = {series.name: series for series in frame.get_columns()}
    _check_names(given, kind)
    columns: list[pl.Series] = []
    for column in kind.columns:
        if column.name in given:
            columns.append(_column(given[column.name], column.dtype))
        else:
            columns.append(_absent(column, frame.height))
    for column in kind.hidden:
        if column.name in given:
            columns.append(given[column.name].cast(column.dtype))
        else:
            columns.append(_constant(column, 0, frame.height))
    columns.append(_constant(_MARK, provenance, frame.height))
    return pl.DataFrame(columns)


def from_rows(rows: Sequence[Sequence[Any]], kind: Kind) -> pl.DataFrame:
    """Return rows, each with the values of the kind's columns in order, as a frame of its types.

    Numbers may be texts, as exchanges send them; what is no number becomes null. Integers are times in nanoseconds.

    Raises
    ------
    InvalidData
        If a row has more or fewer values than the kind has columns.
    """
    if not rows:
        return kind.no_rows
    width = len(kind.columns)
    lengths = set(map(len, rows))
    if lengths != {width}:
        wrong = min(lengths - {width})
        raise InvalidData(f"a row of {kind.name} has {wrong} values, not {width}: {', '.join(kind.names)}")
    # A zip of 100,000 rows takes ten times as long: it steps through all of them for each column.
    values = list(chain.from_iterable(rows))
    columns = [_from_values(column, values[place::width]) for place, column in enumerate(kind.columns)]
    return pl.DataFrame(columns)


def _from_values(column: Column, values: list[Any]) -> pl.Series:
    """Return values of any type as a column."""
    read_as: pl.DataType | None = None
    # With its type named, each value is read by itself: a single float among integers would make floats of all of them.
    if column.dtype == pl.String:
        read_as = pl.String()
    elif column.is_temporal or column.dtype.is_integer():
        read_as = pl.Int64()
    series = pl.Series(column.name, values, dtype=read_as, strict=False)
    if series.dtype == column.dtype:
        return series
    return series.cast(column.dtype, strict=False)


def _check_names(given: Iterable[str], kind: Kind) -> None:
    """Refuse columns that a kind does not have, and the absence of those that it needs."""
    # Unknown ones first: a misspelt column is missing under its right name, and the error should name the mistake.
    for name in given:
        if name not in kind.stored_schema:
            raise InvalidData(
                f"{kind.name} has no column {name!r}{did_you_mean(name, kind.names)}: its columns are {', '.join(kind.names)}; "
                "rename or drop the others"
            )
    for name in kind.required:
        if name not in given:
            raise InvalidData(f"{kind.name} needs a column {name!r}: got {', '.join(given) or 'none'}")


def canonical_all(items: Sequence[tuple[Records, Kind]], provenances: Sequence[int]) -> list[pl.DataFrame]:
    """Return every item, each of its own provenance, as :func:`canonical` does; frames with the same columns and types are worked on together."""
    alike: dict[Any, list[int]] = {}
    looks: list[tuple[list[str], list[Any]]] = []
    for place, (data, kind) in enumerate(items):
        alike.setdefault((kind.name, _look_of(data, looks), provenances[place]), []).append(place)
    frames: dict[int, pl.DataFrame] = {}
    for (_, _, provenance), places in alike.items():
        data, kind = items[places[0]]
        if len(places) == 1:
            frames[places[0]] = canonical(data, kind, provenance)
            continue
        # The cost of a small frame is that of its calls, so many are concatenated, converted once, and cut again.
        together = canonical(pl.concat([items[place][0] for place in places]), kind, provenance)
        start = 0
        for place in places:
            height = items[place][0].height
            frames[place] = together.slice(start, height)
            start += height
    return [frames[place] for place in range(len(items))]


def _look_of(data: Records, looks: list[tuple[list[str], list[Any]]]) -> int:
    """Return the number of the columns and types of *data* among *looks*, to which new ones are added."""
    # Other data than Polars frames is not compared with each other: each is worked on alone.
    look: tuple[list[str], list[Any]] = ([], [data])
    if isinstance(data, pl.DataFrame):
        look = (data.columns, data.dtypes)
        # Most look like the one before: comparing types costs less than hashing them.
        for number in range(len(looks) - 1, -1, -1):
            if looks[number] == look:
                return number
    looks.append(look)
    return len(looks) - 1


def sort(frame: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """Sort by the kind's order; rows that tie keep the order they came in."""
    if len(kind.order) == 1 and frame[kind.order[0]].is_sorted():
        return frame
    return frame.sort(*kind.order, maintain_order=True)


def is_ordered(frame: pl.DataFrame, kind: Kind) -> bool:
    """Whether rows stand in the kind's order."""
    if not frame["ts"].is_sorted():
        return False
    if len(kind.order) == 1:
        return True
    ts, then = frame["ts"].cast(pl.Int64), frame[kind.order[1]]
    return not ((ts == ts.shift()) & (then < then.shift())).any()


def ties(frame: pl.DataFrame) -> pl.Series | None:
    """Mark the rows of a sorted frame that share their ``ts`` with another; ``None`` if none does."""
    ts = frame["ts"].cast(pl.Int64)
    same = ts.slice(1) == ts.head(max(frame.height - 1, 0))
    if not same.any():
        return None
    edge = pl.Series([False])
    same_as_previous = pl.concat([edge, same])
    same_as_next = pl.concat([same, edge])
    return same_as_previous | same_as_next


def number_prints(frame: pl.DataFrame) -> pl.DataFrame:
    """Number identical prints inside the frame: 0 for the first of each group, 1 for the next, ...

    Trades without ids are told apart by (ts, price, amount, side, n), so that real repeats survive and a
    second download of the same instants does not double them.
    """
    if ties(frame) is None:
        return frame.with_columns(n=pl.lit(0, pl.Int32))
    n = pl.int_range(pl.len(), dtype=pl.Int32).over("ts", "price", "amount", "side")
    return frame.with_columns(n.alias("n"))


def present(frame: pl.DataFrame, kind: Kind, *, provenance: bool = False) -> pl.DataFrame:
    """Return what a reader sees: the public columns, and the provenance number if asked for."""
    names = kind.names
    if provenance:
        names = [*names, PROVENANCE]
    # Not by a plan: rows of a stream are few.
    return frame[names]


def _to_frame(data: Records, kind: Kind) -> pl.DataFrame:
    if isinstance(data, pl.DataFrame):
        return data
    if isinstance(data, pl.LazyFrame):
        return data.collect()
    if hasattr(data, "__arrow_c_stream__"):
        # pandas writes its index into Arrow as columns of this name.
        return pl.DataFrame(data).drop(pl.selectors.starts_with("__index_level_"))
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _from_records(data, kind)
    raise InvalidData(
        f"{type(data).__name__} is not a frame: pass a Polars, pandas or Arrow frame, or a list of records"
    )


def _from_records(records: Sequence[Any], kind: Kind) -> pl.DataFrame:
    rows: list[Mapping[str, Any]] = []
    for record in records:
        rows += _rows(record)
    if not rows:
        return kind.empty()
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
    columns: list[pl.Series] = []
    for name in names:
        values = [row.get(name) for row in rows]
        columns.append(_series(name, values, kind))
    return pl.DataFrame(columns)


def _rows(record: Any) -> list[Mapping[str, Any]]:
    from ticklake.core.records import BookSnapshot

    if isinstance(record, BookSnapshot):
        return list(record.rows())
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return [{field.name: getattr(record, field.name) for field in dataclasses.fields(record)}]
    if isinstance(record, Mapping):
        return [record]
    raise InvalidData(f"{record!r} is not a record: pass an OHLCVBar, Trade, ... or a mapping of column to value")


def _series(name: str, values: list[Any], kind: Kind) -> pl.Series:
    dtype = kind.stored_schema.get(name)
    if dtype == TIME:
        return pl.Series(name, [_instant(name, value) for value in values], dtype=pl.Int64)
    values = list(map(_plain, values))
    if dtype not in (None, pl.Boolean) and bool in map(type, values):
        raise InvalidData(f"{name} of a record is a boolean: {kind.name} needs {dtype}, and true is no number")
    if dtype == pl.Float64:
        values = [_float(name, value) for value in values]
    elif dtype == pl.String:
        values = list(map(_text, values))
    elif dtype == pl.Int64:
        values = list(map(_integer, values))
    try:
        return pl.Series(name, values, strict=True)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        raise InvalidData(f"{name} of a record does not fit {kind.name}: {_first_line(error)}") from error


def _float(name: str, value: Any) -> Any:
    """Return an integer or a decimal as the float that it is; anything else as it is, to be refused if it does not fit."""
    if not isinstance(value, _EXACT_NUMBERS):
        return value
    try:
        return float(value)
    except OverflowError as error:
        raise InvalidData(
            f"{name} of a record is a number of {len(str(abs(value)))} digits: floats end at 1.8e308"
        ) from error


def _text(value: Any) -> Any:
    """Return an integer as text: exchanges write ids as either."""
    if isinstance(value, int):
        return str(value)
    return value


def _integer(value: Any) -> Any:
    """Return a whole float as an integer: pandas makes floats of integers where one is absent."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _plain(value: Any) -> Any:
    """Return a scalar of NumPy as what Python has for it."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:
        return value.item()
    return value


def _instant(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if getattr(value, "tzinfo", True) is None:
        raise InvalidData(
            f"{name} {value!r} has no time zone: a record's time must say which, like tzinfo=timezone.utc"
        )
    try:
        return parse_time(value)
    except InvalidTime as error:
        raise InvalidData(f"{name}: {error}") from error


# Series are extended from one cached value: a planned expression costs more than all else in a small append (decision 10).
def _absent(column: Column, height: int) -> pl.Series:
    return _single(column.name, column.dtype, None).new_from_index(0, height)


def _constant(column: Column, value: int, height: int) -> pl.Series:
    return _single(column.name, column.dtype, value).new_from_index(0, height)


@lru_cache(maxsize=1024)
def _single(name: str, dtype: Any, value: int | None) -> pl.Series:
    return pl.Series(name, [value], dtype=dtype)


def _column(series: pl.Series, dtype: Any) -> pl.Series:
    name = series.name
    if dtype == TIME:
        return times_of(series)
    given = series.dtype
    if given == dtype:
        return _without_nan(series)
    if given == pl.Boolean and dtype not in (pl.Boolean, pl.Null):
        raise InvalidData(f"column {name!r} holds booleans, not {dtype}: true is no number")
    # A table with an absent integer makes a float of it: 1 would become the id "1.0".
    if dtype == pl.String and given.is_float():
        raise InvalidData(
            f"column {name!r} holds floats: write whole numbers as text or integers, or an id is not itself"
        )
    if dtype in (pl.Int64, pl.Int32) and given.is_float() and (series.drop_nulls() % 1 != 0).any():
        raise InvalidData(f"column {name!r} counts: its values must be whole")
    try:
        cast = series.cast(dtype)
    except pl.exceptions.PolarsError as error:
        raise InvalidData(f"column {name!r} does not fit {dtype}: {_first_line(error)}") from error
    if cast.dtype != dtype or given.is_nested():
        raise InvalidData(f"column {name!r} holds {given}, not {dtype}")
    return _without_nan(cast)


def _without_nan(series: pl.Series) -> pl.Series:
    # The sum is NaN if one value is, or if both infinities are in it; it costs less than looking at each value.
    if series.dtype == pl.Float64 and math.isnan(series.sum()):
        return series.fill_nan(None)
    return series


def times_of(series: pl.Series) -> pl.Series:
    """Return a column of times as nanoseconds UTC, exactly: datetimes with a zone, dates, or integers of nanoseconds.

    Raises
    ------
    InvalidData
        If it holds something else, times without a zone, integers of another unit, or times beyond 1677..2262.
    """
    converted = _read_time(series)
    # Not strict: for a time far beyond, Polars would panic while it writes its own error.
    lost = converted.null_count() - series.null_count()
    if lost:
        raise InvalidData(f"column {series.name!r} has {lost:,} times beyond 1677..2262: 64-bit nanoseconds end there")
    return converted


def _read_time(series: pl.Series) -> pl.Series:
    dtype = series.dtype
    if dtype == TIME:
        return series
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is None:
            raise InvalidData(
                f"column {series.name!r} has naive times: if they are UTC, say so with "
                f".dt.replace_time_zone('UTC'); if local, with their zone"
            )
        return series.dt.convert_time_zone("UTC").cast(TIME, strict=False)
    if dtype.is_integer():
        return _from_integers(series).cast(TIME)
    if dtype == pl.Null:
        return series.cast(TIME)
    if dtype == pl.Date:
        return series.cast(pl.Datetime("ns"), strict=False).dt.replace_time_zone("UTC")
    raise InvalidData(
        f"column {series.name!r} holds {dtype}, not times: pass Datetime with a zone or Int64 nanoseconds"
    )


def _from_integers(series: pl.Series) -> pl.Series:
    integers = series.cast(pl.Int64, strict=False)
    top = integers.abs().max()
    if not isinstance(top, int) or not 0 < top < FIRST_PLAUSIBLE:
        return integers
    # The largest time decides: columns of nanoseconds with a single time in 1970 are left to the checks.
    for limit, unit, factor in _UNITS:
        if top < limit:
            raise InvalidData(
                f"column {series.name!r} looks like {unit}: integer times are nanoseconds; multiply by {factor:,}"
            )
    return integers


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
