"""Mappings: which column of a file is which column of a kind, and how its values are written."""

from __future__ import annotations

import math
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field, fields, replace
from typing import Any

import polars as pl

from ticklake.core.kinds import KINDS, TIME, kind_of
from ticklake.core.selection import parse_count, picked
from ticklake.core.time import HOUR, parse_time, parse_zone
from ticklake.errors import BadInput, InvalidData, InvalidName, InvalidTime
from ticklake.files.times import UNITS, TimeWords, fixed_offset, read_durations, read_times

__all__ = ["KIND_COLUMNS", "MADE_OF", "SIDES", "Mapping", "cells_of", "map_rows"]

SIDES = {
    **dict.fromkeys(("buy", "b", "bid", "buyer", "1", "long"), "buy"),
    **dict.fromkeys(("sell", "s", "ask", "a", "seller", "-1", "2", "short"), "sell"),
}
_BOOK_SIDES = {
    **dict.fromkeys(("bid", "b", "bids", "buy"), "bid"),
    **dict.fromkeys(("ask", "a", "asks", "sell", "s"), "ask"),
}
_SAID_SIDES = ("buy", "sell", "bid", "ask", "unknown")
_UNKNOWN = {"", "unknown", "none", "null", "nan"}
_TRUE, _FALSE = {"true", "1", "t", "yes"}, {"false", "0", "f", "no"}
MADE_OF = {"seq_time": "seq", "is_delta": "is_snapshot"}
"""Columns of files that give another of a kind: theirs and ours."""
_SOURCES = ("buyer_maker", "interval_hours", "interval_since", "symbol", "exchange", "timeframe", *MADE_OF)
"""Columns of no kind, from which one of a kind, or the dataset, is read."""
KIND_COLUMNS = frozenset(name for kind in KINDS.values() for name in kind.names)
"""The names of the columns of all kinds."""
_NAMES = KIND_COLUMNS.union(_SOURCES)
"""Every name onto which a column can be mapped."""
_SINCE_2000 = parse_time("2000-01-01")
_PRICES = ("price", "open", "high", "low", "close", "bid_price", "ask_price", "mark_price")
_SPARE = 10**7
"""Digits that no price has: without them a number fits a float exactly, and is divided only once."""

