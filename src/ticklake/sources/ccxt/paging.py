"""Page loops: how a span becomes calls, so that nothing is lost at a page's edge.

Each loop asks through a callable that already retries and paces, and yields pages that together cover the
span. An empty answer is asked for again before it is believed; rows at a page's edge are asked for again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import polars as pl

from ticklake.core import evidence
from ticklake.core.coverage import Covered, Found
from ticklake.core.evidence import ASKS, CoverageWalk
from ticklake.core.questions import AskOther, AskRows, AskTraded, AskTrades, Settled, Step
from ticklake.core.span import Span
from ticklake.errors import AccessDenied, Banned, SourceError
from ticklake.sources.base import Page

__all__ = [
    "FIRST_IDS",
    "AskFirstDay",
    "AskFrom",
    "AskLinked",
    "AskNewest",
    "AskSpan",
    "ask_until",
    "coverage_pages",
    "inside",
    "linked_pages",
    "newest_page",
    "numbered_pages",
    "rows_of_window",
    "rows_or_refusal",
    "served_before",
]

T = TypeVar("T")
FIRST_IDS = frozenset({"0", "1"})
"""Ids of the very first trade of a market, where trades are numbered from the beginning."""

AskSpan = Callable[[Span], Awaitable[pl.DataFrame]]
AskFrom = Callable[[int], Awaitable[pl.DataFrame]]
AskLinked = Callable[[str | None], Awaitable[tuple[pl.DataFrame, str | None]]]
"""Asks for the page that begins at a cursor (``None``: the newest page); returns it with the next cursor, if there is one."""
AskNewest = Callable[[], Awaitable[pl.DataFrame]]
AskFirstDay = Callable[[Span], Awaitable[int | None]]
Reply = list[int] | int | SourceError | None
"""What a question of a coverage walk is answered with: times of rows, one time, a refusal, or nothing."""


async def coverage_pages(
    walk: CoverageWalk,
    ask: AskSpan,
    newest: AskNewest | None = None,
    traded: AskFirstDay | None = None,
    other: AskSpan | None = None,
) -> AsyncIterator[Page]:
    """Answer the questions of a walk, and yield a page for every part of its span that is settled.

    Parameters
    ----------
    newest
        Asks for the newest trades of the market: they tell a quiet market from a late feed.
    traded
        Asks for the first day inside a span that has trades by daily bars.
    other
        Asks for the rows of another market.
    """
    calls = _Calls(ask, newest, traded, other, walk.want)
    steps = walk.steps()
    step = next(steps, None)
    while step is not None:
        reply: Reply = None
        if isinstance(step, Settled):
            yield calls.settled_page(step)
        else:
            reply = await calls.reply(step)
        step = _send(steps, reply)
    if calls.requests:
        yield calls.last_page()


def _send(steps: Generator[Step, Any, None], reply: Reply) -> Step | None:
    try:
        return steps.send(reply)
    except StopIteration:
        return None


@dataclass(slots=True)
class _Calls:
    """The calls that answer the questions of one walk, and the rows they brought since the last page.

    ``unsettled`` is the part of the span that no page covers yet.
    """

    ask: AskSpan
    newest: AskNewest | None
    traded: AskFirstDay | None
    other: AskSpan | None
    unsettled: Span
    answers: list[pl.DataFrame] = field(default_factory=list)
    requests: int = 0

    async def reply(self, question: AskRows | AskOther | AskTraded | AskTrades) -> Reply:
        """Return the answer of the source to a question."""
        if isinstance(question, AskRows):
            return await self._times_or_refusal(question.span)
        if isinstance(question, AskOther):
            return await self._other_times(question.span)
        if isinstance(question, AskTraded):
            if self.traded is None:
                return None
            return await self.traded(question.span)
        return await self._newest_times()

    async def _times_or_refusal(self, window: Span) -> Reply:
        answer = await rows_or_refusal(self.ask, window)
        self.requests += 1
        if isinstance(answer, pl.DataFrame):
            # Rows from after the window are kept, too: the walk may settle their time without asking for it again.
            self.answers.append(inside(answer, self.unsettled))
        return _reply(answer)

    async def _other_times(self, window: Span) -> Reply:
        if self.other is None:
            return []
        return _times(inside(await self.other(window), window))

    async def _newest_times(self) -> Reply:
        if self.newest is None:
            return None
        rows = await self.newest()
        self.requests += 1
        return _times(rows)

    def settled_page(self, settled: Settled) -> Page:
        """Return the page of what is settled; rows from after it stay for a later page."""
        end = settled.pieces[-1].span.end
        rows = _joined(self.answers)
        is_settled = rows["ts"].to_physical() < end
        page = Page(rows.filter(is_settled), settled.pieces, self.requests)
        self.answers = [rows.filter(~is_settled)]
        self.requests = 0
        self.unsettled = Span(end, max(self.unsettled.end, end + 1))
        return page

    def last_page(self) -> Page:
        """Return the rows and calls that no page has counted; they cover nothing."""
        return Page(_joined(self.answers), (), self.requests)


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
    """Find out whether a row at or before *ts* is served, of another market if *other* is given; count the calls.

    It is looked for in windows of the length *back*.
    """

    def window_start(windows: int) -> int:
        return ts + 1 - windows * back

    steps = evidence.serves(ts, window_start, others=other is not None)
    requests = 0
    reply: Reply = None
    while True:
        try:
            question = steps.send(reply)
        except StopIteration as end:
            return bool(end.value), requests
        call = ask
        if other is not None and isinstance(question, AskOther):
            call = other
        answer = await rows_or_refusal(call, question.span)
        requests += 1
        reply = _reply(answer)


def _reply(answer: pl.DataFrame | SourceError) -> Reply:
    """Return what a rule of :mod:`ticklake.core.evidence` takes of an answer: the times of its rows, or the refusal."""
    if isinstance(answer, SourceError):
        return answer
    return _times(answer)


def _times(rows: pl.DataFrame) -> list[int]:
    return rows["ts"].to_physical().unique().sort().to_list()


def _joined(answers: list[pl.DataFrame]) -> pl.DataFrame:
    """Return the rows of several answers, each once, as the last answer has it."""
    return pl.concat(answers).unique("ts", keep="last", maintain_order=True).sort("ts")


def numbered_pages(fetch: AskFrom) -> AskSpan:
    """Return a function that asks for the rows of a window where pages have numbers and the first one holds the newest rows.

    It returns all known rows from the start of the window to the newest one, as far back as the source serves any; no rows if
    none of them lies in the window. Older pages are asked for once, the newest one each time: new rows push older ones to later
    pages, so that pages overlap and leave nothing out between them.
    """

    async def fetch_by_number(cursor: str | None) -> tuple[pl.DataFrame, str | None]:
        number = int(cursor or 1)
        return await fetch(number), str(number + 1)

    # The end of such a history shows only by pages that bring nothing older. It is not asked for in every window.
    return _PagesBackwards(fetch_by_number, remembers_end=True).rows_from


def linked_pages(fetch: AskLinked) -> AskSpan:
    """Return a function that asks for the rows of a window where each page tells where the next one begins, with older rows.

    It returns what that of :func:`numbered_pages` does: all known rows from the start of the window to the newest one; no rows
    if none of them lies in the window.
    """
    return _PagesBackwards(fetch, remembers_end=False).rows_from


@dataclass(slots=True)
class _PagesBackwards:
    """All rows from the oldest page that was asked for up to the newest one, of an endpoint that takes no times.

    ``next_page`` is the cursor of the page before them. ``failures`` counts how often in a row it brought nothing older.
    """

    fetch: AskLinked
    remembers_end: bool
    rows: pl.DataFrame | None = None
    next_page: str | None = None
    failures: int = 0

    async def rows_from(self, window: Span) -> pl.DataFrame:
        """Return the rows from the start of a window on; none if none lies in it."""
        if not self.remembers_end:
            self.failures = 0
        rows = await self._add_newest()
        while self._lacks_older(rows, window.start):
            rows = await self._add_older(rows)
        if inside(rows, window).height:
            return rows
        return rows.clear()

    async def _add_newest(self) -> pl.DataFrame:
        """Add the newest page; begin anew if it does not touch the rows that are known."""
        newest, following = await self.fetch(None)
        rows = self.rows
        if rows is None or not rows.height or not newest.height or _times(newest)[0] > _times(rows)[-1]:
            # Nothing was known, or more rows came since than a page holds.
            self.rows = newest
            self.next_page = following
            self.failures = 0
        else:
            self.rows = _joined([rows, newest])
        return self.rows

    def _lacks_older(self, rows: pl.DataFrame, start: int) -> bool:
        if not rows.height or self.next_page is None or self.failures >= ASKS:
            return False
        return _times(rows)[0] > start

    async def _add_older(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Add the next older page; count a failure if it brings nothing older."""
        older, following = await self.fetch(self.next_page)
        if not older.height or _times(older)[0] >= _times(rows)[0]:
            self.failures += 1
            return rows
        self.rows = _joined([older, rows])
        self.next_page = following
        self.failures = 0
        return self.rows


