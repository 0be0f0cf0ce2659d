"""Files of values of features and of rows that are joined to them: CSV and Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from ticklake.core.feature_columns import FeatureColumn
    from ticklake.core.features import FeatureSet

__all__ = ["read_file"]

_YEAR = 4
"""Digits of a year alone: more of them are nanoseconds."""


def read_file(path: Path, times: Sequence[str], features: FeatureSet | None = None) -> pl.DataFrame:
    """Read a file of rows; of CSV, which has no types, times are ISO 8601, and columns of *features* have their types.

    Raises
    ------
    InvalidData
        If it cannot be read, or a text is not of the type of its column.
    """
    import polars as pl

    from ticklake.errors import InvalidData

    try:
        if path.suffix.lower() in {".parquet", ".pq"}:
            return pl.read_parquet(path)
        if features is None:
            rows = pl.read_csv(path, infer_schema_length=None)
        else:
            rows = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InvalidData(f"{path} cannot be read ({str(error).partition(chr(10))[0]}): pass CSV or Parquet") from error
    for name in times:
        if name in rows.columns:
            rows = rows.with_columns(_times(rows[name]))
    if features is not None:
        for column in features.columns:
            if column.name in rows.columns:
                rows = rows.with_columns(_typed(path, rows[column.name], column))
    return rows


def _times(texts: pl.Series) -> pl.Series:
    """Read times as ISO 8601, or as nanoseconds."""
    import polars as pl

    from ticklake.core.kinds import TIME

    numbers: list[int | None] = []
    for text in texts.cast(pl.String):
        if text is None:
            numbers.append(None)
        else:
            numbers.append(_moment(text))
    return pl.Series(texts.name, numbers, pl.Int64).cast(TIME)


def _typed(path: Path, texts: pl.Series, column: FeatureColumn) -> pl.Series:
    """Return texts in the type of their column."""
    import polars as pl

    from ticklake.errors import InvalidData

    if column.dtype == "time":
        return _times(texts)
    if column.dtype == "bool":
        words = texts.str.to_lowercase()
        typed = pl.select(pl.when(words == "true").then(True).when(words == "false").then(False)).to_series()
    else:
        typed = texts.cast(column.polars, strict=False)
    wrong = texts.filter(typed.is_null() & texts.is_not_null())
    if wrong.len():
        raise InvalidData(
            f"{path}: column {texts.name!r} has {wrong[0]!r}, which is no {column.dtype}: correct the file"
        )
    return typed.alias(texts.name)


def _moment(text: str) -> int:
    from ticklake.core.time import parse_time

    if text.isdecimal() and len(text) > _YEAR:
        return parse_time(int(text))
    return parse_time(text)