_LARGEST_EXACT = 2**53
"""Up to this number floats hold every integer."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """How a file's columns become rows of a kind.

    Parameters
    ----------
    columns
        For each of our columns the file's: a name, a number from 0, or several joined by ``+`` (date and time).
        Beside those of the kind: ``buyer_maker`` (the side is its opposite), ``interval_hours`` and ``interval_since``
        (time since 2000-01-01, as BitMEX has it) for ``interval``, ``seq_time`` (a time shared by all rows of a message) for ``seq``,
        ``is_delta`` (the opposite of ``is_snapshot``), ``symbol``, ``exchange`` and ``timeframe`` for the dataset.
    unit, zone, time_format
        See :class:`~ticklake.files.times.TimeWords`.
    header
        Whether the first line has names; guessed from its cells if ``None``.
    sides
        Further words for ``buy`` and ``sell`` (``bid`` and ``ask`` in books), or ``unknown``, like ``{"achat": "buy"}``.
    price_scale
        The number by which prices are divided.
    constants
        Values of columns that the file does not have, as text: ``{"ts": "2024-01-01T00:00:00Z"}``.
    skip
        How many lines come before the header or the first row.
    since, shift
        See :class:`~ticklake.files.times.TimeWords`.
    """

    columns: MappingType[str, str] = field(default_factory=dict)
    unit: str = ""
    zone: str = ""
    time_format: str = ""
    header: bool | None = None
    sides: MappingType[str, str] = field(default_factory=dict)
    price_scale: float = 1
    constants: MappingType[str, str] = field(default_factory=dict)
    skip: int = 0
    since: int = 0
    shift: int = 0

    def __post_init__(self) -> None:
        for name in ("columns", "sides", "constants"):
            if not isinstance(getattr(self, name), MappingType):
                raise BadInput(f"{name}={getattr(self, name)!r} is no mapping: write it like {{'ts': 'Date'}}")
        for name in ("skip", "since", "shift"):
            least = 0 if name == "skip" else -(2**63)
            parse_count(name, getattr(self, name), least=least, of=name)
        if self.unit and self.unit not in UNITS:
            raise InvalidName(f"unit {self.unit!r} is not a unit: use one of {', '.join(UNITS)}")
        for name in (*self.columns, *self.constants):
            if name not in _NAMES:
                raise InvalidName(f"no kind has a column {name!r}: map onto one of {', '.join(sorted(_NAMES))}")
        self._refuse_impossible()

    def _refuse_impossible(self) -> None:
        """Refuse words that no file can be read by, also where this file would not need them."""
        if self.zone and (not isinstance(self.zone, str) or fixed_offset(self.zone) is None):
            parse_zone(self.zone)
        if self.time_format and "%" not in str(self.time_format):
            raise InvalidTime(
                f"time_format {self.time_format!r} has no field like %Y: write it like %d/%m/%Y %H:%M (--time-format)"
            )
        scale = self.price_scale
        if not isinstance(scale, int | float) or isinstance(scale, bool) or not 0 < scale < math.inf:
            raise BadInput(f"price_scale={scale!r} is no divisor of prices: pass a number above 0 (--price-scale)")
        for word, side in self.sides.items():
            if side not in _SAID_SIDES:
                raise BadInput(f"side {word}={side}: {side!r} is none: use one of {', '.join(_SAID_SIDES)} (--side)")

    def over(self, other: Mapping) -> Mapping:
        """Return *other* with the settings of this mapping in place of its own; ``ts=`` (empty) takes a column away."""
        changes: dict[str, Any] = {}
        for setting in fields(self):
            mine, theirs = getattr(self, setting.name), getattr(other, setting.name)
            if isinstance(mine, MappingType):
                changes[setting.name] = {name: value for name, value in {**theirs, **mine}.items() if value != ""}
            elif mine != setting.default:
                changes[setting.name] = mine
        return replace(other, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings that differ from the defaults."""
        settings = {}
        for setting in fields(self):
            value = getattr(self, setting.name)
            if value is False or value not in ("", None, 0, 1, {}):
                settings[setting.name] = value
        return settings

    @property
    def time_words(self) -> TimeWords:
        """How times are written."""
        return TimeWords(self.unit, self.zone, self.time_format, self.since, self.shift)


def map_rows(raw: pl.DataFrame, mapping: Mapping, kind: str, now: int) -> pl.DataFrame:
    """Return the rows of a raw frame as a frame of *kind*: the columns that the mapping has, in its types.

    Raises
    ------
    InvalidData
        If a column is not there, or a value cannot be what its column says. The first such value is named.
    """
    cells = {ours: cells_of(raw, theirs) for ours, theirs in mapping.columns.items()}
    for ours, value in mapping.constants.items():
        cells[ours] = _constant(ours, value, raw.height)
    schema = kind_of(kind).schema
    columns = {name: _read(cells[name], name, mapping, kind, now) for name in schema if name in cells}
    if "buyer_maker" in cells and "side" not in cells:
        columns["side"] = _opposite(cells["buyer_maker"])
    if "interval" in schema and "interval" not in cells:
        _add_interval(columns, cells, now)
    if "seq" in schema and "seq_time" in cells:
        words = TimeWords(mapping.unit, mapping.zone, mapping.time_format)
        columns["seq"] = read_times(cells["seq_time"], words, now).cast(pl.Int64)
    if "is_snapshot" in schema and "is_delta" in cells:
        columns["is_snapshot"] = ~_flag(cells["is_delta"])
    if kind == "quotes":
        _empty_sides(columns)
    return pl.DataFrame(picked(columns, schema))


