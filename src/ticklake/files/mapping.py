"""Mappings: which column of a file is which column of a kind, and how its values are written."""

from __future__ import annotations

import math
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field, fields, replace
from typing import Any

import polars as pl

from ticklake.core.kinds import KINDS, TIME, kind_of
from ticklake.core.selection import parse_count
from ticklake.core.time import HOUR, parse_time, parse_zone
from ticklake.errors import BadInput, InvalidData, InvalidName, InvalidTime
from ticklake.files.times import UNITS, TimeWords, fixed_offset, read_durations, read_times

__all__ = ["MADE_OF", "SIDES", "Mapping", "cells_of", "map_rows"]

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
"""Columns of which one of a kind is made."""
_OWN = ("buyer_maker", "interval_hours", "interval_since", "symbol", "exchange", "timeframe", *MADE_OF)
"""Columns that are not of a kind, but that one of a kind, or the dataset, is made of."""
_SINCE_2000 = parse_time("2000-01-01")


@dataclass(frozen=True, slots=True)
class Mapping:
    """How a file's columns become rows of a kind.

    Parameters
    ----------
    columns
        For each of our columns the file's: a name, a number from 0, or several joined by ``+`` (date and time).
        Beside the kind's own: ``buyer_maker`` (the side is its opposite), ``interval_hours`` and ``interval_since``
        (time since 2000-01-01, as BitMEX has it) for ``interval``, ``seq_time`` (a time that is one message's) for ``seq``, ``is_delta``
        (the opposite of ``is_snapshot``), ``symbol``, ``exchange`` and ``timeframe`` for the dataset.
    unit, zone, time_format
        See :class:`~ticklake.files.times.TimeWords`.
    header
        Whether the first line has names; by its look if ``None``.
    sides
        Further words for ``buy`` and ``sell`` (``bid`` and ``ask`` in books), or ``unknown``, like ``{"achat": "buy"}``.
    price_scale
        By what prices are divided.
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
            parse_count(name, getattr(self, name), least=0 if name == "skip" else -(2**63), of=name)
        if self.unit and self.unit not in UNITS:
            raise InvalidName(f"unit {self.unit!r} is none: use one of {', '.join(UNITS)}")
        known = {*_OWN, *(name for kind in KINDS.values() for name in kind.names)}
        wrong = next((name for name in [*self.columns, *self.constants] if name not in known), None)
        if wrong is not None:
            raise InvalidName(f"no kind has a column {wrong!r}: map onto one of {', '.join(sorted(known))}")
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
        """Return *other* with everything that this mapping says put over it; ``ts=`` (empty) takes a column away."""
        said: dict[str, Any] = {}
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            if isinstance(mine, MappingType):
                said[one.name] = {name: value for name, value in {**theirs, **mine}.items() if value != ""}
            elif mine != one.default:
                said[one.name] = mine
        return replace(other, **said)

    def to_dict(self) -> dict[str, Any]:
        """Return what it says, without what is as usual."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in found.items() if value not in ("", None, 0, 1, {}) or value is False}

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
    given = {ours: cells_of(raw, theirs) for ours, theirs in mapping.columns.items()}
    given |= {ours: _constant(ours, value, raw.height) for ours, value in mapping.constants.items()}
    known = kind_of(kind).schema
    columns = [_read(given[name], name, mapping, kind, now) for name in known if name in given]
    if "buyer_maker" in given and "side" not in given:
        columns.append(_opposite(given["buyer_maker"]))
    if "interval" in known and "interval" not in given:
        columns += _interval(given, now)
    if "seq" in known and "seq_time" in given:
        words = TimeWords(mapping.unit, mapping.zone, mapping.time_format)
        columns.append(read_times(given["seq_time"], words, now).cast(pl.Int64).alias("seq"))
    if "is_snapshot" in known and "is_delta" in given:
        columns.append((~_flag(given["is_delta"])).alias("is_snapshot"))
    if kind == "quotes":
        columns = _without_empty_sides(columns)
    return pl.DataFrame(columns).select(name for name in known if name in {column.name for column in columns})


def _without_empty_sides(columns: list[pl.Series]) -> list[pl.Series]:
    """Return the columns of quotes with null for a side whose price is 0: files write so what they do not know."""
    by_name = {column.name: column for column in columns}
    for side in ("bid", "ask"):
        price, amount = by_name.get(f"{side}_price"), by_name.get(f"{side}_amount")
        if price is None:
            continue
        by_name[price.name] = price.set(price == 0, None)
        if amount is not None:
            by_name[amount.name] = amount.set(by_name[price.name].is_null(), None)
    return list(by_name.values())


def cells_of(raw: pl.DataFrame, theirs: str) -> pl.Series:
    """Return one column of a file by name or number, or several joined by ``+``.

    Raises
    ------
    InvalidData
        If it is not there.
    """
    parts = [_cell(raw, name) for name in _parts(raw, theirs)]
    if len(parts) == 1:
        return parts[0]
    return pl.DataFrame([part.cast(pl.String).alias(str(at)) for at, part in enumerate(parts)]).select(
        pl.concat_str(pl.all(), separator=" ").alias(theirs)
    )[theirs]


def _parts(raw: pl.DataFrame, theirs: str) -> list[str]:
    return [theirs] if theirs in raw.columns else theirs.split("+")


def _cell(raw: pl.DataFrame, name: str) -> pl.Series:
    alike = next((column for column in raw.columns if column.strip().lower() == name.lower()), None)
    if name in raw.columns or alike is not None:
        return raw[name if name in raw.columns else str(alike)]
    if name.isdigit() and int(name) < raw.width:
        return raw.to_series(int(name))
    raise InvalidData(f"there is no column {name!r}: the file has {', '.join(raw.columns)[:300]}")


