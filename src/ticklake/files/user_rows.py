"""Accept rows in the forms in which users have them, and return what :func:`~ticklake.core.batch.canonical` takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from polars import selectors

from ticklake.core.checks import SIDES
from ticklake.core.kinds import Kind
from ticklake.core.time import MS
from ticklake.errors import InvalidData
from ticklake.files.infer import column_called

__all__ = ["accept", "as_frame"]

_CCXT_BARS = ("ts", "open", "high", "low", "close", "volume")
_CCXT_NAMES = {
    "fundingRate": "rate",
    "openInterestAmount": "open_interest",
    "openInterestValue": "open_interest_value",
    "markPrice": "mark_price",
}
_CCXT_MARKS = frozenset({"info", "datetime"})
"""Every structure of ccxt has both, beside its ``timestamp`` in milliseconds."""


def accept(data: Any, kind: Kind) -> Any:
    """Return rows with our names for their columns, and ccxt's times as nanoseconds.

    Accepted are a frame whose headings are those of files or whose times are its index (pandas), a mapping of columns or one
    record, ccxt's bars (lists) and structures (mappings with ``timestamp``), and sides in capitals. Anything else is returned
    unchanged, for :func:`~ticklake.core.batch.canonical` to refuse.
    """
    rows = _rows(data)
    if isinstance(rows, list):
        return [_record(row, kind) for row in rows]
    frame = _frame(rows)
    if frame is None:
        return rows
    names = _new_names(frame.columns, kind)
    if names:
        # Polars plans a query to rename no column, too.
        frame = frame.rename(names)
    return _with_small_sides(frame, kind)


def as_frame(data: Any) -> pl.DataFrame:
    """Return a Polars, pandas or Arrow frame, a mapping of columns, or a list of records as a Polars frame, names as they are.

    Raises
    ------
    InvalidData
        If it is none of them, or if the values of a column have different types.
    """
    rows = _rows(data)
    frame = None
    if not isinstance(rows, list):
        frame = _frame(rows)
    try:
        if frame is None and isinstance(rows, list):
            frame = pl.DataFrame(rows, infer_schema_length=None, orient="row")
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        first_line = str(error).partition("\n")[0]
        raise InvalidData(
            f"the rows are no table ({first_line}): pass a frame, or records whose values have one type"
        ) from error
    if frame is None:
        raise InvalidData(
            f"{type(data).__name__} is not a frame: pass a Polars, pandas or Arrow frame, or a list of records"
        )
    return frame


def _rows(data: Any) -> Any:
    """Return a list of records where there is one, else *data*."""
    if isinstance(data, Mapping):
        return _from_mapping(data)
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return list(data)
    return data


def _from_mapping(data: Mapping[str, Any]) -> Any:
    """Return the rows of a mapping of columns, or the one record that it is."""
    columns = list(filter(_is_column, data.values()))
    if not data:
        return []
    if not columns:
        return [data]
    if any(isinstance(values, pl.Series) or hasattr(values, "dtype") for values in columns):
        return pl.DataFrame(dict(data))
    lengths = set(map(len, columns))
    # Only some values are lists, or they differ in length: what was meant is not guessed.
    if len(columns) < len(data) or len(lengths) > 1:
        return data
    return [dict(zip(data, values, strict=True)) for values in zip(*columns, strict=True)]


def _is_column(values: Any) -> bool:
    is_array = hasattr(values, "__len__") and getattr(values, "ndim", 1) == 1
    return is_array and not isinstance(values, str | bytes | Mapping)


def _record(row: Any, kind: Kind) -> Any:
    if isinstance(row, list | tuple) and kind.bars and len(row) == len(_CCXT_BARS):
        return {**dict(zip(_CCXT_BARS, row, strict=True)), "ts": _from_ms(row[0])}
    if not isinstance(row, Mapping):
        return row
    if "timestamp" in row and row.keys() >= _CCXT_MARKS:
        return _from_ccxt(row, kind)
    names = _new_names(list(row), kind)
    record = {}
    for name, value in row.items():
        if name.lower() == "side":
            record[names.get(name, name)] = _lower(value)
        else:
            record[names.get(name, name)] = value
    return record


def _from_ccxt(row: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """Return one of ccxt's structures with our columns alone: the others (``info``, ``cost``, ``fee``) are derived or raw."""
    record = {}
    for name, value in row.items():
        column = _CCXT_NAMES.get(name, name)
        if column in kind.schema:
            record[column] = value
    if "side" in record:
        record["side"] = _lower(record["side"])
    record["ts"] = _from_ms(row["timestamp"])
    return record


def _from_ms(value: Any) -> Any:
    """Return ccxt's milliseconds as nanoseconds; what cannot be milliseconds stays as it is."""
    # Only NaN differs from itself.
    is_whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value and value % 1 == 0
    # Smaller numbers are seconds, larger ones micro- or nanoseconds: see the limits of units in times.py.
    if is_whole and 10**11 <= abs(value) < 10**14:
        return int(value) * MS
    return value


def _frame(data: Any) -> pl.DataFrame | None:
    if isinstance(data, pl.DataFrame):
        return data
    if isinstance(data, pl.LazyFrame):
        return data.collect()
    if type(getattr(data, "index", None)).__name__ == "DatetimeIndex" and "ts" not in data.columns:
        data = data.rename_axis("ts").reset_index()
    if not hasattr(data, "__arrow_c_stream__"):
        return None
    frame = pl.DataFrame(data)
    # pandas passes an index without a name on as a column of this name.
    return frame.drop(selectors.starts_with("__index_level_"))


def _new_names(names: Sequence[str], kind: Kind) -> dict[str, str]:
    """Return our names for those columns that are called otherwise, each at most once."""
    new_names: dict[str, str] = {}
    for name in names:
        if name in kind.stored_schema:
            continue
        ours = column_called(str(name))
        if ours in kind.schema and ours not in names and ours not in new_names.values():
            new_names[name] = ours
    return new_names


def _with_small_sides(frame: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    if "side" not in frame.columns or frame.schema["side"] != pl.String:
        return frame
    side, known = frame["side"], SIDES.get(kind.name)
    # Nearly always they are small already: to compare them costs a tenth of writing them anew.
    if known is not None and ((side == known[0]) | (side == known[1])).all():
        return frame
    return frame.with_columns(side.str.to_lowercase())


def _lower(value: Any) -> Any:
    if isinstance(value, str):
        return value.lower()
    return value
