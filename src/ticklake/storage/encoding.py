"""Segments written as Parquet files, row group by row group; the only module that loads pyarrow.

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
"""Bytes that are handed on at a time."""
_PLACE = (
    Column("exchange", pl.String, 60),
    Column("symbol", pl.String, 61),
    Column("timeframe", pl.String, 62),
)
_DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError)


def write_file(
    sink: Sink, frames: Iterable[pl.DataFrame], footer: Footer, path: str, seen: Callable[[pl.DataFrame], object]
) -> Segment:
    """Write sorted frames as one Parquet file and return the segment that it is.

    Parameters
    ----------
    footer
        What stands in the file; its counts, range and provenance are set to those of the rows.
    path
        The file's place in the lake.
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
        metadata = pq.read_metadata(io.BytesIO(data) if isinstance(data, bytes) else data).metadata or {}
        return Footer.from_json(metadata[_KEY])
    except _DAMAGE as error:
        raise corrupt(name, error) from error


def check_written(source: Path | bytes, segment: Segment) -> str:
    """Return what is wrong with a file that was just written, read back from where it stands; empty is good.

    Its length, the checksum of its tail, and Parquet's own counts and ranges of times are held against the segment.
    """
    try:
        check_blocks(source, segment, segment.blocks[-1:])
        metadata = pq.read_metadata(io.BytesIO(source) if isinstance(source, bytes) else source)
    except (*_DAMAGE, StorageError):
        return "does not read back as it was written"
    column = metadata.schema.to_arrow_schema().get_field_index("ts")
    blocks, last = segment.blocks[:-1], segment.min_ts
    if (metadata.num_rows, metadata.num_row_groups) != (segment.rows, len(blocks)):
        return f"holds {metadata.num_rows:,} rows in {metadata.num_row_groups} groups, not {segment.rows:,} in {len(blocks)}"
    for place, block in enumerate(blocks):
        group = metadata.row_group(place)
        times = group.column(column).statistics
        found = (group.num_rows, times.min, times.max)
        if found != (block.rows, block.min_ts, block.max_ts):
            return f"holds other rows in group {place} than were written"
        if block.min_ts < last:
            return f"is out of order at group {place}"
        last = block.max_ts
    return ""


@dataclass
class _Meter(io.RawIOBase):
    """Passes bytes on in large pieces, and counts and digests them on the way."""

    sink: Sink
    size: int = 0
    _crc: int = 0
    _since: int = 0
    _held: bytearray = field(default_factory=bytearray)
    _hash: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16))

    def writable(self) -> bool:
        """Say that it takes bytes."""
        return True

    def write(self, data: Any, /) -> int:
        """Take bytes."""
        view = memoryview(data).cast("B")
        self._crc = zlib.crc32(view, self._crc)
        self._hash.update(view)
        self.size += len(view)
        self._held += view
        if len(self._held) >= _PIECE:
            self.drain()
        return len(view)

    def drain(self) -> str:
        """Hand everything on, and return the digest of all that came."""
        self.sink.write(bytes(self._held))
        self._held.clear()
        return str(self._hash.hexdigest())

    def block(self, rows: int, min_ts: int, max_ts: int) -> Block:
        """Describe what came since the last block."""
        block = Block(self._since, self.size - self._since, self._crc, rows, min_ts, max_ts)
        self._since, self._crc = self.size, 0
        return block


