"""Write segments as Parquet files, row group by row group. Only this module imports pyarrow.

The format is documented in ``docs/format/segments.md``.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import PROVENANCE, Column
from ticklake.core.segment import Block, Segment, pack_blocks
from ticklake.errors import StorageError
from ticklake.storage.files import check_blocks
from ticklake.storage.objects import Sink
from ticklake.storage.segments import Footer, corrupt

__all__ = ["check_written", "read_footer", "write_file"]

_KEY = b"ticklake"
_PIECE = 1 << 20
"""Bytes that are written at a time."""
_FIRST_NAME_ID = 60
_NAME_COLUMNS = (
    Column("exchange", pl.String, _FIRST_NAME_ID),
    Column("symbol", pl.String, 61),
    Column("timeframe", pl.String, 62),
    Column("variant", pl.String, 63),
)
"""Columns that repeat the dataset's name in each row, so that a file can be read without the catalog."""
_ENCODINGS = {"delta": "DELTA_BINARY_PACKED", "plain": "PLAIN"}
_DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError)


def write_file(
    sink: Sink, frames: Iterable[pl.DataFrame], footer: Footer, path: str, seen: Callable[[pl.DataFrame], object]
) -> Segment:
    """Write sorted frames as one Parquet file and return its segment.

    Parameters
    ----------
    footer
        The footer of the file. Its counts, range and provenance are replaced by those of the rows.
    path
        The file's path in the lake.
    seen
        Called with every frame that was written.

    Raises
    ------
    StorageError
        If there are no rows.
    """
    writer = _Writer(_Meter(sink), footer.dataset)
    for frame in frames:
        writer.write(frame)
        seen(frame)
    return writer.finish(footer, path)


def read_footer(data: Path | bytes, name: str) -> Footer:
    """Read the footer of a segment's file.

    Raises
    ------
    CorruptSegment
        If the file is not a segment or is damaged.
    """
    try:
        metadata = _read_metadata(data).metadata or {}
        return Footer.from_json(metadata[_KEY])
    except _DAMAGE as error:
        raise corrupt(name, error) from error


def check_written(source: Path | bytes, segment: Segment) -> str:
    """Read back a file that was just written, and return what is wrong with it; empty if nothing is.

    Its length, the checksum of its end, and Parquet's own counts and time ranges are compared with the segment.
    """
    try:
        check_blocks(source, segment, segment.blocks[-1:])
        metadata = _read_metadata(source)
    except (*_DAMAGE, StorageError):
        return "does not read back as it was written"
    ts_index = metadata.schema.to_arrow_schema().get_field_index("ts")
    blocks = segment.blocks[:-1]
    if (metadata.num_rows, metadata.num_row_groups) != (segment.rows, len(blocks)):
        return f"holds {metadata.num_rows:,} rows in {metadata.num_row_groups} groups, not {segment.rows:,} in {len(blocks)}"
    last_ts = segment.min_ts
    for number, block in enumerate(blocks):
        group = metadata.row_group(number)
        times = group.column(ts_index).statistics
        if (group.num_rows, times.min, times.max) != (block.rows, block.min_ts, block.max_ts):
            return f"holds other rows in group {number} than were written"
        if block.min_ts < last_ts:
            return f"is out of order at group {number}"
        last_ts = block.max_ts
    return ""


def _read_metadata(source: Path | bytes) -> Any:
    if isinstance(source, bytes):
        return pq.read_metadata(io.BytesIO(source))
    return pq.read_metadata(source)


@dataclass
class _Meter(io.RawIOBase):
    """Passes bytes on to a sink in large pieces, and counts and digests them."""

    sink: Sink
    size: int = 0
    _crc: int = 0
    _block_start: int = 0
    _buffer: bytearray = field(default_factory=bytearray)
    _hash: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16))

    def writable(self) -> bool:
        """Return that bytes can be written: pyarrow asks."""
        return True

    def write(self, data: Any, /) -> int:
        """Write bytes to the buffer, and the buffer to the sink once it is large."""
        # pyarrow writes most pages in several small pieces: they are digested together.
        before = len(self._buffer)
        self._buffer += memoryview(data).cast("B")
        size = len(self._buffer) - before
        self.size += size
        if len(self._buffer) >= _PIECE:
            self.drain()
        return size

    def drain(self) -> str:
        """Digest the buffer and write it to the sink; return the digest of all bytes so far."""
        if self._buffer:
            # Not cleared, as the sink may keep what it was given; replaced first, as pyarrow writes once more after an error.
            piece, self._buffer = self._buffer, bytearray()
            self._crc = zlib.crc32(piece, self._crc)
            self._hash.update(piece)
            self.sink.write(memoryview(piece))
        return str(self._hash.hexdigest())

    def end_block(self, rows: int, min_ts: int, max_ts: int) -> Block:
        """Return the block of the bytes since the last block."""
        self.drain()
        block = Block(self._block_start, self.size - self._block_start, self._crc, rows, min_ts, max_ts)
        self._block_start = self.size
        self._crc = 0
        return block


