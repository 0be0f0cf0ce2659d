"""From the text of an archive's CSV to rows of a kind: pure, tested on recorded files."""

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
_COMMENT = "an archive file is not as its layout says"


def read_header(line: bytes, layout: Layout) -> Header | None:
    """Return the names that the first line of a file gives, or ``None`` if it is a row already.

    Raises
    ------
    InvalidData
        If the layout has a header always and this is none, or a column it takes is not there.
    """
    cells = tuple(cell.strip().strip('"') for cell in line.decode("utf-8-sig", "replace").strip().split(","))
    if cells[0][:1].isdigit():
        if layout.header == "always":
            raise InvalidData(f"{_COMMENT}: it has no header")
        return None
    missing = [name for name in layout.takes.values() if name not in cells]
    if not missing:
        return cells
    if layout.header == "always" or len(cells) < _width(layout):
        raise InvalidData(f"{_COMMENT}: it has no column {missing[0]!r}, only {', '.join(cells)[:200]}")
    return layout.columns


def rows_of(text: bytes, header: Header | None, layout: Layout) -> pl.DataFrame:
    """Return the rows of whole lines of CSV, in the order they came: a subset of the kind's columns.

    Parameters
    ----------
    text
        Lines without the header.
    header
        The names of the columns; ``None`` takes the layout's.

    Raises
    ------
    InvalidData
        If a line has another shape or a value is not what it should be.
    """
    names = header or layout.columns
    try:
        cells = _cells(text, names, layout)
        return cells.select(_column(ours, cells[theirs]) for ours, theirs in layout.takes.items())
    except pl.exceptions.PolarsError as error:
        raise InvalidData(f"{_COMMENT}: {str(error).partition(chr(10))[0][:200]}") from error


def to_ns(times: pl.Series) -> pl.Series:
    """Return texts of times as integer nanoseconds, each in the unit that its magnitude tells.

    Integers count seconds, milliseconds, microseconds or nanoseconds since the epoch; decimals count seconds
    (read digit by digit, not through floats); anything with a colon is ``YYYY-MM-DD HH:MM:SS`` in UTC.
    """
    if not times.len():
        return times.cast(pl.Int64)
    if ":" in (times[0] or ""):
        return times.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="ns", strict=True).to_physical()
    frame = pl.DataFrame({"t": times})
    whole = pl.col("t").str.extract(r"^(\d+)", 1).cast(pl.Int64)
    part = pl.col("t").str.extract(r"\.(\d+)", 1).fill_null("").str.pad_end(9, "0").str.head(9).cast(pl.Int64)
    odd = frame.filter(~pl.col("t").str.contains(r"^\d{1,19}(\.\d+)?$").fill_null(False))
    if odd.height:
        raise InvalidData(f"{_COMMENT}: {odd['t'][0]!r} is no time")
    scaled = whole
    for limit, factor in reversed(_UNITS):
        scaled = pl.when(whole < limit).then(whole * factor).otherwise(scaled)
    return frame.select(scaled + pl.when(whole < _UNITS[0][0]).then(part).otherwise(0))["t"]


def _cells(text: bytes, names: Header, layout: Layout) -> pl.DataFrame:
    if not text.strip():
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    cells = pl.read_csv(text, has_header=False, infer_schema=False, raise_if_empty=False)
    if cells.width < _width(layout, names):
        raise InvalidData(f"{_COMMENT}: its lines have {cells.width} columns, not {len(names)}")
    width = min(cells.width, len(names))
    return cells.select(pl.col(old).alias(new) for old, new in zip(cells.columns[:width], names[:width], strict=True))


def _width(layout: Layout, names: Header | None = None) -> int:
    """Return how many columns it takes to have all that are wanted."""
    listed = list(names or layout.columns)
    return max(listed.index(name) for name in layout.takes.values() if name in listed) + 1


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
    known = cells.set(cells == "", None)
    if name in {"trades", "seq"}:
        return known.cast(pl.Int64).alias(name)
    return known.cast(pl.Float64).alias(name)


def _taker(cells: pl.Series) -> pl.Series:
    """The buyer was the maker: then the taker sold."""
    words = cells.str.to_lowercase()
    odd = words.filter(~words.is_in(["true", "false"]))
    if odd.len():
        raise InvalidData(f"{_COMMENT}: is_buyer_maker is {odd[0]!r}")
    return pl.DataFrame({"w": words}).select(
        pl.when(pl.col("w") == "true").then(pl.lit("sell")).otherwise(pl.lit("buy")).alias("side")
    )["side"]
