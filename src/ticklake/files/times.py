"""Columns of times as files write them, read as nanoseconds UTC without passing through floats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import polars as pl

from ticklake.core.kinds import TIME
from ticklake.core.time import DAY, HOUR, MINUTE, MS, SECOND, US, format_time, parse_time
from ticklake.errors import InvalidData, InvalidTime

__all__ = ["UNITS", "TimeWords", "fixed_offset", "has_zone", "is_counted", "read_durations", "read_times", "unit_of"]

UNITS = {"s": SECOND, "ms": MS, "us": US, "ns": 1}
_LIMITS = ((10**11, "s"), (10**14, "ms"), (10**17, "us"), (2**63, "ns"))
"""Counts since the epoch below the number are in that unit: so is every time from 1973 to 5138."""
_FIRST = parse_time("1980-01-01")
"""No recorded market data is older; a file that is was read in the wrong unit."""
_COUNT = r"^[+-]?\d{1,19}(?:\.\d+)?$"
_CLOCK = (
    r"(?:[T ,]+(?P<h>\d\d?)(?:[:-]?(?P<mi>\d\d)(?::?(?P<s>\d\d)(?:[.,]?(?P<f>\d{1,9}))?)?)?)?"
    r"[ -]*(?P<p>[AaPp][Mm])?\s*(?P<z>Z|z|UTC|(?:GMT)?[+-]\d\d:?\d\d|GMT)?$"
)
_YEAR_FIRST = r"^\s*(?P<y>\d{4})[-./]?(?P<mo>\d\d)[-./]?(?P<d>\d\d)" + _CLOCK
_YEAR_LAST = r"^\s*(?P<a>\d\d?)[-./](?P<b>\d\d?)[-./](?P<y>\d{4})" + _CLOCK
_DURATION = r"^P(?:(?P<d>\d+)D)?(?:T(?:(?P<h>\d+)H)?(?:(?P<m>\d+)M)?(?:(?P<s>\d+)(?:\.(?P<f>\d{1,9}))?S)?)?$"
_OFFSET = re.compile(r"(?:UTC|GMT)?(?P<sign>[+-])(?P<h>\d\d?)(?::?(?P<m>\d\d))?")


@dataclass(frozen=True, slots=True)
class TimeWords:
    """How a file writes its times.

    Parameters
    ----------
    unit
        ``s``, ``ms``, ``us`` or ``ns`` of counts; by magnitude if empty.
    zone
        Where times without a zone are local: ``UTC``, ``Europe/Moscow``, ``UTC-05``; unknown if empty.
    form
        A strftime pattern, where the usual ways of writing do not fit or are ambiguous.
    since
        What counts are relative to, in nanoseconds of local time; the epoch by default.
    shift
        Nanoseconds added at the end: bars that are named by their close, for example.
    """

    unit: str = ""
    zone: str = ""
    form: str = ""
    since: int = 0
    shift: int = 0


def read_times(column: pl.Series, words: TimeWords, now: int) -> pl.Series:
    """Return a column of times as ``Datetime('ns', 'UTC')``; nulls and empty texts stay null.

    Counts may be integers, floats (read by their shortest decimal text) or decimal text. Text is ISO 8601 and its
    relatives (``2024.01.02 00:01``, ``2019-10-17 09-AM``, ``20240102 000100``, ``31.01.2024 00:00:00 GMT+0100``), or
    follows ``words.form``.

    Raises
    ------
    InvalidData
        If a value is no time, the unit cannot be meant, the zone is unknown, or a local time is not one instant.
    """
    dtype = column.dtype
    if column.null_count() == column.len():
        return pl.Series(column.name, [None], dtype=TIME).new_from_index(0, column.len())
    if isinstance(dtype, pl.Datetime):
        read = _moments(column, dtype, words)
    elif dtype == pl.Date:
        read = _localised(column.cast(pl.Datetime("ns")).to_physical(), words)
    elif words.since or words.unit or is_counted(column):
        read = _counts(column, words, now)
    else:
        read = _texts(column.cast(pl.String), words)
    return (read.cast(pl.Int64) + words.shift).cast(TIME)


def read_durations(column: pl.Series) -> pl.Series:
    """Return a column of durations, or of their ISO 8601 texts like ``PT8H`` and ``P1DT30M``, as ``Duration('ns')``.

    Raises
    ------
    InvalidData
        If it holds something else; a number could count anything.
    """
    if isinstance(column.dtype, pl.Duration) or column.null_count() == column.len():
        return column.cast(pl.Duration("ns"))
    text = column.cast(pl.String)
    known = text.set(text == "", None).alias("t")
    parts = known.to_frame().select(pl.col("t").str.extract_groups(_DURATION)).unnest("t").with_columns(t=known)
    fits = pl.col("t").str.contains(_DURATION)
    odd = parts.filter(~fits)
    if odd.height:
        raise InvalidData(
            f"column {column.name!r}: {odd['t'][0]!r} is no duration like PT8H; if it counts hours, map it to interval_hours"
        )
    whole = pl.col("f").fill_null("").str.pad_end(9, "0").cast(pl.Int64)
    for part, length in (("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND)):
        whole += pl.col(part).cast(pl.Int64).fill_null(0) * length
    return parts.select(pl.when(fits).then(whole)).to_series().cast(pl.Duration("ns")).alias(column.name)


def is_counted(column: pl.Series) -> bool:
    """Whether a column holds counts of a unit, as numbers or as text."""
    if column.dtype.is_numeric():
        return True
    if column.dtype != pl.String:
        return False
    known = _filled(column)
    top = known.head(1)
    return bool(known.len()) and len(top[0].partition(".")[0]) != 8 and bool(top.str.contains(_COUNT).all())


def has_zone(column: pl.Series) -> bool:
    """Whether times say themselves which instants they are."""
    if isinstance(column.dtype, pl.Datetime):
        return column.dtype.time_zone is not None
    if column.dtype != pl.String:
        return column.dtype.is_numeric()
    if is_counted(column):
        return True
    known = _filled(column).head(1)
    return bool(known.len()) and bool(known.str.contains(r"(?:Z|z|UTC|GMT|[+-]\d\d:?\d\d)\s*$").item())


def unit_of(largest: int) -> str:
    """Return the unit in which a count since the epoch is a plausible time.

    >>> unit_of(1704067200)
    's'
    """
    return next(unit for limit, unit in _LIMITS if abs(largest) < limit)


@cache
def fixed_offset(zone: str) -> int | None:
    """Return the offset of a zone that has one for ever, like ``UTC``, ``UTC-05`` or ``+03:00``, in nanoseconds."""
    if zone.upper() in {"UTC", "GMT", "Z"}:
        return 0
    match = _OFFSET.fullmatch(zone)
    if match is None:
        return None
    length = int(match["h"]) * HOUR + int(match["m"] or 0) * MINUTE
    return -length if match["sign"] == "-" else length


def _filled(column: pl.Series) -> pl.Series:
    return column.set(column.str.strip_chars() == "", None).drop_nulls()


def _moments(column: pl.Series, dtype: pl.Datetime, words: TimeWords) -> pl.Series:
    if dtype.time_zone is not None:
        return column.dt.convert_time_zone("UTC").cast(TIME)
    return _localised(column.cast(pl.Datetime("ns")).to_physical(), words)


def _counts(column: pl.Series, words: TimeWords, now: int) -> pl.Series:
    whole, part = _halves(column)
    sizes = whole.abs().drop_nulls().sort()
    if not sizes.len():
        return whole.cast(TIME)
    top: int = sizes[-1]
    unit = words.unit or ("ms" if words.since else unit_of(top))
    factor = UNITS[unit]
    if top > (2**63 - 1) // factor:
        raise InvalidData(f"column {column.name!r}: {top} {unit} is no time: {_better(top)}")
    ns = whole * factor + part * factor // SECOND
    if words.since:
        return _localised((ns + words.since).alias(column.name), words)
    middle: int = sizes[sizes.len() // 2] * factor
    if not _FIRST <= middle <= now + DAY:
        raise InvalidData(f"column {column.name!r} read in {unit} gives {format_time(middle)}: {_better(top)}")
    return ns.cast(TIME)


def _better(top: int) -> str:
    return f"by its size it counts {unit_of(top)}; say so with unit={unit_of(top)!r} (--unit {unit_of(top)})"


def _halves(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return the whole numbers, and what follows the point in billionths."""
    none = pl.Series([0], dtype=pl.Int64).new_from_index(0, column.len())
    if column.dtype.is_integer():
        return column.cast(pl.Int64), none
    if column.dtype.is_float():
        known = column.fill_nan(None)
        if (known.drop_nulls() % 1 == 0).all():
            return known.cast(pl.Int64), none
        column = known.cast(pl.String)
    frame = pl.DataFrame({"t": column.cast(pl.String).str.strip_chars()})
    frame = frame.with_columns(t=pl.when(pl.col("t") != "").then("t"))
    odd = frame.filter(~pl.col("t").str.contains(_COUNT))
    if odd.height:
        raise InvalidData(f"column {column.name!r}: {odd['t'][0]!r} is no time, though others are counts")
    whole = pl.col("t").str.extract(r"^([+-]?\d+)", 1).cast(pl.Int64)
    part = pl.col("t").str.extract(r"\.(\d+)", 1).fill_null("").str.pad_end(9, "0").str.head(9).cast(pl.Int64)
    both = frame.select(whole=whole, part=part)
    return both["whole"], both["part"]


