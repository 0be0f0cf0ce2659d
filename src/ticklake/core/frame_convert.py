"""The rows of frames as arrays of numpy, frames of pandas and tensors of PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from ticklake.core.kinds import TIME
from ticklake.errors import BadInput

__all__ = ["import_pandas", "import_torch", "numpy_columns", "pandas_frame", "torch_columns"]


def import_pandas() -> Any:
    """Return pandas.

    Raises
    ------
    BadInput
        If it is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise BadInput("to_pandas needs pandas: pip install pandas, or use to_numpy()") from error
    return pandas


def import_torch() -> Any:
    """Return PyTorch.

    Raises
    ------
    BadInput
        If it is not installed.
    """
    try:
        import torch  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise BadInput("to_torch needs PyTorch: pip install torch, or use to_numpy()") from error
    return torch


def numpy_columns(rows: pl.DataFrame) -> dict[str, Any]:
    """Return rows as arrays by column: times as ``datetime64[ns]``, texts as objects."""
    columns: dict[str, Any] = {}
    for series in rows.get_columns():
        columns[series.name] = _numpy(series)
    return columns


def pandas_frame(rows: pl.DataFrame) -> Any:
    """Return rows as a frame of pandas: times in UTC."""
    pandas = import_pandas()
    columns = numpy_columns(rows)
    for name, dtype in rows.schema.items():
        if dtype == TIME:
            columns[name] = pandas.DatetimeIndex(columns[name], tz="UTC")
    return pandas.DataFrame(columns)


def torch_columns(rows: pl.DataFrame) -> dict[str, Any]:
    """Return the columns of numbers and times as tensors by name: times are integers of nanoseconds."""
    torch = import_torch()
    tensors: dict[str, Any] = {}
    for series in rows.get_columns():
        # Copied: a tensor shares the memory of its array, and that of a frame must not be written to.
        if series.dtype.is_temporal():
            tensors[series.name] = torch.from_numpy(series.to_physical().fill_null(0).to_numpy().copy())
        elif series.dtype.is_numeric():
            tensors[series.name] = torch.from_numpy(_numpy(series).copy())
    return tensors


def _numpy(series: pl.Series) -> Any:
    if series.dtype == pl.String:
        return np.array(series.to_list(), dtype=object)
    if series.dtype != TIME:
        return series.to_numpy()
    if not series.null_count():
        return series.to_physical().to_numpy().view("datetime64[ns]")
    # NaT is the smallest integer.
    return np.array(series.to_physical().fill_null(np.iinfo(np.int64).min).to_numpy()).view("datetime64[ns]")
