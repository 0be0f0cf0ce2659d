"""Pages of trades by time: each question begins at the last instant of the page before it, which may be cut."""

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
"""No source rounds a cursor by more than this."""
BACK = 8 * HOUR
"""Before a silence an older row is looked for in windows of this length."""


def cursor_pages(
    ask: AskFrom, span: Span, limit: int, unit: int, overlap: int = 0, *, other: AskSpan | None = None
) -> AsyncIterator[Page]:
    """Page through rows by time: the last instant of each page is asked again, as it may be cut.

    *unit* is the precision of the exchange's cursor in nanoseconds. An instant with more rows than a page is
    recorded as ``lost``. Silence before the first row is ``unavailable``, unless the source serves an older row: of *other*
    markets, too, if it is known to keep everything.
    """
    return _CursorWalk(ask, span, limit, unit, overlap or unit, other, span.start).pages()


@dataclass(frozen=True, slots=True)
class _Answer:
    """Rows from a cursor on, in how many calls, and what is to be thought of them.

    ``is_full``: a page was filled. ``only_older``: rows came, all from before the cursor. ``is_elsewhere``: from much earlier times.
    """

    rows: pl.DataFrame
    is_full: bool
    only_older: bool
    is_elsewhere: bool
    requests: int

    @property
    def times(self) -> pl.Series:
        return self.rows["ts"].to_physical()


@dataclass(slots=True)
class _CursorWalk:
    """The walk over one span.

    ``is_at_row`` says whether a row came at the cursor before, ``ahead`` is an answer that was asked for already.
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
        """Yield the pages, oldest first."""
        while self.cursor < self.span.end:
            answer = self.ahead or await self._answer_from(self.cursor)
            self.ahead = None
            if answer.is_elsewhere:
                yield self._rest(answer, Found.UNAVAILABLE, evidence.OTHER_TIMES)
                return
            if self.is_at_row and not answer.rows.height:
                # The row at the cursor came before: what leaves it out now says nothing of what follows.
                yield self._rest(answer, Found.NOT_FETCHED, evidence.SILENT)
                return
            answer, is_served = await self._looked_back(answer)
            if not is_served:
                yield self._before_first(answer)
                continue
            if not answer.rows.height:
                yield self._rest(answer, Found.DATA)
                return
            answer = await self._uncut(answer)
            if answer.times[-1] >= self.span.end:
                yield self._rest(replace(answer, rows=inside(answer.rows, self.span)), Found.DATA)
                return
            yield self._next_page(answer)

    def _rest(self, answer: _Answer, found: Found, reason: str = "") -> Page:
        """Return the page that says what is known of all that is left of the span."""
        return Page(answer.rows, (Covered(Span(self.cursor, self.span.end), found, reason),), answer.requests)

    async def _looked_back(self, answer: _Answer) -> tuple[_Answer, bool]:
        """Find out whether the source serves the time of the cursor; if a silence needed proof, the answer is asked for again."""
        if answer.rows.height:
            # Where a source keeps everything, the trade that has the first number is the first of all.
            is_first_of_all = self.other is not None and answer.rows["id"][0] in FIRST_IDS
            if answer.times[0] <= self.cursor or is_first_of_all:
                return answer, True
        is_served, requests = await served_before(lambda window: self.ask(window.start), self.cursor, BACK, self.other)
        requests += answer.requests
        if is_served:
            # It may have been out of order when it answered with nothing.
            answer = await self._answer_from(self.cursor)
            requests += answer.requests
        return replace(answer, requests=requests), is_served

    def _before_first(self, answer: _Answer) -> Page:
        """Return the page that says that nothing before the first row is served, and go on from there."""
        first, reason = self.span.end, evidence.NOTHING
        if answer.rows.height:
            first = int(answer.times[0])
            reason = f"the source serves nothing older than {format_time(first)}"
        gone = Span(self.cursor, min(first, self.span.end))
        self.cursor, self.is_at_row = gone.end, False
        return Page(answer.rows.clear(), (Covered(gone, Found.UNAVAILABLE, reason),), answer.requests)

    async def _uncut(self, answer: _Answer) -> _Answer:
        """Look behind an answer of a single instant: if more comes later, a limit that nobody told cut it there."""
        after = self._after(answer)
        if answer.times[0] != answer.times[-1] or answer.is_full or after >= self.span.end:
            return answer
        self.ahead = await self._answer_from(after)
        if not self.ahead.rows.height:
            return answer
        again = await self._answer_from_itself(self.cursor, answer)
        return replace(again, is_full=True)

    def _next_page(self, answer: _Answer) -> Page:
        """Return the page up to the last instant of an answer, or that of its only one, and move the cursor there."""
        last, after = int(answer.times[-1]), self._after(answer)
        if answer.times[0] == last:
            page = self._instant_page(answer, last, min(after, self.span.end))
            self.cursor, self.is_at_row = after, False
            return page
        page = Page(answer.rows.filter(answer.times < last), (Covered(Span(self.cursor, last)),), answer.requests)
        self.cursor, self.is_at_row, self.ahead = last, True, None
        return page

    def _after(self, answer: _Answer) -> int:
        """Return the first time after an answer that the exchange's cursor can name."""
        return int(answer.times[-1]) // self.unit * self.unit + self.unit

    def _instant_page(self, answer: _Answer, instant: int, after: int) -> Page:
        """Return the page of a single instant: whole if it is shorter than the limit, else lost in part."""
        if not answer.is_full:
            return Page(answer.rows, (Covered(Span(self.cursor, after)),), answer.requests)
        reason = f"more than {answer.rows.height} rows at {format_time(instant)}, which is all a call brings"
        covered = [Covered(Span(instant, after), Found.LOST, reason)]
        if self.cursor < instant:
            covered.insert(0, Covered(Span(self.cursor, instant)))
        return Page(answer.rows, tuple(covered), answer.requests, (reason,))

    async def _answer_from(self, cursor: int) -> _Answer:
        """Ask from a little before *cursor*, as the bound may be excluded or rounded.

        A page whose rows are all older, which may fill it, or a full one that brings a single instant is asked again from the
        cursor itself.
        """
        answer = await self._answer_since(cursor - self.overlap, cursor)
        is_cut = answer.is_full and answer.rows["ts"].n_unique() <= 1
        if not is_cut and not answer.only_older:
            return answer
        return await self._answer_from_itself(cursor, answer)

    async def _answer_from_itself(self, cursor: int, answer: _Answer) -> _Answer:
        """Ask from the cursor itself; *answer* from before it stands where its instant does not come again, as if excluded."""
        again = await self._answer_since(cursor, cursor)
        requests = answer.requests + again.requests
        if answer.rows.height and not again.rows["ts"].is_in(answer.rows["ts"].head(1).implode()).any():
            return replace(answer, requests=requests)
        return replace(again, requests=requests)

    async def _answer_since(self, since: int, cursor: int) -> _Answer:
        """Ask until something comes, a few times at most."""
        page, requests = await ask_until(lambda: self.ask(since), lambda answer: answer.height > 0)
        times = page["ts"].to_physical()
        rows = page.filter(times >= cursor)
        only_older = page.height > 0 and not rows.height
        is_elsewhere = only_older and bool((times < since - ROUNDED).any())
        return _Answer(rows, page.height >= self.limit, only_older, is_elsewhere, requests)
