"""Pages and streams of stored rows: a request for rows of one or several datasets, answered of one version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import polars as pl

from ticklake.catalog.changes import DatasetRow
from ticklake.core.cursor import Cursor, digest_of
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import PROVENANCE
from ticklake.core.selection import parse_columns
from ticklake.core.span import Span
from ticklake.engine.engine import Engine
from ticklake.engine.read import chunks_of, count_rows, most_rows, read_rows
from ticklake.engine.store import DatasetView, Store, retried

__all__ = ["STREAM_ROWS", "RowsRequest", "StoredRows", "engine_at", "read_last", "read_page", "read_stream"]

SYMBOL = "symbol"
AT_ONCE = 1 << 18
"""Up to so many rows are read at once; more come in chunks."""
STREAM_ROWS = 1 << 15
"""Rows of a chunk, about. A row group is never cut, and where segments overlap twice as many rows are merged, which takes ten times their memory."""


@dataclass(frozen=True, slots=True)
class RowsRequest:
    """Which rows are wanted.

    ``columns`` are all for ``None``. With ``named``, a first column has the symbol; rows come dataset by dataset, each in order of time.
    """

    datasets: tuple[Dataset, ...]
    span: Span
    columns: Sequence[str] | None = None
    provenance: bool = False
    named: bool = False

    @property
    def digest(self) -> bytes:
        """What tells it from other requests."""
        names = list(map(str, self.datasets))
        return digest_of(names, tuple(self.span), self.columns, self.provenance, self.named)

    def names(self, dataset: Dataset) -> list[str]:
        """Return the columns that are read.

        Raises
        ------
        InvalidData
            If one is not a column of the kind.
        """
        names = parse_columns(dataset.spec, self.columns) or list(dataset.spec.names)
        if self.provenance and PROVENANCE not in names:
            names.append(PROVENANCE)
        return names


@dataclass(frozen=True, slots=True)
class StoredRows:
    """Rows of one version: how many they are, and their frames in order, each of which can be forgotten before the next.

    ``empty`` has the columns and no row. ``next`` is where the rest begins, if they end before the request does. ``heads`` are the rows of
    the datasets in the catalog, ``first`` is the time of the earliest row where only the newest were wanted.
    """

    version: int
    rows: int
    frames: Iterator[pl.DataFrame]
    empty: pl.DataFrame
    heads: Sequence[DatasetRow | None]
    next: Cursor | None = None
    first: int | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of one dataset of a request."""

    store: Store
    view: DatasetView
    names: Sequence[str]
    is_named: bool

    @property
    def is_small(self) -> bool:
        """Whether all rows may be read at once."""
        return most_rows(self.view) <= AT_ONCE

    @property
    def empty(self) -> pl.DataFrame:
        return self.shown(self.view.kind.empty())

    def shown(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the columns that are wanted."""
        if rows.columns != self.names:
            rows = rows.select(self.names)
        if self.is_named:
            rows = rows.insert_column(0, pl.lit(str(self.view.dataset.symbol)).alias(SYMBOL))
        return rows

    def after(self, ts: int, end: int) -> _Part:
        """Return the part from a time on."""
        return replace(self, view=self.view.of(self.view.segments, Span(ts, end)))

    def chunks(self, rows: int = STREAM_ROWS) -> Iterator[pl.DataFrame]:
        """Yield the rows with their times, whichever columns are wanted."""
        names = _with_times(self.names)
        if self.is_small:
            yield retried(partial(read_rows, self.store, self.view, names))
            return
        yield from chunks_of(self.store, self.view, names, rows)


def read_stream(engine: Engine, request: RowsRequest, version: int | None = None) -> StoredRows:
    """Return all rows of a request, in memory that does not grow with them."""
    version, parts = _parts(engine, request, version)
    first = None
    if len(parts) == 1 and parts[0].is_small:
        # Not counted first: that would read them twice.
        first = next(parts[0].chunks())
        rows, frames = first.height, iter([parts[0].shown(first)])
    else:
        rows = sum(count_rows(part.store, part.view, STREAM_ROWS) for part in parts)
        frames = chain.from_iterable(map(_shown_chunks, parts))
    return StoredRows(version, rows, frames, parts[0].empty, [part.view.row for part in parts])


def _shown_chunks(part: _Part) -> Iterator[pl.DataFrame]:
    for chunk in part.chunks():
        if chunk.height:
            yield part.shown(chunk)


def read_page(
    engine: Engine, request: RowsRequest, limit: int, version: int | None = None, after: Cursor | None = None
) -> StoredRows:
    """Return the first *limit* rows of a request, or those *after* the page before.

    Parameters
    ----------
    version
        The version to read; the newest by default. A cursor has its own.
    """
    place = 0
    if after is not None:
        version, place = after.version, after.place
    version, parts = _parts(engine, request, version)
    heads = [part.view.row for part in parts]
    frames: list[pl.DataFrame] = []
    left = limit
    cursor = after
    for number, part in enumerate(parts[place:], place):
        rows = _first_rows(part, left, cursor)
        if rows.height > left:
            rows = rows.head(left)
            frames.append(part.shown(rows))
            following = _cursor(request, version, number, rows, cursor)
            return StoredRows(version, limit, iter(frames), part.empty, heads, following)
        frames.append(part.shown(rows))
        left -= rows.height
        cursor = None
    return StoredRows(version, limit - left, iter(frames), parts[0].empty, heads)


def _first_rows(part: _Part, limit: int, cursor: Cursor | None) -> pl.DataFrame:
    """Return the first rows of a part from a cursor on: one more than the limit, if there are more."""
    skip = 0
    if cursor is not None:
        skip = cursor.skip
        part = part.after(cursor.ts, part.view.span.end)
    wanted = skip + limit + 1
    frames: list[pl.DataFrame] = []
    rows = 0
    for chunk in part.chunks(max(wanted, STREAM_ROWS)):
        frames.append(chunk)
        rows += chunk.height
        if rows >= wanted:
            break
    if not frames:
        return part.view.kind.empty()
    rows_of_all = frames[0]
    if len(frames) > 1:
        rows_of_all = pl.concat(frames)
    return rows_of_all.slice(skip, limit + 1)


def _cursor(request: RowsRequest, version: int, place: int, rows: pl.DataFrame, before: Cursor | None) -> Cursor:
    """Return where the rows of a page end."""
    if not rows.height:
        # The page before was filled by the datasets before this one.
        return Cursor(version, place, request.span.start, 0, request.digest)
    times = rows["ts"].to_physical()
    ts = int(times[-1])
    skip = rows.height - int(times.search_sorted(ts, side="left"))
    # A page inside one instant: those of the pages before count, too.
    if before is not None and before.ts == ts:
        skip += before.skip
    return Cursor(version, place, ts, skip, request.digest)


def read_last(engine: Engine, request: RowsRequest, last: int, version: int | None = None) -> StoredRows:
    """Return the newest *last* rows of each dataset of a request."""
    if version is None:
        before = engine.catalog.version()
        stored = _last_rows(engine, request, last, before)
        if engine.catalog.version() == before:
            return stored
        # Somebody committed meanwhile: some rows may be newer than the version.
        version = before
    return _last_rows(engine.at(version, engine.now()), request, last, version)


def _last_rows(engine: Engine, request: RowsRequest, last: int, version: int) -> StoredRows:
    frames: list[pl.DataFrame] = []
    parts: list[_Part] = []
    firsts: list[int] = []
    heads = engine.catalog.heads(request.datasets)[1]
    for dataset in request.datasets:
        names = request.names(dataset)
        rows = engine.load(dataset, request.span, columns=_with_times(names), last=last)
        firsts += rows["ts"].to_physical().head(1).to_list()
        part = _Part(engine.store, engine.store.view(dataset, Span(0, 1), data=False), names, request.named)
        parts.append(part)
        frames.append(part.shown(rows))
    total = sum(frame.height for frame in frames)
    listed = [heads.get(dataset) for dataset in request.datasets]
    return StoredRows(version, total, iter(frames), parts[0].empty, listed, first=min(firsts, default=None))


def _with_times(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(["ts", *names]))


def _parts(engine: Engine, request: RowsRequest, version: int | None) -> tuple[int, list[_Part]]:
    """Return the datasets of a request as one version has them, and that version."""
    parts: list[_Part] = []
    for dataset in request.datasets:
        store, view = engine.store, engine.store.view(dataset, request.span)
        if version is None:
            version = view.version
        elif view.version != version:
            store = engine_at(engine, version).store
            view = store.view(dataset, request.span)
        parts.append(_Part(store, view, request.names(view.dataset), request.named))
    return version or 0, parts


def engine_at(engine: Engine, version: int | None) -> Engine:
    """Return an engine that reads a version; the same one for the newest, or for ``None``."""
    if version is None or version == engine.catalog.version():
        return engine
    return engine.at(version, engine.now())
