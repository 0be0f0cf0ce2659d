"""Segments as Parquet files, read only after their checksums were compared.

The format is documented in ``docs/format/segments.md``; files are written in :mod:`ticklake.storage.encoding`.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

import polars as pl

from ticklake.core.kinds import KINDS, Kind
from ticklake.core.segment import Block, Segment, pack_blocks, unpack_blocks
from ticklake.core.span import Span
from ticklake.errors import MissingSegment, StorageError
from ticklake.storage.segments import Footer, corrupt

__all__ = ["check_blocks", "file_digest", "read_blocks", "scan_file"]

_PIECE = 1 << 20
"""Bytes that are read at a time."""
_AS_STORED = {
    kind.name: {
        column.name: pl.col(column.name).cast(column.dtype) if column.is_temporal else pl.col(column.name)
        for column in kind.stored
    }
    for kind in KINDS.values()
}
"""How each column is read: times are plain integers in files."""


def scan_file(
    source: Path | bytes,
    kind: Kind,
    span: Span | None = None,
    blocks: Sequence[Block] = (),
    columns: Sequence[str] | None = None,
) -> pl.LazyFrame:
    """Scan some columns of a segment's file lazily (all stored ones by default), only the rows inside *span*.

    Where *span* takes whole blocks, nothing is filtered; else the time range of row groups says which are read.
    """
    lazy = pl.scan_parquet(
        io.BytesIO(source) if isinstance(source, bytes) else source, hive_partitioning=False, glob=False
    )
    if span is not None:
        rows = _whole_blocks(blocks, span)
        inside = (pl.col("ts") >= span.start) & (pl.col("ts") < span.end)
        lazy = lazy.filter(inside) if rows is None else lazy.slice(*rows)
    wanted = kind.stored_schema if columns is None else columns
    return lazy.select([_AS_STORED[kind.name][name] for name in wanted])


def check_blocks(source: Path | bytes, segment: Segment, blocks: Iterable[Block]) -> None:
    """Compare the checksums of some of a segment's blocks.

    Raises
    ------
    CorruptSegment
        If the file is shorter or longer than it was, or a checksum differs.
    MissingSegment
        If it went away.
    """
    try:
        with _opened(source) as file:
            if file.seek(0, io.SEEK_END) != segment.size:
                raise corrupt(segment.name, f"it has {file.tell()} bytes, not {segment.size}")
            for block in blocks:
                file.seek(block.offset)
                if zlib.crc32(file.read(block.length)) != block.crc:
                    raise corrupt(segment.name, f"its bytes from {block.offset} on changed")
    except FileNotFoundError as error:
        raise MissingSegment(f"{segment.name} went away while it was read: read again") from error
    except PermissionError as error:
        raise StorageError(f"{segment.name} cannot be read ({error.strerror}): check the file's permissions") from error
    except OSError as error:
        raise corrupt(segment.name, error) from error


def file_digest(source: Path | bytes) -> str:
    """Return the BLAKE2b-128 of a file in hex."""
    digest = hashlib.blake2b(digest_size=16)
    with _opened(source) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def read_blocks(source: Path | bytes, footer: Footer) -> bytes:
    """Return the checksums of a file's blocks as the catalog keeps them; none if the footer has none."""
    if not footer.blocks:
        return b""
    last = unpack_blocks(footer.blocks)[-1]
    offset = last.offset + last.length
    with _opened(source) as file:
        file.seek(offset)
        tail = file.read()
    return footer.blocks + pack_blocks([Block(offset, len(tail), zlib.crc32(tail), 0, 0, 0)])


def _whole_blocks(blocks: Sequence[Block], span: Span) -> tuple[int, int] | None:
    """Return offset and number of the rows inside *span* if it cuts through no block."""
    if not blocks:
        return None
    before = sum(block.rows for block in blocks if block.rows and block.max_ts < span.start)
    met = [block for block in blocks if block.rows and block.meets(span)]
    if any(block.min_ts < span.start or block.max_ts >= span.end for block in met):
        return None
    return before, sum(block.rows for block in met)


def _opened(source: Path | bytes) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
