"""Rows that others send as Arrow or Parquet: how large they become is known before they are read."""

from __future__ import annotations

import io
from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ticklake.errors import InvalidData

__all__ = ["read_arrow_stream", "read_parquet"]

# Polars panics where bytes contradict each other in a way that it did not expect.
_POLARS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
_HEADER, _LENGTH, _COMPRESSION = 2, 0, 3
"""The numbers of fields in Arrow's tables ``Message`` and ``RecordBatch`` (format/Message.fbs)."""


def read_arrow_stream(data: bytes, most_rows: int) -> pl.DataFrame:
    """Return the rows of an Arrow stream.

    Raises
    ------
    InvalidData
        If it is none, has more rows, or its buffers are compressed: a few bytes of such may be many gigabytes.
    """
    try:
        rows = 0
        for length in _lengths(data):
            rows += length
            if not 0 <= rows <= most_rows:
                raise InvalidData(f"the Arrow stream has more than {most_rows:,} rows: send it in pieces")
        return pl.read_ipc_stream(io.BytesIO(data))
    except (pa.ArrowException, *_POLARS, IndexError, OSError, ValueError) as error:
        if isinstance(error, InvalidData):
            raise
        raise InvalidData(f"the body is no Arrow stream: {str(error).partition(chr(10))[0][:200]}") from error


def _lengths(data: bytes) -> Iterator[int]:
    """Yield how many rows each record batch has, without reading one."""
    reader = pa.ipc.MessageReader.open_stream(data)
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        if message.type == "record batch":
            yield _length(memoryview(message.metadata))


def _length(metadata: memoryview) -> int:
    # A flatbuffer: a table is where its field points to, and its fields are found through its vtable.
    table = _number(metadata, 0, 4)
    batch = _field(metadata, table, _HEADER)
    if batch is None:
        raise InvalidData("the Arrow stream has a message without a header")
    batch += _number(metadata, batch, 4)
    if _field(metadata, batch, _COMPRESSION) is not None:
        raise InvalidData("the Arrow stream is compressed: send it without, or as Parquet")
    length = _field(metadata, batch, _LENGTH)
    if length is None:
        return 0
    return _number(metadata, length, 8)


def _field(metadata: memoryview, table: int, number: int) -> int | None:
    """Return where a field of a table is; ``None`` if it is left out."""
    vtable = table - int.from_bytes(metadata[table : table + 4], "little", signed=True)
    slot = 4 + 2 * number
    if slot + 2 > _number(metadata, vtable, 2):
        return None
    offset = _number(metadata, vtable + slot, 2)
    if not offset:
        return None
    return table + offset


def _number(metadata: memoryview, place: int, size: int) -> int:
    if place < 0 or place + size > len(metadata):
        raise InvalidData("the Arrow stream has a damaged message")
    return int.from_bytes(metadata[place : place + size], "little")


def read_parquet(data: bytes, most_rows: int, most_bytes: int) -> pl.DataFrame:
    """Return the rows of a Parquet file.

    Raises
    ------
    InvalidData
        If it is none, or its footer says that it has more rows or bytes.
    """
    try:
        footer = pq.read_metadata(io.BytesIO(data))
        size = sum(footer.row_group(number).total_byte_size for number in range(footer.num_row_groups))
        if footer.num_rows > most_rows or size > most_bytes:
            raise InvalidData(
                f"the Parquet file has {footer.num_rows:,} rows and {size:,} bytes: send it in pieces, or upload it to import"
            )
        return pl.read_parquet(io.BytesIO(data))
    except (pa.ArrowException, *_POLARS, OSError, ValueError) as error:
        if isinstance(error, InvalidData):
            raise
        raise InvalidData(f"the body is no Parquet file: {str(error).partition(chr(10))[0][:200]}") from error
