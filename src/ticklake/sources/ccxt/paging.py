"""Page loops: how a span becomes calls, so that nothing is lost at a page's edge.

Each loop asks through a callable that already retries and paces, and yields pages that together cover the
span. An empty answer is asked again before it is believed; rows at a page's edge are asked again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace

import polars as pl

from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.span import Span, subtract
from ticklake.core.time import MS, format_time
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


async def id_pages(
    by_time: AskSpan, by_id: AskFrom, newest: AskNewest, span: Span, window: int, limit: int
) -> AsyncIterator[Page]:
    """Page through trades by their ids, which cannot miss one; by time only to find the first.

    Ids may have begun anew since: where a call by id does not find the trade that has it, or finds no more though there
    are newer ones, time leads on until ids do again.
    """
    cursor = span.start
    while cursor < span.end:
        part = Span(cursor, min(cursor + window, span.end))
        rows, requests = await believed(by_time, part)
        if not rows.height:
            yield Page(rows, (Covered(part),), requests)
            cursor = part.end
            continue
        next_id, stepped = await _first_id(by_id, rows, cursor, limit)
        if next_id is not None:
            requests += stepped
            async for page in _pages_from(by_id, newest, next_id, Span(cursor, span.end)):
                yield replace(page, frame=inside(page.frame, span), requests=page.requests + requests)
                cursor, requests = max([cursor, *(piece.span.end for piece in page.covered)]), 0
        if cursor == part.start:
            async for page in _time_pages(by_time, part, limit):
                yield page
            cursor = part.end


async def _pages_from(by_id: AskFrom, newest: AskNewest, next_id: int, span: Span) -> AsyncIterator[Page]:
    """Page by id from *next_id* on, until *span* is covered or newer trades have other ids."""
    cursor = span.start
    while cursor < span.end:
        rest = Span(cursor, span.end)
        rows, requests = await _page_by_id(by_id, next_id)
        if not rows.height:
            last = await newest()
            if not last.height or int(last["ts"].to_physical()[-1]) <= cursor:
                yield Page(rows, (Covered(rest),), requests + 1)
            return
        page = _trade_page(rows, rest, next_id, requests)
        yield page
        cursor = max([cursor, *(piece.span.end for piece in page.covered)])
        next_id = _ids(rows)[-1] + 1


async def _time_pages(by_time: AskSpan, span: Span, limit: int) -> AsyncIterator[Page]:
    """Page through trades by time: the last instant of a full page is asked again, as it may be cut."""
    cursor = span.start
    while cursor < span.end:
        rest = Span(cursor, span.end)
        rows, requests = await believed(by_time, rest)
        if rows.height < limit:
            yield Page(inside(rows, rest), (Covered(rest),), requests)
            return
        times = rows["ts"].to_physical()
        last = int(times[-1])
        if last > int(times[0]):
            yield Page(rows.filter(times < last), (Covered(Span(cursor, last)),), requests)
            cursor = last
        else:
            cursor = min(last + MS, span.end)
            yield _instant_page(rows, rest.start, last, cursor, full=True, limit=limit, requests=requests)


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
            yield _instant_page(rows, cursor, last, min(after, span.end), full, limit, requests)
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


async def _page_by_id(by_id: AskFrom, next_id: int) -> tuple[pl.DataFrame, int]:
    """Ask for the page that starts at an id; again if it is empty or ids are missing in it."""
    for asked in range(1, ASKS + 1):
        rows = await by_id(next_id)
        rows = rows.filter(rows["id"].cast(pl.Int64) >= next_id)
        if (rows.height and not _jumps(rows, next_id)) or asked == ASKS:
            return rows, asked
    raise AssertionError("unreachable")


async def _first_id(by_id: AskFrom, found: pl.DataFrame, start: int, limit: int) -> tuple[int | None, int]:
    """Step back until the trade before the first *found* is older than *start*: calls by time may begin late.

    Returns no id if calls by id do not find that trade.
    """
    known, when = _ids(found)[0], int(found["ts"].to_physical()[0])
    requests, first, step, at = 0, known, 1, known
    while at > 0:
        at = max(at - step, 0)
        rows, asked = await _page_by_id(by_id, at)
        requests += asked
        if at == known - 1 and _leads_elsewhere(rows, known, when):
            return None, requests
        older = rows.filter(rows["ts"].to_physical() < start)
        if older.height:
            return _ids(older)[-1] + 1, requests
        first = min([first, *_ids(rows)[:1]])
        step = step * 2 if not rows.height or _ids(rows)[0] > at else limit
    return first, requests


def _leads_elsewhere(rows: pl.DataFrame, known: int, when: int) -> bool:
    """Whether a call by id brought other trades than the *known* one, though it reached that far."""
    if rows.height and _ids(rows)[-1] < known:
        return False
    return not rows.filter(id=str(known), ts=pl.lit(when).cast(TIME)).height


def _trade_page(rows: pl.DataFrame, rest: Span, next_id: int, requests: int) -> Page:
    """Cover what *rows* show of *rest*: up to their last instant, or past it where ids are missing."""
    end = min(int(rows["ts"].to_physical()[-1]), rest.end)
    lost: list[Covered] = []
    for before, after, first, last in _jumps(rows, next_id, rest.start):
        hole = Span(before, max(after, before + 1)).intersect(rest)
        taken = [piece.span for piece in lost]
        reason = f"trade ids {first} to {last} are not served"
        lost += [Covered(part, Found.LOST, reason) for part in (subtract(hole, taken) if hole else ())]
    end = max([end, *(piece.span.end for piece in lost)])
    data: list[Covered] = []
    if end > rest.start:
        data = [Covered(part) for part in subtract(Span(rest.start, end), sorted(piece.span for piece in lost))]
    return Page(inside(rows, rest), (*data, *lost), requests, tuple(piece.reason for piece in lost))


def _instant_page(
    rows: pl.DataFrame, cursor: int, instant: int, after: int, full: bool, limit: int, requests: int
) -> Page:
    """Return the page of a single instant: whole if it is shorter than the limit, else lost in part."""
    if not full:
        return Page(rows, (Covered(Span(cursor, after)),), requests)
    reason = f"more than {limit} rows at {format_time(instant)}, which is all a call brings"
    pieces = [Covered(part) for part in _before(Span(cursor, after), instant)]
    return Page(rows, (*pieces, Covered(Span(instant, after), Found.LOST, reason)), requests, (reason,))


def _jumps(rows: pl.DataFrame, next_id: int, since: int | None = None) -> list[tuple[int, int, int, int]]:
    """Return time before and after, first and last missing id, for every jump in the ids."""
    if not rows.height:
        return []
    ids, times = _ids(rows), rows["ts"].to_physical().to_list()
    found = []
    before, expected = times[0] if since is None else min(since, times[0]), next_id
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