@dataclass
class _Writer:
    """Cuts frames into row groups and writes them."""

    meter: _Meter
    dataset: Dataset
    blocks: list[Block] = field(default_factory=list)
    origins: set[int] = field(default_factory=set)
    _pending: list[pl.DataFrame] = field(default_factory=list)
    _pending_rows: int = 0
    _parquet: pq.ParquetWriter | None = None

    def write(self, frame: pl.DataFrame) -> None:
        """Write the rows that fill row groups, and keep the others for later."""
        self._pending.append(frame)
        self._pending_rows += frame.height
        if self._pending_rows < self.dataset.spec.group_rows:
            return
        rows = pl.concat(self._pending)
        full = rows.height - rows.height % self.dataset.spec.group_rows
        self._write_groups(rows.head(full))
        self._pending = [rows.slice(full)]
        self._pending_rows = rows.height - full

    def finish(self, footer: Footer, path: str) -> Segment:
        """Write the last rows and the footer."""
        if self._pending_rows:
            self._write_groups(pl.concat(self._pending))
        if self._parquet is None:
            raise StorageError(f"{path} would have no rows: a segment has some")
        row_groups = pack_blocks(self.blocks)
        footer = replace(
            footer,
            rows=sum(block.rows for block in self.blocks),
            min_ts=self.blocks[0].min_ts,
            max_ts=self.blocks[-1].max_ts,
            provenance={number: origin for number, origin in footer.provenance.items() if number in self.origins},
            blocks=row_groups,
        )
        self._parquet.add_key_value_metadata({_KEY: footer.to_json()})
        self._parquet.close()
        digest = self.meter.drain()
        # Parquet's own end of the file, with the footer, cannot hold its own checksum: the catalog has it alone.
        end = pack_blocks([self.meter.end_block(0, 0, 0)])
        return Segment(
            id=footer.id,
            seq=footer.seq,
            rows=footer.rows,
            min_ts=footer.min_ts,
            max_ts=footer.max_ts,
            size=self.meter.size,
            digest=digest,
            path=path,
            period=footer.period,
            packed=row_groups + end,
            observed_at=footer.observed_at,
        )

    def _write_groups(self, frame: pl.DataFrame) -> None:
        if not frame.height:
            return
        self.origins.update(frame[PROVENANCE].unique())
        table = _table(frame, self.dataset)
        group_rows = self.dataset.spec.group_rows
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(self.meter, table.schema, **_options(_columns(self.dataset)))
        ts = frame["ts"].cast(pl.Int64)
        for start in range(0, frame.height, group_rows):
            group = table.slice(start, group_rows)
            # One call per group: only between calls have all bytes of a group passed the meter.
            self._parquet.write_table(group, row_group_size=group_rows)
            last = start + group.num_rows - 1
            self.blocks.append(self.meter.end_block(group.num_rows, ts[start], ts[last]))


def _table(frame: pl.DataFrame, dataset: Dataset) -> pa.Table:
    """Return the Arrow table of a frame: times as plain integers, with the columns of the dataset's name."""
    stored: list[pl.Expr] = []
    for column in dataset.spec.stored:
        values = pl.col(column.name)
        if column.is_temporal:
            values = values.to_physical()
        stored.append(values)
    table = frame.select(stored).to_arrow(compat_level=pl.CompatLevel.oldest())
    for column in _name_columns(dataset):
        table = table.append_column(column.name, _constant(str(getattr(dataset, column.name)), table.num_rows))
    return table.cast(_arrow_schema(table.schema, _columns(dataset)))


def _name_columns(dataset: Dataset) -> tuple[Column, ...]:
    return tuple(column for column in _NAME_COLUMNS if getattr(dataset, column.name) is not None)


def _columns(dataset: Dataset) -> tuple[Column, ...]:
    return (*dataset.spec.stored, *_name_columns(dataset))


def _constant(text: str, rows: int) -> pa.DictionaryArray:
    """Return an array that repeats *text*. As a dictionary it costs a few bytes, however many rows there are."""
    zeros = pa.Array.from_buffers(pa.int32(), rows, [None, pa.py_buffer(bytes(4 * rows))])
    return pa.DictionaryArray.from_arrays(zeros, pa.array([text], pa.string()))


def _arrow_schema(schema: pa.Schema, columns: tuple[Column, ...]) -> pa.Schema:
    """Return the schema with the field ids of the format, and with plain strings instead of Polars' large ones."""
    fields: list[pa.Field] = []
    for column in columns:
        arrow_field = schema.field(column.name)
        if column.dtype == pl.String and column.field_id < _FIRST_NAME_ID:
            arrow_field = arrow_field.with_type(pa.string())
        fields.append(arrow_field.with_metadata({b"PARQUET:field_id": str(column.field_id).encode()}))
    return pa.schema(fields)


def _options(columns: tuple[Column, ...]) -> dict[str, Any]:
    dictionaries: list[str] = []
    encodings: dict[str, str] = {}
    # Rows are looked for by time, number and id. Of the others, whose values are in every group, statistics cost an eighth of a write.
    searched: list[str] = []
    for column in columns:
        if column.encoding == "delta" or column.name == "id":
            searched.append(column.name)
        if column.encoding == "dictionary":
            dictionaries.append(column.name)
        else:
            encodings[column.name] = _ENCODINGS[column.encoding]
    return {
        "compression": "zstd",
        "compression_level": {column.name: column.level for column in columns},
        "use_dictionary": dictionaries,
        "column_encoding": encodings,
        "write_statistics": searched,
        "write_page_checksum": True,
        "store_schema": False,
    }
