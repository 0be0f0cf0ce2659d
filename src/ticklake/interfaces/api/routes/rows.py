"""Rows: of one dataset, and of several symbols together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from ticklake.core.access import Role
from ticklake.core.dataset import Dataset
from ticklake.core.requests import usual_kind
from ticklake.core.span import Span
from ticklake.core.symbol import exchange_id
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.answers import answer
from ticklake.interfaces.api.computed import Made, answer_made
from ticklake.interfaces.api.openapi import answers_rows, answers_value
from ticklake.interfaces.api.reading import Columns, End, Name, OfVersion, Start, Symbols, as_time, names_in
from ticklake.interfaces.api.rows import Narrowed, Written, answer_rows, shape_of
from ticklake.lake import Lake
from ticklake.lake.arguments import known_dataset
from ticklake.lake.joins import datasets_of_symbols
from ticklake.lake.view import View
from ticklake.query.pages import RowsRequest

__all__ = ["router"]

router = APIRouter(tags=["rows"], dependencies=[allow(Role.READ)])
Last = Annotated[int | None, Query(ge=1, description="Only so many of the newest rows.", examples=[100])]
Limit = Annotated[
    int | None,
    Query(
        ge=1,
        description="Rows of a page; `next` leads to the next one. All rows in formats other than json.",
        examples=[1000],
    ),
]
CursorText = Annotated[str | None, Query(description="What `next` of the page before was.", max_length=200)]
WithProvenance = Annotated[bool, Query(description="Add a column that says where each row came from.")]
_BAR = {
    "ts": "2024-01-01T00:00:00Z",
    "open": 42283.6,
    "high": 42298.6,
    "low": 42261.0,
    "close": 42298.6,
    "volume": 35.9,
}


async def _narrowed(limit: Limit = None, cursor: CursorText = None, last: Last = None) -> Narrowed:
    return Narrowed(limit, cursor, last)


@router.get(
    "/datasets/{name:path}/rows",
    summary="Rows of a dataset",
    responses=answers_rows(_BAR, {"datasets": ["binance:ohlcv:1m:BTC/USDT"]}),
)
async def rows(
    request: Request,
    name: Name,
    at: OfVersion,
    narrowed: Annotated[Narrowed, Depends(_narrowed)],
    written: Annotated[Written, Depends(shape_of)],
    start: Start = None,
    end: End = None,
    columns: Columns = None,
    provenance: WithProvenance = False,
) -> Response:
    """Return the rows of a dataset in `[start, end)`, in order of time.

    Every answer says how many `rows` it has, whether it is `complete`, where the `next` page begins, the `version` of the lake that
    it is of, and the `condition` of the span.
    """

    def wanted(engine: Engine) -> RowsRequest:
        dataset = known_dataset(engine, name)
        return RowsRequest((dataset,), _span(start, end), _columns(columns), provenance)

    return await answer_rows(request, at, wanted, narrowed, written.shape)


@router.get(
    "/rows",
    summary="Rows of several symbols",
    responses=answers_rows({"symbol": "BTC/USDT", **_BAR}, {"datasets": ["binance:ohlcv:1m:BTC/USDT"]}),
)
async def rows_of_symbols(
    request: Request,
    at: OfVersion,
    narrowed: Annotated[Narrowed, Depends(_narrowed)],
    written: Annotated[Written, Depends(shape_of)],
    exchange: Annotated[str, Query(description="The id of the exchange.", examples=["binance"], min_length=1)],
    symbols: Symbols,
    kind: Annotated[
        str | None, Query(description="What is recorded; bars with a timeframe, else trades.", examples=["ohlcv"])
    ] = None,
    schema: Annotated[str | None, Query(description="Another name of `kind`.")] = None,
    timeframe: Annotated[str | None, Query(description="Of bars.", examples=["1m"])] = None,
    start: Start = None,
    end: End = None,
    columns: Columns = None,
    provenance: WithProvenance = False,
) -> Response:
    """Return the rows of several symbols with a column `symbol`: symbol by symbol, and of each in order of time."""
    if kind is not None and schema is not None and kind != schema:
        raise BadInput(f"kind={kind} and schema={schema} are two names of one thing: give one of them")

    def wanted(engine: Engine) -> RowsRequest:
        version = at.number()
        if version is not None:
            engine = engine.at(version, engine.now())
        of_kind = kind or schema or usual_kind(timeframe)
        datasets: Sequence[Dataset] = datasets_of_symbols(
            engine, exchange_id(exchange), names_in(symbols) or [], timeframe, of_kind
        )
        return RowsRequest(tuple(datasets), _span(start, end), _columns(columns), provenance, named=True)

    return await answer_rows(request, at, wanted, narrowed, written.shape)


@router.get("/datasets/{name:path}/latest", summary="Newest rows", responses=answers_rows(_BAR, {"source": "files"}))
async def latest(
    request: Request,
    name: Name,
    at: OfVersion,
    written: Annotated[Written, Depends(shape_of)],
    count: Annotated[int, Query(ge=1, le=100_000, description="How many rows.", examples=[1])] = 1,
) -> Response:
    """Return the newest rows of a dataset; of one that this server collects, also those that wait for their commit.

    `source` says where all of them were: in the `cache`, `inline` in the catalog, or in `files`.
    """

    def make(view: View) -> Made:
        if isinstance(view, Lake):
            found, source = view.latest_with_source(name, count)
        else:
            found, source = view.load(name, last=count), None
        return Made(found, facts={"source": source})

    return await answer_made(request, at, make, written.shape, live=True)


@router.get(
    "/datasets/{name:path}/estimate",
    summary="Size of a read",
    responses=answers_value(
        {"rows": 1440, "is_exact": True, "files": 1, "bytes": {"json": 210_000}, "seconds": {"json": 0.001}}
    ),
)
async def estimate(
    request: Request,
    name: Name,
    at: OfVersion,
    start: Start = None,
    end: End = None,
    columns: Columns = None,
) -> Response:
    """Return how many rows a read would bring, and about what they take in each format: bytes and seconds."""
    return await answer(
        request, at, lambda view: view.estimate(name, as_time(start), as_time(end), columns=names_in(columns))
    )


def _span(start: str | None, end: str | None) -> Span:
    return Span.parse(as_time(start), as_time(end))


def _columns(text: str | None) -> tuple[str, ...] | None:
    names = names_in(text)
    if names is None:
        return None
    return tuple(names)
