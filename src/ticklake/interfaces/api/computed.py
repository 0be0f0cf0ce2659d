"""Answers of rows that were computed: bars, panels, joins, series of books, features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from fastapi import Request, Response

from ticklake.audit.condition import condition_at_once
from ticklake.core.condition import combined
from ticklake.core.dataset import Dataset
from ticklake.core.span import ALL_TIME, Span
from ticklake.errors import BadInput
from ticklake.interfaces.api.formats import Format, Shape
from ticklake.interfaces.api.reading import Pinned
from ticklake.interfaces.api.rows import Begun, begun, send
from ticklake.interfaces.api.server import Server, server_of
from ticklake.lake.view import View
from ticklake.query.pages import STREAM_ROWS

__all__ = ["Made", "answer_made", "refuse_large"]


@dataclass(frozen=True, slots=True)
class Made:
    """Rows that were computed, or will be when they are collected, of which datasets, of which span.

    ``facts`` are what else there is to say of them.
    """

    rows: pl.DataFrame | pl.LazyFrame
    datasets: Sequence[Dataset] = ()
    span: Span = ALL_TIME
    facts: Mapping[str, Any] = field(default_factory=dict)


async def answer_made(
    request: Request, pinned: Pinned, make: Callable[[View], Made], shape: Shape, *, live: bool = False
) -> Response:
    """Answer with the rows that *make* computes of a version of the lake.

    With *live*, and if no version is asked for, *make* gets the lake itself: it also has rows that wait for their commit.
    """
    server = server_of(request)

    def work() -> Begun:
        view = pinned.chosen(live=live)
        version = view.engine.catalog.version()
        made = make(view)
        facts = {"complete": True, "next": None, "version": version, "condition": _condition(view, made), **made.facts}
        return _begun(server, made, facts, shape)

    return await send(server, await server.work(work), shape)


def refuse_large(server: Server, view: View, datasets: Iterable[Dataset], span: Span) -> None:
    """Refuse to compute from more stored rows than may be in memory for one answer; they are estimated, and none is read.

    Raises
    ------
    BadInput
    """
    rows = sum(view.estimate(dataset, span.start, span.end).rows for dataset in datasets)
    most = server.options.input_rows
    if rows > most:
        raise BadInput(
            f"this is made of about {rows:,} rows, and an answer of at most {most:,}: ask for a shorter span"
        )


def _begun(server: Server, made: Made, facts: Mapping[str, Any], shape: Shape) -> Begun:
    if isinstance(made.rows, pl.DataFrame):
        _refuse_too_many(made.rows, shape, server)
        return begun(made.rows.clear(), iter([made.rows]), made.rows.height, facts, shape)
    if shape.format is Format.JSON:
        # One row more than may be sent shows that there are too many.
        rows = made.rows.head(server.options.most_rows + 1).collect(engine="streaming")
        _refuse_too_many(rows, shape, server)
        return begun(rows.clear(), iter([rows]), rows.height, facts, shape)
    return _streamed(made.rows, facts, shape)


def _streamed(rows: pl.LazyFrame, facts: Mapping[str, Any], shape: Shape) -> Begun:
    """Begin to collect rows: what fits into one piece is sent with its number of rows, which more rows do not have before their end."""
    batches: Iterator[pl.DataFrame] = rows.collect_batches(
        chunk_size=STREAM_ROWS, maintain_order=True, engine="streaming"
    )
    first = next(batches, None)
    if first is None:
        empty = rows.head(0).collect()
        return begun(empty, iter([empty]), 0, facts, shape)
    second = next(batches, None)
    if second is None:
        return begun(first.clear(), iter([first]), first.height, facts, shape)

    def frames() -> Iterator[pl.DataFrame]:
        yield first
        yield second
        yield from batches

    return begun(first.clear(), frames(), None, facts, shape)


def _refuse_too_many(rows: pl.DataFrame, shape: Shape, server: Server) -> None:
    most = server.options.most_rows
    if shape.format is Format.JSON and rows.height > most:
        raise BadInput(
            f"these are more than {most:,} rows, the most of one answer in JSON: ask for a shorter span, or for ndjson, csv, arrow or parquet"
        )


def _condition(view: View, made: Made) -> str | None:
    """Return the condition of the rows that others were made of; ``None`` where none is to be told of."""
    if not made.datasets:
        return None
    engine = view.engine
    words = [condition_at_once(engine, each, engine.catalog.dataset(each), made.span) for each in made.datasets]
    return combined(words).value
