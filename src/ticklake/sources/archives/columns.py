"""Read the CSV text of an archive file into rows of a kind. Pure functions."""

from __future__ import annotations

import polars as pl

from ticklake.core.kinds import KINDS, TIME
from ticklake.core.time import HOUR
from ticklake.errors import InvalidData
from ticklake.sources.archives.layouts import Layout

__all__ = ["Header", "read_header", "rows_of", "to_ns"]

Header = tuple[str, ...]
_UNITS = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3))
"""Integers below the first number are in a unit of so many nanoseconds: seconds, milliseconds, microseconds."""
_MISMATCH = "an archive file is not as its layout says"


def read_header(line: bytes, layout: Layout) -> Header | None:
    """Return the column names in the first line of a file, or ``None`` if that line is a row already.

    Where a header is optional and names other columns, the layout's names are returned.

    Raises
    ------
    InvalidData
        If the layout always has a header and this line is none, or if the header lacks a column that is read.
    """
    text = line.decode("utf-8-sig", "replace").strip()
    names = tuple(cell.strip().strip('"') for cell in text.split(","))
    if names[0][:1].isdigit():
        if layout.header == "always":
            raise InvalidData(f"{_MISMATCH}: it has no header")
        return None
    for column in layout.takes.values():
        if column in names:
            continue
        if layout.header == "always" or len(names) < _width(layout.columns, layout):
            raise InvalidData(f"{_MISMATCH}: it has no column {column!r}, only {', '.join(names)[:200]}")
        return layout.columns
    return names


def rows_of(text: bytes, header: Header | None, layout: Layout) -> pl.DataFrame:
    """Return the rows of whole lines of CSV in the order of the file. They have some of the kind's columns.

    Parameters
    ----------
    text
        Lines without the header.
    header
        The names of the columns. If ``None``, the layout's names are used.

    Raises
    ------
    InvalidData
        If a line has too few columns or a value does not have the type of its column.
    """
    names = header or layout.columns
    try:
        cells = _cells(text, names, layout)
        return cells.select(_column(ours, cells[theirs]) for ours, theirs in layout.takes.items())
    except pl.exceptions.PolarsError as error:
        first_line = str(error).partition("\n")[0]
        raise InvalidData(f"{_MISMATCH}: {first_line[:200]}") from error


def to_ns(times: pl.Series) -> pl.Series:
    """Return texts of times as integer nanoseconds. The size of each number tells its unit.

    Integers count seconds, milliseconds, microseconds or nanoseconds since the epoch; decimals count seconds;
    anything with a colon is ``YYYY-MM-DD HH:MM:SS`` in UTC.
    """
    if not times.len():
        return times.cast(pl.Int64)
    if ":" in (times[0] or ""):
        return times.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="ns", strict=True).to_physical()
    frame = pl.DataFrame({"t": times})
    not_times = frame.filter(~pl.col("t").str.contains(r"^\d{1,19}(\.\d+)?$").fill_null(False))
    if not_times.height:
        raise InvalidData(f"{_MISMATCH}: {not_times['t'][0]!r} is no time")
    # The digits are read as text: a float of seconds is off by up to 100 ns.
    whole = pl.col("t").str.extract(r"^(\d+)", 1).cast(pl.Int64)
    decimals = pl.col("t").str.extract(r"\.(\d+)", 1).fill_null("")
    nanoseconds = decimals.str.pad_end(9, "0").str.head(9).cast(pl.Int64)
    scaled = whole
    for limit, factor in reversed(_UNITS):
        scaled = pl.when(whole < limit).then(whole * factor).otherwise(scaled)
    is_seconds = whole < _UNITS[0][0]
    return frame.select(scaled + pl.when(is_seconds).then(nanoseconds).otherwise(0))["t"]


def _cells(text: bytes, names: Header, layout: Layout) -> pl.DataFrame:
    if not text.strip():
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    cells = pl.read_csv(text, has_header=False, infer_schema=False, raise_if_empty=False)
    if cells.width < _width(names, layout):
        raise InvalidData(f"{_MISMATCH}: its lines have {cells.width} columns, not {len(names)}")
    return cells.rename(dict(zip(cells.columns, names, strict=False)))


def _width(names: Header, layout: Layout) -> int:
    """Return how many columns a line needs to hold every column that the layout reads."""
    places = [names.index(name) for name in layout.takes.values() if name in names]
    return max(places) + 1


def _column(name: str, cells: pl.Series) -> pl.Series:
    if name == "ts":
        return to_ns(cells).cast(TIME).alias("ts")
    if name == "taker":
        return _taker(cells)
    if name == "side":
        return cells.str.to_lowercase().alias("side")
    if name == "interval":
        return (cells.cast(pl.Int64) * HOUR).cast(KINDS["funding"].schema["interval"]).alias("interval")
    if name == "id":
        return cells.alias("id")
    numbers = cells.set(cells == "", None)
    if name in {"trades", "seq"}:
        return numbers.cast(pl.Int64).alias(name)
    return numbers.cast(pl.Float64).alias(name)


def _taker(cells: pl.Series) -> pl.Series:
    """Return the taker's side from ``is_buyer_maker``: if the buyer was the maker, the taker sold."""
    words = cells.str.to_lowercase()
    other_words = words.filter(~words.is_in(["true", "false"]))
    if other_words.len():
        raise InvalidData(f"{_MISMATCH}: is_buyer_maker is {other_words[0]!r}")
    return words.replace_strict({"true": "sell", "false": "buy"}, return_dtype=pl.String).alias("side")
