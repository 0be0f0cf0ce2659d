"""Many instants, in whatever form they are written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ticklake.core.time import TimeLike, parse_time
from ticklake.errors import InvalidTime

if TYPE_CHECKING:
    from ticklake.core.timeline import Times

__all__ = ["parse_instant", "parse_instants"]


def parse_instants(instants: Any) -> Times:
    """Return instants in nanoseconds: of a list of times, an array, a series or an index.

    Raises
    ------
    InvalidTime
        If one of them is no time.
    """
    if isinstance(instants, pl.Series):
        return _of_series(instants)
    if getattr(getattr(instants, "dtype", None), "tz", None) is not None:
        instants = _in_utc(instants)
    if getattr(getattr(instants, "dtype", None), "kind", None) in ("M", "i"):
        return _of_array(np.asarray(instants))
    if isinstance(instants, str) or not isinstance(instants, Iterable):
        raise InvalidTime(f"instants={instants!r} are no times: pass a list of them, an array or a series")
    return np.array(list(map(parse_instant, instants)), dtype=np.int64)


def parse_instant(value: Any) -> int:
    """Return one instant in nanoseconds: a time, or a scalar of numpy."""
    if isinstance(value, np.datetime64 | np.integer):
        return int(_of_array(np.asarray([value]))[0])
    moment: TimeLike = value
    return parse_time(moment)


def _in_utc(zoned: Any) -> Any:
    """Return an index or a series of pandas with a time zone without it: its values are those of UTC."""
    converted = getattr(zoned, "dt", zoned).tz_convert("UTC")
    return getattr(converted, "dt", converted).tz_localize(None)


def _of_series(series: pl.Series) -> Times:
    if series.null_count():
        raise InvalidTime("instants has a null, which is no time: drop it")
    if series.dtype == pl.Date or isinstance(series.dtype, pl.Datetime):
        return np.array(series.cast(pl.Datetime("ns")).to_physical().to_numpy(), dtype=np.int64)
    return parse_instants(series.to_list())


def _of_array(array: np.ndarray[Any, Any]) -> Times:
    array = array.ravel()
    if array.dtype.kind == "M":
        return _of_datetimes(array)
    if array.size:
        # If both ends are times, all between them are.
        parse_time(int(array.min()))
        parse_time(int(array.max()))
    return array.astype(np.int64)


def _of_datetimes(array: np.ndarray[Any, Any]) -> Times:
    if np.isnat(array).any():
        raise InvalidTime("instants has a NaT, which is no time: drop it")
    exact = array.astype("datetime64[ns]")
    # A time that nanoseconds cannot hold would wrap around.
    if not (exact.astype(array.dtype) == array).all():
        raise InvalidTime("instants has a time outside 1677..2262, the range of 64-bit nanoseconds")
    return exact.astype(np.int64)
