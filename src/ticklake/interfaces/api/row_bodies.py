"""Rows that a client sends, in the formats that it may send."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import polars as pl
from fastapi import Query, Request
from starlette.exceptions import HTTPException

from ticklake.core.provenance import Provenance
from ticklake.core.time import parse_time
from ticklake.errors import InvalidData
from ticklake.storage.foreign_rows import read_arrow_stream, read_parquet

__all__ = ["BODY", "MOST_ROWS", "parse_rows", "provenance_of", "rows_of", "with_times"]

MOST_ROWS = 1_000_000
_MOST_BYTES = 256 * 2**20
"""Of what a Parquet file unpacks to."""
_RECORD = {"ts": "2024-01-01T00:00:00Z", "price": 42000.5, "amount": 0.25, "side": "buy"}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Rows: JSON (a list of objects, or an object of columns), NDJSON, CSV, an Arrow stream, or Parquet.",
        "content": {
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}}, "example": [_RECORD]},
            "application/x-ndjson": {"schema": {"type": "string"}},
            "text/csv": {"schema": {"type": "string"}},
            "application/vnd.apache.arrow.stream": {"schema": {"type": "string", "format": "binary"}},
            "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
"""What OpenAPI says of such a body."""


async def rows_of(request: Request) -> tuple[bytes, str]:
    """Return the body of a request, and its type."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind not in _READERS:
        raise HTTPException(415, f"rows of the type {kind[:100]!r} are not read: send one of {', '.join(_READERS)}")
    # The gate has bounded it.
    return await request.body(), kind


def parse_rows(body: bytes, kind: str) -> Any:
    """Return the rows of a body as :meth:`Lake.save <ticklake.Lake.save>` takes them.

    Raises
    ------
    InvalidData
        If it is not of its type.
    """
    return _READERS[kind](body)


def with_times(rows: Any) -> Any:
    """Return records of feature values with their times as integers: a frame of those that are text has none."""
    if not isinstance(rows, list):
        return rows
    return [_with_times(row) for row in rows]


def _with_times(row: Any) -> Any:
    if not isinstance(row, dict):
        return row
    times = {name: parse_time(row[name]) for name in ("ts", "known_at") if isinstance(row.get(name), str)}
    return {**row, **times}


def provenance_of(
    source: Annotated[str, Query(description="What delivered the rows.")] = "user",
    endpoint: Annotated[str, Query(description="The call or the file that they are from.")] = "",
    tool: Annotated[str, Query(description="Name and version of the program that fetched them.")] = "",
    id_space: Annotated[str, Query(description="The numbering of the ids of trades, where there are several.")] = "",
    clock: Annotated[str, Query(description="Whose clock ts is: exchange or local.")] = "exchange",
    note: Annotated[str, Query(description="Anything else worth keeping.")] = "",
) -> Provenance:
    """Return where sent rows came from, as the parameters of a request say it."""
    return Provenance(source, endpoint, tool, id_space, clock, note)


def _json(body: bytes) -> Any:
    try:
        rows = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidData(f"the body is no JSON: {error}") from None
    if isinstance(rows, dict) and set(rows) == {"data"}:
        rows = rows["data"]
    if isinstance(rows, dict):
        return _records(rows)
    if not isinstance(rows, list):
        raise InvalidData("the body holds no rows: send a list of objects, or an object with a list for each column")
    return rows


def _records(columns: dict[str, Any]) -> Any:
    """Return columns as records, whose times may be text; a single record is one."""
    lengths = {len(values) for values in columns.values() if isinstance(values, list)}
    if not lengths:
        return [columns]
    if len(lengths) > 1 or not all(isinstance(values, list) for values in columns.values()):
        raise InvalidData("the columns of the body differ in length: send a list for each, of one length")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _ndjson(body: bytes) -> Any:
    rows: list[Any] = []
    for number, line in enumerate(body.splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append(msgspec.json.decode(line))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise InvalidData(f"line {number} is no JSON: {error}") from None
    return rows


def _csv(body: bytes) -> Any:
    try:
        # As records: their times may be text.
        return pl.read_csv(io.BytesIO(body), infer_schema_length=None, try_parse_dates=False).to_dicts()
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise InvalidData(f"the body is no CSV: {str(error).partition(chr(10))[0][:200]}") from None


_READERS: dict[str, Callable[[bytes], Any]] = {
    "application/json": _json,
    "application/x-ndjson": _ndjson,
    "application/ndjson": _ndjson,
    "application/jsonl": _ndjson,
    "text/csv": _csv,
    "application/vnd.apache.arrow.stream": lambda body: read_arrow_stream(body, MOST_ROWS),
    "application/vnd.apache.parquet": lambda body: read_parquet(body, MOST_ROWS, _MOST_BYTES),
}
