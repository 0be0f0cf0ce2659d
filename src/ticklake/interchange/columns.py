"""Convert columns of other lakes: times in other units, names, and types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from ticklake.core.lookup import absent
from ticklake.errors import InvalidData

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

__all__ = ["LAST_SECOND", "fitted", "inverse", "nanoseconds", "renamed"]

LAST_SECOND = 10**11
"""Below this, a time is a number of seconds."""

_UNITS = {
    "s": (1, LAST_SECOND, 10**9),
    "ms": (LAST_SECOND, 10**14, 10**6),
    "us": (10**14, 10**17, 10**3),
    "ns": (10**17, 2**63 - 1, 1),
}
"""For each unit, the numbers between which its times lie, from 1973 on, and its nanoseconds."""


def nanoseconds(times: pl.Series, units: Sequence[str]) -> pl.Series:
    """Return times as ``Int64`` nanoseconds, each read in the one of *units* that its magnitude shows.

    Fractions are read by their shortest decimal text, which is the text that was written. Datetimes must have a zone.

    Raises
    ------
    InvalidData
        If the magnitude of a time fits none of *units*.
    """
    if isinstance(times.dtype, pl.Datetime):
        if times.dtype.time_zone is None:
            raise InvalidData(f"column {times.name!r} has naive times: nobody can know which zone was meant")
        return times.dt.epoch("ns")
    if not times.dtype.is_numeric():
        raise InvalidData(f"column {times.name!r} holds {times.dtype}, not times")
    whole = times.cast(pl.Int64, strict=False)
    _refuse_other_units(whole, units)
    exact = whole
    if times.dtype.is_float():
        exact = times.cast(pl.String).str.to_decimal(scale=9)
    return (exact * _factors(whole, units)).cast(pl.Int64).alias(times.name)


def fitted(rows: pl.DataFrame, schema: Mapping[str, PolarsDataType], needed: Sequence[str]) -> pl.DataFrame:
    """Return *rows* with exactly the columns of *schema*; absent ones are null, others are dropped.

    Raises
    ------
    InvalidData
        If one of *needed* is absent, or values do not fit.
    """
    missing = absent(needed, rows.columns)
    if missing:
        raise InvalidData(f"column {missing[0]!r} is missing: there are {', '.join(rows.columns)}")
    columns = []
    for name, dtype in schema.items():
        column = pl.lit(None, dtype).alias(name)
        if name in rows.columns:
            column = pl.col(name).cast(dtype)
        columns.append(column)
    try:
        return rows.select(columns)
    except pl.exceptions.PolarsError as error:
        raise InvalidData(f"the columns do not fit: {str(error).partition(chr(10))[0]}") from error


def renamed(rows: pl.DataFrame, names: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """Return *rows* with our names: each that is absent is given to the first column that has one of its other *names*."""
    new_names = {}
    for ours, others in names.items():
        if ours in rows.columns:
            continue
        for other in others:
            if other in rows.columns:
                new_names[other] = ours
                break
    return rows.rename(new_names)


def inverse(names: Mapping[str, str]) -> dict[str, str]:
    """Return the mapping in the other direction."""
    return {value: name for name, value in names.items()}


def _factors(whole: pl.Series, units: Sequence[str]) -> pl.Series:
    """Return the nanoseconds of each time's unit. One column may have several: dccd 3 adds rows to files of dccd 2."""
    factor = pl.lit(1)
    for unit, (_, end, nanoseconds_of_unit) in reversed(_UNITS.items()):
        if unit in units:
            factor = pl.when(pl.lit(whole) < end).then(nanoseconds_of_unit).otherwise(factor)
    return pl.select(factor).to_series()


def _refuse_other_units(whole: pl.Series, units: Sequence[str]) -> None:
    """Refuse magnitudes of other units; zero and below are times in no unit and are left to the checks."""
    for unit, (start, end, _) in _UNITS.items():
        if unit in units:
            continue
        inside = whole.filter((whole >= start) & (whole < end))
        if inside.len():
            raise InvalidData(f"{whole.name} {inside[0]} looks like {unit}: the layout has {' or '.join(units)}")