def _constant(name: str, value: str, height: int) -> pl.Series:
    return pl.Series(name, [value], dtype=pl.String).new_from_index(0, height)


def _read(cells: pl.Series, name: str, mapping: Mapping, kind: str, now: int) -> pl.Series:
    dtype = kind_of(kind).schema[name]
    if dtype == TIME:
        words = mapping.time_words
        if name != "ts":
            words = TimeWords(words.unit if words.since == 0 else "", words.zone, words.form)
        return read_times(cells, words, now).alias(name)
    if isinstance(dtype, pl.Duration):
        return read_durations(cells).alias(name)
    if name == "side":
        return _side(cells, {**(_BOOK_SIDES if kind == "book" else SIDES), **mapping.sides})
    if dtype == pl.String:
        return _text(cells).alias(name)
    if dtype == pl.Boolean:
        return _flag(cells).alias(name)
    if dtype == pl.Int64:
        return _number(cells, name, pl.Int64)
    number = _number(cells, name, pl.Float64)
    scaled = mapping.price_scale != 1 and name in _PRICES
    return _divided(number, mapping.price_scale) if scaled else number


_PRICES = ("price", "open", "high", "low", "close", "bid_price", "ask_price", "mark_price")


def _divided(number: pl.Series, scale: float) -> pl.Series:
    """Divide by a column: by a single number Polars multiplies with the reciprocal, which is not the nearest value."""
    return number / pl.Series([float(scale)]).new_from_index(0, number.len())


def _text(cells: pl.Series) -> pl.Series:
    if cells.dtype.is_float():
        cells = cells.cast(pl.Int64)
    text = cells.cast(pl.String)
    return text.set(text.is_in(["", "nan", "None", "null"]), None)


def _number(cells: pl.Series, name: str, dtype: Any) -> pl.Series:
    """Return numbers; text that is none is an error, empty text is null."""
    if cells.dtype == pl.Binary:
        return _fixed(cells).alias(name)
    if cells.dtype != pl.String:
        cast = cells.cast(dtype, strict=False)
        return (cast.fill_nan(None) if dtype == pl.Float64 else cast).alias(name)
    text = cells.str.strip_chars()
    text = text.set(text.str.to_lowercase().is_in(["", "nan", "none", "null", "na", "n/a"]), None)
    number = text.cast(pl.Float64, strict=False) if dtype == pl.Float64 else _whole(text)
    odd = text.filter(number.is_null() & text.is_not_null())
    if odd.len():
        raise InvalidData(f"{odd[0]!r} is no {name}: the column is another, or the file is damaged")
    return number.alias(name)


def _fixed(cells: pl.Series) -> pl.Series:
    """Read Nautilus' fixed-point numbers: 64-bit integers count billionths, 128-bit ones 10**-16."""
    wide = bool((cells.drop_nulls().bin.size() == 16).any())
    table = cells.bin.reinterpret(dtype=pl.Int128 if wide else pl.Int64, endianness="little").to_frame("w")
    fine = bool(table.select((pl.col("w") % _SPARE != 0).any()).item())
    spare = _SPARE if wide and not fine else 1
    return _divided(table.select((pl.col("w") // spare).cast(pl.Float64))["w"], 10**16 // spare if wide else 10**9)


_SPARE = 10**7
"""Digits that no price has: without them a number fits a float exactly, and is divided only once."""


def _whole(text: pl.Series) -> pl.Series:
    return text.str.replace(r"\.0*$", "").cast(pl.Int64, strict=False)


def _side(cells: pl.Series, words: MappingType[str, str]) -> pl.Series:
    text = _lower(cells)
    spelled = {word.lower(): side for word, side in words.items()}
    odd = text.filter(~text.is_in([*spelled, *_UNKNOWN]) & text.is_not_null())
    if odd.len():
        raise InvalidData(f"{odd[0]!r} is no known side: say what it means with sides={{{odd[0]!r}: 'buy'}} (--side)")
    told = text.replace_strict(spelled, default=None, return_dtype=pl.String).alias("side")
    return told.set(told == "unknown", None)


def _opposite(cells: pl.Series) -> pl.Series:
    """The buyer was the maker: then the taker sold."""
    maker = _flag(cells)
    return pl.DataFrame({"m": maker}).select(
        side=pl.when(pl.col("m")).then(pl.lit("sell")).when(~pl.col("m")).then(pl.lit("buy"))
    )["side"]


def _flag(cells: pl.Series) -> pl.Series:
    if cells.dtype == pl.Boolean:
        return cells
    text = _lower(cells)
    odd = text.filter(~text.is_in([*_TRUE, *_FALSE, *_UNKNOWN]) & text.is_not_null())
    if odd.len():
        raise InvalidData(f"{cells.name}: {odd[0]!r} is neither true nor false")
    return text.replace_strict(
        {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}, default=None, return_dtype=pl.Boolean
    )


def _lower(cells: pl.Series) -> pl.Series:
    if cells.dtype.is_float():
        cells = cells.cast(pl.Int64, strict=False)
    return cells.cast(pl.String).str.strip_chars().str.to_lowercase()


def _interval(given: MappingType[str, pl.Series], now: int) -> list[pl.Series]:
    duration = KINDS["funding"].schema["interval"]
    if "interval_hours" in given:
        hours = _number(given["interval_hours"], "interval", pl.Int64)
        return [(hours * HOUR).cast(duration).alias("interval")]
    if "interval_since" in given:
        since = read_times(given["interval_since"], TimeWords(zone="UTC"), now).cast(pl.Int64) - _SINCE_2000
        return [since.cast(duration).alias("interval")]
    return []
