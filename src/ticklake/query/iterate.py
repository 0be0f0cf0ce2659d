"""Iteration: the rows of many datasets as events in the order in which they happened, or became known, in little memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.event_rows import By
from ticklake.core.kinds import TIME
from ticklake.core.knowledge import KNOWN_AT, LIVE_WITHIN, NO_LAG, Lags, happened_at, known_at
from ticklake.core.lookup import absent
from ticklake.core.span import ALL_TIME, Span, normalise
from ticklake.core.windows import Stretch, windows
from ticklake.engine.block_cache import BlockCache
from ticklake.engine.engine import Engine
from ticklake.engine.read import load
from ticklake.engine.store import Store
from ticklake.errors import BadInput
from ticklake.query.asof import load_versions, stretches_of, with_times

__all__ = ["events"]

_WINDOW_ROWS = 1 << 17
_LEAST_ROWS = 1 << 14
"""Rows of a dataset in a window, on average: with fewer, each row group would be decoded for many windows."""
_MOST_ROWS = 1 << 20
"""Rows of a window, however many datasets there are."""
_TOO_MANY = 4
"""A window with so many times the rows that were expected is cut into two: rows may come in bursts."""
_TIME, _THEN, _DATASET = "time", "_then", "dataset"


@dataclass
class _Stream:
    """The rows of one dataset: those that are read and not due yet wait.

    ``span`` is that of their ``ts``, ``first`` the time of the first event.
    """

    store: Store
    dataset: Dataset
    span: Span
    first: int
    columns: list[str]
    by: By
    lags: Lags
    waiting: pl.DataFrame | None = None

    @cached_property
    def stretches(self) -> list[Stretch]:
        """Where it has rows, and how many."""
        return stretches_of(self.store, self.dataset, self.span)

    @cached_property
    def _filled(self) -> list[Span]:
        return normalise(stretch.span for stretch in self.stretches)

    def _has_rows(self, span: Span) -> bool:
        place = bisect_right(self._filled, span.start, key=lambda filled: filled.end)
        return place < len(self._filled) and self._filled[place].start < span.end

    def read(self, window: Span) -> pl.DataFrame | None:
        """Return the rows of a window with the time of their event, and what orders those of one time; ``None`` for none."""
        span = window.intersect(self.span)
        if span is None or not self._has_rows(span):
            return None
        # Most of what happened before the first event was known before it, too: its times alone tell.
        is_before = window.end <= self.first
        if is_before and not self._timed(span, [])[_TIME].ge(self.first).any():
            return None
        rows = self._timed(span, self.columns)
        if window.start < self.first:
            rows = rows.filter(pl.col(_TIME) >= self.first)
        if not rows.height:
            return None
        return rows

    @cached_property
    def _was_changed(self) -> bool:
        return self.by == "received" and self.store.catalog.has_history(self.dataset)[0]

    def _timed(self, span: Span, columns: Sequence[str]) -> pl.DataFrame:
        if self._was_changed:
            rows, known = load_versions(self.store, self.dataset, span, "default", self.lags)
        else:
            rows = load(self.store, self.dataset, span, columns=with_times(self.dataset, columns))
            known = known_at(rows, self.dataset, "default", self.lags)
        happened = happened_at(rows, self.dataset)
        time, then = happened, known
        if self.by == "received":
            time, then = known, happened
        # A row that says itself when it was known may say a time before its own. It is delivered when it happened.
        rows = rows.with_columns(pl.max_horizontal(time, happened).alias(_TIME), then.alias(_THEN))
        return rows.select(*columns, _TIME, _THEN)

    def due(self, read: pl.DataFrame | None, before: int) -> pl.DataFrame | None:
        """Return the rows whose time lies before *before*, in their stored order; the others wait."""
        rows = read
        if self.waiting is not None:
            rows = self.waiting
            if read is not None:
                rows = pl.concat([self.waiting, read])
        if rows is None:
            return None
        # Rows of a later window may still come before the others: they wait.
        is_due = rows[_TIME] < before
        if is_due.all():
            self.waiting = None
            return rows
        self.waiting = rows.filter(~is_due)
        return rows.filter(is_due)


def events(
    engine: Engine,
    datasets: Sequence[Dataset],
    span: Span,
    by: By = "exchange",
    lags: Lags = NO_LAG,
    columns: Sequence[str] | None = None,
) -> Iterator[pl.DataFrame]:
    """Return frames of events in order: ``dataset``, ``time``, and the columns of all datasets, null where one has none of a name.

    Events have the time at which they happened, or with ``received`` that at which they were known, inside *span*. Those of one time are
    ordered by when they were known (happened), then by dataset in the order of *datasets*, then as they are stored.

    Raises
    ------
    BadInput
        If two kinds have columns of one name and different types.
    """
    # Without the cache of the lake, which would fill with rows that nobody reads again.
    store = replace(engine.store, blocks=BlockCache(0))
    streams = [_stream(store, dataset, span, by, lags, columns) for dataset in datasets]
    schema = _schema_of(streams)
    return _ordered(streams, span, schema)


def _stream(store: Store, dataset: Dataset, span: Span, by: By, lags: Lags, columns: Sequence[str] | None) -> _Stream:
    names = list(dataset.spec.names)
    if columns is not None:
        names = [name for name in names if name in columns]
    # A row may have its time long before its event: a bar opens before it closes, and what is corrected comes late.
    start = max(span.start - _reach(store, dataset, span.start, by, lags), ALL_TIME.start)
    return _Stream(store, dataset, Span(start, span.end), span.start, names, by, lags)


def _reach(store: Store, dataset: Dataset, start: int, by: By, lags: Lags) -> int:
    """Return how long before its event a row may have its ``ts``."""
    reach = 0
    if dataset.timeframe is not None:
        reach = dataset.timeframe.length
    elif "close_time" in dataset.spec.names and start > ALL_TIME.start:
        # Bars of any length: the one that is open at *start* is the last that began before.
        last = load(store, dataset, Span(ALL_TIME.start, start), columns=["ts"], last=1)["ts"].to_physical()
        reach = start - min(last, default=start)
    if by == "exchange":
        return reach
    if KNOWN_AT in dataset.spec.names:
        return ALL_TIME.length
    reach += lags.of(dataset)
    if "received_at" in dataset.spec.names:
        reach += LIVE_WITHIN
    return max(reach, _reach_of_changes(store, dataset, start))


def _reach_of_changes(store: Store, dataset: Dataset, start: int) -> int:
    """Return how long before *start* the first row has its ``ts`` that was changed since."""
    if start == ALL_TIME.start or not store.catalog.has_history(dataset)[0]:
        return 0
    earliest = start
    for revision in store.catalog.revisions(dataset, Span(ALL_TIME.start, start)):
        if revision["created_at"] >= start:
            earliest = min(earliest, revision["ts"])
    return start - earliest


def _schema_of(streams: Sequence[_Stream]) -> dict[str, Any]:
    """Return the names and types of the columns of all streams."""
    schema: dict[str, Any] = {_DATASET: pl.Enum([str(stream.dataset) for stream in streams]), _TIME: TIME}
    for stream in streams:
        for name in stream.columns:
            dtype = stream.dataset.spec.schema[name]
            if name in (_DATASET, _TIME, _THEN):
                raise BadInput(f"{stream.dataset} has a column {name!r}, which is that of events: name other columns")
            if schema.setdefault(name, dtype) != dtype:
                raise BadInput(
                    f"column {name!r} of {stream.dataset} is {dtype}, and {schema[name]} elsewhere: name other columns"
                )
    return schema


def _ordered(streams: Sequence[_Stream], span: Span, schema: dict[str, Any]) -> Iterator[pl.DataFrame]:
    for frames in _due(streams, span):
        tagged: list[pl.DataFrame] = []
        for stream, frame in zip(streams, frames, strict=True):
            if frame is not None and frame.height:
                name = pl.lit(str(stream.dataset)).cast(schema[_DATASET]).alias(_DATASET)
                tagged.append(frame.with_columns(name))
        if not tagged:
            continue
        rows = pl.concat(tagged, how="diagonal")
        # What was read is not kept while its sorted copy is used.
        frames.clear()
        tagged.clear()
        if not _is_ordered(rows):
            # Stable: what is equal keeps the order of the datasets, and that in which a dataset stores it.
            rows = rows.sort(_TIME, _THEN, maintain_order=True)
        missing = [pl.lit(None, schema[name]).alias(name) for name in absent(schema, rows.columns)]
        rows = rows.with_columns(pl.col(_TIME).cast(TIME), *missing)
        if rows.height:
            yield rows.select(list(schema))


def _is_ordered(rows: pl.DataFrame) -> bool:
    time, then = rows[_TIME], rows[_THEN]
    if not time.is_sorted():
        return False
    return not ((time == time.shift()) & (then < then.shift())).any()


def _due(streams: Sequence[_Stream], span: Span) -> Iterator[list[pl.DataFrame | None]]:
    """Yield what is due of each stream, window by window."""
    stretches = list(chain.from_iterable(stream.stretches for stream in streams))
    most = min(max(_WINDOW_ROWS, _LEAST_ROWS * len(streams)), _MOST_ROWS)
    for window in windows(stretches, most):
        for part, frames in _read(streams, window, most * _TOO_MANY):
            due = [stream.due(frame, part.end) for stream, frame in zip(streams, frames, strict=True)]
            frames.clear()
            yield due
    # Nothing more is read: all that waits is due.
    yield [stream.due(None, span.end) for stream in streams]


def _read(streams: Sequence[_Stream], window: Span, most: int) -> Iterator[tuple[Span, list[pl.DataFrame | None]]]:
    """Yield the rows of a window, in several parts if they are more than *most*."""
    waiting = [window]
    while waiting:
        part = waiting.pop()
        frames: list[pl.DataFrame | None] = []
        rows = 0
        for stream in streams:
            frame = stream.read(part)
            frames.append(frame)
            if frame is not None:
                rows += frame.height
            if rows > most and part.length > 1:
                break
        if len(frames) == len(streams):
            yield part, frames
            continue
        # What was read of it is thrown away: halves are read again, each with fewer rows in memory.
        middle = part.start + part.length // 2
        waiting += [Span(middle, part.end), Span(part.start, middle)]
