"""Columns of other lakes: times in other units, and frames brought to a schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from ticklake.errors import InvalidData

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

__all__ = ["LAST_SECOND", "fitted", "nanoseconds", "renamed"]

LAST_SECOND = 10**11
"""Below this, a time is a number of seconds."""

_UNITS = {
    "s": (1, LAST_SECOND, 10**9),
    "ms": (LAST_SECOND, 10**14, 10**6),
    "us": (10**14, 10**17, 10**3),
    "ns": (10**17, 2**63 - 1, 1),
}
"""Of each unit: between which numbers its times lie, from 1973 on, and how many nanoseconds it is."""


def nanoseconds(times: pl.Series, units: Sequence[str]) -> pl.Series:
    """Return times as ``Int64`` nanoseconds, each read in that one of *units* that its magnitude shows.

    Fractions are read by their shortest decimal text, which is the text that was written. Datetimes must have a zone.

    Raises
    ------
    InvalidData
        If a time lies where none of *units* would put it.
    """
    if isinstance(times.dtype, pl.Datetime):
        if times.dtype.time_zone is None:
            raise InvalidData(f"column {times.name!r} has naive times: nobody can know which zone was meant")
        return times.dt.epoch("ns")
    if not times.dtype.is_numeric():
        raise InvalidData(f"column {times.name!r} holds {times.dtype}, not times")
    whole = times.cast(pl.Int64, strict=False)
    _refuse_other_units(whole, units)
    factor = pl.select(_factor(whole, units)).to_series()
    exact = times.cast(pl.String).str.to_decimal(scale=9) if times.dtype.is_float() else whole
    return (exact * factor).cast(pl.Int64).alias(times.name)


def fitted(rows: pl.DataFrame, schema: Mapping[str, PolarsDataType], needed: Sequence[str]) -> pl.DataFrame:
    """Return *rows* with exactly the columns of *schema*; absent ones are null, others are dropped.

    Raises
    ------
    InvalidData
        If one of *needed* is absent, or values do not fit.
    """
    missing = [name for name in needed if name not in rows.columns]
    if missing:
        raise InvalidData(f"column {missing[0]!r} is missing: there are {', '.join(rows.columns)}")
    columns = [
        pl.col(name).cast(dtype) if name in rows.columns else pl.lit(None, dtype).alias(name)
        for name, dtype in schema.items()
    ]
    try:
        return rows.select(columns)
    except pl.exceptions.PolarsError as error:
        raise InvalidData(f"the columns do not fit: {str(error).partition(chr(10))[0]}") from error


def renamed(rows: pl.DataFrame, names: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """Return *rows* with the first column of *names* that is there under the name it stands for, where that is absent."""
    found = {
        next((other for other in others if other in rows.columns), name): name
        for name, others in names.items()
        if name not in rows.columns
    }
    return rows.rename(found, strict=False)


def _factor(whole: pl.Series, units: Sequence[str]) -> pl.Expr:
    cases = [pl.when(pl.lit(whole) < end).then(factor) for unit, (_, end, factor) in _UNITS.items() if unit in units]
    return pl.coalesce(*cases, 1)


def _refuse_other_units(whole: pl.Series, units: Sequence[str]) -> None:
    """Refuse magnitudes of other units; zero and below are times in no unit and are left to the checks."""
    for unit, (start, end, _) in _UNITS.items():
        inside = whole.filter((whole >= start) & (whole < end))
        if unit not in units and inside.len():
            raise InvalidData(f"{whole.name} {inside[0]} looks like {unit}: the layout has {' or '.join(units)}")