def _empty_sides(columns: dict[str, pl.Series]) -> None:
    """Set the side of quotes to null where its price is 0: so files write that they do not know it."""
    for side in ("bid", "ask"):
        price, amount = columns.get(f"{side}_price"), columns.get(f"{side}_amount")
        if price is None:
            continue
        price = price.set(price == 0, None)
        columns[price.name] = price
        if amount is not None:
            columns[amount.name] = amount.set(price.is_null(), None)


def cells_of(raw: pl.DataFrame, theirs: str) -> pl.Series:
    """Return one column of a file by name or number, or several joined by ``+``.

    Raises
    ------
    InvalidData
        If it is not there.
    """
    # A column may have a plus in its own name.
    names = [theirs]
    if theirs not in raw.columns:
        names = theirs.split("+")
    cells = [_column(raw, name) for name in names]
    if len(cells) == 1:
        return cells[0]
    joined = pl.concat_str(pl.all(), separator=" ").alias(theirs)
    texts = [column.cast(pl.String).alias(str(number)) for number, column in enumerate(cells)]
    return pl.DataFrame(texts).select(joined)[theirs]


def _column(raw: pl.DataFrame, name: str) -> pl.Series:
    """Return a column by its name, in capitals or not, or by its number."""
    if name in raw.columns:
        return raw[name]
    for column in raw.columns:
        if column.strip().lower() == name.lower():
            return raw[column]
    if name.isdigit() and int(name) < raw.width:
        return raw.to_series(int(name))
    raise InvalidData(f"there is no column {name!r}: the file has {', '.join(raw.columns)[:300]}")


def _constant(name: str, value: str, height: int) -> pl.Series:
    return pl.Series(name, [value], dtype=pl.String).new_from_index(0, height)


def _read(cells: pl.Series, name: str, mapping: Mapping, kind: str, now: int) -> pl.Series:
    """Return the cells of a column as the type that it has in *kind*."""
    dtype = kind_of(kind).schema[name]
    if dtype == TIME:
        return read_times(cells, _words_of(name, mapping), now).alias(name)
    if isinstance(dtype, pl.Duration):
        return read_durations(cells).alias(name)
    if name == "side":
        words = SIDES
        if kind == "book":
            words = _BOOK_SIDES
        return _side(cells, {**words, **mapping.sides})
    if dtype == pl.String:
        return _text(cells).alias(name)
    if dtype == pl.Boolean:
        return _flag(cells).alias(name)
    if dtype == pl.Int64:
        return _number(cells, name, pl.Int64)
    number = _number(cells, name, pl.Float64)
    if mapping.price_scale != 1 and name in _PRICES:
        return _divided(number, mapping.price_scale)
    return number


def _words_of(name: str, mapping: Mapping) -> TimeWords:
    """Return how the times of a column are written: what counts are relative to, and a shift, concern ``ts`` alone."""
    words = mapping.time_words
    if name == "ts":
        return words
    unit = words.unit
    if words.since:
        unit = ""
    return TimeWords(unit, words.zone, words.form)


def _divided(number: pl.Series, scale: float) -> pl.Series:
    """Divide by a column: by a single number Polars multiplies with the reciprocal, which is not the nearest value."""
    return number / pl.Series([float(scale)]).new_from_index(0, number.len())


def _text(cells: pl.Series) -> pl.Series:
    if cells.dtype.is_float():
        cells = _whole(cells, cells.name)
    text = cells.cast(pl.String)
    return text.set(text.is_in(["", "nan", "None", "null"]), None)


def _number(cells: pl.Series, name: str, dtype: Any) -> pl.Series:
    """Return numbers; text that is none is an error, empty text is null."""
    if cells.dtype == pl.Binary:
        return _fixed(cells).alias(name)
    if dtype == pl.Int64 and cells.dtype.is_float():
        return _whole(cells, name)
    if cells.dtype != pl.String:
        number = cells.cast(dtype, strict=False).alias(name)
        if dtype == pl.Float64:
            return number.fill_nan(None)
        return number
    text = cells.str.strip_chars()
    text = text.set(text.str.to_lowercase().is_in(["", "nan", "none", "null", "na", "n/a"]), None)
    digits = text
    # Programs that know only floats write whole numbers as ``3.0``.
    if dtype == pl.Int64:
        digits = text.str.replace(r"\.0*$", "")
    number = digits.cast(dtype, strict=False)
    _refuse_wrong(text.filter(number.is_null() & text.is_not_null()), name)
    return number.alias(name)


