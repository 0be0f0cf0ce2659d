"""Page loop for trades by windows of time: what is called data is proven by what the answers show.

Exchanges answer a window that holds more trades than a page with its newest or with its oldest ones, cap pages lower than
asked, round bounds to seconds, exclude or include them, and ignore the times of what they no longer serve. So every
page that may be cut is asked again around its edges, with the rows at the edge inside the new window; and silence before
the first trade counts only if an older trade is served, too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import polars as pl

from ticklake.core.coverage import Covered, Found
from ticklake.core.evidence import NOTHING_OLDER
from ticklake.core.span import Span, normalise, subtract
from ticklake.core.time import HOUR, format_time
from ticklake.sources.base import Page
from ticklake.sources.ccxt.paging import AskNewest, ask_until, inside, newest_page, served_before
from ticklake.sources.ccxt.row_counts import Answer
from ticklake.sources.ccxt.trade_calls import TradeCalls

__all__ = ["AskTrades", "WindowWalk", "trade_pages"]

AskTrades = Callable[[Span, bool], Awaitable[Answer]]
"""Asks for the trades of a window, exactly or from a little before on; an answer may hold more."""
FIRST_WINDOW = HOUR
BUSY = 8
"""A window that takes more calls than this is followed by a shorter one, as it is kept in memory."""
ROUND = 50
"""A page whose length is a multiple of this may have been cut by a limit nobody told us of."""
FEW = 20
"""No exchange cuts its answers to fewer trades than this."""


@dataclass(slots=True)
class WindowWalk:
    """What one history has learned: counts of rows that came before, and whether an older row was served."""

    ask: AskTrades
    calls: TradeCalls
    limit: int
    counts: set[int] = field(default_factory=set)
    served_before: bool = False
    looked_before: bool = False


@dataclass(slots=True)
class _Part:
    """One window being asked: its rows so far, what is proven, how many calls it took."""

    frame: pl.DataFrame
    lost: list[Covered] = field(default_factory=list)
    requests: int = 0
    kept_to_window: bool = True


async def trade_pages(walk: WindowWalk, newest: AskNewest, span: Span, empty: pl.DataFrame) -> AsyncIterator[Page]:
    """Page through the trades of *span* by windows, oldest first.

    A window that the exchange answers with other times is unavailable; of the last one, the newest page is taken.
    """
    calls, limit = walk.calls, walk.limit
    cursor, length = span.start, min(FIRST_WINDOW, calls.longest)
    while cursor < span.end:
        window = Span(cursor, min(cursor + length, span.end))
        part = await _asked(walk, window, empty)
        if part.kept_to_window:
            yield await _page(walk, part, window)
        elif window.end < span.end:
            reason = f"asked for {window}, the exchange answers with other times"
            yield Page(empty, (Covered(window, Found.UNAVAILABLE, reason),), part.requests, (reason,))
        else:
            async for page in newest_page(newest, window):
                yield page
        cursor = window.end
        if part.requests > BUSY:
            length = max(length // 2, calls.unit)
        elif part.frame.height < limit // 4:
            length = min(length * 2, calls.longest)


async def _page(walk: WindowWalk, part: _Part, window: Span) -> Page:
    """Return the page of a window; silence before the first trade of all is unavailable unless an older one is served."""
    rows = inside(part.frame, window)
    times = rows["ts"].to_physical()
    first = int(times.min()) if times.len() else window.end  # type: ignore[arg-type]
    requests, start, pieces = part.requests, window.start, list[Covered]()
    if first > window.start and not walk.served_before:
        requests += await _look_before(walk, window.start)
        if not walk.served_before:
            pieces.append(Covered(Span(window.start, first), Found.UNAVAILABLE, NOTHING_OLDER))
            start = first
    walk.served_before = walk.served_before or bool(times.len())
    if start < window.end:
        pieces += _with_lost(Span(start, window.end), part.lost)
    return Page(rows, tuple(pieces), requests, tuple(piece.reason for piece in part.lost))


def _with_lost(span: Span, lost: list[Covered]) -> list[Covered]:
    """Return *span* as data but for what is lost of it."""
    holes = [piece.span for piece in lost]
    found = [Covered(part) for part in subtract(span, normalise(holes))]
    found += [replace(piece, span=cut) for piece in lost if (cut := piece.span.intersect(span))]
    return sorted(found)


async def _asked(walk: WindowWalk, window: Span, empty: pl.DataFrame) -> _Part:
    """Ask for a window, and again around the edges of every answer that may be cut."""
    part = _Part(empty)
    todo = [(window, False)]
    while todo:
        asked, exactly = todo.pop()
        known = inside(part.frame, asked)
        answer, requests = await _answer(walk, asked, exactly, known)
        rows = answer.frame
        part.requests += requests
        if not _keeps_to(walk.calls, asked, rows):
            part.kept_to_window = False
            return part
        part.frame = pl.concat([part.frame, _without(rows, part.frame)])
        walk.served_before = walk.served_before or _has_older(rows, window)
        edges = _edges(walk.calls, asked, rows) if rows.height else [asked]
        is_cut = _is_cut(walk, answer.raw_rows)
        if walk.calls.start is None:
            # The newest trades before the end are one block: whole if an older one is among them, else asked on from the first.
            is_cut = not _has_older(rows, asked) and (is_cut or edges != [asked])
        if is_cut:
            if edges == [asked] and not exactly:
                todo.append((asked, True))
            elif edges == [asked]:
                reason = f"more than {rows.height:,} trades at {format_time(asked.start)}, which is all a call brings"
                part.lost.append(Covered(asked, Found.LOST, reason))
            else:
                todo += [(edge, False) for edge in edges]
        elif absent := _without(known, rows).height:
            # The rows of an edge must be in the answer of both its sides, or the seam proves nothing.
            part.lost.append(Covered(asked, Found.LOST, f"{absent:,} trades that came once did not come again"))
    return part


def _without(rows: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that the others lack. Trades without ids may be alike: each is matched with one of the others."""
    key = rows.columns
    ordinal = pl.int_range(pl.len()).over(key).alias("ordinal")
    lacking = rows.with_columns(ordinal).join(
        others.with_columns(ordinal), on=[*key, "ordinal"], how="anti", nulls_equal=True, maintain_order="left"
    )
    return lacking.drop("ordinal")


