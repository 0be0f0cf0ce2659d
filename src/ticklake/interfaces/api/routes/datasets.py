"""Datasets: what the lake holds."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Query, Request, Response

from ticklake.core.access import Role
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.answers import answer_with
from ticklake.interfaces.api.reading import OfVersion
from ticklake.lake.view import View

__all__ = ["router"]

router = APIRouter(tags=["datasets"], dependencies=[allow(Role.READ)])


class Sort(StrEnum):
    """A column of the list of datasets."""

    DATASET = "dataset"
    ROWS = "rows"
    BYTES = "bytes"
    FIRST = "first"
    LAST = "last"


Search = Annotated[str, Query(description="Only datasets whose name contains this, in any case.", examples=["BTC"])]


@router.get("/datasets", summary="List of datasets")
async def list_datasets(
    request: Request,
    at: OfVersion,
    search: Search = "",
    exchange: Annotated[str | None, Query(description="Only of this exchange.", examples=["binance"])] = None,
    kind: Annotated[str | None, Query(description="Only of this kind.", examples=["ohlcv"])] = None,
    symbol: Annotated[str | None, Query(description="Only of this symbol.", examples=["BTC/USDT"])] = None,
    timeframe: Annotated[str | None, Query(description="Only bars of this length.", examples=["1h"])] = None,
    sort: Annotated[Sort, Query(description="By which column.", examples=["last"])] = Sort.DATASET,
    descending: Annotated[bool, Query(description="The largest first.")] = False,
    limit: Annotated[int, Query(ge=1, le=10_000, description="Most datasets of a page.")] = 1_000,
    offset: Annotated[int, Query(ge=0, le=10_000_000, description="So many come before this page.")] = 0,
) -> Response:
    """List what the lake holds: a row for each dataset, with its rows, bytes, first and last time, and files.

    `total` is how many fit; `rows` how many this page has.
    """
    wanted = {"exchange": exchange, "kind": kind, "symbol": symbol, "timeframe": timeframe}

    def page(view: View) -> dict[str, Any]:
        listed = view.inventory()
        fitting = listed.filter(listed["dataset"].str.to_lowercase().str.contains(search.lower(), literal=True))
        for column, value in wanted.items():
            if value is not None:
                fitting = fitting.filter(pl.col(column).str.to_lowercase() == value.lower())
        ordered = fitting.sort(sort.value, descending=descending, nulls_last=True, maintain_order=True)
        shown = ordered.slice(offset, limit)
        return {
            "rows": shown.height,
            "total": ordered.height,
            "complete": offset + shown.height >= ordered.height,
            "data": shown,
        }

    # The lake itself: of older versions, rows have to be counted.
    return await answer_with(request, at, page, live=True)
