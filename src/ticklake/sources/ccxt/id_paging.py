"""Page loops by trade ids, which cannot miss a trade, and what to do where ids begin anew or lead nowhere.

Ids are followed only while they are whole numbers. Where they are text, are missing or are ignored by calls, trades are asked
for by windows of time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import polars as pl

from ticklake.core import evidence
from ticklake.core.coverage import Covered, Found, reasons_of, spans_of
from ticklake.core.evidence import ASKS
from ticklake.core.kinds import TIME
from ticklake.core.span import Span, subtract
from ticklake.errors import SourceError
from ticklake.sources.base import Page
from ticklake.sources.ccxt.paging import FIRST_IDS, AskFrom, AskNewest, inside, rows_of_window, rows_or_refusal
from ticklake.sources.ccxt.trade_paging import WindowWalk, trade_pages

__all__ = ["by_number", "id_pages", "is_first"]

MOST_FAILURES = 8
"""How often ids may lead nowhere before they are no longer followed. An exchange begins its ids anew a few times at most."""
_WHOLE_NUMBER = "^[0-9]{1,38}$"
"""Ids that can be followed, as 128 bits hold them."""


def is_first(rows: pl.DataFrame) -> bool:
    """Whether the first of some trades, which are sorted, has the first number of all, so that there was none before it."""
    return rows.height > 0 and rows["id"][0] in FIRST_IDS


def id_pages(
    walk: WindowWalk, from_id: AskFrom, newest: AskNewest, span: Span, empty: pl.DataFrame
) -> AsyncIterator[Page]:
    """Page through trades by their ids, which cannot miss one; by time only to find the first.

    Ids may have begun anew since: where a call by id does not find the trade that has it, or finds no more though there
    are newer ones, trades are asked for by windows of time until ids lead on again. A silence is covered only with the trade
    after it, as a jump in the ids shows that trades are missing in it.

    Parameters
    ----------
    walk
        Asks for trades by windows of time.
    from_id
        Asks for the trades from a number on; where it is refused, ids lead nowhere.
    newest
        Asks for the newest trades.
    """
    return _IdWalk(walk, from_id, newest, span, empty, span.start, span.start).pages()


@dataclass(slots=True)
class _IdWalk:
    """The walk over one span.

    Windows of time are asked for from ``cursor`` on. Pages have covered everything before ``silent_since``, and no trade came
    from between the two. ``is_at_trade`` says whether the last trade stands at ``silent_since`` itself. ``failures`` counts how
    often ids led nowhere, ``requests`` the calls that no page counts yet.
    """

    walk: WindowWalk
    from_id: AskFrom
    newest: AskNewest
    span: Span
    empty: pl.DataFrame
    cursor: int
    silent_since: int
    requests: int = 0
    failures: int = 0
    is_at_trade: bool = False

    async def pages(self) -> AsyncIterator[Page]:
        """Yield the pages, oldest first.

        Each round finds the next trade by a window of time and follows the ids from it, as far as they lead. If they lead
        nowhere from the start, the round pages by time past that window.
        """
        while self.cursor < self.span.end and self.failures <= MOST_FAILURES:
            rows = await self._next_window()
            if not rows.height:
                continue
            silent_since = self.silent_since
            async for page in self._follow_ids(rows):
                yield page
            if self.silent_since < self.span.end:
                self.failures += 1
            if self.silent_since != silent_since:
                self.cursor = self.silent_since
                self.is_at_trade = True
                continue
            async for page in self._follow_time(self.cursor):
                yield page
        rest_by_time = self.cursor < self.span.end
        if rest_by_time:
            async for page in trade_pages(self.walk, self.newest, Span(self.silent_since, self.span.end), self.empty):
                yield self._counted(page)
        elif self.silent_since < self.span.end:
            yield self._counted(await self._silent_end())

    async def _next_window(self) -> pl.DataFrame:
        """Return the trades of the next window of time, and move the cursor behind it."""
        window = Span(self.cursor, min(self.cursor + self.walk.calls.longest, self.span.end))
        rows, requests = await rows_of_window(self._ask_time, window)
        self.requests += requests
        self.cursor = window.end
        if is_first(rows):
            # Before the first trade of all there was none, whatever is served.
            self.walk.served_before = True
        return rows

    async def _follow_ids(self, rows: pl.DataFrame) -> AsyncIterator[Page]:
        """Follow the ids from the first trade since the silence on, as far as they lead."""
        since = self.silent_since
        if self.is_at_trade:
            since += 1
        next_id, follows_older, requests = await _first_id(self._ask_id, rows, since, self.walk.limit)
        self.requests += requests
        if next_id is None:
            return
        is_first_page = not follows_older
        rest = Span(self.silent_since, self.span.end)
        async for full_page in _pages_from(self._ask_id, self.newest, next_id, rest):
            page = full_page
            if is_first_page:
                page = _without_older(full_page)
                # Rows tell which page is the first: an instant may take several pages, of which the first ones cover nothing.
                is_first_page = not full_page.frame.height
            yield self._counted(replace(page, frame=inside(page.frame, self.span)))
            self.silent_since = page.covered_until(self.silent_since)

    async def _follow_time(self, end: int) -> AsyncIterator[Page]:
        """Page by windows of time up to *end*, where ids lead nowhere."""
        windows = trade_pages(self.walk, self.newest, Span(self.silent_since, end), self.empty)
        async for page in _up_to_last_trade(windows):
            yield self._counted(page)
            self.silent_since = page.covered_until(self.silent_since)
            times = page.frame["ts"].to_physical()
            self.is_at_trade = times.len() > 0 and self.silent_since == times.max()

    async def _silent_end(self) -> Page:
        """Cover the silence at the end, unless the newest trades lie in it: then calls by time did not bring them.

        Where no trade came at all, silence is true only if an older trade is served, or the first of all is a newer one.
        """
        rest = Span(self.silent_since, self.span.end)
        newest = await self.newest()
        times = newest["ts"].to_physical()
        if ((times > rest.start) & (times < rest.end)).any():
            return Page(self.empty, (), 1)
        if self.is_at_trade or (times <= rest.start).any():
            return Page(self.empty, (Covered(rest),), 1)
        oldest, requests = await _page_by_id(self._ask_id, 0)
        times = oldest["ts"].to_physical()
        if is_first(oldest) or (times <= rest.start).any():
            return Page(self.empty, (Covered(rest),), 1 + requests)
        reason = evidence.NOTHING
        if times.len():
            reason = evidence.NOTHING_OLDER
        return Page(self.empty, (Covered(rest, Found.UNAVAILABLE, reason),), 1 + requests)

    def _counted(self, page: Page) -> Page:
        """Return a page with the calls that no page counted before it."""
        requests = page.requests + self.requests
        self.requests = 0
        return replace(page, requests=requests)

    async def _ask_time(self, window: Span) -> pl.DataFrame:
        return (await self.walk.ask(window, False)).frame

    async def _ask_id(self, first: int) -> pl.DataFrame:
        rows = await rows_or_refusal(self.from_id, first)
        if isinstance(rows, SourceError):
            return self.empty
        return by_number(rows)


# Pages by time


async def _up_to_last_trade(pages: AsyncIterator[Page]) -> AsyncIterator[Page]:
    """Yield pages without the silence after the last trade, which is covered with the trade after it."""
    silent: list[Page] = []
    async for page in pages:
        if not page.frame.height:
            silent.append(page)
            continue
        for earlier in silent:
            yield earlier
        with_trades, after_trades = _split_at_last_trade(page)
        yield with_trades
        silent = [after_trades]
    for page in silent:
        # What is lost or unavailable stays so, whatever trade comes next.
        covered = tuple(piece for piece in page.covered if piece.found is not Found.DATA)
        if covered or page.requests:
            yield replace(page, covered=covered)


def _split_at_last_trade(page: Page) -> tuple[Page, Page]:
    """Return a page that covers no data from its last trade on, and one without rows that covers that data."""
    last = int(page.frame["ts"].to_physical().max())  # type: ignore[arg-type]
    covered: list[Covered] = []
    silence: list[Covered] = []
    for piece in page.covered:
        span = piece.span
        if piece.found is not Found.DATA:
            covered.append(piece)
            continue
        if span.start < last:
            covered.append(replace(piece, span=Span(span.start, min(span.end, last))))
        if span.end > last:
            silence.append(replace(piece, span=Span(max(span.start, last), span.end)))
    return replace(page, covered=tuple(sorted(covered))), Page(page.frame.clear(), tuple(silence), 0)


# Pages by id


def _without_older(page: Page) -> Page:
    """Return a page that begins with the first trade that is served, where that is not the first of all."""
    if not page.frame.height or is_first(page.frame):
        return page
    first = int(page.frame["ts"].to_physical().min())  # type: ignore[arg-type]
    covered: list[Covered] = []
    for piece in page.covered:
        if piece.span.start < first:
            before_first = Span(piece.span.start, min(piece.span.end, first))
            covered.append(Covered(before_first, Found.UNAVAILABLE, evidence.NOTHING_OLDER))
        if piece.span.end > first:
            covered.append(replace(piece, span=Span(max(piece.span.start, first), piece.span.end)))
    return replace(page, covered=tuple(covered))


async def _pages_from(by_id: AskFrom, newest: AskNewest, next_id: int, span: Span) -> AsyncIterator[Page]:
    """Page by id from *next_id* on, until *span* is covered or newer trades have other ids."""
    cursor = span.start
    while cursor < span.end:
        rest = Span(cursor, span.end)
        rows, requests = await _page_by_id(by_id, next_id)
        if not rows.height:
            last = await newest()
            # A newer trade that no call by id brings belongs to ids that began anew.
            if not last.height or int(last["ts"].to_physical()[-1]) <= cursor:
                yield Page(rows, (Covered(rest),), requests + 1)
            return
        page = _trade_page(rows, rest, next_id, requests)
        yield page
        cursor = page.covered_until(cursor)
        next_id = _ids(rows)[-1] + 1


async def _page_by_id(by_id: AskFrom, next_id: int) -> tuple[pl.DataFrame, int]:
    """Ask for the page that starts at an id, again if it is empty or ids are missing in it; count the calls.

    Where that id alone is missing, it is asked for from the id before, as the bound may be excluded.
    """
    start = next_id
    requests = 0
    while True:
        rows = await by_id(start)
        requests += 1
        rows = rows.filter(_numbers(rows) >= next_id)
        is_whole = rows.height > 0 and not _jumps(rows, next_id)
        if is_whole or requests == ASKS:
            return rows, requests
        is_excluded = start == next_id > 0 and rows.height > 0 and _ids(rows)[0] == next_id + 1
        start = next_id
        if is_excluded:
            start -= 1


def by_number(rows: pl.DataFrame) -> pl.DataFrame:
    """Return trades by their numbers; none if one of them has no number."""
    if not _is_numbered(rows):
        return rows.clear()
    return rows.sort(_numbers(rows), maintain_order=True)


def _is_numbered(rows: pl.DataFrame) -> bool:
    return bool(rows["id"].str.contains(_WHOLE_NUMBER).fill_null(False).all())


def _numbers(rows: pl.DataFrame) -> pl.Series:
    return rows["id"].str.to_integer(dtype=pl.Int128)


def _ids(rows: pl.DataFrame) -> list[int]:
    return list(map(int, rows["id"].to_list()))


async def _first_id(by_id: AskFrom, rows: pl.DataFrame, since: int, limit: int) -> tuple[int | None, bool, int]:
    """Step back by id from the first of *rows* to the first trade from *since* on: calls by time may begin late.

    Returns its id, or ``None`` if calls by id do not find the first of *rows*; whether an older trade precedes it; and the
    number of calls.
    """
    if not _is_numbered(rows):
        return None, False, 0
    known_id = _ids(rows)[0]
    known_time = int(rows["ts"].to_physical()[0])
    first_id = known_id
    position = known_id
    step = 1
    requests = 0
    while position > 0:
        position = max(position - step, 0)
        page, calls = await _page_by_id(by_id, position)
        requests += calls
        if position == known_id - 1 and _leads_elsewhere(page, known_id, known_time):
            return None, False, requests
        older = _older(page, since)
        if older.height:
            return _ids(older)[-1] + 1, True, requests
        # Where ids began anew, these may belong to trades that are newer than the known one.
        earlier = page.filter(page["ts"].to_physical() <= known_time)
        if earlier.height:
            first_id = min(first_id, _ids(earlier)[0])
        if page.height and _ids(page)[0] <= position:
            step = limit
        else:
            # No trade has this id, nor any between it and the page: larger steps pass what is missing.
            step *= 2
    return first_id, False, requests


def _older(rows: pl.DataFrame, since: int) -> pl.DataFrame:
    """Return the trades up to the first one that is not older than *since*, or may be followed by such a one."""
    times = rows["ts"].to_physical()
    return rows.filter((times >= since - _disorder(times)).cum_max().not_())


def _disorder(times: pl.Series) -> int:
    """Return how far times may go back from one id to the next: twice as far as they do among these trades."""
    return 2 * int((times.cum_max() - times).max() or 0)  # type: ignore[arg-type]


def _leads_elsewhere(rows: pl.DataFrame, known_id: int, known_time: int) -> bool:
    """Whether a call by id brought other trades than the known one, though it reached that far."""
    if rows.height and _ids(rows)[-1] < known_id:
        return False
    return not rows.filter(id=str(known_id), ts=pl.lit(known_time).cast(TIME)).height


def _trade_page(rows: pl.DataFrame, rest: Span, next_id: int, requests: int) -> Page:
    """Cover what *rows* show of *rest*: up to their last instant, or past it where ids are missing.

    Where the page before ended with an instant that lacks ids, *rest* begins behind it, and rows of it still come.
    Where times go back, trades of the next page may be as old.
    """
    times = rows["ts"].to_physical()
    end = min(int(times.max()) - _disorder(times), rest.end)  # type: ignore[arg-type]
    lost: list[Covered] = []
    for jump in _jumps(rows, next_id, rest.start):
        hole = Span(jump.start, max(jump.end, jump.start + 1)).intersect(rest)
        if hole is None:
            continue
        reason = f"trade ids {jump.first_id} to {jump.last_id} are not served"
        for part in subtract(hole, spans_of(lost)):
            lost.append(Covered(part, Found.LOST, reason))
            end = max(end, part.end)
    data: list[Covered] = []
    if end > rest.start:
        data = Covered.each_of(subtract(Span(rest.start, end), sorted(spans_of(lost))))
    rows_of_rest = rows.filter(times < rest.end)
    return Page(rows_of_rest, (*data, *lost), requests, reasons_of(lost))


class _Jump(NamedTuple):
    """Ids that are missing: the times of the trades before and after them, the first and the last id."""

    start: int
    end: int
    first_id: int
    last_id: int


def _jumps(rows: pl.DataFrame, next_id: int, since: int | None = None) -> list[_Jump]:
    """Return the jumps in the ids of trades that should begin with *next_id*.

    A jump before the first trade begins at *since*, if that is earlier.
    """
    if not rows.height:
        return []
    times = rows["ts"].to_physical().to_list()
    before = times[0]
    if since is not None:
        before = min(since, before)
    jumps = []
    expected = next_id
    for trade_id, ts in zip(_ids(rows), times, strict=True):
        if trade_id > expected:
            jumps.append(_Jump(before, ts, expected, trade_id - 1))
        before = ts
        expected = max(trade_id + 1, expected)
    return jumps
