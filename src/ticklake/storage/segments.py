"""The content of segments: the footer of files, and inline segments as bytes.

The format is documented in ``docs/format/segments.md``.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import Kind
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
    "corrupt",
    "decode_inline",
    "digest",
    "encode_inline",
    "encode_inline_parts",
    "inline_schema",
    "inline_segment",
    "inline_segment_of",
    "new_id",
]

FORMAT = 1
"""Version of the segment format; readers refuse a higher one."""
INLINE_ROWS = 16_384
INLINE_BYTES = 1024 * 1024
_FEW_ROWS = 32
"""Compression saves nothing in segments of so few rows."""
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


@dataclass(frozen=True, slots=True)
class Footer:
    """Everything that is needed to rebuild the catalog's row from the file alone.

    ``coverage`` is the coverage of the period when the file was written, ``blocks`` the packed checksums of the row
    groups, ``observed_at`` the time at which its newest row was observed.
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
    blocks: bytes = b""
    observed_at: int | None = None

    def to_json(self) -> bytes:
        """Return the footer as JSON for the file's metadata."""
        coverage = [[piece.span.start, piece.span.end, piece.found.value, piece.reason] for piece in self.coverage]
        declared: dict[str, str] = {}
        if self.dataset.variant is not None and self.dataset.spec.definition:
            declared = {"definition": self.dataset.spec.definition}
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
                "coverage": coverage,
                "blocks": base64.b64encode(self.blocks).decode(),
                "observed_at": self.observed_at,
                **declared,
            }
        ).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Footer:
        """Read the JSON that :meth:`to_json` wrote."""
        raw: dict[str, Any] = json.loads(text)
        if raw["format"] > FORMAT:
            raise ValueError(f"segment format {raw['format']} is newer than {FORMAT}: upgrade ticklake")
        coverage: list[Covered] = []
        for start, end, found, reason in raw["coverage"]:
            coverage.append(Covered(Span(start, end), Found(found), reason))
        dataset = Dataset.parse(raw["dataset"])
        definition = raw.get("definition")
        if definition:
            # On use: most files are of built-in kinds.
            from ticklake.core.features import FeatureSet

            dataset = dataset.with_kind(FeatureSet.from_json(definition).kind)
        return cls(
            dataset=dataset,
            id=raw["id"],
            seq=raw["seq"],
            rows=raw["rows"],
            min_ts=raw["min_ts"],
            max_ts=raw["max_ts"],
            keying=raw["keying"],
            period=raw["period"],
            tool=raw["tool"],
            provenance={int(number): Provenance(**origin) for number, origin in raw["provenance"].items()},
            coverage=tuple(coverage),
            # Files of the first releases lack these two.
            blocks=base64.b64decode(raw.get("blocks", "")),
            observed_at=raw.get("observed_at"),
        )


def new_id() -> str:
    """Return a new, unique segment id."""
    return uuid.uuid4().hex


def digest(data: bytes) -> str:
    """Return the BLAKE2b-128 of *data* in hex."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def inline_segment(frame: pl.DataFrame, seq: int, data: bytes, observed_at: int | None = None) -> Segment:
    """Return the inline segment of a non-empty sorted frame that is encoded as *data*."""
    ts = frame["ts"].cast(pl.Int64)
    return inline_segment_of(data, seq, frame.height, ts[0], ts[-1], observed_at)


def inline_segment_of(data: bytes, seq: int, rows: int, first: int, last: int, observed_at: int | None) -> Segment:
    """Return the inline segment of encoded *rows* from the time *first* to *last*."""
    return Segment(new_id(), seq, rows, first, last, len(data), digest(data), data=data, observed_at=observed_at)


def encode_inline(frame: pl.DataFrame) -> bytes:
    """Encode a small frame as an Arrow IPC stream."""
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="lz4", compat_level=pl.CompatLevel.oldest())
    return buffer.getvalue()


def encode_inline_parts(frame: pl.DataFrame, parts: Sequence[tuple[int, int]]) -> list[bytes]:
    """Encode parts of a frame, each given by its first row and its number of rows, as Arrow IPC streams."""
    small = {place: part for place, part in enumerate(parts) if part[1] <= _FEW_ROWS}
    encoded = dict(zip(small, _encode_small(frame, list(small.values())), strict=True))
    return [encoded.get(place) or encode_inline(frame.slice(*part)) for place, part in enumerate(parts)]


def _encode_small(frame: pl.DataFrame, parts: Sequence[tuple[int, int]]) -> list[bytes]:
    """Encode parts of few rows, uncompressed: the names of columns take more space than their values."""
    if not parts:
        return []
    # Polars takes 30 us for a stream however short it is, pyarrow 4 us for its one batch behind a schema that is written once.
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    schema = table.schema.serialize().to_pybytes()
    batch = table.combine_chunks().to_batches()[0]
    encoded: list[bytes] = []
    for start, rows in parts:
        encoded.append(b"".join((schema, batch.slice(start, rows).serialize(), _END_OF_STREAM)))
    return encoded


def decode_inline(segment: Segment, kind: Kind) -> pl.DataFrame:
    """Decode an inline segment.

    Raises
    ------
    CorruptSegment
        If its bytes are not what was written.
    """
    data = segment.data or b""
    # A flipped bit in the type of a value makes SQLite return a number or a text.
    if not isinstance(data, bytes) or digest(data) != segment.digest:
        raise corrupt(segment.name, "its bytes changed")
    try:
        return pl.read_ipc_stream(io.BytesIO(data)).select(list(kind.stored_schema))
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise corrupt(segment.name, str(error)) from error


def inline_schema(segment: Segment) -> dict[str, pl.DataType]:
    """Return the names and types of an inline segment's columns as its bytes have them; none if they cannot be read."""
    try:
        return dict(pl.read_ipc_stream(io.BytesIO(segment.data or b""), n_rows=0).schema)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, TypeError):
        return {}


def corrupt(name: str, why: object) -> CorruptSegment:
    """Return the error of a damaged segment, with the cure."""
    first_line = str(why).partition("\n")[0]
    return CorruptSegment(
        f"{name} is damaged ({first_line}): 'ticklake repair' fetches its span anew or takes the file from a backup"
    )
