"""SQL: a query over the views of the lake."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ticklake.core.access import Role
from ticklake.core.sql import SqlResult
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.formats import Format
from ticklake.interfaces.api.openapi import answers_rows
from ticklake.interfaces.api.reading import OfVersion
from ticklake.interfaces.api.rows import Begun, Written, begun, send, shape_of
from ticklake.interfaces.api.server import server_of
from ticklake.interfaces.sql_text import as_text
from ticklake.query.sql_sandbox import SandboxedQuery

__all__ = ["router"]

router = APIRouter(tags=["sql"], dependencies=[allow(Role.READ)])
_LONGEST = 100_000
_MOST_PARAMETERS = 1_000
Value = str | int | float | bool | None


class SqlRequest(BaseModel):
    """A query, its parameters, and how many rows are wanted."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(
        min_length=1,
        max_length=_LONGEST,
        description="One SELECT over the views, or EXPLAIN of one.",
        examples=["select symbol, max(high) as high from ohlcv where timeframe = $timeframe group by symbol"],
    )
    params: list[Value] | dict[str, Value] | None = Field(
        None,
        max_length=_MOST_PARAMETERS,
        description="Values for `?` as a list, or for `$name` as an object.",
        examples=[{"timeframe": "1h"}],
    )
    limit: int | None = Field(None, ge=1, le=2**63 - 1, description="Most rows of the answer.", examples=[1000])


@router.post(
    "/sql",
    summary="Answer an SQL query",
    responses=answers_rows({"symbol": "BTC/USDT", "high": 42298.6}, {"note": ""}),
)
async def sql(
    request: Request, wanted: SqlRequest, at: OfVersion, written: Annotated[Written, Depends(shape_of)]
) -> Response:
    """Answer a query over the views: one for each kind, `datasets` and `coverage`, from one version of the lake.

    It runs in a process of its own that reads nothing else, writes nothing and has limits. An answer that is cut says so: `complete` is
    false, and `note` says which limit cut it.
    """
    server = server_of(request)
    form = written.shape.format

    def make() -> SandboxedQuery:
        limits = server.queries.options.limits
        most = limits.rows
        if form is Format.JSON:
            most = min(most, server.options.most_rows)
        if wanted.limit is not None:
            most = min(most, wanted.limit)
        # Of the newest version, the list of datasets is made once for many queries.
        engine = at.live().engine
        return server.queries.sandbox.query(engine, wanted.query, wanted.params, limits=replace(limits, rows=most))

    def write(result: SqlResult) -> Begun:
        rows = as_text(result.frame, form)
        return begun(rows.clear(), iter([rows]), result.rows, _facts(result), written.shape, _headers(result))

    result = await server.queries.run(request, await server.work(make))
    return await send(server, await server.work(write, result), written.shape)


def _facts(result: SqlResult) -> dict[str, Any]:
    return {
        "complete": result.complete,
        "next": None,
        "version": result.version,
        "condition": None,
        "note": result.note,
    }


def _headers(result: SqlResult) -> dict[str, str]:
    """Return what was left out in words, for formats that have no place for it."""
    if not result.note:
        return {}
    return {"Ticklake-Note": result.note}
