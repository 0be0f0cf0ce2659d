"""Order books: at an instant, in series, and figures of them."""

from __future__ import annotations

from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Depends, Query, Request, Response

from ticklake.core.access import Role
from ticklake.core.book import Book, Stretch
from ticklake.core.dataset import Dataset
from ticklake.core.display import moment
from ticklake.core.duration import parse_length
from ticklake.core.span import Span
from ticklake.errors import BadInput
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.computed import Made, answer_made
from ticklake.interfaces.api.formats import Format, Shape
from ticklake.interfaces.api.openapi import answers_rows
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
from ticklake.interfaces.api.server import Server, server_of
from ticklake.interfaces.schema import to_json
from ticklake.lake.arguments import known_dataset, span_of_interest
from ticklake.lake.view import View

__all__ = ["router"]

router = APIRouter(tags=["books"], dependencies=[allow(Role.READ)])
_MOST_INSTANTS = 2_000_000
"""The most instants of a series in one answer: the books of a second of three weeks."""
Every = Annotated[str, Query(description="A book at `start` and every so long after it.", examples=["1s"])]


@router.get(
    "/book",
    summary="Order book at an instant",
    responses=answers_rows(
        {"ts": "2024-01-01T00:00:00Z", "seq": 1, "side": "bid", "price": 42283.5, "amount": 1.5},
        {"proof": "proven", "flags": [], "reason": ""},
    ),
)
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


@router.get(
    "/books",
    summary="Series of order books",
    responses=answers_rows({"ts": "2024-01-01T00:00:00Z", "side": "bid", "level": 1, "price": 42283.5, "amount": 1.5}),
)
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
    series = _Series(exchange, symbol, start, end)

    def make(view: View) -> Made:
        step: str | None = None
        if every != "message":
            step = every
            series.check(view, every, server_of(request), written.shape)
        rows = view.books(
            series.exchange,
            series.symbol,
            series.start,
            series.end,
            step,
            depth or None,
            wide=wide,
            bucket=bucket,
            knowledge=knowledge,
        )
        return series.made(view, rows)

    return await answer_made(request, at, make, written.shape)


@router.get(
    "/books/stats",
    summary="Figures of order books",
    responses=answers_rows({"ts": "2024-01-01T00:00:00Z", "bid_price": 42283.5, "ask_price": 42283.6, "spread": 0.1}),
)
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
    series = _Series(exchange, symbol, start, end)

    def make(view: View) -> Made:
        series.check(view, every, server_of(request), written.shape)
        rows = view.book_stats(
            series.exchange, series.symbol, series.start, series.end, every, levels, knowledge=knowledge
        )
        return series.made(view, rows)

    return await answer_made(request, at, make, written.shape)


@router.get(
    "/books/imbalances",
    summary="Mean imbalances of order books",
    responses=answers_rows({"ts": "2024-01-01T00:00:00Z", "imbalance_1s": 0.25}),
)
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
    series = _Series(exchange, symbol, start, end)

    def make(view: View) -> Made:
        series.check(view, every, server_of(request), written.shape)
        lengths = names_in(windows) or ()
        rows = view.imbalances(
            series.exchange, series.symbol, series.start, series.end, every, lengths, depth, knowledge=knowledge
        )
        return series.made(view, rows)

    return await answer_made(request, at, make, written.shape)


class _Series:
    """A series of books that a request asks for: of which dataset, and from when to when."""

    def __init__(self, exchange: str, symbol: str, start: str | None, end: str | None) -> None:
        self.exchange, self.symbol = exchange, symbol
        self.start, self.end = as_time(start), as_time(end)

    def made(self, view: View, rows: pl.LazyFrame) -> Made:
        """Return its rows, with what they are made of."""
        return Made(rows, [self._dataset(view)], Span.parse(self.start, self.end))

    def check(self, view: View, every: str, server: Server, shape: Shape) -> None:
        """Refuse more instants than one answer may have: each takes time, also where there is no book.

        Raises
        ------
        BadInput
        """
        span = span_of_interest(view.engine, self._dataset(view), self.start, self.end)
        step = parse_length(every)
        if span is None or step <= 0:
            return
        most = _MOST_INSTANTS
        if shape.format is Format.JSON:
            most = min(most, server.options.most_rows)
        count = span.length // step
        if count > most:
            raise BadInput(
                f"every={every} makes {count:,} instants of this span, and an answer has at most {most:,}: ask for a shorter span, "
                "a longer step, or another format than json"
            )

    def _dataset(self, view: View) -> Dataset:
        return known_dataset(view.engine, Dataset.of(self.exchange, self.symbol, "book"))


def _numbers(text: str) -> list[int]:
    numbers: list[int] = []
    for name in names_in(text) or ():
        if not name.isascii() or not name.isdigit() or len(name) > 6:
            raise BadInput(f"depths={text[:80]!r} are no numbers of levels: write them like 1,5,10")
        numbers.append(int(name))
    return numbers
