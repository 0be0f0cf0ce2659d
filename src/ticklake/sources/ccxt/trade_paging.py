"""Page loop for trades by windows of time: what is called data is proven by what the answers show.

Exchanges answer a window that holds more trades than a page with its newest or with its oldest ones, cap pages lower than
asked, round bounds to seconds, exclude or include them, and ignore the times of what they no longer serve. So where a page may
be cut, the windows at its edges are asked for, with the rows at the edge inside the new window; and silence before
the first trade counts only if an older trade is served, too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import polars as pl

from ticklake.core.coverage import Covered, Found, reasons_of, spans_of
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
"""A window that takes more calls than this is followed by a shorter one, as its trades are kept in memory."""
ROUND = 50
"""A page whose length is a multiple of this may have been cut by a limit that is not documented."""
FEW = 20
"""No exchange cuts its answers to fewer trades than this."""


@dataclass(slots=True)
class WindowWalk:
    """What a walk over one history needs, and what it has learned.

    ``counts`` are the lengths of the answers so far. ``served_before`` says whether a trade from before a window was served,
    ``looked_before`` whether it was asked for.
    """

    ask: AskTrades
    calls: TradeCalls
    limit: int
    counts: set[int] = field(default_factory=set)
    served_before: bool = False
    looked_before: bool = False


@dataclass(slots=True)
class _WindowTrades:
    """The trades of one window: what came, what is lost of it, and how many calls it took.

    ``is_kept_to`` is false if an answer held trades of other times.
    """

    frame: pl.DataFrame
    lost: list[Covered] = field(default_factory=list)
    requests: int = 0
    is_kept_to: bool = True


async def trade_pages(walk: WindowWalk, newest: AskNewest, span: Span, empty: pl.DataFrame) -> AsyncIterator[Page]:
    """Page through the trades of *span* by windows, oldest first.

    A window that the exchange answers with other times is unavailable; of the last one, the newest page is taken.
    """
    calls, limit = walk.calls, walk.limit
    cursor = span.start
    length = min(FIRST_WINDOW, calls.longest)
    while cursor < span.end:
        window = Span(cursor, min(cursor + length, span.end))
        trades = await _trades_of(walk, window, empty)
        if trades.is_kept_to:
            yield await _page(walk, trades, window)
        elif window.end < span.end:
            reason = f"asked for {window}, the exchange answers with other times"
            yield Page(empty, (Covered(window, Found.UNAVAILABLE, reason),), trades.requests, (reason,))
        else:
            async for page in newest_page(newest, window):
                yield page
        cursor = window.end
        if trades.requests > BUSY:
            length = max(length // 2, calls.unit)
        elif trades.frame.height < limit // 4:
            length = min(length * 2, calls.longest)


async def _page(walk: WindowWalk, trades: _WindowTrades, window: Span) -> Page:
    """Return the page of a window; silence before the first trade of all is unavailable unless an older one is served."""
    rows = inside(trades.frame, window)
    times = rows["ts"].to_physical()
    first = window.end
    if times.len():
        first = int(times.min())  # type: ignore[arg-type]
    requests = trades.requests
    served_from = window.start
    covered: list[Covered] = []
    if first > window.start and not walk.served_before:
        requests += await _look_before(walk, window.start)
        if not walk.served_before:
            covered.append(Covered(Span(window.start, first), Found.UNAVAILABLE, NOTHING_OLDER))
            served_from = first
    if times.len():
        walk.served_before = True
    if served_from < window.end:
        covered += _with_lost(Span(served_from, window.end), trades.lost)
    return Page(rows, tuple(covered), requests, reasons_of(trades.lost))


def _with_lost(span: Span, lost: list[Covered]) -> list[Covered]:
    """Return *span* as data, except for what is lost of it."""
    covered = Covered.each_of(subtract(span, normalise(spans_of(lost))))
    for piece in lost:
        part = piece.span.intersect(span)
        if part is not None:
            covered.append(replace(piece, span=part))
    return sorted(covered)


async def _trades_of(walk: WindowWalk, window: Span, empty: pl.DataFrame) -> _WindowTrades:
    """Ask for a window, and again for the parts at the edges of every answer that may be cut.

    An answer that is whole settles its part. A part that the edges of its answer do not make smaller is asked for once more with
    exact bounds, then given up as lost.
    """
    trades = _WindowTrades(empty)
    open_parts = [(window, False)]
    while open_parts:
        part, exactly = open_parts.pop()
        known = inside(trades.frame, part)
        answer, requests = await _answer(walk, part, exactly, known)
        rows = answer.frame
        trades.requests += requests
        if not _keeps_to(walk.calls, part, rows):
            trades.is_kept_to = False
            return trades
        trades.frame = pl.concat([trades.frame, _without(rows, trades.frame)])
        if _has_older(rows, window):
            walk.served_before = True
        edges = _edges(walk.calls, part, rows)
        if not _is_cut(walk, part, answer, edges):
            absent = _without(known, rows).height
            if absent:
                # The rows of an edge must be in the answer of both its sides, or the seam proves nothing.
                reason = f"{absent:,} trades that came once did not come again"
                trades.lost.append(Covered(part, Found.LOST, reason))
        elif edges != [part]:
            open_parts += [(edge, False) for edge in edges]
        elif not exactly:
            open_parts.append((part, True))
        else:
            reason = f"more than {rows.height:,} trades at {format_time(part.start)}, which is all a call brings"
            trades.lost.append(Covered(part, Found.LOST, reason))
    return trades


def _without(rows: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that the others lack. Trades without ids may be alike: each is matched with one of the others."""
    key = rows.columns
    ordinal = pl.int_range(pl.len()).over(key).alias("ordinal")
    rows_numbered = rows.with_columns(ordinal)
    others_numbered = others.with_columns(ordinal)
    lacking = rows_numbered.join(
        others_numbered, on=[*key, "ordinal"], how="anti", nulls_equal=True, maintain_order="left"
    )
    return lacking.drop("ordinal")


