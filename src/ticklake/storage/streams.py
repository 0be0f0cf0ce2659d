"""Rows as streams of bytes: Arrow's IPC format and Parquet, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

__all__ = ["BATCH_ROWS", "arrow_stream", "parquet_stream"]

BATCH_ROWS = 1 << 16
"""Rows of a record batch."""


class _Outlet:
    """A file that gives away what was written to it."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, data: Any) -> int:
        piece = bytes(memoryview(data))
        self._pieces.append(piece)
        self._size += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Do nothing: what was written is there."""

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        """Return what was written since the last time."""
        taken = b"".join(self._pieces)
        self._pieces = []
        return taken


def arrow_stream(empty: pl.DataFrame, frames: Iterable[pl.DataFrame]) -> Generator[bytes]:
    """Yield frames as one stream of Arrow's IPC format; *empty* has their columns."""
    return _streamed(empty, frames, _open_arrow)


def parquet_stream(empty: pl.DataFrame, frames: Iterable[pl.DataFrame]) -> Generator[bytes]:
    """Yield frames as one Parquet file, with a row group for each."""
    return _streamed(empty, frames, _open_parquet)


def _streamed(
    empty: pl.DataFrame, frames: Iterable[pl.DataFrame], open_writer: Callable[[_Outlet, pa.Schema], Any]
) -> Generator[bytes]:
    outlet = _Outlet()
    schema = _table(empty).schema
    with open_writer(outlet, schema) as writer:
        for frame in frames:
            for start in range(0, frame.height, BATCH_ROWS):
                writer.write_table(_table(frame.slice(start, BATCH_ROWS)).combine_chunks().cast(schema))
                yield outlet.take()
    yield outlet.take()


def _open_arrow(outlet: _Outlet, schema: pa.Schema) -> Any:
    return pa.ipc.new_stream(outlet, schema)


def _open_parquet(outlet: _Outlet, schema: pa.Schema) -> Any:
    return pq.ParquetWriter(outlet, schema, compression="zstd")


def _table(frame: pl.DataFrame) -> pa.Table:
    # Newer levels write string views, which many readers of Arrow do not know.
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
