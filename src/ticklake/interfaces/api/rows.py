"""Answers of stored rows: pages and streams in every format, with what a client must know of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Annotated, Any

import polars as pl
from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse

from ticklake.app import tool
from ticklake.audit.condition import condition_at_once
from ticklake.catalog.changes import DatasetRow
from ticklake.core.condition import Condition, combined
from ticklake.core.cursor import Cursor
from ticklake.core.dataset import Dataset
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput
from ticklake.interfaces.api.formats import Format, Layout, Shape, Times, encoded, format_of, rows_json
from ticklake.interfaces.api.reading import Pinned
from ticklake.interfaces.api.server import Server, server_of
from ticklake.query.derive import made_of
from ticklake.query.pages import RowsRequest, StoredRows, read_last, read_page, read_stream

__all__ = ["HEADERS", "Begun", "Narrowed", "Written", "answer_rows", "begun", "is_known", "send", "shape_of"]

HEADERS = {
    "rows": "Ticklake-Rows",
    "complete": "Ticklake-Complete",
    "next": "Ticklake-Next",
    "version": "Ticklake-Version",
    "condition": "Ticklake-Condition",
}
"""Where the facts about rows are in formats that have no place for them."""
_MOST = 1_000_000
"""The most rows of a page in a format that is more compact than JSON."""
_WHOLE = 1 << 16
"""Up to so many rows are sent as a whole, with their length; more as a stream."""
_CACHING = {"Cache-Control": "private, no-cache", "Vary": "Accept"}


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Which of the rows of a request are wanted."""

    limit: int | None = None
    cursor: str | None = None
    last: int | None = None

    def __post_init__(self) -> None:
        if self.last is not None and (self.limit is not None or self.cursor is not None):
            raise BadInput(f"last={self.last} is a page of its own: leave out limit and cursor")

    def limit_of(self, form: Format, server: Server) -> int | None:
        """Return how many rows a page has; ``None`` for all.

        Raises
        ------
        BadInput
            If more are asked for than one answer may have.
        """
        most = server.options.most_rows
        if form is not Format.JSON:
            most = max(most, _MOST)
        asked = self.limit or self.last
        if asked is not None and asked > most:
            raise BadInput(
                f"{asked:,} rows are more than the {most:,} of one answer: follow 'next', or leave out the limit and ask for "
                "ndjson, csv, arrow or parquet"
            )
        if self.limit is not None:
            return self.limit
        if form is Format.JSON or self.cursor is not None:
            return min(server.options.page_rows, most)
        return None


class Written:
    """How rows are written: the parameters of a route."""

    def __init__(self, request: Request, form: Format | None, layout: Layout, times: Times, *, safe: bool) -> None:
        self.shape = Shape(format_of(form, request.headers.get("accept")), layout, times, safe)


async def shape_of(
    request: Request,
    format: Annotated[  # noqa: A002 - the name in HTTP
        Format | None,
        Query(description="The format; by default what `Accept` names, else json.", examples=["json"]),
    ] = None,
    layout: Annotated[
        Layout, Query(description="Of json: an object a row, or a list a column.", examples=["rows"])
    ] = Layout.ROWS,
    times: Annotated[
        Times, Query(description="Times in text: ISO 8601, or integers of nanoseconds since 1970.", examples=["iso"])
    ] = Times.ISO,
    safe: Annotated[
        bool, Query(description="Of csv: escape text that a spreadsheet would execute.", examples=[False])
    ] = False,
) -> Written:
    """Read how rows are to be written."""
    return Written(request, format, layout, times, safe=safe)


