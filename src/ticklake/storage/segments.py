"""How segments become bytes and bytes become frames.

The file format is documented in ``docs/format/segments.md``.
"""

from __future__ import annotations

import hashlib
import io
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import Column, Kind
from ticklake.core.merge import Keying
from ticklake.core.provenance import Provenance
from ticklake.core.segment import Segment
from ticklake.core.span import Span
from ticklake.errors import CorruptSegment

__all__ = [
    "FORMAT",
    "INLINE_BYTES",
    "INLINE_ROWS",
    "Footer",
    "decode_inline",
    "digest",
    "encode_file",
    "encode_inline",
    "new_segment",
    "read_footer",
    "scan_file",
]

FORMAT = 1
"""Version of the segment format; readers refuse a higher one."""
INLINE_ROWS = 8_192
INLINE_BYTES = 256 * 1024
ROW_GROUP_ROWS = 128 * 1024
_KEY = b"ticklake"
_PLACE = (
    Column("exchange", pl.String, 60),
    Column("symbol", pl.String, 61),
    Column("timeframe", pl.String, 62),
)
_DAMAGE = (pl.exceptions.PolarsError, pa.ArrowException, OSError, ValueError, KeyError)


@dataclass(frozen=True, slots=True)
class Footer:
    """Everything needed to rebuild the catalog's row from the file alone.

    ``replaces`` are the ids of the segments whose rows this one took over (compaction, deletion): they are
    to be ignored if they are still around. ``coverage`` is what was known to be covered in the period.
    """

    dataset: Dataset
    id: str
    seq: int
    rows: int
    min_ts: int
    max_ts: int
    keying: Keying
    period: str = ""
    tool: str = ""
    provenance: Mapping[int, Provenance] = field(default_factory=dict)
    coverage: tuple[Covered, ...] = ()
    replaces: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """Return the footer as the JSON that stands in the file's metadata."""
        return json.dumps(
            {
                "format": FORMAT,
                "dataset": str(self.dataset),
                "id": self.id,
                "seq": self.seq,
                "rows": self.rows,
                "min_ts": self.min_ts,
                "max_ts": self.max_ts,
                "keying": self.keying,
                "period": self.period,
                "tool": self.tool,
                "provenance": {str(number): origin.to_dict() for number, origin in self.provenance.items()},
                "coverage": [[c.span.start, c.span.end, c.found.value, c.reason] for c in self.coverage],
                "replaces": list(self.replaces),
            }
        ).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Footer:
        """Read the JSON that :meth:`to_json` wrote."""
        raw: dict[str, Any] = json.loads(text)
        if raw["format"] > FORMAT:
            raise ValueError(f"segment format {raw['format']} is newer than {FORMAT}: upgrade ticklake")
        return cls(
            dataset=Dataset.parse(raw["dataset"]),
            **{name: raw[name] for name in ("id", "seq", "rows", "min_ts", "max_ts", "keying", "period", "tool")},
            provenance={int(number): Provenance(**origin) for number, origin in raw["provenance"].items()},
            coverage=tuple(Covered(Span(a, b), Found(found), why) for a, b, found, why in raw["coverage"]),
            replaces=tuple(raw["replaces"]),
        )


def new_id() -> str:
    """Return a new, unique segment id."""
    return uuid.uuid4().hex


def digest(data: bytes) -> str:
    """Return the BLAKE2b-128 of *data* in hex."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def new_segment(frame: pl.DataFrame, seq: int, data: bytes, **place: Any) -> Segment:
    """Describe a non-empty encoded frame as a segment; *place* is ``path``, ``period`` and ``id``."""
    ts = frame["ts"].to_physical()
    place.setdefault("id", new_id())
    return Segment(
        seq=seq,
        rows=frame.height,
        min_ts=int(ts.min()),  # type: ignore[arg-type]
        max_ts=int(ts.max()),  # type: ignore[arg-type]
        size=len(data),
        digest=digest(data),
        data=None if place.get("path") else data,
        **place,
    )


def encode_inline(frame: pl.DataFrame) -> bytes:
    """Encode a small frame as an Arrow IPC stream."""
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="lz4", compat_level=pl.CompatLevel.oldest())
    return buffer.getvalue()


def decode_inline(segment: Segment, kind: Kind) -> pl.DataFrame:
    """Decode an inline segment.

    Raises
    ------
    CorruptSegment
        If its bytes are not what was written.
    """
    data = segment.data or b""
    if digest(data) != segment.digest:
        raise _corrupt(segment.name, "its bytes changed")
    try:
        return pl.read_ipc_stream(io.BytesIO(data)).select(list(kind.stored_schema))
    except _DAMAGE as error:
        raise _corrupt(segment.name, str(error)) from error


def encode_file(frame: pl.DataFrame, footer: Footer) -> bytes:
    """Encode a frame as one Parquet file with the dataset's encodings, field ids and footer."""
    dataset, kind = footer.dataset, footer.dataset.spec
    physical = frame.select(
        pl.col(column.name).to_physical() if column.is_temporal else pl.col(column.name) for column in kind.stored
    )
    table = physical.to_arrow(compat_level=pl.CompatLevel.oldest())
    place = [str(dataset.exchange), str(dataset.symbol), str(dataset.timeframe or "")]
    names = _PLACE if dataset.timeframe else _PLACE[:2]
    for column, text in zip(names, place, strict=False):
        table = table.append_column(column.name, _constant(text, table.num_rows))
    columns = (*kind.stored, *names)
    table = table.cast(_arrow_schema(table.schema, columns))
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema, **_options(columns)) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        writer.add_key_value_metadata({_KEY: footer.to_json()})
    return sink.getvalue()


def scan_file(source: Path | bytes, kind: Kind, span: Span | None = None) -> pl.LazyFrame:
    """Scan a segment's file lazily with the stored schema, only the rows inside *span*."""
    lazy = pl.scan_parquet(
        io.BytesIO(source) if isinstance(source, bytes) else source, hive_partitioning=False, glob=False
    )
    if span is not None:
        lazy = lazy.filter((pl.col("ts") >= span.start) & (pl.col("ts") < span.end))
    return lazy.select(
        pl.col(column.name).cast(column.dtype) if column.is_temporal else pl.col(column.name) for column in kind.stored
    )


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
    except (*_DAMAGE, TypeError, AttributeError) as error:
        raise _corrupt(name, str(error)) from error


def _corrupt(name: str, why: str) -> CorruptSegment:
    first = why.partition("\n")[0]
    return CorruptSegment(f"{name} is damaged ({first}): restore it from a backup or delete its span and ingest again")


def _constant(text: str, rows: int) -> pa.DictionaryArray:
    indices = pa.nulls(rows, pa.int32()).fill_null(0)
    return pa.DictionaryArray.from_arrays(indices, pa.array([text], pa.string()))


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
    encodings = {"delta": "DELTA_BINARY_PACKED", "bytes": "DELTA_LENGTH_BYTE_ARRAY", "plain": "PLAIN"}
    return {
        "compression": "zstd",
        "compression_level": 3,
        "use_dictionary": [column.name for column in columns if column.encoding == "dictionary"],
        "column_encoding": {c.name: encodings[c.encoding] for c in columns if c.encoding != "dictionary"},
        "write_statistics": True,
        "store_schema": False,
    }
