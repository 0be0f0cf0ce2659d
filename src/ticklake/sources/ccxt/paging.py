"""Page loops: how a span becomes calls, so that nothing is lost at a page's edge.

Each loop asks through a callable that already retries and paces, and yields pages that together cover the
span. An empty answer is asked again before it is believed; rows at a page's edge are asked again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import polars as pl

from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.span import Span, subtract
from ticklake.core.time import format_time
from ticklake.core.timeframe import Timeframe
from ticklake.sources.base import Page

__all__ = [
    "ASKS",
    "bar_pages",
    "cursor_pages",
    "id_pages",
    "inside",
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
    rows, requests = await _believed(ask, span)
    if rows.height < page_bars:
        yield Page(inside(rows, span), (Covered(span),), requests)
        return
    first = int(rows["ts"].to_physical().min())  # type: ignore[arg-type]
    reason = f"only the newest {page_bars} bars are served"
    pieces = [Covered(gone, Found.UNAVAILABLE, reason) for gone in _before(span, first)]
    pieces += [Covered(rest) for rest in _from(span, first)]
    yield Page(inside(rows, span), tuple(pieces), requests)


async def id_pages(by_time: AskSpan, by_id: AskFrom, span: Span, window: int, limit: int) -> AsyncIterator[Page]:
    """Page through trades by their ids, which cannot miss one; by time only to find the first."""
    cursor, next_id = span.start, -1
    while cursor < span.end and next_id < 0:
        part = Span(cursor, min(cursor + window, span.end))
        rows, requests = await _believed(by_time, part)
        if rows.height:
            next_id, stepped = await _first_id(by_id, _ids(rows)[0], cursor, limit)
            requests += stepped
        else:
            yield Page(rows, (Covered(part),), requests)
            cursor = part.end
    while cursor < span.end:
        rows, requests = await _page_by_id(by_id, next_id)
        if not rows.height:
            yield Page(rows, (Covered(Span(cursor, span.end)),), requests)
            return
        end = min(int(rows["ts"].to_physical()[-1]), span.end)
        yield _trade_page(rows, cursor, end, next_id, span, requests)
        cursor, next_id = max(end, cursor), _ids(rows)[-1] + 1


async def cursor_pages(ask: AskFrom, span: Span, limit: int, unit: int) -> AsyncIterator[Page]:
    """Page through rows by time: the last instant of each page is asked again, as it may be cut.

    *unit* is the precision of the exchange's cursor in nanoseconds. An instant with more rows than a page is
    recorded as ``lost``.
    """
    cursor = span.start
    while cursor < span.end:
        rows, requests = await _believed_from(ask, cursor)
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
            yield _instant_page(rows, cursor, last, min(after, span.end), limit, requests)
            cursor = after
        else:
            yield Page(rows.filter(times < last), (Covered(Span(cursor, last)),), requests)
            cursor = last


async def newest_page(ask: Callable[[], Awaitable[pl.DataFrame]], span: Span, limit: int) -> AsyncIterator[Page]:
    """Ask an endpoint that serves the newest rows only."""
    rows = await ask()
    if rows.height < limit:
        yield Page(inside(rows, span), (Covered(span),))
        return
    whole_from = int(rows["ts"].to_physical()[0]) + 1
    reason = f"only the newest {limit} rows are served"
    pieces = [Covered(gone, Found.UNAVAILABLE, reason) for gone in _before(span, whole_from)]
    pieces += [Covered(rest) for rest in _from(span, whole_from)]
    kept = [inside(rows, rest) for rest in _from(span, whole_from)]
    yield Page(kept[0] if kept else rows.clear(), tuple(pieces))


async def window_pages(ask: AskSpan, span: Span, window: int) -> AsyncIterator[Page]:
    """Page by windows that surely fit one call, for rows on a known grid."""
    cursor = span.start
    while cursor < span.end:
        part = Span(cursor, min(cursor + window, span.end))
        rows, requests = await _believed(ask, part)
        yield Page(inside(rows, part), (Covered(part),), requests)
        cursor = part.end


def inside(rows: pl.DataFrame, span: Span) -> pl.DataFrame:
    """Return the rows whose ``ts`` lies in *span*."""
    ts = rows["ts"].to_physical()
    return rows.filter((ts >= span.start) & (ts < span.end))


async def _bar_window(ask: AskSpan, dataset: Dataset, window: Span, page_bars: int) -> Page:
    """Ask for a window until every part of it was answered or is believed to be empty."""
    frame = _timeframe(dataset)
    pieces, doubts, requests = [], [window], 0
    while doubts:
        part = doubts.pop()
        before = frame.advance(part.start, -1, dataset.anchor)
        rows, asked = await _believed(ask, Span(before, part.end), part)
        requests += asked
        pieces.append(inside(rows, part))
        doubts += _doubts(rows, part, frame, dataset.anchor, page_bars)
    return Page(pl.concat(pieces), (Covered(window),), requests)


def _doubts(rows: pl.DataFrame, part: Span, frame: Timeframe, anchor: int | None, page_bars: int) -> Iterator[Span]:
    """Yield the edges of *part* that a cut page may have left out."""
    count = rows.height
    found = inside(rows, part)["ts"].to_physical()
    if not found.len() or (count < page_bars and count % ROUND):
        return
    first, after = int(found.min()), frame.next(int(found.max()), anchor)  # type: ignore[arg-type]
    yield from _before(part, first)
    yield from _from(part, after)


async def _believed(ask: AskSpan, span: Span, wanted: Span | None = None) -> tuple[pl.DataFrame, int]:
    """Ask until rows of *wanted* come, or nothing came often enough to be believed."""
    for asked in range(1, ASKS + 1):
        rows = await ask(span)
        if inside(rows, wanted or span).height or asked == ASKS:
            return rows, asked
    raise AssertionError("unreachable")


async def _believed_from(ask: AskFrom, cursor: int) -> tuple[pl.DataFrame, int]:
    for asked in range(1, ASKS + 1):
        rows = await ask(cursor)
        rows = rows.filter(rows["ts"].to_physical() >= cursor)
        if rows.height or asked == ASKS:
            return rows, asked
    raise AssertionError("unreachable")


async def _page_by_id(by_id: AskFrom, next_id: int) -> tuple[pl.DataFrame, int]:
    """Ask for the page that starts at an id; again if it is empty or ids are missing in it."""
    for asked in range(1, ASKS + 1):
        rows = await by_id(next_id)
        if (rows.height and not _jumps(rows, next_id)) or asked == ASKS:
            return rows, asked
    raise AssertionError("unreachable")


async def _first_id(by_id: AskFrom, found: int, start: int, limit: int) -> tuple[int, int]:
    """Step back until the trade before the first one is older than *start*: calls by time may begin late."""
    requests, first = 0, found
    while first > 0:
        back = max(first - (1 if first == found else limit), 0)
        rows, asked = await _page_by_id(by_id, back)
        requests += asked
        older = rows.filter(rows["ts"].to_physical() < start)
        if older.height:
            return _ids(older)[-1] + 1, requests
        if not rows.height or _ids(rows)[0] > back or back == 0:
            return min([first, *_ids(rows)[:1]]), requests
        first = back
    return first, requests


def _trade_page(rows: pl.DataFrame, cursor: int, end: int, next_id: int, span: Span, requests: int) -> Page:
    lost = [
        Covered(Span(before, max(after, before + 1)), Found.LOST, f"trade ids {first} to {last} are not served")
        for before, after, first, last in _jumps(rows, next_id)
    ]
    data: list[Covered] = []
    if end > cursor:
        holes = sorted(piece.span for piece in lost)
        data = [Covered(part) for part in subtract(Span(cursor, end), holes)]
    return Page(inside(rows, span), (*data, *lost), requests, tuple(piece.reason for piece in lost))


def _instant_page(rows: pl.DataFrame, cursor: int, instant: int, after: int, limit: int, requests: int) -> Page:
    """Return the page of a single instant: whole if it is shorter than the limit, else lost in part."""
    if rows.height < limit:
        return Page(rows, (Covered(Span(cursor, after)),), requests)
    reason = f"more than {limit} rows at {format_time(instant)}, which is all a call brings"
    pieces = [Covered(part) for part in _before(Span(cursor, after), instant)]
    return Page(rows, (*pieces, Covered(Span(instant, after), Found.LOST, reason)), requests, (reason,))


def _jumps(rows: pl.DataFrame, next_id: int) -> list[tuple[int, int, int, int]]:
    """Return time before and after, first and last missing id, for every jump in the ids."""
    if not rows.height:
        return []
    ids, times = _ids(rows), rows["ts"].to_physical().to_list()
    found = []
    before, expected = times[0], next_id
    for identity, ts in zip(ids, times, strict=True):
        if identity > expected:
            found.append((before, ts, expected, identity - 1))
        before, expected = ts, max(identity + 1, expected)
    return found


def _ids(rows: pl.DataFrame) -> list[int]:
    return [int(text) for text in rows["id"].to_list()]


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