def _whole(cells: pl.Series, name: str) -> pl.Series:
    """Return the integers that were written as floats, as programs do beside absent values; others are an error."""
    number = cells.fill_nan(None)
    # Larger floats are more than 1 apart: the number that was meant is not known any more.
    _refuse_wrong(number.filter((number % 1 != 0) | (number.abs() > _LARGEST_EXACT)), name)
    return number.cast(pl.Int64).alias(name)


def _refuse_wrong(wrong: pl.Series, name: str) -> None:
    if wrong.len():
        raise InvalidData(f"{wrong[0]!r} is not a valid {name}: the column may be another one, or the file is damaged")


def _fixed(cells: pl.Series) -> pl.Series:
    """Read Nautilus' fixed-point numbers: 64-bit integers count billionths, 128-bit ones 10**-16."""
    is_wide = bool((cells.drop_nulls().bin.size() == 16).any())
    if not is_wide:
        return _divided(cells.bin.reinterpret(dtype=pl.Int64, endianness="little").cast(pl.Float64), 10**9)
    # Columns of a frame can be divided as 128-bit integers, a series alone cannot.
    table = cells.bin.reinterpret(dtype=pl.Int128, endianness="little").to_frame("number")
    spare = _SPARE
    if table.select((pl.col("number") % spare != 0).any()).item():
        spare = 1
    number = table.select((pl.col("number") // spare).cast(pl.Float64)).to_series()
    return _divided(number, 10**16 // spare)


def _side(cells: pl.Series, words: MappingType[str, str]) -> pl.Series:
    text = _lower(cells)
    sides = {word.lower(): side for word, side in words.items()}
    unknown = text.filter(~text.is_in([*sides, *_UNKNOWN]) & text.is_not_null())
    if unknown.len():
        word = unknown[0]
        raise InvalidData(f"{word!r} is not a known side: say what it means with sides={{{word!r}: 'buy'}} (--side)")
    side = text.replace_strict(sides, default=None, return_dtype=pl.String).alias("side")
    return side.set(side == "unknown", None)


def _opposite(cells: pl.Series) -> pl.Series:
    """Return the taker's sides, from flags that say whether the buyer was the maker."""
    return _flag(cells).replace_strict({True: "sell", False: "buy"}, default=None, return_dtype=pl.String)


def _flag(cells: pl.Series) -> pl.Series:
    """Return flags; text that is none is an error, unknown is null."""
    if cells.dtype == pl.Boolean:
        return cells
    text = _lower(cells)
    wrong = text.filter(~text.is_in([*_TRUE, *_FALSE, *_UNKNOWN]) & text.is_not_null())
    if wrong.len():
        raise InvalidData(f"{cells.name}: {wrong[0]!r} is neither true nor false")
    flags = {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}
    return text.replace_strict(flags, default=None, return_dtype=pl.Boolean)


def _lower(cells: pl.Series) -> pl.Series:
    """Return cells as text in small letters; codes that became floats beside nulls are whole numbers again."""
    if cells.dtype.is_float():
        cells = cells.cast(pl.Int64, strict=False)
    return cells.cast(pl.String).str.strip_chars().str.to_lowercase()


def _add_interval(columns: dict[str, pl.Series], cells: MappingType[str, pl.Series], now: int) -> None:
    """Add the funding interval, if the file has it as hours or as a time since 2000."""
    if "interval_hours" in cells:
        interval = _number(cells["interval_hours"], "interval", pl.Int64) * HOUR
    elif "interval_since" in cells:
        interval = read_times(cells["interval_since"], TimeWords(zone="UTC"), now).cast(pl.Int64) - _SINCE_2000
    else:
        return
    columns["interval"] = interval.cast(KINDS["funding"].schema["interval"])