def _texts(column: pl.Series, words: TimeWords) -> pl.Series:
    stripped = column.str.strip_chars()
    known = stripped.set(stripped == "", None)
    if words.form:
        return _by_form(known, words)
    first = known.drop_nulls().head(1)
    year_last = bool(first.len()) and first.str.contains(_YEAR_LAST).item()
    parts = known.to_frame("t").select(pl.col("t").str.extract_groups(_YEAR_LAST if year_last else _YEAR_FIRST))
    table = parts.unnest("t").with_columns(t=known)
    if year_last:
        table = _day_and_month(table, column.name)
    return _assembled(table, column.name, words)


def _by_form(known: pl.Series, words: TimeWords) -> pl.Series:
    aware = any(mark in words.form for mark in ("%z", "%Z", "%:z"))
    try:
        read = known.str.to_datetime(words.form, time_unit="ns", time_zone="UTC" if aware else None)
    except pl.exceptions.PolarsError as error:
        raise InvalidData(
            f"column {known.name!r} is not written like {words.form!r}: {str(error).partition(chr(10))[0]}"
        ) from error
    return read.cast(TIME) if aware else _localised(read.to_physical(), words)


def _day_and_month(table: pl.DataFrame, name: str) -> pl.DataFrame:
    """Tell which of two numbers is the day: the one that passes 12, or the first one where dots divide them."""
    a, b = (table[side].cast(pl.Int64).max() or 0 for side in ("a", "b"))
    dotted = "." in str(table["t"].drop_nulls()[0])[:5]
    if a <= 12 and b <= 12 and not dotted:  # type: ignore[operator]
        raise InvalidData(
            f"column {name!r}: {table['t'].drop_nulls()[0]!r} may begin with the day or the month: "
            "say which with form='%d/%m/%Y' (--time-format)"
        )
    day, month = ("b", "a") if b > 12 else ("a", "b")  # type: ignore[operator]
    return table.with_columns(d=pl.col(day), mo=pl.col(month))


