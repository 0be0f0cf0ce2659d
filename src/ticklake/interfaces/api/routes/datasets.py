"""Datasets: what the lake holds."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Query, Request, Response

from ticklake.audit.condition import condition_at_once
from ticklake.catalog.changes import DatasetRow
from ticklake.core.access import Role
from ticklake.core.column_words import columns_of
from ticklake.core.coverage import Coverage, Found
from ticklake.core.display import moment
from ticklake.core.span import total_length
from ticklake.core.time import SECOND, format_time
from ticklake.engine.engine import known_span
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.answers import answer, answer_with, json_response, raw_rows
from ticklake.interfaces.api.openapi import answers_value
from ticklake.interfaces.api.reading import Name, OfVersion
from ticklake.interfaces.api.server import server_of
from ticklake.interfaces.schema import to_json
from ticklake.lake.arguments import known_dataset
from ticklake.lake.view import View

__all__ = ["detail_router", "router"]

router = APIRouter(tags=["datasets"], dependencies=[allow(Role.READ)])
detail_router = APIRouter(tags=["datasets"], dependencies=[allow(Role.READ)])
_DATASET = {"dataset": "binance:ohlcv:1m:BTC/USDT", "rows": 1440, "bytes": 30_720, "first": "2024-01-01T00:00:00Z"}


class Sort(StrEnum):
    """A column of the list of datasets."""

    DATASET = "dataset"
    ROWS = "rows"
    BYTES = "bytes"
    FIRST = "first"
    LAST = "last"


Search = Annotated[str, Query(description="Only datasets whose name contains this, in any case.", examples=["BTC"])]


@router.get(
    "/datasets", summary="List of datasets", responses=answers_value([_DATASET], rows=1, total=1, complete=True)
)
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
            "data": raw_rows(shown),
        }

    # The lake itself: of older versions, rows have to be counted.
    return await answer_with(request, at, page, live=True)


@router.get(
    "/stats",
    summary="Statistics of the lake",
    responses=answers_value({"datasets": 2, "rows": 2880, "files": 2, "bytes": 61_440}, of_version=False),
)
async def stats(request: Request) -> Response:
    """Return how much the lake holds and how much space that takes, in all and by exchange and kind."""
    server = server_of(request)
    return json_response({"data": await server.work(lambda: to_json(server.lake.stats()))})


@detail_router.get(
    "/datasets/{name:path}",
    summary="A dataset",
    responses=answers_value({**_DATASET, "columns": [{"name": "ts", "unit": "ns since 1970-01-01T00:00:00Z"}]}),
)
async def dataset(request: Request, name: Name, at: OfVersion) -> Response:
    """Return what a dataset is: its columns with units and descriptions, its size and bounds, and what was looked at of it."""
    return await answer(request, at, lambda view: _described(view, name), live=True)


def _described(view: View, name: str) -> dict[str, Any]:
    engine = view.engine
    found = known_dataset(engine, name)
    coverage = engine.catalog.coverage(found)
    head = engine.catalog.dataset(found)
    known = known_span(found, head, coverage)
    word = None
    if known is not None:
        word = condition_at_once(engine, found, head, known).value
    return {
        "dataset": found,
        "exchange": found.exchange,
        "symbol": found.symbol,
        "kind": found.kind,
        "variant": found.variant,
        "timeframe": found.timeframe,
        "columns": columns_of(found),
        **_size(head),
        "condition": word,
        "coverage": list(_covered(coverage)),
    }


def _size(head: DatasetRow | None) -> dict[str, Any]:
    if head is None:
        return {"rows": 0, "bytes": 0, "first": None, "last": None, "changed_in": None, "updated": None}
    return {
        "rows": head.rows,
        "bytes": head.bytes,
        "first": moment(head.min_ts),
        "last": moment(head.max_ts),
        "changed_in": head.changed_in,
        "updated": moment(head.updated_at),
    }


def _covered(coverage: Coverage) -> Iterator[dict[str, Any]]:
    """Yield how much was found of each word of coverage."""
    for found in Found:
        spans = coverage.spans(found)
        if spans:
            seconds = total_length(spans) / SECOND
            start, end = format_time(spans[0].start), format_time(spans[-1].end)
            yield {"found": found.value, "spans": len(spans), "seconds": seconds, "start": start, "end": end}
