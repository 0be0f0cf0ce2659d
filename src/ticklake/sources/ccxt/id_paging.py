"""Page loops by trade ids, which cannot miss a trade, and what to do where ids begin anew."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import polars as pl

from ticklake.core.coverage import Covered, Found
from ticklake.core.kinds import TIME
from ticklake.core.span import Span, subtract
from ticklake.core.time import MS, format_time
from ticklake.sources.base import Page
from ticklake.sources.ccxt.paging import ASKS, FIRST_IDS, AskFrom, AskNewest, AskSpan, believed, inside, instant_page

__all__ = ["id_pages", "is_first"]


def is_first(rows: pl.DataFrame) -> bool:
    """Whether the first of some trades, which are sorted, has the first number of all, so that there was none before it."""
    return rows.height > 0 and rows["id"][0] in FIRST_IDS


async def id_pages(
    by_time: AskSpan, by_id: AskFrom, newest: AskNewest, span: Span, window: int, limit: int
) -> AsyncIterator[Page]:
    """Page through trades by their ids, which cannot miss one; by time only to find the first.

    Ids may have begun anew since: where a call by id does not find the trade that has it, or finds no more though there
    are newer ones, time leads on until ids do again. A silence is covered only with the trade after it, as a jump in the ids
    says that it was none.
    """
    # ``quiet`` is since when nothing came. Once *begun*, the last trade stands at that very instant.
    cursor = quiet = span.start
    requests, begun = 0, False
    while cursor < span.end:
        part = Span(cursor, min(cursor + window, span.end))
        rows, asked = await believed(by_time, part)
        requests, cursor = requests + asked, part.end
        if not rows.height:
            continue
        next_id, follows, stepped = await _first_id(by_id, rows, quiet + 1 if begun else quiet, limit)
        requests, before = requests + stepped, quiet
        if next_id is not None:
            is_oldest = not follows
            async for found in _pages_from(by_id, newest, next_id, Span(quiet, span.end)):
                page = _without_older(found) if is_oldest else found
                # An instant may take several pages, of which the first ones cover nothing.
                is_oldest = is_oldest and not found.frame.height
                yield replace(page, frame=inside(page.frame, span), requests=page.requests + requests)
                quiet, requests = max([quiet, *(piece.span.end for piece in page.covered)]), 0
        if quiet != before:
            cursor, begun = quiet, True
            continue
        async for page in _time_pages(by_time, part, limit):
            early = (Covered(Span(quiet, part.start)),) if quiet < part.start else ()
            yield replace(page, covered=(*early, *page.covered), requests=page.requests + requests)
            quiet, requests, begun = max([quiet, *(piece.span.end for piece in page.covered)]), 0, True
    if quiet < span.end:
        yield await _quiet_end(newest, Span(quiet, span.end), requests)


def _without_older(page: Page) -> Page:
    """Return a page that begins with the first trade that is served, where that is not the first of all."""
    if not page.frame.height or is_first(page.frame):
        return page
    first = int(page.frame["ts"].to_physical().min())  # type: ignore[arg-type]
    reason = f"nothing before {format_time(first)} is served, where trade {page.frame['id'][0]} is"
    covered: list[Covered] = []
    for piece in page.covered:
        if piece.span.start < first:
            covered.append(Covered(Span(piece.span.start, min(piece.span.end, first)), Found.UNAVAILABLE, reason))
        if piece.span.end > first:
            covered.append(replace(piece, span=Span(max(piece.span.start, first), piece.span.end)))
    return replace(page, covered=tuple(covered))


async def _quiet_end(newest: AskNewest, rest: Span, requests: int) -> Page:
    """Cover the silence at the end, unless the newest trades lie in it: then calls by time did not bring them."""
    last = await newest()
    ts = last["ts"].to_physical()
    covered = () if ((ts > rest.start) & (ts < rest.end)).any() else (Covered(rest),)
    return Page(last.clear(), covered, requests + 1)


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
            yield _last_page(inside(rows, rest), rest, requests)
            return
        times = rows["ts"].to_physical()
        last = int(times[-1])
        if last > int(times[0]):
            yield Page(rows.filter(times < last), (Covered(Span(cursor, last)),), requests)
            cursor = last
        else:
            cursor = min(last + MS, span.end)
            yield instant_page(rows, rest.start, last, cursor, full=True, limit=limit, requests=requests)


def _last_page(rows: pl.DataFrame, rest: Span, requests: int) -> Page:
    """Return a page that is not full: it covers what comes before its last instant, as the silence after may be none."""
    last = int(rows["ts"].to_physical()[-1]) if rows.height else rest.start
    covered = (Covered(Span(rest.start, last)),) if last > rest.start else ()
    return Page(rows, covered, requests)


async def _page_by_id(by_id: AskFrom, next_id: int) -> tuple[pl.DataFrame, int]:
    """Ask for the page that starts at an id; again if it is empty or ids are missing in it."""
    for asked in range(1, ASKS + 1):
        rows = await by_id(next_id)
        rows = rows.filter(rows["id"].cast(pl.Int64) >= next_id)
        if (rows.height and not _jumps(rows, next_id)) or asked == ASKS:
            return rows, asked
    raise AssertionError("unreachable")


async def _first_id(by_id: AskFrom, found: pl.DataFrame, start: int, limit: int) -> tuple[int | None, bool, int]:
    """Step back until the trade before the first *found* is older than *start*: calls by time may begin late.

    Returns no id if calls by id do not find that trade; whether it follows one that is older; and how many calls that took.
    """
    known, when = _ids(found)[0], int(found["ts"].to_physical()[0])
    requests, first, step, at = 0, known, 1, known
    while at > 0:
        at = max(at - step, 0)
        rows, asked = await _page_by_id(by_id, at)
        requests += asked
        if at == known - 1 and _leads_elsewhere(rows, known, when):
            return None, False, requests
        older = rows.filter(rows["ts"].to_physical() < start)
        if older.height:
            return _ids(older)[-1] + 1, True, requests
        first = min([first, *_ids(rows.filter(rows["ts"].to_physical() <= when))[:1]])
        step = step * 2 if not rows.height or _ids(rows)[0] > at else limit
    return first, False, requests


def _leads_elsewhere(rows: pl.DataFrame, known: int, when: int) -> bool:
    """Whether a call by id brought other trades than the *known* one, though it reached that far."""
    if rows.height and _ids(rows)[-1] < known:
        return False
    return not rows.filter(id=str(known), ts=pl.lit(when).cast(TIME)).height


def _trade_page(rows: pl.DataFrame, rest: Span, next_id: int, requests: int) -> Page:
    """Cover what *rows* show of *rest*: up to their last instant, or past it where ids are missing.

    Where the page before ended with an instant that lacks ids, *rest* begins behind it, and rows of it still come.
    """
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
    asked = rows.filter(rows["ts"].to_physical() < rest.end)
    return Page(asked, (*data, *lost), requests, tuple(piece.reason for piece in lost))


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
