"""Rows that are made of stored rows: bars, panels, as-of joins, markouts."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from ticklake.core.access import Role
from ticklake.core.dataset import Dataset
from ticklake.core.span import Span
from ticklake.core.symbol import exchange_id
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.computed import Made, answer_made, refuse_large
from ticklake.interfaces.api.openapi import answers_rows
from ticklake.interfaces.api.reading import (
    Columns,
    End,
    Exchange,
    KnownBy,
    Lags,
    MaxAge,
    Name,
    OfVersion,
    Start,
    Symbols,
    as_time,
    lags_in,
    names_in,
)
from ticklake.interfaces.api.rows import Written, shape_of
from ticklake.interfaces.api.server import server_of
from ticklake.lake.arguments import known_dataset, matching_datasets
from ticklake.lake.joins import datasets_of_symbols
from ticklake.lake.view import View

__all__ = ["router"]

router = APIRouter(tags=["computed"], dependencies=[allow(Role.READ)])
Datasets = Annotated[
    str,
    Query(description="Datasets or patterns, with commas between them.", examples=["binance:quotes:*"], min_length=1),
]


@router.get(
    "/datasets/{name:path}/resample",
    summary="Bars of trades or of shorter bars",
    responses=answers_rows({"ts": "2024-01-01T00:00:00Z", "open": 42283.6, "close": 42298.6}),
)
async def resample(
    request: Request,
    name: Name,
    at: OfVersion,
    written: Annotated[Written, Depends(shape_of)],
    rule: Annotated[
        str,
        Query(description="A timeframe, or `100ticks`, `5volume`, `1000000dollars`.", examples=["1h"], min_length=1),
    ],
    start: Start = None,
    end: End = None,
    columns: Columns = None,
    last: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Only so many of the newest bars.")] = None,
    partial: Annotated[bool, Query(description="Also bars at the edges that may be cut.")] = False,
    closed: Annotated[str | None, Query(description="Which end belongs to a bar: `left` or `right`.")] = None,
    label: Annotated[
        str | None, Query(description="Whether `ts` is when a bar opens or closes: `open`, `close`.")
    ] = None,
    origin: Annotated[str | None, Query(description="The time from which bars count.")] = None,
    session: Annotated[str | None, Query(description="Begin anew each day: `exchange`, or a time zone.")] = None,
    fill: Annotated[str | None, Query(description="Bars without rows: `forward` or `zero`; none by default.")] = None,
) -> Response:
    """Return the whole bars that open in `[start, end)`, made of the rows of a dataset; nothing is stored."""
    named = {"closed": closed, "label": label, "origin": as_time(origin), "session": session, "fill": fill}
    edges: dict[str, Any] = {option: value for option, value in named.items() if value is not None}

    def make(view: View) -> Made:
        bars = view.resample(
            name,
            rule,
            as_time(start),
            as_time(end),
            columns=names_in(columns),
            last=last,
            partial=partial,
            **edges,
        )
        return Made(bars, [known_dataset(view.engine, name)], Span.parse(as_time(start), as_time(end)))

    return await answer_made(request, at, make, written.shape)


@router.get(
    "/panel",
    summary="Many symbols in one table",
    responses=answers_rows({"ts": "2024-01-01T00:00:00Z", "BTC/USDT": 42298.6, "ETH/USDT": 2282.8}),
)
async def panel(
    request: Request,
    at: OfVersion,
    written: Annotated[Written, Depends(shape_of)],
    exchange: Exchange,
    symbols: Symbols,
    timeframe: Annotated[str | None, Query(description="Of bars.", examples=["1h"])] = None,
    column: Annotated[str, Query(description="A column, or several with commas.", examples=["close"])] = "close",
    columns: Columns = None,
    start: Start = None,
    end: End = None,
    kind: Annotated[str, Query(description="What is recorded.", examples=["ohlcv"])] = "ohlcv",
    wide: Annotated[bool, Query(description="A column for each symbol; else a row for each time and symbol.")] = True,
    how: Annotated[str, Query(description="Which times: `outer`, `inner` or `grid`.")] = "outer",
    label: Annotated[str, Query(description="Bars are named by their `open` or `close` time.")] = "open",
    fill: Annotated[str | None, Query(description="`forward` gives missing values the last one before them.")] = None,
    known_at: Annotated[str | None, Query(description="Only rows that were known at this time.")] = None,
    knowledge: KnownBy = "default",
    lags: Lags = None,
) -> Response:
    """Return one table of many symbols by time; what is missing is null.

    With `columns` instead of `column` there may be a single one whose name is in those of the table.
    """
    names = list(names_in(columns or column) or ())
    is_single = columns is None and len(names) == 1
    words: dict[str, Any] = {"how": how, "label": label, "fill": fill}

    def make(view: View) -> Made:
        datasets = datasets_of_symbols(
            view.engine, exchange_id(exchange), list(names_in(symbols) or ()), timeframe, kind
        )
        span = Span.parse(as_time(start), as_time(end))
        refuse_large(server_of(request), view, datasets, span)
        rows = view.panel(
            exchange,
            list(names_in(symbols) or ()),
            timeframe,
            names[0] if is_single else names,
            as_time(start),
            as_time(end),
            kind=kind,
            wide=wide,
            known_at=as_time(known_at),
            knowledge=knowledge,
            lags=lags_in(lags),
            **words,
        )
        return Made(rows, datasets, span)

    return await answer_made(request, at, make, written.shape)


@router.get(
    "/datasets/{name:path}/asof",
    summary="As-of join",
    responses=answers_rows({"ts": "2024-01-01T00:00:00Z", "price": 42283.6, "bid_price": 42283.5}),
)
async def asof(
    request: Request,
    name: Name,
    at: OfVersion,
    written: Annotated[Written, Depends(shape_of)],
    right: Datasets,
    start: Start = None,
    end: End = None,
    columns: Columns = None,
    max_age: MaxAge = None,
    knowledge: KnownBy = "default",
    allow_exact: Annotated[bool, Query(description="Whether a row counts that was known at the very instant.")] = True,
    suffix: Annotated[str, Query(description="For names of columns that both have.", max_length=64)] = "_right",
) -> Response:
    """Return the rows of a dataset with the newest row of others that was known at the time of each."""

    def make(view: View) -> Made:
        left, span = known_dataset(view.engine, name), Span.parse(as_time(start), as_time(end))
        refuse_large(server_of(request), view, [left, *_matching(view, right)], span)
        joined = view.asof(
            name,
            list(names_in(right) or ()),
            as_time(start),
            as_time(end),
            columns=names_in(columns),
            max_age=max_age,
            knowledge=knowledge,
            allow_exact=allow_exact,
            suffix=suffix,
        )
        return Made(joined, [left], span)

    return await answer_made(request, at, make, written.shape)


@router.get(
    "/datasets/{name:path}/markout",
    summary="Markouts of trades",
    responses=answers_rows({"ts": "2024-01-01T00:00:00Z", "price": 42283.6, "markout_1s": 0.1}),
)
async def markout(
    request: Request,
    name: Name,
    at: OfVersion,
    written: Annotated[Written, Depends(shape_of)],
    against: Datasets,
    start: Start = None,
    end: End = None,
    offsets: Annotated[
        str, Query(description="Lengths of time, with commas; with `-` before the trade.", examples=["1s,1m"])
    ] = "1s,5s,1m,5m",
    price: Annotated[str | None, Query(description="Which price of the others.", examples=["mid"])] = None,
    unit: Annotated[str, Query(description="`price` or `bps`.", examples=["bps"])] = "price",
    max_age: MaxAge = None,
) -> Response:
    """Return trades with how far the price had moved in their direction some time later."""
    words: dict[str, Any] = {"unit": unit}

    def make(view: View) -> Made:
        trades, span = known_dataset(view.engine, name), Span.parse(as_time(start), as_time(end))
        refuse_large(server_of(request), view, [trades, *_matching(view, against)], span)
        rows = view.markout(
            name,
            list(names_in(against) or ()),
            as_time(start),
            as_time(end),
            offsets=list(names_in(offsets) or ()),
            price=price,
            max_age=max_age,
            **words,
        )
        return Made(rows, [trades], span)

    return await answer_made(request, at, make, written.shape)


def _matching(view: View, names: str) -> list[Dataset]:
    return matching_datasets(view.engine, list(names_in(names) or ()))
