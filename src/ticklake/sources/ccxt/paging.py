"""Page loops: how a span becomes calls, so that nothing is lost at a page's edge.

Each loop asks through a callable that already retries and paces, and yields pages that together cover the
span. An empty answer is asked again before it is believed; rows at a page's edge are asked again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import polars as pl

from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.span import Span
from ticklake.core.time import format_time
from ticklake.core.timeframe import Timeframe
from ticklake.sources.base import Page

__all__ = [
    "ASKS",
    "AskFrom",
    "AskNewest",
    "AskSpan",
    "believed",
    "bar_pages",
    "cursor_pages",
    "inside",
    "instant_page",
    "newest_page",
    "recent_bars",
    "window_pages",
]

ASKS = 3
"""How many empty answers it takes to believe that there is nothing."""
ROUND = 50
"""A page whose length is a multiple of this may have been cut by a limit nobody told us of."""

AskSpan = Callable[[Span], Awaitable[pl.DataFrame]]
AskFrom = Callable[[int], Awaitable[pl.DataFrame]]
AskNewest = Callable[[], Awaitable[pl.DataFrame]]


async def bar_pages(ask: AskSpan, dataset: Dataset, span: Span, page_bars: int) -> AsyncIterator[Page]:
    """Page through bars by windows that surely fit one call; each call overlaps the bar before its window."""
    frame = _timeframe(dataset)
    cursor = span.start
    while cursor < span.end:
        window = Span(cursor, min(frame.advance(cursor, page_bars - 1, dataset.anchor), span.end))
        yield await _bar_window(ask, dataset, window, page_bars)
        cursor = window.end


async def recent_bars(ask: AskSpan, span: Span, page_bars: int) -> AsyncIterator[Page]:
    """Ask an endpoint that serves the newest bars only: what is older is unavailable, and said to be."""
    rows, requests = await believed(ask, span)
    if rows["ts"].n_unique() < page_bars:
        yield Page(inside(rows, span), (Covered(span),), requests)
        return
    first = int(rows["ts"].to_physical().min())  # type: ignore[arg-type]
    reason = f"only the newest {page_bars} bars are served"
    pieces = [Covered(gone, Found.UNAVAILABLE, reason) for gone in _before(span, first)]
    pieces += [Covered(rest) for rest in _from(span, first)]
    yield Page(inside(rows, span), tuple(pieces), requests)


async def cursor_pages(ask: AskFrom, span: Span, limit: int, unit: int, overlap: int = 0) -> AsyncIterator[Page]:
    """Page through rows by time: the last instant of each page is asked again, as it may be cut.

    *unit* is the precision of the exchange's cursor in nanoseconds. An instant with more rows than a page is
    recorded as ``lost``.
    """
    cursor = span.start
    while cursor < span.end:
        rows, full, requests = await _believed_from(ask, cursor, overlap or unit, limit)
        if not rows.height:
            yield Page(rows, (Covered(Span(cursor, span.end)),), requests)
            return
        times = rows["ts"].to_physical()
        first, last = int(times[0]), int(times[-1])
        if last >= span.end:
            yield Page(inside(rows, span), (Covered(Span(cursor, span.end)),), requests)
            return
        if first == last:
            after = last // unit * unit + unit
            yield instant_page(rows, cursor, last, min(after, span.end), full, limit, requests)
            cursor = after
        else:
            yield Page(rows.filter(times < last), (Covered(Span(cursor, last)),), requests)
            cursor = last


async def newest_page(ask: AskNewest, span: Span) -> AsyncIterator[Page]:
    """Ask an endpoint that serves the newest rows only: what lies before the first of them is unavailable."""
    rows = await ask()
    asked = 1
    while not rows.height and asked < ASKS:
        rows, asked = await ask(), asked + 1
    if not rows.height:
        yield Page(rows, (Covered(span),), asked)
        return
    whole_from = int(rows["ts"].to_physical()[0]) + 1
    reason = f"only the newest {rows.height} rows are served"
    pieces = [Covered(gone, Found.UNAVAILABLE, reason) for gone in _before(span, whole_from)]
    pieces += [Covered(rest) for rest in _from(span, whole_from)]
    kept = [inside(rows, rest) for rest in _from(span, whole_from)]
    yield Page(kept[0] if kept else rows.clear(), tuple(pieces), asked)


async def window_pages(ask: AskSpan, span: Span, window: int) -> AsyncIterator[Page]:
    """Page by windows that surely fit one call, for rows on a known grid."""
    cursor = span.start
    while cursor < span.end:
        part = Span(cursor, min(cursor + window, span.end))
        yield await _event_window(ask, part)
        cursor = part.end


def inside(rows: pl.DataFrame, span: Span) -> pl.DataFrame:
    """Return the rows whose ``ts`` lies in *span*."""
    ts = rows["ts"].to_physical()
    return rows.filter((ts >= span.start) & (ts < span.end))


async def _event_window(ask: AskSpan, window: Span) -> Page:
    """Ask for a window until no edge of it may have been cut off."""
    pieces, doubts, requests = [], [window], 0
    while doubts:
        part = doubts.pop()
        rows, asked = await believed(ask, part)
        requests += asked
        pieces.append(inside(rows, part))
        found = pieces[-1]["ts"].to_physical()
        if found.len() and (rows.height % ROUND == 0 or rows["ts"].n_unique() % ROUND == 0):
            first, last = int(found.min()), int(found.max())  # type: ignore[arg-type]
            doubts += [*_before(part, first), *_from(part, last + 1)]
    return Page(pl.concat(pieces), (Covered(window),), requests)


async def _bar_window(ask: AskSpan, dataset: Dataset, window: Span, page_bars: int) -> Page:
    """Ask for a window until every part of it was answered or is believed to be empty."""
    frame = _timeframe(dataset)
    pieces, doubts, requests = [], [window], 0
    while doubts:
        part = doubts.pop()
        before = frame.advance(part.start, -1, dataset.anchor)
        rows, asked = await believed(ask, Span(before, part.end), part)
        requests += asked
        pieces.append(inside(rows, part))
        doubts += _doubts(rows, part, frame, dataset.anchor, page_bars)
    return Page(pl.concat(pieces), (Covered(window),), requests)


def _doubts(rows: pl.DataFrame, part: Span, frame: Timeframe, anchor: int | None, page_bars: int) -> Iterator[Span]:
    """Yield the edges of *part* that a cut page may have left out."""
    counts = (rows.height, rows["ts"].n_unique())
    found = inside(rows, part)["ts"].to_physical()
    if not found.len() or all(count < page_bars and count % ROUND for count in counts):
        return
    first, after = int(found.min()), frame.next(int(found.max()), anchor)  # type: ignore[arg-type]
    yield from _before(part, first)
    yield from _from(part, after)


async def believed(ask: AskSpan, span: Span, wanted: Span | None = None) -> tuple[pl.DataFrame, int]:
    """Ask until rows of *wanted* come, or nothing came often enough to be believed."""
    for asked in range(1, ASKS + 1):
        rows = await ask(span)
        if inside(rows, wanted or span).height or asked == ASKS:
            return rows, asked
    raise AssertionError("unreachable")


async def _believed_from(ask: AskFrom, cursor: int, overlap: int, limit: int) -> tuple[pl.DataFrame, bool, int]:
    """Ask from a little before *cursor*, as the bound may be excluded or rounded; tell whether the page was full.

    A full page that brings a single instant is asked again from the cursor itself, to get all there is of it.
    """
    rows, full, requests = await _believed_since(ask, cursor - overlap, cursor, limit)
    if full and rows["ts"].n_unique() <= 1:
        rows, full, more = await _believed_since(ask, cursor, cursor, limit)
        requests += more
    return rows, full, requests


async def _believed_since(ask: AskFrom, since: int, cursor: int, limit: int) -> tuple[pl.DataFrame, bool, int]:
    for asked in range(1, ASKS + 1):
        answer = await ask(since)
        rows = answer.filter(answer["ts"].to_physical() >= cursor)
        if rows.height or asked == ASKS:
            return rows, answer.height >= limit, asked
    raise AssertionError("unreachable")


def instant_page(
    rows: pl.DataFrame, cursor: int, instant: int, after: int, full: bool, limit: int, requests: int
) -> Page:
    """Return the page of a single instant: whole if it is shorter than the limit, else lost in part."""
    if not full:
        return Page(rows, (Covered(Span(cursor, after)),), requests)
    reason = f"more than {limit} rows at {format_time(instant)}, which is all a call brings"
    pieces = [Covered(part) for part in _before(Span(cursor, after), instant)]
    return Page(rows, (*pieces, Covered(Span(instant, after), Found.LOST, reason)), requests, (reason,))


def _before(span: Span, ts: int) -> Iterator[Span]:
    cut = min(ts, span.end)
    if cut > span.start:
        yield Span(span.start, cut)


def _from(span: Span, ts: int) -> Iterator[Span]:
    cut = max(ts, span.start)
    if cut < span.end:
        yield Span(cut, span.end)


def _timeframe(dataset: Dataset) -> Timeframe:
    if dataset.timeframe is None:
        raise AssertionError(f"{dataset} has no bars")
    return dataset.timeframe