@dataclass
class _Writer:
    """Cuts frames into row groups and writes them."""

    meter: _Meter
    dataset: Dataset
    blocks: list[Block] = field(default_factory=list)
    origins: set[int] = field(default_factory=set)
    _rest: list[pl.DataFrame] = field(default_factory=list)
    _held: int = 0
    _parquet: pq.ParquetWriter | None = None

    def write(self, frame: pl.DataFrame) -> None:
        """Write what fills row groups, and keep the rest for later."""
        self._rest.append(frame)
        self._held += frame.height
        if self._held < self.dataset.spec.group_rows:
            return
        rows = pl.concat(self._rest)
        whole = rows.height - rows.height % self.dataset.spec.group_rows
        self._put(rows.head(whole))
        self._rest = [rows.slice(whole)]
        self._held = rows.height - whole

    def finish(self, footer: Footer, path: str) -> Segment:
        """Write the last rows and the footer."""
        if self._held:
            self._put(pl.concat(self._rest))
        if self._parquet is None:
            raise StorageError(f"{path} would have no rows: a segment has some")
        rows = sum(block.rows for block in self.blocks)
        first, last = self.blocks[0].min_ts, self.blocks[-1].max_ts
        origins = {number: origin for number, origin in footer.provenance.items() if number in self.origins}
        blocks = pack_blocks(self.blocks)
        footer = replace(footer, rows=rows, min_ts=first, max_ts=last, provenance=origins, blocks=blocks)
        self._parquet.add_key_value_metadata({_KEY: footer.to_json()})
        self._parquet.close()
        digest = self.meter.drain()
        packed = blocks + pack_blocks([self.meter.block(0, 0, 0)])
        return Segment(
            id=footer.id,
            seq=footer.seq,
            rows=rows,
            min_ts=first,
            max_ts=last,
            size=self.meter.size,
            digest=digest,
            path=path,
            period=footer.period,
            packed=packed,
            observed_at=footer.observed_at,
        )

    def _put(self, frame: pl.DataFrame) -> None:
        if not frame.height:
            return
        self.origins.update(frame[PROVENANCE].unique())
        table, step = _table(frame, self.dataset), self.dataset.spec.group_rows
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(self.meter, table.schema, **_options(_columns(self.dataset)))
        ts = frame["ts"].cast(pl.Int64)
        for start in range(0, frame.height, step):
            group = table.slice(start, step)
            self._parquet.write_table(group, row_group_size=step)
            last = start + group.num_rows - 1
            self.blocks.append(self.meter.block(group.num_rows, ts[start], ts[last]))


def _table(frame: pl.DataFrame, dataset: Dataset) -> pa.Table:
    physical = frame.select(
        pl.col(column.name).to_physical() if column.is_temporal else pl.col(column.name)
        for column in dataset.spec.stored
    )
    table = physical.to_arrow(compat_level=pl.CompatLevel.oldest())
    place = [str(dataset.exchange), str(dataset.symbol), str(dataset.timeframe or "")]
    for column, text in zip(_places(dataset), place, strict=False):
        table = table.append_column(column.name, _constant(text, table.num_rows))
    return table.cast(_arrow_schema(table.schema, _columns(dataset)))


def _places(dataset: Dataset) -> tuple[Column, ...]:
    return _PLACE if dataset.timeframe else _PLACE[:2]


def _columns(dataset: Dataset) -> tuple[Column, ...]:
    return (*dataset.spec.stored, *_places(dataset))


def _constant(text: str, rows: int) -> pa.DictionaryArray:
    zeros = pa.Array.from_buffers(pa.int32(), rows, [None, pa.py_buffer(bytes(4 * rows))])
    return pa.DictionaryArray.from_arrays(zeros, pa.array([text], pa.string()))


def _arrow_schema(schema: pa.Schema, columns: tuple[Column, ...]) -> pa.Schema:
    fields = [
        schema.field(column.name)
        .with_type(
            pa.string() if column.dtype == pl.String and column.field_id < 60 else schema.field(column.name).type
        )
        .with_metadata({b"PARQUET:field_id": str(column.field_id).encode()})
        for column in columns
    ]
    return pa.schema(fields)


def _options(columns: tuple[Column, ...]) -> dict[str, Any]:
    encodings = {"delta": "DELTA_BINARY_PACKED", "plain": "PLAIN"}
    return {
        "compression": "zstd",
        "compression_level": {column.name: column.level for column in columns},
        "use_dictionary": [column.name for column in columns if column.encoding == "dictionary"],
        "column_encoding": {c.name: encodings[c.encoding] for c in columns if c.encoding != "dictionary"},
        "write_statistics": True,
        "write_page_checksum": True,
        "store_schema": False,
    }