async def _answer(walk: WindowWalk, window: Span, exactly: bool, known: pl.DataFrame) -> tuple[Answer, int]:
    """Ask until as many rows come as are known of the window, at least one, or fewer came so often that it is believed."""
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
    if (times >= window.end + 2 * calls.unit).any():
        return False
    # Without a start, the newest trades before the end come, however old.
    return calls.start is None or not (times < window.start - 2 * calls.unit).any()


def _has_older(rows: pl.DataFrame, window: Span) -> bool:
    return bool((rows["ts"].to_physical() < window.start).any())


def _is_cut(walk: WindowWalk, window: Span, answer: Answer, edges: list[Span]) -> bool:
    """Whether an answer may lack trades of its window."""
    may_be_cut = _has_suspicious_length(walk, answer.raw_rows)
    if walk.calls.start is not None:
        return may_be_cut
    # The newest trades before the end are one block: whole if an older one is among them, else asked on from the first.
    return not _has_older(answer.frame, window) and (may_be_cut or edges != [window])


def _has_suspicious_length(walk: WindowWalk, count: int) -> bool:
    """Whether an answer of *count* rows may have been cut: by the limit, by a rounder one, or by an unknown one.

    The latter shows in an answer that is longer than all before it, or as long as another one.
    """
    repeats = count in walk.counts
    is_longest = count > max(walk.counts, default=0)
    walk.counts.add(count)
    if count >= walk.limit or (count > 0 and count % ROUND == 0):
        return True
    return count >= FEW and (repeats or is_longest)


def _edges(calls: TradeCalls, window: Span, rows: pl.DataFrame) -> list[Span]:
    """Return the windows that a cut answer leaves open: those beside it, with the units at its edges, which may be cut.

    Where the newest trades before the end come, only the older side is open. Without rows, all of the window is.
    """
    if not rows.height:
        return [window]
    unit = calls.unit
    times = rows["ts"].to_physical()
    low = int(times.min()) // unit * unit  # type: ignore[arg-type]
    high = int(times.max()) // unit * unit  # type: ignore[arg-type]
    if calls.start is None:
        bounds = [(window.start, low + unit)]
    elif low == high:
        bounds = [(window.start, low), (low, low + unit), (low + unit, window.end)]
    else:
        bounds = [(window.start, low + unit), (high, window.end)]
    edges = []
    for start, end in bounds:
        start_inside = max(start, window.start)
        end_inside = min(end, window.end)
        if start_inside < end_inside:
            edges.append(Span(start_inside, end_inside))
    return edges
