"""Parquet files of other lakes: read in pieces, written as a whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from glob import escape
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ticklake.catalog.processes import is_gone, this_process
from ticklake.core.read_plan import CHUNK_ROWS
from ticklake.errors import InvalidData
from ticklake.storage.local import LocalStore
from ticklake.storage.objects import Sink

__all__ = [
    "NOTE",
    "Footer",
    "count_rows",
    "digest_of",
    "footer_of",
    "has_nulls",
    "read_chunks",
    "read_note",
    "replace_file",
]

NOTE = b"ticklake.export"
"""Under this key of its footer, a file that an export wrote says what of."""

Footer = Mapping[bytes, bytes]
"""Keys and values in the footer of a file."""
_DAMAGE = (pa.ArrowException, OSError, ValueError)


def count_rows(path: Path) -> int:
    """Return how many rows a file has.

    Raises
    ------
    InvalidData
        If it cannot be read.
    """
    return int(_metadata(path).num_rows)


def footer_of(path: Path) -> Footer:
    """Return the keys and values that whoever wrote a file put into its footer."""
    return {key: value for key, value in (_metadata(path).metadata or {}).items() if key != b"ARROW:schema"}


def read_note(path: Path) -> dict[str, Any] | None:
    """Return what our export wrote into a file's footer; ``None`` if none did, or the file cannot be read."""
    try:
        return dict(json.loads(footer_of(path)[NOTE]))
    except (KeyError, ValueError):
        return None


def has_nulls(path: Path, names: Sequence[str]) -> bool:
    """Whether that column of *names* which a file has holds a null, as its statistics say; not if it cannot be read."""
    try:
        with pq.ParquetFile(path) as file:
            place = next((at for at, name in enumerate(file.schema.names) if name in names), None)
            if place is None:
                return False
            groups = [file.metadata.row_group(at).column(place) for at in range(file.metadata.num_row_groups)]
            return any(group.statistics is not None and group.statistics.null_count for group in groups)
    except _DAMAGE:
        return False


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_chunks(path: Path, times: Sequence[str], rows: int = CHUNK_ROWS) -> Iterator[pl.DataFrame]:
    """Yield the rows of a file in order of that column of *times* it has, about *rows* at a time, never cutting an instant.

    A file that is larger than that is only held in memory as a whole if its rows are not in order.

    Raises
    ------
    InvalidData
        If it cannot be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            time = next((name for name in times if name in file.schema_arrow.names), None)
            if time is None:
                raise InvalidData(f"{path} has no column {' or '.join(times)}")
            if file.metadata.num_rows <= rows or not _in_order(file, time):
                yield _frame(file.read()).sort(time, maintain_order=True)
            else:
                yield from _whole_instants(_pieces(file, rows), time)
    except InvalidData:
        raise
    except (*_DAMAGE, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from error


def replace_file(objects: LocalStore, key: str, frames: Iterable[pl.DataFrame], footer: Footer) -> tuple[int, bool]:
    """Write frames as the file *key*, which takes the place of an old one only once it is whole and durable.

    Returns
    -------
    tuple of int and bool
        How many rows it has, and whether anything changed: the same bytes, or no rows at all, change nothing.
    """
    left = (frame for frame in frames if frame.height)
    first = next(left, None)
    if first is None:
        return 0, False
    part = _part(key)
    _sweep(objects.root / key)
    objects.delete(part)
    with objects.create(part) as sink:
        rows = _write(_Pipe(sink), chain([first], left), footer)
    if _same_bytes(objects.root / part, objects.root / key):
        objects.delete(part)
        return rows, False
    objects.move(part, key)
    return rows, True


class _Pipe(io.RawIOBase):
    """A file that only takes bytes."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        self._sink.write(view)
        return len(view)


def _write(pipe: _Pipe, frames: Iterable[pl.DataFrame], footer: Footer) -> int:
    rows, writer = 0, None
    try:
        for frame in frames:
            table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            if writer is None:
                writer = pq.ParquetWriter(pipe, table.schema, compression="snappy")
                writer.add_key_value_metadata(footer)
            writer.write_table(table)
            rows += frame.height
    finally:
        if writer is not None:
            writer.close()
    return rows


def _metadata(path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except _DAMAGE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> InvalidData:
    return InvalidData(f"{path} cannot be read: {str(error).partition(chr(10))[0]}")


def _frame(data: pa.Table | pa.RecordBatch) -> pl.DataFrame:
    frame = pl.from_arrow(data)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101
    return frame


def _pieces(file: pq.ParquetFile, rows: int, columns: list[str] | None = None) -> Iterator[pl.DataFrame]:
    """Yield rows of one row group after the other: all at once, Arrow keeps what it has read until the end."""
    for group in range(file.metadata.num_row_groups):
        for batch in file.iter_batches(rows, row_groups=[group], columns=columns):
            yield _frame(batch)


def _in_order(file: pq.ParquetFile, time: str) -> bool:
    last: Any = None
    for piece in _pieces(file, CHUNK_ROWS, [time]):
        times = piece.to_series().drop_nulls()
        if not times.is_sorted() or (times.len() and last is not None and times[0] < last):
            return False
        last = times[-1] if times.len() else last
    return True


def _whole_instants(frames: Iterator[pl.DataFrame], time: str) -> Iterator[pl.DataFrame]:
    """Keep back the rows of the last instant of each frame: more of them may follow."""
    held: pl.DataFrame | None = None
    for frame in frames:
        rows = frame if held is None else pl.concat([held, frame])
        open_end = rows[time].eq_missing(rows[time][-1]) if rows.height else pl.Series([], dtype=pl.Boolean)
        held = rows.filter(open_end)
        yield rows.filter(~open_end)
    if held is not None:
        yield held


def _same_bytes(left: Path, right: Path) -> bool:
    if not right.is_file() or left.stat().st_size != right.stat().st_size:
        return False
    with left.open("rb") as one, right.open("rb") as other:
        return all(piece == other.read(1 << 20) for piece in iter(lambda: one.read(1 << 20), b""))


def _part(key: str) -> str:
    """Return the name under which this process writes a file, until it is whole."""
    return f"{key}.{quote(this_process(), safe='')}.part"


def _sweep(path: Path) -> None:
    """Remove what processes that are gone left unfinished beside a file."""
    for part in path.parent.glob(f"{escape(path.name)}.*.part"):
        if is_gone(unquote(part.name[len(path.name) + 1 : -len(".part")])):
            part.unlink(missing_ok=True)
