"""Datasets: what the lake holds, and its rows."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from ticklake.core.access import Role
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.formats import rows_json
from ticklake.interfaces.api.reading import Pinned
from ticklake.interfaces.api.server import server_of
from ticklake.interfaces.schema import to_json

__all__ = ["router"]

router = APIRouter(tags=["datasets"], dependencies=[allow(Role.READ)])
At = Annotated[Pinned, Depends()]
Start = Annotated[str | None, Query(description="First time, inclusive: ISO 8601, or ns since 1970.")]
End = Annotated[str | None, Query(description="Last time, exclusive.")]
Columns = Annotated[str | None, Query(description="Only these columns, with commas.")]
Last = Annotated[int | None, Query(ge=1, description="Only so many of the newest rows.")]


@router.get("/datasets")
async def list_datasets(request: Request, at: At, search: str = "") -> dict[str, Any]:
    """List what the lake holds."""

    def answer() -> dict[str, Any]:
        view = at.view()
        return {"version": view.version, "data": to_json(view.inventory(search))}

    return await server_of(request).read(answer)


@router.get("/datasets/{name:path}/rows")
async def rows(
    request: Request,
    name: str,
    at: At,
    start: Start = None,
    end: End = None,
    columns: Columns = None,
    last: Last = None,
) -> Response:
    """Return the rows of a dataset in ``[start, end)``."""

    def answer() -> bytes:
        view = at.view()
        names = columns.split(",") if columns else None
        frame = view.load(name, start, end, columns=names, last=last)
        return rows_json(frame, {"version": view.version})

    return Response(await server_of(request).read(answer), media_type="application/json")