@dataclass(frozen=True, slots=True)
class Begun:
    """An answer whose first bytes are there: what can be refused was refused by now."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    rest: Iterator[bytes] | None = None


async def answer_rows(
    request: Request, pinned: Pinned, rows: Callable[[Engine], RowsRequest], narrowed: Narrowed, shape: Shape
) -> Response:
    """Answer with the rows that a request asks for.

    Parameters
    ----------
    rows
        Says which they are, given the version of the lake that is asked for.
    """
    server = server_of(request)
    seen = request.headers.get("if-none-match")
    return await send(server, await server.read(_begin, server, pinned, rows, narrowed, shape, seen), shape)


async def send(server: Server, begun: Begun, shape: Shape) -> Response:
    """Return the response that sends an answer which has begun."""
    media_type = shape.format.media_type
    if begun.rest is None:
        return Response(begun.body, begun.status, begun.headers, media_type)
    return StreamingResponse(_pieces(server, begun.body, begun.rest), begun.status, begun.headers, media_type)


def _begin(
    server: Server,
    pinned: Pinned,
    make_request: Callable[[Engine], RowsRequest],
    narrowed: Narrowed,
    shape: Shape,
    seen: str | None,
) -> Begun:
    limit = narrowed.limit_of(shape.format, server)
    engine, version = server.lake.engine, pinned.number()
    wanted = make_request(engine)
    after = None
    if narrowed.cursor is not None:
        after = Cursor.parse(narrowed.cursor, wanted.digest)
        if version not in (None, after.version):
            raise BadInput(
                f"the cursor is of version {after.version}, and version {version} is asked for: leave one out"
            )
        version = after.version
    newest, heads = engine.catalog.heads(wanted.datasets)
    word = _condition(engine, wanted, heads)
    state: object = [(head.id, head.changed_in) for head in heads.values()], word
    if version not in (None, newest):
        state = version
    tag = _tag(engine, wanted, state, (limit, narrowed, shape))
    if is_known(tag, seen):
        return Begun(304, {"ETag": tag, **_CACHING})
    stored = _read(engine, wanted, narrowed, limit, version, after)
    if stored.version != newest:
        word = _condition_then(server, wanted, stored)
    facts = _facts(wanted, stored, word)
    return begun(stored.empty, stored.frames, stored.rows, facts, shape, {"ETag": tag})


def _read(
    engine: Engine,
    wanted: RowsRequest,
    narrowed: Narrowed,
    limit: int | None,
    version: int | None,
    after: Cursor | None,
) -> StoredRows:
    if narrowed.last is not None:
        return read_last(engine, wanted, narrowed.last, version)
    if limit is not None:
        return read_page(engine, wanted, limit, version, after)
    return read_stream(engine, wanted, version)


def begun(
    empty: pl.DataFrame,
    frames: Iterator[pl.DataFrame],
    rows: int | None,
    facts: Mapping[str, Any],
    shape: Shape,
    headers: Mapping[str, str] | None = None,
) -> Begun:
    """Begin to write rows.

    Parameters
    ----------
    empty
        A frame with their columns, and no row.
    rows
        How many they are; ``None`` if nobody knows before the last one.
    facts
        What JSON has beside the rows, and other formats have in headers.
    """
    sent = {**_CACHING, **(headers or {}), **_fact_headers({"rows": rows, **facts})}
    if shape.format is Format.JSON:
        listed = list(frames)
        whole = listed[0]
        if len(listed) > 1:
            whole = pl.concat(listed)
        return Begun(headers=sent, body=rows_json(whole, facts, shape))
    pieces = encoded(empty, frames, shape)
    if rows is not None and rows <= _WHOLE:
        return Begun(headers=sent, body=b"".join(pieces))
    # What can be said before the first row is said with a status.
    return Begun(headers=sent, body=next(pieces), rest=pieces)


def _fact_headers(facts: Mapping[str, Any]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, header in HEADERS.items():
        value = facts.get(name)
        if isinstance(value, bool):
            headers[header] = str(value).lower()
        elif value is not None:
            headers[header] = str(value)
    return headers


async def _pieces(server: Server, first: bytes, rest: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the pieces of a body; each is made in a thread when the one before was sent.

    An error is raised: the connection is cut then, so that no client takes a part for the whole.
    """
    yield first
    while (piece := await server.read(next, rest, None)) is not None:
        yield piece


def _facts(wanted: RowsRequest, stored: StoredRows, word: Condition) -> dict[str, Any]:
    """Return what a client must know of rows, in the order of the envelope."""
    following = None
    if stored.next is not None:
        following = str(stored.next)
    return {
        "complete": stored.next is None,
        "next": following,
        "version": stored.version,
        "condition": word.value,
        "datasets": list(map(str, wanted.datasets)),
    }


def _condition(engine: Engine, wanted: RowsRequest, heads: Mapping[Dataset, DatasetRow]) -> Condition:
    words: list[Condition] = []
    for dataset in wanted.datasets:
        judged = dataset
        if dataset.variant is not None:
            judged = made_of(engine, dataset)
        head = heads.get(judged) or engine.catalog.dataset(judged)
        words.append(condition_at_once(engine, judged, head, wanted.span))
    return combined(words)


def _condition_then(server: Server, wanted: RowsRequest, stored: StoredRows) -> Condition:
    """Return the condition of the version that was read, which is not the newest."""
    engine = server.lake.at(stored.version).engine
    heads = [head for head in stored.heads if head is not None]
    return _condition(engine, wanted, {head.dataset: head for head in heads})


def _tag(engine: Engine, wanted: RowsRequest, state: object, options: object) -> str:
    """Return the ETag of an answer: it changes when rows or coverage of the datasets may have."""
    digest = blake2b(digest_size=12)
    digest.update(repr((engine.catalog.database.lake(), tool(), wanted.digest, options, state)).encode())
    return f'"{digest.hexdigest()}"'


def is_known(tag: str, seen: str | None) -> bool:
    """Whether a client that sends *seen* as ``If-None-Match`` has the answer with this tag."""
    if seen is None:
        return False
    return seen.strip() == "*" or tag in (part.strip().removeprefix("W/") for part in seen.split(","))