def _assembled(table: pl.DataFrame, name: str, words: TimeWords) -> pl.Series:
    number = {part: pl.col(part).cast(pl.Int64) for part in ("y", "mo", "d", "h", "mi", "s")}
    afternoon, half = pl.col("p").str.to_lowercase() == "pm", pl.col("p").is_not_null()
    hour = number["h"].fill_null(0)
    hour = pl.when(half).then(hour % 12 + pl.when(afternoon).then(12).otherwise(0)).otherwise(hour)
    clock = hour * HOUR + number["mi"].fill_null(0) * MINUTE + number["s"].fill_null(0) * SECOND
    fraction = pl.col("f").fill_null("").str.pad_end(9, "0").cast(pl.Int64)
    try:
        midnight = table.select(pl.date(number["y"], number["mo"], number["d"])).to_series()
    except pl.exceptions.PolarsError:
        midnight = pl.Series([None], dtype=pl.Date).new_from_index(0, table.height)
    sane = hour.is_between(0, 24) & number["mi"].fill_null(0).is_between(0, 59)
    whole = table.with_columns(m=midnight.cast(pl.Int64) * DAY).select(
        ns=pl.when(sane).then(pl.col("m") + clock + fraction), z="z", t="t"
    )
    odd = whole.filter(pl.col("ns").is_null() & pl.col("t").is_not_null())
    if odd.height:
        raise InvalidData(
            f"column {name!r}: {odd['t'][0]!r} is no time; if it is, say how it is written (--time-format)"
        )
    return _with_offsets(whole, name, words)


def _with_offsets(whole: pl.DataFrame, name: str, words: TimeWords) -> pl.Series:
    """Take the zones off that are written behind times; local times need the file's zone."""
    offsets: dict[str | None, int | None] = {
        text: None if text is None else fixed_offset(text) for text in whole["z"].unique().to_list()
    }
    if set(offsets) <= {None}:
        return _localised(whole["ns"].alias(name), words)
    if None in offsets and whole.filter(pl.col("z").is_null() & pl.col("ns").is_not_null()).height:
        raise InvalidData("some times say their zone and some do not: bring them in one form first")
    known = {text: shift for text, shift in offsets.items() if text is not None}
    shift = whole["z"].replace_strict(known, default=0, return_dtype=pl.Int64)
    return (whole["ns"] - shift).cast(TIME)


def _localised(ns: pl.Series, words: TimeWords) -> pl.Series:
    """Return local nanoseconds as instants."""
    zone = words.zone
    if not zone:
        raise InvalidTime(
            f"times of column {ns.name or 'ts'!r} do not say their zone: pass zone='UTC' if they are UTC, "
            "else where they are local, like zone='Europe/Moscow' (--zone)"
        )
    offset = fixed_offset(zone)
    if offset is not None:
        return (ns - offset).cast(TIME)
    local: Any = ns.cast(pl.Datetime("ns"))
    try:
        utc: pl.Series = local.dt.replace_time_zone(zone).dt.convert_time_zone("UTC").cast(TIME)
    except pl.exceptions.PolarsError as error:
        raise InvalidData(f"zone {zone!r}: {str(error).partition(chr(10))[0]}") from error
    return utc
