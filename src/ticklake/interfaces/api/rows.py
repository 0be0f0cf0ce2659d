"""Answers of stored rows: pages and streams in every format, with what a client must know of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Annotated, Any

import polars as pl
from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse

from ticklake.app import tool
from ticklake.audit.condition import condition_at_once, coverage_digest
from ticklake.catalog.changes import DatasetRow
from ticklake.core.condition import Condition, combined
from ticklake.core.cursor import Cursor
from ticklake.core.dataset import Dataset
from ticklake.core.span import Span
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput
from ticklake.interfaces.api.formats import Format, Layout, Shape, Times, data_json, encoded, envelope, format_of
from ticklake.interfaces.api.reading import Pinned
from ticklake.interfaces.api.server import Server, server_of
from ticklake.query.derive import made_of
from ticklake.query.pages import RowsRequest, StoredRows, engine_at, read_last, read_page, read_stream

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
    rest: Generator[bytes] | None = None


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

    def begin() -> Begun:
        return _begin(_Asked(server, pinned, rows, narrowed, shape), seen)

    return await send(server, await server.read(begin), shape)


async def send(server: Server, begun: Begun, shape: Shape) -> Response:
    """Return the response that sends an answer which has begun."""
    media_type = shape.format.media_type
    if begun.rest is None:
        return Response(begun.body, begun.status, begun.headers, media_type)
    return StreamingResponse(_pieces(server, begun.body, begun.rest), begun.status, begun.headers, media_type)


def _begin(asked: _Asked, seen: str | None) -> Begun:
    tag = asked.tag()
    if is_known(tag, seen):
        return Begun(304, {"ETag": tag, **_CACHING})
    answers = asked.server.answers
    written: _Written | None = answers.get(tag)
    if written is not None:
        # Nothing of it changed since: it is what the newest version has.
        return asked.answer(written, tag, asked.version or asked.newest)
    stored = asked.read()
    if stored.rows > _WHOLE and asked.shape.format is not Format.JSON:
        facts = _facts(asked.wanted, stored.next, stored.version, asked.word(stored.version, None))
        return begun(stored.empty, stored.frames, stored.rows, facts, asked.shape, {"ETag": tag})
    written = _Written.of(stored, asked.shape)
    # If somebody committed since the tag was made, the answer belongs to the next one.
    if stored.version in (asked.version, asked.newest):
        answers.add(tag, written, len(written.body))
    return asked.answer(written, tag, stored.version)


class _Asked:
    """What a request for stored rows asks for, and of which version.

    ``version`` is the one that is asked for, ``None`` for the newest; ``newest`` is the newest one before a row is read.
    """

    def __init__(
        self,
        server: Server,
        pinned: Pinned,
        make_request: Callable[[Engine], RowsRequest],
        narrowed: Narrowed,
        shape: Shape,
    ) -> None:
        self.server = server
        self.shape = shape
        self.engine = server.lake.engine
        self._narrowed = narrowed
        self._limit = narrowed.limit_of(shape.format, server)
        self.version = pinned.number()
        self._after: Cursor | None = None
        if narrowed.cursor is not None:
            self._after = self._cursor(narrowed.cursor)
            self.version = self._after.version
        # Names are those of the version: a dataset may have been dropped or renamed since.
        self.wanted = make_request(engine_at(self.engine, self.version))
        if self._after is not None:
            self._after.check(self.wanted.digest)
        self.newest, self._heads = self.engine.catalog.heads(self.wanted.datasets)
        self._newest_word: Condition | None = None

    def _cursor(self, text: str) -> Cursor:
        cursor = Cursor.parse(text)
        if self.version not in (None, cursor.version):
            raise BadInput(
                f"the cursor is of version {cursor.version}, and version {self.version} is asked for: leave one out"
            )
        return cursor

    def tag(self) -> str:
        """Return the ETag of the answer: it changes when rows or coverage of the datasets may have."""
        state: object = self.version
        if self.version in (None, self.newest):
            state = self._state()
        lake = self.engine.catalog.database.lake()
        digest = blake2b(digest_size=12)
        digest.update(repr((lake, tool(), self.wanted.digest, self._limit, self._narrowed, self.shape, state)).encode())
        return f'"{digest.hexdigest()}"'

    def _state(self) -> object:
        """Return what an answer of the newest version depends on."""
        self._newest_word = _condition(self.engine, self.wanted, self._heads)
        state: list[object] = [(head.id, head.changed_in) for head in self._heads.values()]
        state.append(self._newest_word)
        if self._narrowed.last is not None:
            # Their condition is that of their own time, which is known when they are read.
            state += [coverage_digest(self.engine, _judged(self.engine, each)) for each in self.wanted.datasets]
        return state

    def read(self) -> StoredRows:
        """Read the rows."""
        if self._narrowed.last is not None:
            return read_last(self.engine, self.wanted, self._narrowed.last, self.version)
        if self._limit is not None:
            return read_page(self.engine, self.wanted, self._limit, self.version, self._after)
        return read_stream(self.engine, self.wanted, self.version)

    def answer(self, written: _Written, tag: str, version: int) -> Begun:
        """Return the answer of a version that has these rows."""
        return written.answer(tag, version, self.word(version, written.first), self.wanted, self.shape)

    def word(self, version: int, first: int | None) -> Condition:
        """Return the condition of the rows of a version, from their *first* time on if only the newest are wanted."""
        if first is None and version == self.newest and self._newest_word is not None:
            return self._newest_word
        engine = self.engine
        if version != engine.catalog.version():
            engine = self.server.lake.at(version).engine
        wanted = self.wanted
        if first is not None:
            wanted = replace(wanted, span=Span(first, max(wanted.span.end, first + 1)))
        return _condition(engine, wanted, {})


@dataclass(frozen=True, slots=True)
class _Written:
    """Rows as they are sent, without what differs from version to version."""

    rows: int
    next: Cursor | None
    first: int | None
    body: bytes

    @classmethod
    def of(cls, stored: StoredRows, shape: Shape) -> _Written:
        """Write rows that are not too many to be sent as a whole."""
        if shape.format is Format.JSON:
            return cls(stored.rows, stored.next, stored.first, data_json(_whole(stored.frames), shape))
        body = b"".join(encoded(stored.empty, stored.frames, shape))
        return cls(stored.rows, stored.next, stored.first, body)

    def answer(self, tag: str, version: int, word: Condition, wanted: RowsRequest, shape: Shape) -> Begun:
        """Return the answer that has them."""
        following = self.next
        if following is not None:
            following = replace(following, version=version)
        facts = {"rows": self.rows, **_facts(wanted, following, version, word)}
        headers = {**_CACHING, "ETag": tag, **_fact_headers(facts)}
        body = self.body
        if shape.format is Format.JSON:
            body = envelope(body, facts)
        return Begun(headers=headers, body=body)


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
        whole = _whole(frames)
        return Begun(headers=sent, body=envelope(data_json(whole, shape), {"rows": whole.height, **facts}))
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


async def _pieces(server: Server, first: bytes, rest: Generator[bytes]) -> AsyncIterator[bytes]:
    """Yield the pieces of a body; each is made in a thread when the one before was sent.

    An error is raised: the connection is cut then, so that no client takes a part for the whole.
    """
    try:
        yield first
        while (piece := await server.read(next, rest, None)) is not None:
            yield piece
    finally:
        # Also if the client went away: files that are open are closed now.
        rest.close()


def _whole(frames: Iterator[pl.DataFrame]) -> pl.DataFrame:
    """Return frames, of which there is one at least, as one."""
    listed = list(frames)
    if len(listed) == 1:
        return listed[0]
    return pl.concat(listed)


def _facts(wanted: RowsRequest, following: Cursor | None, version: int, word: Condition) -> dict[str, Any]:
    """Return what a client must know of rows, in the order of the envelope."""
    text = None
    if following is not None:
        text = str(following)
    return {
        "complete": following is None,
        "next": text,
        "version": version,
        "condition": word.value,
        "datasets": list(map(str, wanted.datasets)),
    }


def _condition(engine: Engine, wanted: RowsRequest, heads: Mapping[Dataset, DatasetRow]) -> Condition:
    words: list[Condition] = []
    for dataset in wanted.datasets:
        judged = _judged(engine, dataset)
        head = heads.get(judged) or engine.catalog.dataset(judged)
        words.append(condition_at_once(engine, judged, head, wanted.span))
    return combined(words)


def _judged(engine: Engine, dataset: Dataset) -> Dataset:
    """Return the dataset whose condition a dataset has: of a derived one, that of which it is made."""
    if dataset.variant is None:
        return dataset
    return made_of(engine, dataset)


def is_known(tag: str, seen: str | None) -> bool:
    """Whether a client that sends *seen* as ``If-None-Match`` has the answer with this tag."""
    if seen is None:
        return False
    return seen.strip() == "*" or tag in (part.strip().removeprefix("W/") for part in seen.split(","))
