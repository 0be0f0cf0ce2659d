"""How large a file becomes when it is unpacked, found out before anything of it is read into memory."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import polars as pl

from ticklake.errors import InvalidData
from ticklake.files.decompress import Unpacked, entries_of, opened, spooled
from ticklake.files.formats import Format, sniff

__all__ = ["refuse_larger"]

_BLOCK = 2**20
_MOST_MEMBERS = 10_000
"""Of a zip."""
_LEAST_ROW = 8
"""Bytes that a value takes at least in memory."""


def refuse_larger(path: Path, most: int) -> None:
    """Refuse a file that unpacks to more than *most* bytes: all of its members and layers together, or its rows in memory.

    Raises
    ------
    InvalidData
        If it does, or is damaged.
    """
    entries = entries_of(path)
    if len(entries) > _MOST_MEMBERS:
        raise InvalidData(f"{path.name} has {len(entries):,} members: {_MOST_MEMBERS:,} are the most that are unpacked")
    left = most
    for entry in entries:
        with opened(entry) as stream:
            form = None
            # What is no data at all is reported by the import.
            with suppress(InvalidData):
                form = sniff(stream.head())
            if form in {Format.PARQUET, Format.FEATHER} and not stream.layers:
                _refuse_many_values(path, form, most)
                continue
            left -= _count(stream, left, path, most)
        if form in {Format.PARQUET, Format.FEATHER}:
            with opened(entry) as stream, spooled(stream, entry) as copy:
                _refuse_many_values(copy, form, most)


def _count(stream: Unpacked, left: int, path: Path, most: int) -> int:
    """Count the bytes of a stream, up to a bound."""
    count = 0
    while block := stream.read(_BLOCK):
        count += len(block)
        if count > left:
            raise InvalidData(f"{path.name} unpacks to more than {most:,} bytes: import it where the lake is")
    return count


def _refuse_many_values(path: Path, form: Format, most: int) -> None:
    """Refuse a table that is larger in memory; its footer says how many rows it has."""
    scan = pl.scan_parquet
    if form is Format.FEATHER:
        scan = pl.scan_ipc  # type: ignore[assignment]
    try:
        width = len(scan(path).collect_schema())
        rows = scan(path).select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InvalidData(f"it is not {form}: {str(error).partition(chr(10))[0][:200]}") from error
    if rows * width * _LEAST_ROW > most:
        raise InvalidData(
            f"it has {rows:,} rows of {width} columns, more than {most:,} bytes: import it where the lake is"
        )
