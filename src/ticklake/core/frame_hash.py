"""Hashes of the rows of frames: equal values have equal ones, on any machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

__all__ = ["HashedColumn", "hashed_columns", "update_hash"]


class HashedColumn(NamedTuple):
    """A column as it is hashed: its values as an array, or all texts as bytes with the end of each; and which are null."""

    name: bytes
    values: Any
    text: bytes | None
    nulls: Any


def hashed_columns(rows: pl.DataFrame) -> list[HashedColumn]:
    """Return the columns of rows as they are hashed."""
    return list(map(_column, rows.get_columns()))


def update_hash(digest: Any, columns: Sequence[HashedColumn], first: int, last: int) -> None:
    """Hash rows by their columns: equal values give equal bytes, wherever they are in memory."""
    # The number of rows comes first: else two columns could be cut elsewhere and have the same bytes.
    digest.update(b"%d;" % (last - first))
    for name, values, text, nulls in columns:
        digest.update(name)
        if text is None:
            digest.update(values[first:last].tobytes())
        else:
            # Where texts end in this slice, not in the whole column.
            ends = values[first : last + 1]
            digest.update((ends - ends[0]).tobytes())
            digest.update(text[ends[0] : ends[-1]])
        if nulls is not None and (marks := nulls[first:last]).any():
            digest.update(b"null")
            digest.update(marks.tobytes())


def _column(series: pl.Series) -> HashedColumn:
    name = f"{series.name}:{series.dtype};".encode()
    nulls = None
    if series.null_count():
        nulls = series.is_null().to_numpy()
    if series.dtype == pl.String:
        filled = series.fill_null("")
        ends = np.append(0, filled.str.len_bytes().cum_sum().to_numpy()).astype(np.int64)
        return HashedColumn(name, ends, "".join(filled.to_list()).encode(), nulls)
    if nulls is not None:
        series = _without_nulls(series)
    return HashedColumn(name, series.to_numpy(), None, nulls)


def _without_nulls(series: pl.Series) -> pl.Series:
    # Nulls of floats and times have values of their own in arrays; integers have none.
    if series.dtype.is_float() or series.dtype.is_temporal():
        return series
    if series.dtype == pl.Boolean:
        return series.fill_null(value=False)
    if series.null_count() == len(series):
        return series.clear().extend_constant(0, len(series)).cast(series.dtype)
    return series.fill_null(0)