async def newest_page(ask: AskNewest, span: Span) -> AsyncIterator[Page]:
    """Ask an endpoint that serves the newest rows only: what lies before the first of them is unavailable."""
    rows, requests = await ask_until(ask, lambda answer: answer.height > 0)
    if not rows.height:
        yield Page(rows, (Covered(span, Found.UNAVAILABLE, evidence.NOTHING),), requests)
        return
    # Trades at the first instant of the page are kept, too, though it may lack others: that instant is not covered as data.
    whole_from = int(rows["ts"].to_physical()[0]) + 1
    covered: list[Covered] = []
    if whole_from > span.start:
        reason = f"only the newest {rows.height} rows are served"
        covered.append(Covered(Span(span.start, min(whole_from, span.end)), Found.UNAVAILABLE, reason))
    if whole_from < span.end:
        covered.append(Covered(Span(max(whole_from, span.start), span.end)))
    yield Page(inside(rows, span), tuple(covered), requests)


def inside(rows: pl.DataFrame, span: Span) -> pl.DataFrame:
    """Return the rows whose ``ts`` lies in *span*."""
    ts = rows["ts"].to_physical()
    return rows.filter((ts >= span.start) & (ts < span.end))


async def ask_until(ask: Callable[[], Awaitable[T]], is_enough: Callable[[T], bool]) -> tuple[T, int]:
    """Ask again until an answer is enough, or came so often that it is believed; return the last one, and count the calls."""
    answer = await ask()
    requests = 1
    while requests < ASKS and not is_enough(answer):
        answer = await ask()
        requests += 1
    return answer, requests


async def rows_of_window(ask: AskSpan, window: Span) -> tuple[pl.DataFrame, int]:
    """Ask until rows of *window* come, or none came so often that it is believed; count the calls."""

    async def ask_inside() -> pl.DataFrame:
        return inside(await ask(window), window)

    return await ask_until(ask_inside, lambda rows: rows.height > 0)
