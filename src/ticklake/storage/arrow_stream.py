"""Rows as streams of Arrow between processes, and tables of other programs as frames.

The process of an untrusted query imports this module: it loads neither polars nor anything else of the lake.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ticklake.errors import InvalidQuery

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "Cut",
    "StreamTooLong",
    "frame_of",
    "read_message",
    "read_table",
    "receive",
    "send_frames",
    "send_within",
    "table_of",
    "write_message",
]

_LENGTH = struct.Struct(">Q")
_NANOSECONDS = "ns"
_LENGTH_OF_DAY = 86_400_000_000_000
_LONGEST = 9.2e18
"""Nanoseconds that fit into 64 bits, about."""
_FIRST_DAY, _END_DAY = -719_162, 2_932_897
"""Year 1 to the end of 9999, in days since 1970."""
_PER_DAY = {"D": 1, "s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": _LENGTH_OF_DAY}
_DAYS_OF_MONTH = 30
"""As DuckDB counts the days of a month in an interval."""


class StreamTooLong(Exception):
    """A stream has more bytes than it may have."""


class Cut(Exception):
    """A stream ended before its end: who wrote it is gone."""


def table_of(frame: pl.DataFrame) -> pa.Table:
    """Return a frame as a table in types that other programs know."""
    import polars as pl

    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def frame_of(table: pa.Table) -> pl.DataFrame:
    """Return the answer of DuckDB as a frame: times in UTC, in nanoseconds where they fit; intervals as durations; whole sums as integers.

    Raises
    ------
    InvalidQuery
        If a column has values that no frame can hold.
    """
    import polars as pl

    columns: dict[str, pl.Series] = {}
    for number, name in enumerate(table.column_names):
        values = table.column(number)
        _check_times(name, values)
        if pa.types.is_interval(values.type):
            values = _durations(name, values)
        columns[_free_name(name, columns)] = _lake_type(pl.Series(name, values))
    return pl.DataFrame([series.alias(name) for name, series in columns.items()])


def _free_name(name: str, taken: Iterable[str]) -> str:
    """Return a name that no column before has: a frame cannot have two of one name."""
    free = name
    number = 1
    while free in taken:
        free = f"{name}_{number}"
        number += 1
    return free


def _lake_type(series: pl.Series) -> pl.Series:
    """Return a column in the type that the lake's own columns of such values have."""
    import polars as pl

    dtype = series.dtype
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is None:
            series = series.dt.replace_time_zone("UTC")
        return _fitting(series.dt.convert_time_zone("UTC"), pl.Datetime("ns", "UTC"))
    # DuckDB adds whole numbers up in 128 bits.
    if dtype == pl.Decimal(38, 0):
        return _fitting(series, pl.Int64())
    # Numbers of words in a list are a detail of how they were stored.
    if isinstance(dtype, pl.Enum | pl.Categorical):
        return series.cast(pl.String)
    return series


