"""Read columns of times, as files write them, as nanoseconds UTC without passing through floats."""

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
"""Counts since the epoch below the number are in that unit, which holds for every time from 1973 to 5138."""
_FIRST = parse_time("1980-01-01")
"""No recorded market data is older: an older time was read in the wrong unit."""
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
        A strftime pattern, for times that are written in an unusual or ambiguous way.
    since
        The instant from which counts are counted, in nanoseconds of local time; the epoch by default.
    shift
        Nanoseconds to add, for example to bars that are named by their close.
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
        If a value is not a time, the unit cannot be meant, the zone is unknown, or a local time is not one instant.
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
    filled = text.set(text == "", None).alias("text")
    fits = filled.str.contains(_DURATION)
    wrong = filled.filter(~fits)
    if wrong.len():
        raise InvalidData(
            f"column {column.name!r}: {wrong[0]!r} is not a duration like PT8H; if it counts hours, map it to interval_hours"
        )
    parts = filled.str.extract_groups(_DURATION).struct.unnest()
    length = parts["f"].fill_null("").str.pad_end(9, "0").cast(pl.Int64)
    for part, unit in (("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND)):
        length += parts[part].cast(pl.Int64).fill_null(0) * unit
    return length.set(filled.is_null(), None).cast(pl.Duration("ns")).alias(column.name)


def is_counted(column: pl.Series) -> bool:
    """Whether a column holds counts of a unit, as numbers or as text."""
    if column.dtype.is_numeric():
        return True
    if column.dtype != pl.String:
        return False
    first = _filled(column).head(1)
    if not first.len():
        return False
    # Eight digits are a date like 20240131: as a count of any unit they would be near 1970.
    is_date = len(first[0].partition(".")[0]) == 8
    return not is_date and bool(first.str.contains(_COUNT).all())


def has_zone(column: pl.Series) -> bool:
    """Whether times are instants: counts, or with a zone."""
    if isinstance(column.dtype, pl.Datetime):
        return column.dtype.time_zone is not None
    if column.dtype != pl.String:
        return column.dtype.is_numeric()
    if is_counted(column):
        return True
    first = _filled(column).head(1)
    return first.len() > 0 and bool(first.str.contains(r"(?:Z|z|UTC|GMT|[+-]\d\d:?\d\d)\s*$").item())


def unit_of(largest: int) -> str:
    """Return the unit in which a count since the epoch is a plausible time.

    >>> unit_of(1704067200)
    's'
    """
    for limit, unit in _LIMITS:
        if abs(largest) < limit:
            return unit
    raise InvalidData(f"{largest} is not a time in any unit")


@cache
def fixed_offset(zone: str) -> int | None:
    """Return the offset of a zone that never changes it, like ``UTC``, ``UTC-05`` or ``+03:00``, in nanoseconds."""
    if zone.upper() in {"UTC", "GMT", "Z"}:
        return 0
    match = _OFFSET.fullmatch(zone)
    if match is None:
        return None
    length = int(match["h"]) * HOUR + int(match["m"] or 0) * MINUTE
    if match["sign"] == "-":
        return -length
    return length


def _filled(column: pl.Series) -> pl.Series:
    return column.set(column.str.strip_chars() == "", None).drop_nulls()


def _moments(column: pl.Series, dtype: pl.Datetime, words: TimeWords) -> pl.Series:
    if dtype.time_zone is not None:
        return column.dt.convert_time_zone("UTC").cast(TIME)
    return _localised(column.cast(pl.Datetime("ns")).to_physical(), words)


def _counts(column: pl.Series, words: TimeWords, now: int) -> pl.Series:
    """Read counts of a unit; their size must fit it."""
    whole, billionths = _split_at_point(column)
    sizes = whole.abs().drop_nulls().sort()
    if not sizes.len():
        return whole.cast(TIME)
    largest: int = sizes[-1]
    unit = words.unit or _unit_of_counts(largest, words)
    factor = UNITS[unit]
    if largest > (2**63 - 1) // factor:
        raise InvalidData(f"column {column.name!r}: {largest} {unit} is not a time: {_better_unit(largest)}")
    # Integers all the way: floats would be off by up to 100 ns.
    ns = whole * factor + billionths * factor // SECOND
    if words.since:
        return _localised((ns + words.since).alias(column.name), words)
    # The median: a few rows may be damaged, and the check of rows finds them.
    middle: int = sizes[sizes.len() // 2] * factor
    if not _FIRST <= middle <= now + DAY:
        raise InvalidData(f"column {column.name!r} read in {unit} gives {format_time(middle)}: {_better_unit(largest)}")
    return ns.cast(TIME)


def _unit_of_counts(largest: int, words: TimeWords) -> str:
    """Return the unit of counts without one; those since a midnight are milliseconds, as LEAN writes them."""
    if words.since:
        return "ms"
    return unit_of(largest)


def _better_unit(largest: int) -> str:
    unit = unit_of(largest)
    return f"by its size it counts {unit}; say so with unit={unit!r} (--unit {unit})"


def _split_at_point(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return the whole numbers, and what follows the decimal point in billionths."""
    zeros = pl.Series([0], dtype=pl.Int64).new_from_index(0, column.len())
    if column.dtype.is_integer():
        return column.cast(pl.Int64), zeros
    if column.dtype.is_float():
        column = column.fill_nan(None)
        if (column.drop_nulls() % 1 == 0).all():
            return column.cast(pl.Int64), zeros
    # The shortest decimal text of a float is what was written; arithmetic would add digits that were not.
    text = column.cast(pl.String).str.strip_chars()
    text = text.set(text == "", None)
    wrong = text.filter(~text.str.contains(_COUNT))
    if wrong.len():
        raise InvalidData(f"column {column.name!r}: {wrong[0]!r} is not a time, though others are counts")
    whole = text.str.extract(r"^([+-]?\d+)", 1).cast(pl.Int64)
    digits = text.str.extract(r"\.(\d+)", 1).fill_null("")
    return whole, digits.str.pad_end(9, "0").str.head(9).cast(pl.Int64)


def _texts(column: pl.Series, words: TimeWords) -> pl.Series:
    """Read written times: by the caller's pattern, or with the year first or last, as the first of them has it."""
    stripped = column.str.strip_chars()
    filled = stripped.set(stripped == "", None)
    if words.form:
        return _by_form(filled, words)
    first = filled.drop_nulls().head(1)
    is_year_last = first.len() > 0 and bool(first.str.contains(_YEAR_LAST).item())
    pattern = _YEAR_FIRST
    if is_year_last:
        pattern = _YEAR_LAST
    table = filled.str.extract_groups(pattern).struct.unnest().with_columns(t=filled)
    if is_year_last:
        table = _day_and_month(table, column.name)
    return _assembled(table, column.name, words)


def _by_form(texts: pl.Series, words: TimeWords) -> pl.Series:
    """Read times that are written by a strftime pattern."""
    has_zone_in_form = any(directive in words.form for directive in ("%z", "%Z", "%:z"))
    zone = None
    if has_zone_in_form:
        zone = "UTC"
    try:
        times = texts.str.to_datetime(words.form, time_unit="ns", time_zone=zone)
    except pl.exceptions.PolarsError as error:
        raise InvalidData(
            f"column {texts.name!r} is not written like {words.form!r}: {str(error).partition(chr(10))[0]}"
        ) from error
    if has_zone_in_form:
        return times.cast(TIME)
    return _localised(times.to_physical(), words)


def _day_and_month(table: pl.DataFrame, name: str) -> pl.DataFrame:
    """Find which of two numbers is the day: the one that passes 12, or the first one where dots divide them."""
    largest_first, largest_second = (table[number].cast(pl.Int64).max() or 0 for number in ("a", "b"))
    example = table["t"].drop_nulls()[0]
    # Dots between numbers are written in countries where the day comes first.
    has_dots = "." in str(example)[:5]
    if largest_first <= 12 and largest_second <= 12 and not has_dots:  # type: ignore[operator]
        raise InvalidData(
            f"column {name!r}: {example!r} may begin with the day or the month: "
            "say which with form='%d/%m/%Y' (--time-format)"
        )
    day, month = "a", "b"
    if largest_second > 12:  # type: ignore[operator]
        day, month = "b", "a"
    return table.with_columns(d=pl.col(day), mo=pl.col(month))


def _assembled(table: pl.DataFrame, name: str, words: TimeWords) -> pl.Series:
    """Return times from their parts: year, month, day, hour, minute, second, fraction, am or pm, zone."""
    year, month, day, hour, minute, second = (pl.col(part).cast(pl.Int64) for part in ("y", "mo", "d", "h", "mi", "s"))
    hour, minute, second = hour.fill_null(0), minute.fill_null(0), second.fill_null(0)
    has_half = pl.col("p").is_not_null()
    half_day = pl.when(pl.col("p").str.to_lowercase() == "pm").then(12).otherwise(0)
    hour = pl.when(has_half).then(hour % 12 + half_day).otherwise(hour)
    fraction = pl.col("f").fill_null("").str.pad_end(9, "0").cast(pl.Int64)
    clock = hour * HOUR + minute * MINUTE + second * SECOND + fraction
    try:
        midnight = table.select(pl.date(year, month, day)).to_series()
    except pl.exceptions.PolarsError:
        # One impossible date fails the whole column: all are refused below, with the first as example.
        midnight = pl.Series([None], dtype=pl.Date).new_from_index(0, table.height)
    is_possible = hour.is_between(0, 24) & minute.is_between(0, 59)
    times = table.with_columns(midnight=midnight.cast(pl.Int64) * DAY).select(
        ns=pl.when(is_possible).then(pl.col("midnight") + clock), z="z", t="t"
    )
    wrong = times.filter(pl.col("ns").is_null() & pl.col("t").is_not_null())
    if wrong.height:
        raise InvalidData(
            f"column {name!r}: {wrong['t'][0]!r} is not a time; if it is, say how it is written (--time-format)"
        )
    return _with_offsets(times, name, words)


def _with_offsets(times: pl.DataFrame, name: str, words: TimeWords) -> pl.Series:
    """Subtract the offsets that are written behind times; local times need the file's zone."""
    offsets: dict[str, int | None] = {}
    for zone in times["z"].drop_nulls().unique().to_list():
        offsets[zone] = fixed_offset(zone)
    if not offsets:
        return _localised(times["ns"].alias(name), words)
    if times.filter(pl.col("z").is_null() & pl.col("ns").is_not_null()).height:
        raise InvalidData("some times say their zone and some do not: bring them in one form first")
    offset = times["z"].replace_strict(offsets, default=0, return_dtype=pl.Int64)
    return (times["ns"] - offset).cast(TIME)


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
    # Polars refuses local times that a change of clocks skips or repeats: they are not one instant.
    local: Any = ns.cast(pl.Datetime("ns"))
    try:
        utc: pl.Series = local.dt.replace_time_zone(zone).dt.convert_time_zone("UTC").cast(TIME)
    except pl.exceptions.PolarsError as error:
        raise InvalidData(f"zone {zone!r}: {str(error).partition(chr(10))[0]}") from error
    return utc
