"""Read Parquet files of other lakes in pieces, and write them as a whole or not at all."""

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
"""The key in the footer of a file under which an export describes what it wrote."""

Footer = Mapping[bytes, bytes]
"""Keys and values in the footer of a file."""
_PIECE = 1 << 20
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
    """Return the keys and values that the writer of a file put into its footer."""
    footer = dict(_metadata(path).metadata or {})
    # Arrow's copy of the schema would contradict columns that a migration changes.
    footer.pop(b"ARROW:schema", None)
    return footer


def read_note(path: Path) -> dict[str, Any] | None:
    """Return what our export wrote into a file's footer; ``None`` if none did, or the file cannot be read."""
    try:
        return dict(json.loads(footer_of(path)[NOTE]))
    except (KeyError, ValueError):
        return None


def has_nulls(path: Path, names: Sequence[str]) -> bool:
    """Whether the column of *names* that a file has contains a null, by its statistics; not if it cannot be read."""
    try:
        metadata = pq.read_metadata(path)
    except _DAMAGE:
        return False
    for position, name in enumerate(metadata.schema.names):
        if name in names:
            return _null_count(metadata, position) > 0
    return False


def _null_count(metadata: pq.FileMetaData, position: int) -> int:
    count = 0
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(position).statistics
        if statistics is not None and statistics.has_null_count:
            count += statistics.null_count
    return count


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_chunks(path: Path, times: Sequence[str], rows: int = CHUNK_ROWS) -> Iterator[pl.DataFrame]:
    """Yield about *rows* rows of a file at a time, ordered by the column of *times* that it has, whole instants together.

    A larger file is held in memory as a whole only if its rows are not in order.

    Raises
    ------
    InvalidData
        If it cannot be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            time = _time_column(file, path, times)
            if file.metadata.num_rows <= rows or not _in_order(file, time):
                yield _frame(file.read()).sort(time, maintain_order=True)
            else:
                yield from _whole_instants(_pieces(file, rows), time)
    except InvalidData:
        raise
    except (*_DAMAGE, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from error


def _time_column(file: pq.ParquetFile, path: Path, times: Sequence[str]) -> str:
    for name in times:
        if name in file.schema_arrow.names:
            return name
    raise InvalidData(f"{path} has no column {' or '.join(times)}")


def replace_file(objects: LocalStore, key: str, frames: Iterable[pl.DataFrame], footer: Footer) -> tuple[int, bool]:
    """Write frames as the file *key*, which replaces an old one only once it is whole and durable.

    Returns
    -------
    tuple of int and bool
        The number of rows, and whether anything changed: the same bytes, or no rows at all, change nothing.
    """
    filled = (frame for frame in frames if frame.height)
    first = next(filled, None)
    if first is None:
        return 0, False
    # Named by the process: two exports to one folder must not write into each other's file.
    part = _part(key)
    _sweep(objects.root / key)
    objects.delete(part)
    with objects.create(part) as sink:
        rows = _write(_Pipe(sink), chain([first], filled), footer)
    if _same_bytes(objects.root / part, objects.root / key):
        objects.delete(part)
        return rows, False
    objects.move(part, key)
    return rows, True


class _Pipe(io.RawIOBase):
    """A sink as the file object that Arrow writes to."""

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
    """Yield the rows of one row group after the other: asked for all groups at once, Arrow keeps each in memory to the end."""
    for group in range(file.metadata.num_row_groups):
        for batch in file.iter_batches(rows, row_groups=[group], columns=columns):
            yield _frame(batch)


def _in_order(file: pq.ParquetFile, time: str) -> bool:
    last: Any = None
    for piece in _pieces(file, CHUNK_ROWS, [time]):
        times = piece.to_series().drop_nulls()
        if not times.len():
            continue
        if not times.is_sorted() or (last is not None and times[0] < last):
            return False
        last = times[-1]
    return True


def _whole_instants(frames: Iterator[pl.DataFrame], time: str) -> Iterator[pl.DataFrame]:
    """Keep back the rows of the last instant of each frame: more of them may follow."""
    last_instant: pl.DataFrame | None = None
    for frame in frames:
        rows = frame
        if last_instant is not None:
            rows = pl.concat([last_instant, frame])
        if not rows.height:
            continue
        is_last = rows[time].eq_missing(rows[time][-1])
        last_instant = rows.filter(is_last)
        yield rows.filter(~is_last)
    if last_instant is not None:
        yield last_instant


def _same_bytes(left: Path, right: Path) -> bool:
    if not right.is_file() or left.stat().st_size != right.stat().st_size:
        return False
    with left.open("rb") as left_file, right.open("rb") as right_file:
        while piece := left_file.read(_PIECE):
            if piece != right_file.read(_PIECE):
                return False
    return True


def _part(key: str) -> str:
    """Return the name under which this process writes a file until it is whole; no other process has the same."""
    return f"{key}.{quote(this_process(), safe='')}.part"


def _sweep(path: Path) -> None:
    """Remove the unfinished files that processes which are gone left beside a file."""
    for part in path.parent.glob(f"{escape(path.name)}.*.part"):
        process = unquote(part.name.removeprefix(f"{path.name}.").removesuffix(".part"))
        if is_gone(process):
            part.unlink(missing_ok=True)