def _fitting(series: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Return a column as another type, or as it is if a value would not fit."""
    other = series.cast(dtype, strict=False)
    if other.null_count() > series.null_count():
        return series
    return other


def _check_times(name: str, values: pa.ChunkedArray) -> None:
    """Refuse times that Python and polars cannot write, like DuckDB's infinity; also those inside of lists."""
    for leaf in _leaves(values.chunks):
        if not pa.types.is_date(leaf.type) and not pa.types.is_timestamp(leaf.type):
            continue
        days = pc.min_max(leaf.cast(pa.int32() if pa.types.is_date32(leaf.type) else pa.int64())).as_py()
        unit = _PER_DAY[getattr(leaf.type, "unit", "D")]
        if days["min"] is not None and not _FIRST_DAY * unit <= days["min"] <= days["max"] < _END_DAY * unit:
            raise InvalidQuery(
                f"column {name!r} has times beyond the years 1 to 9999, like infinity: leave them out, or cast it to VARCHAR"
            )


def _leaves(arrays: Iterable[pa.Array]) -> Iterator[pa.Array]:
    """Yield the arrays of values inside of arrays of lists and structures."""
    waiting = list(arrays)
    while waiting:
        array = waiting.pop()
        if pa.types.is_struct(array.type):
            waiting += array.flatten()
        elif pa.types.is_map(array.type):
            waiting += [array.keys, array.items]
        elif pa.types.is_nested(array.type):
            waiting.append(array.flatten())
        else:
            yield array


def _durations(name: str, intervals: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return months, days and nanoseconds as nanoseconds alone; polars reads no intervals."""
    import numpy as np

    layout = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")])
    chunks: list[pa.Array] = []
    for chunk in intervals.chunks:
        parts = np.frombuffer(chunk.buffers()[1], layout)[chunk.offset : chunk.offset + len(chunk)]
        days = parts["days"].astype("int64") + _DAYS_OF_MONTH * parts["months"].astype("int64")
        # As floats first: in 64 bits, what is too long would become short.
        length = parts["nanoseconds"].astype("float64") + days.astype("float64") * _LENGTH_OF_DAY
        if len(length) and np.abs(length).max() > _LONGEST:
            raise InvalidQuery(f"column {name!r} has intervals longer than 292 years: cast it to VARCHAR")
        total = parts["nanoseconds"] + days * _LENGTH_OF_DAY
        is_null = chunk.is_null().to_numpy(zero_copy_only=False)
        chunks.append(pa.array(total, pa.int64(), mask=is_null).cast(pa.duration(_NANOSECONDS)))
    return pa.chunked_array(chunks, pa.duration(_NANOSECONDS))


def send_frames(sink: Any, frames: Iterable[pl.DataFrame], most_bytes: int) -> int:
    """Write frames of one schema, of which there is at least one, as one stream; return how many bytes they have.

    Raises
    ------
    StreamTooLong
        If they have more bytes together.
    """
    writer: Any = None
    size = 0
    for frame in frames:
        table = table_of(frame)
        size += table.nbytes
        if size > most_bytes:
            raise StreamTooLong
        if writer is None:
            writer = pa.ipc.new_stream(sink, table.schema)
        writer.write_table(table)
    writer.close()
    sink.flush()
    return size


def small_table() -> pa.Table:
    """Return a table of two rows, one of its columns encoded as those of names are."""
    return pa.table({"a": pa.array([1, 2]), "b": pa.array(["x", "y"]).dictionary_encode()})


def encoded_columns(table: pa.Table) -> set[str]:
    """Return the columns of a table whose values are numbers of words in a list."""
    return {field.name for field in table.schema if pa.types.is_dictionary(field.type)}


def read_table(source: IO[bytes]) -> pa.Table:
    """Read one stream as a table."""
    return pa.ipc.open_stream(source).read_all()


def send_within(sink: Any, batches: pa.RecordBatchReader, most_rows: int, most_bytes: int) -> tuple[int, str]:
    """Write batches as one stream until a limit is reached; return how many rows were written, and which limit cut them, if one did."""
    rows = size = 0
    with pa.ipc.new_stream(sink, batches.schema) as writer:
        for batch in batches:
            limit = ""
            if size + batch.nbytes > most_bytes:
                batch, limit = _head(batch, most_bytes - size), "bytes"
            if rows + batch.num_rows > most_rows:
                batch, limit = batch.slice(0, most_rows - rows), "rows"
            writer.write_batch(batch)
            rows += batch.num_rows
            size += batch.nbytes
            if limit:
                return rows, limit
    return rows, ""


def _head(batch: pa.RecordBatch, most_bytes: int) -> pa.RecordBatch:
    """Return so many of the first rows of a batch as have about so many bytes together."""
    # The size of a slice counts its part of the buffers, so that halves can be tried.
    low, high = 0, batch.num_rows
    while low < high:
        middle = (low + high + 1) // 2
        if batch.slice(0, middle).nbytes <= most_bytes:
            low = middle
        else:
            high = middle - 1
    return batch.slice(0, low)


def receive(source: IO[bytes], most_bytes: int) -> pa.Table:
    """Read one stream of a process that is not trusted.

    Raises
    ------
    StreamTooLong
        If it has more bytes.
    Cut
        If it ends too early, or is no stream.
    """
    try:
        batches = list(_checked(pa.ipc.open_stream(source), most_bytes))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Cut(str(error)) from error
    # An answer may have no batch, but has always columns.
    schema, *rest = batches
    return pa.Table.from_batches(rest, schema)


def _checked(reader: Any, most_bytes: int) -> Iterator[Any]:
    """Yield the schema of a stream, and then its batches."""
    yield reader.schema
    size = 0
    for batch in reader:
        size += batch.nbytes
        if size > most_bytes:
            raise StreamTooLong
        # Offsets that point outside of their buffers would be read by whoever uses the batch.
        batch.validate(full=True)
        yield batch


def write_message(sink: IO[bytes], message: Mapping[str, Any]) -> None:
    """Write a message."""
    text = json.dumps(message).encode()
    sink.write(_LENGTH.pack(len(text)) + text)
    sink.flush()


def read_message(source: IO[bytes], most_bytes: int = 1 << 26) -> Any:
    """Read a message.

    Raises
    ------
    EOFError
        If there is none: the other process is gone.
    """
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    text = b""
    if length <= most_bytes:
        text = source.read(length)
    if len(text) < length:
        raise EOFError
    return json.loads(text)
