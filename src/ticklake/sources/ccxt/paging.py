"""Page loops: how a span becomes calls, so that nothing is lost at a page's edge.

Each loop asks through a callable that already retries and paces, and yields pages that together cover the
span. An empty answer is asked again before it is believed; rows at a page's edge are asked again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import Any, TypeVar

import polars as pl

from ticklake.core import evidence, questions
from ticklake.core.coverage import Covered, Found
from ticklake.core.evidence import ASKS, CoverageWalk
from ticklake.core.span import Span
from ticklake.errors import AccessDenied, Banned, SourceError
from ticklake.sources.base import Page

__all__ = [
    "ASKS",
    "FIRST_IDS",
    "AskFrom",
    "AskLinked",
    "AskNewest",
    "AskSpan",
    "AskTraded",
    "believed",
    "inside",
    "linked_pages",
    "numbered_pages",
    "newest_page",
    "rows_or_refusal",
    "served_before",
    "walked",
]

T = TypeVar("T")
FIRST_IDS = frozenset({"0", "1"})
"""Numbers of the first trade that there ever was."""

AskSpan = Callable[[Span], Awaitable[pl.DataFrame]]
AskFrom = Callable[[int], Awaitable[pl.DataFrame]]
AskLinked = Callable[[str | None], Awaitable[tuple[pl.DataFrame, str | None]]]
"""Asks for a page by where it begins, the newest one without; brings it, and where the next one begins, if there is one."""
AskNewest = Callable[[], Awaitable[pl.DataFrame]]
AskTraded = Callable[[Span], Awaitable[int | None]]
Reply = list[int] | int | SourceError | None
"""What a walk may get to know."""


async def walked(
    walk: CoverageWalk,
    ask: AskSpan,
    newest: AskNewest | None = None,
    traded: AskTraded | None = None,
    other: AskSpan | None = None,
) -> AsyncIterator[Page]:
    """Ask what a walk wants to know, and yield a page for every part of it that is settled.

    Parameters
    ----------
    other
        Brings the rows of another market.
    newest
        Brings the newest trades of the market: they tell a quiet market from a late feed.
    traded
        Brings the first day inside a span that has trades by daily bars.
    """
    steps, held, requests, left = walk.steps(), list[pl.DataFrame](), 0, walk.want
    step = next(steps, None)
    while step is not None:
        reply: Reply = None
        if isinstance(step, questions.Settled):
            page, held = _settled(step, held, requests)
            requests, settled_until = 0, step.pieces[-1].span.end
            left = Span(settled_until, max(walk.want.end, settled_until + 1))
            yield page
        elif isinstance(step, questions.AskRows):
            answer, requests = await rows_or_refusal(ask, step.span), requests + 1
            if isinstance(answer, SourceError):
                reply = answer
            else:
                reply, held = _times(answer), [*held, inside(answer, left)]
        elif isinstance(step, questions.AskOther):
            reply = [] if other is None else _times(inside(await other(step.span), step.span))
        elif isinstance(step, questions.AskTraded):
            reply = None if traded is None else await traded(step.span)
        elif newest is not None:
            rows, requests = await newest(), requests + 1
            reply = _times(rows)
        step = _send(steps, reply)
    if requests:
        yield Page(_joined(held), (), requests)


async def rows_or_refusal(ask: Callable[[T], Awaitable[pl.DataFrame]], argument: T) -> pl.DataFrame | SourceError:
    """Ask for rows; return the error if the source refuses the question, as some do beyond their history."""
    try:
        return await ask(argument)
    except (AccessDenied, Banned):
        raise
    except SourceError as error:
        if error.retriable:
            raise
        return error


async def served_before(ask: AskSpan, ts: int, back: int, other: AskSpan | None = None) -> tuple[bool, int]:
    """Find out whether a row at or before *ts* is served, of another market if *other* brings any; count the calls.

    It is looked for in windows of the length *back*.
    """
    rule, requests = evidence.serves(ts, lambda windows: ts + 1 - windows * back, others=other is not None), 0
    reply: Reply = None
    while True:
        try:
            question = rule.send(reply)
        except StopIteration as found:
            return bool(found.value), requests
        call = other if isinstance(question, questions.AskOther) else ask
        answer, requests = await rows_or_refusal(call or ask, question.span), requests + 1
        reply = answer if isinstance(answer, SourceError) else _times(answer)


def _send(steps: Generator[questions.Step, Any, None], reply: Reply) -> questions.Step | None:
    try:
        return steps.send(reply)
    except StopIteration:
        return None


def _times(rows: pl.DataFrame) -> list[int]:
    return rows["ts"].to_physical().unique().sort().to_list()


def _settled(step: questions.Settled, held: list[pl.DataFrame], requests: int) -> tuple[Page, list[pl.DataFrame]]:
    """Return the page of what is settled, and the rows that come after it."""
    end = step.pieces[-1].span.end
    rows = _joined(held)
    early = rows["ts"].to_physical() < end
    return Page(rows.filter(early), step.pieces, requests), [rows.filter(~early)]


def _joined(held: list[pl.DataFrame]) -> pl.DataFrame:
    """Return the rows of several answers, each once, as it was seen last."""
    return pl.concat(held).unique("ts", keep="last", maintain_order=True).sort("ts")


def numbered_pages(fetch: AskFrom) -> AskSpan:
    """Return a function that asks for the rows of a window where pages have numbers and the first one holds the newest rows.

    It returns all known rows from the start of the window to the newest one, as far back as the source serves any; no rows if
    none of them lies in the window. Older pages are asked for once, the newest one each time: new rows push older ones to later
    pages, so that pages overlap and leave nothing out between them.
    """
    known: list[pl.DataFrame] = []
    asked = ended = 0

    async def ask(span: Span) -> pl.DataFrame:
        nonlocal asked, ended
        newest = await fetch(1)
        if not known or not known[-1].height or not newest.height or _times(newest)[0] > _times(known[-1])[-1]:
            # Nothing was known before, or more came since than a page holds.
            known[:], asked, ended = [newest], 1, 0
        else:
            known.append(newest)
        rows = _joined(known)
        while rows.height and _times(rows)[0] > span.start and ended < ASKS:
            older = await fetch(asked + 1)
            if older.height and _times(older)[0] < _times(rows)[0]:
                asked, ended, rows = asked + 1, 0, _joined([older, rows])
            else:
                ended += 1
        known[:] = [rows]
        return rows if inside(rows, span).height else rows.clear()

    return ask


def linked_pages(fetch: AskLinked) -> AskSpan:
    """Return a function that asks for the rows of a window where each page tells where the next one begins, with older rows.

    It returns what that of :func:`numbered_pages` does: all known rows from the start of the window to the newest one; no rows
    if none of them lies in the window.
    """
    known: list[pl.DataFrame] = []
    cursor: str | None = None

    async def ask(span: Span) -> pl.DataFrame:
        nonlocal cursor
        newest, following = await fetch(None)
        if not known or not known[-1].height or not newest.height or _times(newest)[0] > _times(known[-1])[-1]:
            known[:], cursor = [newest], following
        else:
            known.append(newest)
        rows, asked = _joined(known), 0
        while rows.height and _times(rows)[0] > span.start and cursor is not None and asked < ASKS:
            older, following = await fetch(cursor)
            if older.height and _times(older)[0] < _times(rows)[0]:
                cursor, asked, rows = following, 0, _joined([older, rows])
            else:
                asked += 1
        known[:] = [rows]
        return rows if inside(rows, span).height else rows.clear()

    return ask


async def newest_page(ask: AskNewest, span: Span) -> AsyncIterator[Page]:
    """Ask an endpoint that serves the newest rows only: what lies before the first of them is unavailable."""
    rows = await ask()
    asked = 1
    while not rows.height and asked < ASKS:
        rows, asked = await ask(), asked + 1
    if not rows.height:
        yield Page(rows, (Covered(span, Found.UNAVAILABLE, evidence.NOTHING),), asked)
        return
    whole_from = int(rows["ts"].to_physical()[0]) + 1
    reason = f"only the newest {rows.height} rows are served"
    pieces = [Covered(gone, Found.UNAVAILABLE, reason) for gone in _before(span, whole_from)]
    pieces += [Covered(rest) for rest in _from(span, whole_from)]
    # Trades at the first instant of the page are kept, too, though it may lack others.
    yield Page(inside(rows, span), tuple(pieces), asked)


def inside(rows: pl.DataFrame, span: Span) -> pl.DataFrame:
    """Return the rows whose ``ts`` lies in *span*."""
    ts = rows["ts"].to_physical()
    return rows.filter((ts >= span.start) & (ts < span.end))


async def believed(ask: AskSpan, span: Span, wanted: Span | None = None) -> tuple[pl.DataFrame, int]:
    """Ask until rows of *wanted* come, or nothing came often enough to be believed."""
    for asked in range(1, ASKS + 1):
        rows = await ask(span)
        if inside(rows, wanted or span).height or asked == ASKS:
            return rows, asked
    raise AssertionError("unreachable")


def _before(span: Span, ts: int) -> Iterator[Span]:
    cut = min(ts, span.end)
    if cut > span.start:
        yield Span(span.start, cut)


def _from(span: Span, ts: int) -> Iterator[Span]:
    cut = max(ts, span.start)
    if cut < span.end:
        yield Span(cut, span.end)
