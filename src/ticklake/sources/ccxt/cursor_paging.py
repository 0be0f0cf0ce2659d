"""Pages of trades by time: each call begins at the last instant of the page before it, which may be cut."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import polars as pl

from ticklake.core import evidence
from ticklake.core.coverage import Covered, Found
from ticklake.core.span import Span
from ticklake.core.time import HOUR, SECOND, format_time
from ticklake.sources.base import Page
from ticklake.sources.ccxt.paging import FIRST_IDS, AskFrom, AskSpan, ask_until, inside, served_before

__all__ = ["cursor_pages"]

ROUNDED = SECOND
"""No source rounds a cursor down by more than this: rows from earlier show that it ignores the cursor."""
BACK = 8 * HOUR
"""The length of the windows in which an older row is looked for before a silence."""


def cursor_pages(
    ask: AskFrom, span: Span, limit: int, unit: int, overlap: int = 0, *, other: AskSpan | None = None
) -> AsyncIterator[Page]:
    """Page through trades by time, oldest first.

    An instant with more rows than a page is recorded as ``lost``. Silence before the first row is ``unavailable``, unless the
    source serves an older row.

    Parameters
    ----------
    limit
        Rows that fit a page.
    unit
        The precision of the exchange's cursor, in nanoseconds.
    overlap
        Each call begins so many nanoseconds before the cursor, by default one unit.
    other
        Asks for the rows of another market, if the exchange is known to keep everything: an older row of that one counts, too.
    """
    return _CursorWalk(ask, span, limit, unit, overlap or unit, other, span.start).pages()


@dataclass(frozen=True, slots=True)
class _Answer:
    """The rows from a cursor on.

    ``is_full`` says whether the page was filled, ``is_only_older`` whether all its rows were from before the cursor, and
    ``ignores_cursor`` whether they were from so much earlier that rounding does not explain it. ``requests`` counts the calls.
    """

    rows: pl.DataFrame
    is_full: bool
    is_only_older: bool
    ignores_cursor: bool
    requests: int

    @property
    def times(self) -> pl.Series:
        return self.rows["ts"].to_physical()


@dataclass(slots=True)
class _CursorWalk:
    """The walk over one span: everything before ``cursor`` is in a page.

    ``is_at_row`` says whether a row came at the cursor in the answer before. ``ahead`` is the answer from the cursor, if it came
    already.
    """

    ask: AskFrom
    span: Span
    limit: int
    unit: int
    overlap: int
    other: AskSpan | None
    cursor: int
    is_at_row: bool = False
    ahead: _Answer | None = None

    async def pages(self) -> AsyncIterator[Page]:
        """Yield the pages, oldest first. Each of them moves the cursor, or is the last one."""
        while self.cursor < self.span.end:
            answer = await self._next_answer()
            if answer.ignores_cursor:
                yield self._last_page(answer, Found.UNAVAILABLE, evidence.OTHER_TIMES)
                return
            if self.is_at_row and not answer.rows.height:
                # The row at the cursor came before: an answer without it says nothing of what follows.
                yield self._last_page(answer, Found.NOT_FETCHED, evidence.SILENT)
                return
            if not self._proves_its_start(answer):
                answer, is_served = await self._look_back(answer)
                if not is_served:
                    yield self._unavailable_page(answer)
                    continue
            if not answer.rows.height:
                yield self._last_page(answer, Found.DATA)
                return
            answer = await self._check_single_instant(answer)
            if answer.times[-1] >= self.span.end:
                within = replace(answer, rows=inside(answer.rows, self.span))
                yield self._last_page(within, Found.DATA)
                return
            yield self._next_page(answer)

    # The parts of one round

    async def _next_answer(self) -> _Answer:
        answer = self.ahead
        self.ahead = None
        if answer is None:
            answer = await self._answer_from(self.cursor)
        return answer

    def _proves_its_start(self, answer: _Answer) -> bool:
        """Whether the rows show that nothing lies between the cursor and the first of them."""
        if not answer.rows.height:
            return False
        if answer.times[0] <= self.cursor:
            return True
        # Where a source keeps everything, the trade that has the first number is the first of all.
        return self.other is not None and answer.rows["id"][0] in FIRST_IDS

    async def _look_back(self, answer: _Answer) -> tuple[_Answer, bool]:
        """Find out whether a row at or before the cursor is served; if so, ask again and return the new answer."""
        is_served, requests = await served_before(lambda window: self.ask(window.start), self.cursor, BACK, self.other)
        requests += answer.requests
        if is_served:
            # The source may have been out of order when it answered with nothing.
            answer = await self._answer_from(self.cursor)
            requests += answer.requests
        return replace(answer, requests=requests), is_served

    async def _check_single_instant(self, answer: _Answer) -> _Answer:
        """Look behind an answer of a single instant: if more comes later, a limit that nobody announced cut it there."""
        after = self._time_after(answer)
        if answer.times[0] != answer.times[-1] or answer.is_full or after >= self.span.end:
            return answer
        self.ahead = await self._answer_from(after)
        if not self.ahead.rows.height:
            return answer
        again = await self._answer_without_overlap(self.cursor, answer)
        return replace(again, is_full=True)

    def _time_after(self, answer: _Answer) -> int:
        """Return the first time after an answer that the exchange's cursor can name."""
        return int(answer.times[-1]) // self.unit * self.unit + self.unit

    # Pages

    def _last_page(self, answer: _Answer, found: Found, reason: str = "") -> Page:
        """Return the page that covers all that is left of the span."""
        rest = Span(self.cursor, self.span.end)
        return Page(answer.rows, (Covered(rest, found, reason),), answer.requests)

    def _unavailable_page(self, answer: _Answer) -> Page:
        """Return the page that covers the time up to the first row as unavailable, and move the cursor to that row."""
        first = self.span.end
        reason = evidence.NOTHING
        if answer.rows.height:
            first = int(answer.times[0])
            reason = f"the source serves nothing older than {format_time(first)}"
        unavailable = Span(self.cursor, min(first, self.span.end))
        self.cursor = unavailable.end
        self.is_at_row = False
        return Page(answer.rows.clear(), (Covered(unavailable, Found.UNAVAILABLE, reason),), answer.requests)

    def _next_page(self, answer: _Answer) -> Page:
        """Return the page up to the last instant of an answer, or that of its only one, and move the cursor there."""
        last = int(answer.times[-1])
        if answer.times[0] == last:
            after = self._time_after(answer)
            page = self._instant_page(answer, last, min(after, self.span.end))
            self.cursor = after
            self.is_at_row = False
            return page
        # The last instant may be cut. Its rows are left to the next answer, which begins there.
        page = Page(answer.rows.filter(answer.times < last), (Covered(Span(self.cursor, last)),), answer.requests)
        self.cursor = last
        self.is_at_row = True
        # An answer from a later cursor may have come while the instant was checked.
        self.ahead = None
        return page

    def _instant_page(self, answer: _Answer, instant: int, after: int) -> Page:
        """Return the page of a single instant: whole if it is shorter than the limit, else lost in part."""
        if not answer.is_full:
            return Page(answer.rows, (Covered(Span(self.cursor, after)),), answer.requests)
        reason = f"more than {answer.rows.height} rows at {format_time(instant)}, which is all a call brings"
        covered = [Covered(Span(instant, after), Found.LOST, reason)]
        if self.cursor < instant:
            covered.insert(0, Covered(Span(self.cursor, instant)))
        return Page(answer.rows, tuple(covered), answer.requests, (reason,))

    # Calls

    async def _answer_from(self, cursor: int) -> _Answer:
        """Ask from a little before *cursor*, as the bound may be excluded or rounded.

        The rows in the overlap may fill the page, or leave place for a part of one instant only: then the question begins
        at the cursor itself.
        """
        answer = await self._answer_since(cursor - self.overlap, cursor)
        is_cut = answer.is_full and answer.rows["ts"].n_unique() <= 1
        if not is_cut and not answer.is_only_older:
            return answer
        return await self._answer_without_overlap(cursor, answer)

    async def _answer_without_overlap(self, cursor: int, answer: _Answer) -> _Answer:
        """Ask from the cursor itself; if the first instant of *answer* does not come again, the bound excludes it: keep *answer*."""
        again = await self._answer_since(cursor, cursor)
        requests = answer.requests + again.requests
        first_instant = answer.rows["ts"].head(1).implode()
        if answer.rows.height and not again.rows["ts"].is_in(first_instant).any():
            return replace(answer, requests=requests)
        return replace(again, requests=requests)

    async def _answer_since(self, since: int, cursor: int) -> _Answer:
        """Ask from *since* on, a few times if nothing comes; drop the rows from before *cursor*."""
        page, requests = await ask_until(lambda: self.ask(since), lambda answer: answer.height > 0)
        times = page["ts"].to_physical()
        rows = page.filter(times >= cursor)
        is_only_older = page.height > 0 and not rows.height
        return _Answer(
            rows,
            is_full=page.height >= self.limit,
            is_only_older=is_only_older,
            ignores_cursor=is_only_older and bool((times < since - ROUNDED).any()),
            requests=requests,
        )
