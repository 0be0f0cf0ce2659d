"""Segments: stored files as they are, for clients that read them as the lake does."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from functools import partial
from io import SEEK_END, BytesIO
from typing import IO, Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from ticklake.catalog.pinned import PinnedCatalog
from ticklake.core.access import Role
from ticklake.core.dataset import Dataset
from ticklake.core.display import moment
from ticklake.core.selection import parse_columns
from ticklake.core.span import Span
from ticklake.engine.read import most_rows, read_rows
from ticklake.engine.store import retried
from ticklake.engine.whole_files import ReadPart, parts_of
from ticklake.errors import MissingSegment
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.answers import json_response
from ticklake.interfaces.api.formats import Format, Shape, encoded
from ticklake.interfaces.api.openapi import answers_object
from ticklake.interfaces.api.problems import problem
from ticklake.interfaces.api.reading import Columns, End, Name, OfVersion, Pinned, Start, as_time, names_in
from ticklake.interfaces.api.server import Server, server_of
from ticklake.lake import Lake
from ticklake.lake.arguments import known_dataset

__all__ = ["router"]

router = APIRouter(tags=["rows"], dependencies=[allow(Role.READ)])
SegmentId = Annotated[str, Path(description="The id of a segment.", max_length=200, examples=["0198"])]
Version = Annotated[int, Query(ge=0, le=2**63 - 1, description="The version that names the segment.", examples=[12])]
_PLAN = {
    "version": 12,
    "dataset": "binance:trades:BTC/USDT",
    "parts": [{"start": "2024-01-01T00:00:00Z", "end": "2024-01-02T00:00:00Z", "segment": None}],
}
_PARQUET = "application/vnd.apache.parquet"
_FEW = 1 << 18
"""Up to so many rows are read at once."""
_PIECE = 256 * 1024
"""Bytes that are held at a time, however large the file is."""
_PARTS = answers_object(_PLAN)
_PARTS[200]["content"][Format.ARROW.media_type] = {"schema": {"type": "string", "format": "binary"}}
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The bytes of the file.", "content": {_PARQUET: {}}},
    206: {"description": "The bytes that were asked for.", "content": {_PARQUET: {}}},
    416: {"description": "The file has no such bytes."},
}


@router.get("/datasets/{name:path}/segments", summary="Stored files of a read", responses=_PARTS)
async def list_parts(
    request: Request, name: Name, at: OfVersion, start: Start = None, end: End = None, columns: Columns = None
) -> Response:
    """Say how the rows of a span can be fetched: whole stored files, and spans whose rows are to be asked for.

    The parts are in order of time and do not overlap. A part with a `segment` is a Parquet file, which `/segments/{id}` returns
    and which has more columns than `rows` shows; a part without one is asked for as `rows` of its `start` and `end`. Ask for
    all of them with the `version` of this answer. If they are few and no file is whole, a client that accepts Arrow gets the rows at
    once, those `columns` of them.
    """
    takes_rows = Format.ARROW.media_type in request.headers.get("accept", "")
    wanted = partial(_rows_or_plan, at, name, start, end, names_in(columns), takes_rows=takes_rows)
    return await server_of(request).read(wanted)


def _rows_or_plan(
    pinned: Pinned, name: str, start: str | None, end: str | None, columns: Sequence[str] | None, *, takes_rows: bool
) -> Response:
    # The newest version needs no pinning: what is read below is of the version of its view.
    engine = pinned.live().engine
    dataset, span = known_dataset(engine, Dataset.parse(name)), Span.parse(as_time(start), as_time(end))
    names = parse_columns(dataset.spec, columns) or dataset.spec.names

    def answer() -> Response:
        stored = engine.store.view(dataset, span, data=takes_rows)
        parts = parts_of(stored)
        if takes_rows and most_rows(stored) <= _FEW and not any(part.segment for part in parts):
            rows = read_rows(engine.store, stored, names)
            body = b"".join(encoded(rows.clear(), [rows], Shape(Format.ARROW)))
            return Response(body, 200, {"Ticklake-Version": str(stored.version)}, Format.ARROW.media_type)
        return json_response({"version": stored.version, "dataset": str(dataset), "parts": list(map(_part, parts))})

    # Again, if files are moved while they are read.
    return retried(answer)


def _part(part: ReadPart) -> dict[str, Any]:
    told: dict[str, Any] = {"start": moment(part.span.start), "end": moment(part.span.end), "segment": None}
    if part.segment is not None:
        # With the checksums of its blocks: what a reader at hand compares, a distant one compares, too.
        blocks = b64encode(part.segment.packed).decode()
        told |= {"segment": part.segment.id, "rows": part.segment.rows, "bytes": part.segment.size, "blocks": blocks}
    return told


@router.get("/segments/{segment_id}", summary="A stored file", response_class=Response, responses=_BYTES)
async def segment_bytes(request: Request, segment_id: SegmentId, version: Version) -> Response:
    """Return the bytes of a stored segment, a Parquet file; those of a `Range` alone, if one is asked for."""
    server = server_of(request)
    try:
        file, size = await server.read(_open, server.lake, segment_id, version)
    except MissingSegment as error:
        # Not the lake's fault: it is gone since the plan was made.
        return problem(404, "MissingSegment", str(error))
    wanted = _wanted_bytes(request.headers.get("range", ""), size)
    if wanted is None:
        file.close()
        length = {"Content-Range": f"bytes */{size}"}
        return problem(416, "RangeNotSatisfiable", f"the segment has {size:,} bytes, and not those", headers=length)
    first, end = wanted
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{segment_id}"', "Content-Length": str(end - first)}
    status = 200
    if end - first < size:
        status = 206
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    return StreamingResponse(_pieces(server, file, first, end), status, headers, _PARQUET)


def _open(lake: Lake, segment_id: str, version: int) -> tuple[IO[bytes], int]:
    """Open the file of a segment of a version: once it is open it can be read to its end, whoever removes it.

    Raises
    ------
    MissingSegment
        If the version has no file of that id.
    """
    view = lake.at(version)
    catalog = view.engine.catalog
    assert isinstance(catalog, PinnedCatalog)  # noqa: S101 - a snapshot has no other
    segment = catalog.segment(segment_id)
    if segment is None or segment.path is None:
        raise MissingSegment(f"version {version} has no stored segment {segment_id!r}: list the segments anew")
    source = view.engine.store.source(segment)
    if isinstance(source, bytes):
        return BytesIO(source), len(source)
    try:
        file = source.open("rb")
    except FileNotFoundError:
        raise MissingSegment(f"segment {segment_id!r} went away: list the segments anew") from None
    return file, file.seek(0, SEEK_END)


def _wanted_bytes(header: str, size: int) -> tuple[int, int] | None:
    """Return the first byte that is wanted and the one after the last; ``None`` if the file has none of them.

    Only a single range is understood; for all else the whole file is returned, as RFC 9110 allows.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or not (match[1] or match[2]):
        return 0, size
    if not match[1]:
        first, end = max(size - int(match[2]), 0), size
    else:
        first, end = int(match[1]), min(int(match[2] or size) + 1, size)
    if first >= end:
        return None
    return first, end


async def _pieces(server: Server, file: IO[bytes], first: int, end: int) -> AsyncIterator[bytes]:
    # In pieces, and in a thread: the file may be larger than the memory, and the disk slower than the clients.
    with file:
        file.seek(first)
        left = end - first
        while left and (piece := await server.read(file.read, min(_PIECE, left))):
            left -= len(piece)
            yield piece
