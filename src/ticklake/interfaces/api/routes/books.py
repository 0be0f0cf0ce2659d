"""Order books: at an instant, in series, and figures of them."""

from __future__ import annotations

from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Depends, Query, Request, Response

from ticklake.core.access import Role
from ticklake.core.book import Book, Stretch
from ticklake.core.dataset import Dataset
from ticklake.core.display import moment
from ticklake.core.span import Span
from ticklake.errors import BadInput
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.computed import Made, answer_made
from ticklake.interfaces.api.reading import (
    Columns,
    Depth,
    End,
    Exchange,
    Instant,
    InstantOfVersion,
    KnownBy,
    OfVersion,
    Start,
    Symbol,
    as_time,
    names_in,
)
from ticklake.interfaces.api.rows import Written, shape_of
from ticklake.interfaces.schema import to_json
from ticklake.lake.arguments import known_dataset
from ticklake.lake.view import View

__all__ = ["router"]

router = APIRouter(tags=["books"], dependencies=[allow(Role.READ)])
Every = Annotated[str, Query(description="A book at `start` and every so long after it.", examples=["1s"])]


@router.get("/book", summary="Order book at an instant")
async def book(
    request: Request,
    of: InstantOfVersion,
    written: Annotated[Written, Depends(shape_of)],
    exchange: Exchange,
    symbol: Symbol,
    at: Instant = None,
    depth: Depth = None,
    knowledge: KnownBy = "default",
    columns: Columns = None,
) -> Response:
    """Return the order book as it was at an instant: bids, then asks, best prices first.

    `proof` says whether it is known to be whole, `flags` what is wrong with it, `reason` why it is empty.
    """

    def make(view: View) -> Made:
        found = view.book(exchange, symbol, as_time(at), depth, knowledge, columns=names_in(columns))
        return Made(pl.DataFrame(found), facts=_facts(found))

    return await answer_made(request, of, make, written.shape)


def _facts(found: Book) -> dict[str, Any]:
    return {
        "at": moment(found.at),
        "ts": moment(found.ts),
        "seq": found.seq,
        "proof": found.proof,
        "flags": list(found.flags),
        "stretches": list(map(_stretch, found.stretches)),
        "reason": found.reason,
    }


def _stretch(stretch: Stretch) -> dict[str, Any]:
    return {**to_json(stretch.span), "reason": stretch.reason, "found": stretch.found.value}


@router.get("/books", summary="Series of order books")
async def books(
    request: Request,
    at: OfVersion,
    written: Annotated[Written, Depends(shape_of)],
    exchange: Exchange,
    symbol: Symbol,
    start: Start = None,
    end: End = None,
    every: Annotated[
        str, Query(description="A book at `start` and every so long after it; `message` for one after each message.")
    ] = "1s",
    depth: Annotated[int | None, Query(ge=0, le=100_000, description="Levels of each side; 0 for all.")] = 10,
    wide: Annotated[bool, Query(description="A row for each book, with columns for its levels.")] = False,
    bucket: Annotated[float | None, Query(gt=0, description="Sum up levels in ranges of prices this wide.")] = None,
    knowledge: KnownBy = "default",
) -> Response:
    """Return the order books in `[start, end)`: a row for each level of each book."""

    def make(view: View) -> Made:
        step = None if every == "message" else every
        series = view.books(
            exchange,
            symbol,
            as_time(start),
            as_time(end),
            step,
            depth or None,
            wide=wide,
            bucket=bucket,
            knowledge=knowledge,
        )
        return _series(view, exchange, symbol, series, start, end)

    return await answer_made(request, at, make, written.shape)


@router.get("/books/stats", summary="Figures of order books")
async def book_stats(
    request: Request,
    at: OfVersion,
    written: Annotated[Written, Depends(shape_of)],
    exchange: Exchange,
    symbol: Symbol,
    start: Start = None,
    end: End = None,
    every: Every = "1s",
    depths: Annotated[str, Query(description="Numbers of levels, with commas.", examples=["1,5,10"])] = "1,5,10",
    knowledge: KnownBy = "default",
) -> Response:
    """Return best prices, spread, mid, microprice, amounts, imbalances and order flow: a row every so long."""
    levels = _numbers(depths)

    def make(view: View) -> Made:
        series = view.book_stats(exchange, symbol, as_time(start), as_time(end), every, levels, knowledge=knowledge)
        return _series(view, exchange, symbol, series, start, end)

    return await answer_made(request, at, make, written.shape)


@router.get("/books/imbalances", summary="Mean imbalances of order books")
async def imbalances(
    request: Request,
    at: OfVersion,
    written: Annotated[Written, Depends(shape_of)],
    exchange: Exchange,
    symbol: Symbol,
    start: Start = None,
    end: End = None,
    every: Every = "1s",
    windows: Annotated[str, Query(description="Lengths of time, with commas.", examples=["1s,5s"])] = "1s,5s,15s,60s",
    depth: Annotated[int, Query(ge=1, le=100_000, description="Levels of each side.")] = 10,
    knowledge: KnownBy = "default",
) -> Response:
    """Return the mean imbalances of the books in windows of time: a row every so long."""

    def make(view: View) -> Made:
        series = view.imbalances(
            exchange, symbol, as_time(start), as_time(end), every, names_in(windows) or (), depth, knowledge=knowledge
        )
        return _series(view, exchange, symbol, series, start, end)

    return await answer_made(request, at, make, written.shape)


def _series(view: View, exchange: str, symbol: str, series: pl.LazyFrame, start: str | None, end: str | None) -> Made:
    dataset = known_dataset(view.engine, Dataset.of(exchange, symbol, "book"))
    return Made(series, [dataset], Span.parse(as_time(start), as_time(end)))


def _numbers(text: str) -> list[int]:
    numbers: list[int] = []
    for name in names_in(text) or ():
        if not name.isascii() or not name.isdigit() or len(name) > 6:
            raise BadInput(f"depths={text[:80]!r} are no numbers of levels: write them like 1,5,10")
        numbers.append(int(name))
    return numbers