async def _answer(walk: WindowWalk, window: Span, exactly: bool, known: pl.DataFrame) -> tuple[Answer, int]:
    """Ask until rows come, the known ones among them, or too few came often enough to be believed."""
    enough = max(known.height, 1)
    return await ask_until(lambda: walk.ask(window, exactly), lambda answer: answer.frame.height >= enough)


async def _look_before(walk: WindowWalk, start: int) -> int:
    """Find out whether a trade before *start* is served; return how many calls that took."""
    if walk.looked_before:
        return 0
    walk.looked_before = True

    async def ask(window: Span) -> pl.DataFrame:
        return (await walk.ask(window, False)).frame

    walk.served_before, requests = await served_before(ask, start - 1, walk.calls.longest)
    return requests


def _keeps_to(calls: TradeCalls, window: Span, rows: pl.DataFrame) -> bool:
    """Whether the rows of an answer lie in the window that was asked for, but for the units beside it."""
    times = rows["ts"].to_physical()
    early = times.filter(times < window.start - 2 * calls.unit).len() if calls.start else 0
    return not early and not times.filter(times >= window.end + 2 * calls.unit).len()


def _has_older(rows: pl.DataFrame, window: Span) -> bool:
    return bool((rows["ts"].to_physical() < window.start).any())


def _is_cut(walk: WindowWalk, count: int) -> bool:
    """Whether an answer may have been cut: by the limit, by a rounder one, or by one that nobody told us of.

    The latter shows in an answer that is longer than all before it, or as long as another one.
    """
    unknown_limit = count >= FEW and (count in walk.counts or count > max(walk.counts, default=0))
    walk.counts.add(count)
    return count >= walk.limit or (count > 0 and count % ROUND == 0) or unknown_limit


def _edges(calls: TradeCalls, window: Span, rows: pl.DataFrame) -> list[Span]:
    """Return the windows that a cut answer leaves open: those beside it, with the units at its edges, which may be cut.

    Where the newest trades before the end come, only the older side is open.
    """
    unit, times = calls.unit, rows["ts"].to_physical()
    low = int(times.min()) // unit * unit  # type: ignore[arg-type]
    high = int(times.max()) // unit * unit  # type: ignore[arg-type]
    if calls.start is None:
        parts = [(window.start, low + unit)]
    elif low == high:
        parts = [(window.start, low), (low, low + unit), (low + unit, window.end)]
    else:
        parts = [(window.start, low + unit), (high, window.end)]
    cut = ((max(start, window.start), min(end, window.end)) for start, end in parts)
    return [Span(start, end) for start, end in cut if start < end]
