"""Read segments from Parquet files, and compare their checksums first.

The format is documented in ``docs/format/segments.md``. :mod:`ticklake.storage.encoding` writes the files.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

import polars as pl

from ticklake.core.kinds import Kind
from ticklake.core.segment import Block, Segment, pack_blocks, unpack_blocks
from ticklake.core.span import Span
from ticklake.errors import MissingSegment, StorageError
from ticklake.storage.segments import Footer, corrupt

__all__ = ["check_blocks", "file_digest", "read_blocks", "scan_file"]

_PIECE = 1 << 20
"""Bytes that are read at a time."""


def scan_file(
    source: Path | bytes,
    kind: Kind,
    span: Span | None = None,
    blocks: Sequence[Block] = (),
    columns: Sequence[str] | None = None,
) -> pl.LazyFrame:
    """Scan columns of a segment's file lazily (all stored ones by default), only the rows inside *span*.

    If *span* cuts through no block, the rows are sliced without a filter. Else Polars skips row groups by their time range.
    """
    # No globbing: the name of the lake's folder may contain brackets. And nobody is asked for credentials of a cloud.
    lazy = pl.scan_parquet(_readable(source), hive_partitioning=False, glob=False, credential_provider=None)
    if span is not None:
        rows = _whole_blocks(blocks, span)
        if rows is None:
            lazy = lazy.filter((pl.col("ts") >= span.start) & (pl.col("ts") < span.end))
        else:
            lazy = lazy.slice(*rows)
    if columns is None:
        columns = list(kind.stored_schema)
    reads = kind.reads
    return lazy.select([reads[name] for name in columns])


def check_blocks(source: Path | bytes, segment: Segment, blocks: Iterable[Block]) -> None:
    """Compare the checksums of some of a segment's blocks.

    Raises
    ------
    CorruptSegment
        If the file has another length than it had, or a checksum differs.
    MissingSegment
        If the file is gone.
    """
    try:
        with _open(source) as file:
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
    with _open(source) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def read_blocks(source: Path | bytes, footer: Footer) -> bytes:
    """Return the checksums of a file's blocks as the catalog stores them; empty if the footer has none."""
    if not footer.blocks:
        return b""
    last = unpack_blocks(footer.blocks)[-1]
    offset = last.offset + last.length
    with _open(source) as file:
        file.seek(offset)
        end = file.read()
    return footer.blocks + pack_blocks([Block(offset, len(end), zlib.crc32(end), 0, 0, 0)])


def _whole_blocks(blocks: Sequence[Block], span: Span) -> tuple[int, int] | None:
    """Return offset and number of the rows inside *span*, or ``None`` if it cuts through a block."""
    if not blocks:
        return None
    offset = rows = 0
    for block in blocks:
        if not block.rows:
            continue
        if block.max_ts < span.start:
            offset += block.rows
        elif block.meets(span):
            if block.min_ts < span.start or block.max_ts >= span.end:
                return None
            rows += block.rows
    return offset, rows


def _readable(source: Path | bytes) -> Path | io.BytesIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    return source


def _open(source: Path | bytes) -> IO[bytes]:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    return source.open("rb")
