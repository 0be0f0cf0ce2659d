"""Joins of rows that a client sends, as Arrow: each row with its instant. And events of several datasets, in order."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal

import polars as pl
from fastapi import APIRouter, Body, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from ticklake.core.access import Role
from ticklake.errors import InvalidData
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.computed import Made, answer_made
from ticklake.interfaces.api.formats import Format
from ticklake.interfaces.api.openapi import answers_rows
from ticklake.interfaces.api.reading import (
    Columns,
    End,
    Exchange,
    InstantOfVersion,
    KnownBy,
    Lags,
    MaxAge,
    OfVersion,
    Start,
    Symbol,
    as_time,
    lags_in,
    names_in,
)
from ticklake.interfaces.api.row_bodies import MOST_ROWS
from ticklake.interfaces.api.rows import Written, shape_of
from ticklake.interfaces.api.server import Server, server_of
from ticklake.lake.view import View
from ticklake.storage.foreign_rows import read_arrow_stream

__all__ = ["router", "sent_rows"]

router = APIRouter(tags=["computed"], dependencies=[allow(Role.READ)])
_SENT: dict[str, Any] = {
    "requestBody": {"content": {Format.ARROW.media_type: {"schema": {"type": "string", "format": "binary"}}}}
}
_FRAMES = "application/vnd.ticklake.frames"
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Arrow streams, each after its length in 8 bytes (little-endian); a length of 0 ends them.",
        "content": {_FRAMES: {"schema": {"type": "string", "format": "binary"}}},
    }
}
_LENGTH = 8
_EXAMPLE = {"ts": "2024-01-01T00:00:01Z", "price": 42283.6, "bid_price": 42283.5}
_BAR = {"ts": "2024-01-01T00:00:00Z", "open": 42283.6, "close": 42298.6}
Datasets = Annotated[
    str,
    Query(description="Datasets or patterns, with commas between them.", examples=["binance:quotes:*"], min_length=1),
]
Left = Annotated[
    str | None,
    Query(description="A dataset whose rows are taken, instead of a body.", examples=["binance:trades:BTC/USDT"]),
]
InstantColumn = Annotated[
    str | None, Query(description="The column of the instants; `ts` by default.", examples=["ts"])
]
Features = Annotated[
    str,
    Query(description="Features, with commas between them.", examples=["momentum@v3:ret_5m"], min_length=1),
]


@router.post("/asof", summary="As-of join of sent rows", openapi_extra=_SENT, responses=answers_rows(_EXAMPLE))
async def join_rows(
    request: Request,
    of: InstantOfVersion,
    written: Annotated[Written, Depends(shape_of)],
    right: Datasets,
    left: Left = None,
    start: Start = None,
    end: End = None,
    instants: InstantColumn = None,
    columns: Columns = None,
    max_age: MaxAge = None,
    knowledge: KnownBy = "default",
    lags: Lags = None,
    allow_exact: Annotated[bool, Query(description="Whether a row counts that was known at the very instant.")] = True,
    suffix: Annotated[str, Query(description="For names of columns that both have.", max_length=64)] = "_right",
) -> Response:
    """Return the rows of an Arrow stream with the newest row of datasets that was known at the instant of each."""
    body = await request.body()

    def make(view: View) -> Made:
        joined = view.asof(
            left or sent_rows(body),
            list(names_in(right) or ()),
            as_time(start),
            as_time(end),
            at=instants,
            columns=names_in(columns),
            max_age=max_age,
            knowledge=knowledge,
            lags=lags_in(lags),
            allow_exact=allow_exact,
            suffix=suffix,
        )
        return Made(joined)

    return await answer_made(request, of, make, written.shape)


@router.post("/markout", summary="Markouts of sent trades", openapi_extra=_SENT, responses=answers_rows(_EXAMPLE))
async def markout_rows(
    request: Request,
    of: InstantOfVersion,
    written: Annotated[Written, Depends(shape_of)],
    against: Datasets,
    left: Left = None,
    start: Start = None,
    end: End = None,
    offsets: Annotated[
        str, Query(description="Lengths of time, with commas; with `-` before the trade.", examples=["1s,1m"])
    ] = "1s,5s,1m,5m",
    price: Annotated[str | None, Query(description="Which price of the others.", examples=["mid"])] = None,
    unit: Annotated[Literal["price", "bps"], Query(description="The unit of a markout.")] = "price",
    instants: Annotated[str, Query(description="The column of the instants.", examples=["ts"])] = "ts",
    max_age: MaxAge = None,
) -> Response:
    """Return the trades of an Arrow stream with how far the price had moved in their direction some time later."""
    body = await request.body()

    def make(view: View) -> Made:
        rows = view.markout(
            left or sent_rows(body),
            list(names_in(against) or ()),
            as_time(start),
            as_time(end),
            offsets=list(names_in(offsets) or ()),
            price=price,
            unit=unit,
            at=instants,
            max_age=max_age,
        )
        return Made(rows)

    return await answer_made(request, of, make, written.shape)


@router.post("/features/join", summary="Features of sent rows", openapi_extra=_SENT, responses=answers_rows(_EXAMPLE))
async def join_features(
    request: Request,
    of: InstantOfVersion,
    written: Annotated[Written, Depends(shape_of)],
    features: Features,
    instants: Annotated[str, Query(description="The column of the instants.", examples=["ts"])] = "ts",
    by: Annotated[str | None, Query(description="The column of the symbols.", examples=["symbol"])] = None,
    symbol: Annotated[str | None, Query(description="The symbol of all rows, instead of a column.")] = None,
    exchange: Annotated[str | None, Query(description="The exchange of all rows.", examples=["binance"])] = None,
    max_age: MaxAge = None,
    knowledge: KnownBy = "default",
    full_names: Annotated[bool, Query(description="Name columns like `momentum@v3:ret_5m`.")] = False,
) -> Response:
    """Return the rows of an Arrow stream with the values of features that were known at the instant of each."""
    body = await request.body()

    def make(view: View) -> Made:
        joined = view.features.join(
            sent_rows(body),
            list(names_in(features) or ()),
            at=instants,
            by=by,
            symbol=symbol,
            exchange=exchange,
            max_age=max_age,
            knowledge=knowledge,
            full_names=full_names,
        )
        return Made(joined)

    return await answer_made(request, of, make, written.shape)


@router.post("/features/at", summary="Features at many instants", responses=answers_rows({"at": _EXAMPLE["ts"]}))
async def features_at(
    request: Request,
    of: InstantOfVersion,
    written: Annotated[Written, Depends(shape_of)],
    features: Features,
    symbol: Symbol,
    instants: Annotated[list[str], Body(max_length=1_000_000, examples=[["2024-01-01T12:00:00Z"]])],
    exchange: Annotated[str | None, Query(description="The exchange.", examples=["binance"])] = None,
    max_age: MaxAge = None,
    knowledge: KnownBy = "default",
) -> Response:
    """Return the values of features of a symbol at each of some instants."""

    def make(view: View) -> Made:
        names = list(names_in(features) or ())
        rows = view.features.at(names, exchange, symbol, instants, max_age=max_age, knowledge=knowledge)
        return Made(rows)

    return await answer_made(request, of, make, written.shape)


@router.get("/bars", summary="Bars, adjusted if that is asked for", responses=answers_rows(_BAR))
async def bars(
    request: Request,
    at: OfVersion,
    written: Annotated[Written, Depends(shape_of)],
    exchange: Exchange,
    symbol: Symbol,
    timeframe: Annotated[str, Query(description="The length of a bar.", examples=["1d"], min_length=1)],
    start: Start = None,
    end: End = None,
    adjust: Annotated[
        Literal["splits", "all"] | None, Query(description="Without the jumps of splits, or of dividends, too.")
    ] = None,
    columns: Columns = None,
) -> Response:
    """Return the bars of a symbol as they are stored, or as they look after the newest split and dividend."""

    def make(view: View) -> Made:
        names = names_in(columns)
        rows = view.ohlcv(exchange, symbol, timeframe, as_time(start), as_time(end), adjust=adjust, columns=names)
        return Made(rows)

    return await answer_made(request, at, make, written.shape)


@router.get("/iterate", summary="Events in order", response_class=Response, responses=_EVENTS)
async def iterate(
    request: Request,
    at: OfVersion,
    datasets: Datasets,
    start: Start = None,
    end: End = None,
    by: Annotated[Literal["exchange", "received"], Query(description="The time of an event.")] = "exchange",
    batch: Annotated[int, Query(ge=1, le=1_000_000, description="Rows of a frame.")] = 65_536,
    columns: Columns = None,
    lags: Lags = None,
) -> Response:
    """Return the rows of several datasets as events in order, of one version: frames of bounded size, one after the other."""
    server = server_of(request)

    def begin() -> tuple[Iterator[pl.DataFrame], bytes]:
        frames: Iterator[pl.DataFrame] = at.view().iterate(
            list(names_in(datasets) or ()),
            as_time(start),
            as_time(end),
            by=by,
            as_="frames",
            batch=batch,
            columns=names_in(columns),
            lags=lags_in(lags),
        )
        # What can be refused is refused before the first byte.
        return frames, _block(next(frames, None))

    frames, first = await server.work(begin)
    return StreamingResponse(_blocks(server, frames, first), media_type=_FRAMES)


async def _blocks(server: Server, frames: Iterator[pl.DataFrame], block: bytes) -> AsyncIterator[bytes]:
    while True:
        yield block
        if len(block) == _LENGTH:
            return
        block = await server.work(lambda: _block(next(frames, None)))


def _block(frame: pl.DataFrame | None) -> bytes:
    """Return a frame as an Arrow stream after its length; for ``None`` the end."""
    if frame is None:
        return bytes(_LENGTH)
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer)
    return len(buffer.getbuffer()).to_bytes(_LENGTH, "little") + buffer.getvalue()


def sent_rows(body: bytes) -> pl.DataFrame:
    """Return the rows that a client sent.

    Raises
    ------
    InvalidData
        If they are no Arrow stream.
    """
    if not body:
        raise InvalidData("no rows were sent: send them as an Arrow stream, or name a dataset with left=")
    return read_arrow_stream(body, MOST_ROWS)
