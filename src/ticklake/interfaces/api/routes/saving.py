"""Saving: rows of a client's own, which are committed like those of a program at hand."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from ticklake.core.access import Role
from ticklake.core.provenance import Provenance
from ticklake.errors import InvalidData
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.answers import json_response
from ticklake.interfaces.api.formats import Format
from ticklake.interfaces.api.openapi import answers_value
from ticklake.interfaces.api.reading import Name
from ticklake.interfaces.api.routes.sent_rows import sent_rows
from ticklake.interfaces.api.server import server_of
from ticklake.interfaces.schema import to_json

__all__ = ["router"]

router = APIRouter(tags=["rows"], dependencies=[allow(Role.COLLECT)])
_ROWS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [{"type": "array", "items": {"type": "object"}}, {"type": "object"}]},
                "example": [{"ts": "2024-01-01T00:00:00Z", "price": 42283.6, "amount": 0.1, "side": "buy", "id": "1"}],
            },
            Format.ARROW.media_type: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
Source = Annotated[str, Query(description="Who delivered the rows.", min_length=1, max_length=200)]


@router.post(
    "/datasets/{name:path}/rows",
    summary="Save rows",
    openapi_extra=_ROWS,
    responses=answers_value(
        {"received": 1, "new": 1, "changed": 0, "duplicate": 0, "quarantined": 0, "version": 12, "reasons": {}}
    ),
)
async def save(
    request: Request,
    name: Name,
    source: Source = "user",
    endpoint: Annotated[str, Query(description="The call or the file.", max_length=1_000)] = "",
    tool: Annotated[str, Query(description="Name and version of what fetched them.", max_length=1_000)] = "",
    id_space: Annotated[str, Query(description="Which numbering the ids belong to.", max_length=1_000)] = "",
    clock: Annotated[
        str, Query(description="Whose clock `ts` is: `exchange` or `local`.", max_length=1_000)
    ] = "exchange",
    note: Annotated[str, Query(description="Anything else worth keeping.", max_length=1_000)] = "",
) -> Response:
    """Add rows: a list of objects, an object of columns, or an Arrow stream. The receipt says what became of them.

    Rows that cannot be true are refused one by one, and go to quarantine; rows of wrong columns or types are refused as a whole.
    """
    body = await request.body()
    is_arrow = request.headers.get("content-type", "").partition(";")[0].strip().lower() == Format.ARROW.media_type
    origin = Provenance(source, endpoint, tool, id_space, clock, note)

    def work() -> Any:
        read = _records
        if is_arrow:
            read = sent_rows
        rows = read(body)
        return to_json(server_of(request).lake.save(name, rows, origin))

    return json_response({"data": await server_of(request).work(work)})


def _records(body: bytes) -> Any:
    """Return the rows of a JSON body.

    Raises
    ------
    InvalidData
        If it is none.
    """
    try:
        rows = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise InvalidData("the body is no JSON: send a list of objects, or an Arrow stream") from error
    if not isinstance(rows, list | dict):
        raise InvalidData("the body holds no rows: send a list of objects, or an object of columns")
    return rows
