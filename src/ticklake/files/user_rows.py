"""Accepting: rows in the shapes in which users have them, as what :func:`~ticklake.core.batch.canonical` takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from ticklake.core.kinds import Kind
from ticklake.core.time import MS
from ticklake.files.infer import column_called

__all__ = ["accept"]

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
    record, ccxt's bars (lists) and structures (mappings with ``timestamp``), and sides in capitals. What is not known is left
    as it is, for :func:`~ticklake.core.batch.canonical` to refuse.
    """
    rows = _rows(data)
    if isinstance(rows, list):
        return [_record(row, kind) for row in rows]
    frame = _frame(rows)
    return rows if frame is None else _sides(frame.rename(_renamed(frame.columns, kind)))


def _rows(data: Any) -> Any:
    """Return a list of records where there is one, else *data*."""
    if isinstance(data, Mapping):
        return _from_mapping(data)
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return list(data)
    return data


def _from_mapping(data: Mapping[str, Any]) -> Any:
    """Return the rows of a mapping of columns, or the one record that it is."""
    lists = {name: values for name, values in data.items() if _is_column(values)}
    if not lists:
        return [data] if data else []
    if any(isinstance(values, pl.Series) or hasattr(values, "dtype") for values in lists.values()):
        return pl.DataFrame(dict(data))
    lengths = {len(values) for values in lists.values()}
    if len(lists) < len(data) or len(lengths) > 1:
        return data
    return [dict(zip(data, values, strict=True)) for values in zip(*data.values(), strict=True)]


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
    names = _renamed(list(row), kind)
    return {names.get(name, name): _lower(value) if name.lower() == "side" else value for name, value in row.items()}


def _from_ccxt(row: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """Return one of ccxt's structures with our columns alone: the others (``info``, ``cost``, ``fee``) are derived or raw."""
    named = {_CCXT_NAMES.get(name, name): value for name, value in row.items()}
    found = {name: value for name, value in named.items() if name in kind.schema}
    if "side" in found:
        found["side"] = _lower(found["side"])
    return {**found, "ts": _from_ms(row["timestamp"])}


def _from_ms(value: Any) -> Any:
    """Return ccxt's milliseconds as nanoseconds; what cannot be milliseconds stays as it is."""
    is_whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value and value % 1 == 0
    return int(value) * MS if is_whole and 10**11 <= abs(value) < 10**14 else value


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
    return frame.drop([name for name in frame.columns if name.startswith("__index_level_")])


def _renamed(names: Sequence[str], kind: Kind) -> dict[str, str]:
    """Return our names for those columns that are called otherwise, each at most once."""
    ours: dict[str, str] = {}
    for name in names:
        called = None if name in kind.stored_schema else column_called(str(name))
        if called in kind.schema and called not in names and called not in ours.values():
            ours[name] = called
    return ours


def _sides(frame: pl.DataFrame) -> pl.DataFrame:
    if "side" not in frame.columns or frame.schema["side"] != pl.String:
        return frame
    return frame.with_columns(pl.col("side").str.to_lowercase())


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
