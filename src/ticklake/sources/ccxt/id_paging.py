"""Page loops by trade ids, which cannot miss a trade, and what to do where ids begin anew or lead nowhere.

Ids are followed only while they are whole numbers. Where they are text, are missing or are ignored by calls, windows of
time lead on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import polars as pl

from ticklake.core import evidence
from ticklake.core.coverage import Covered, Found
from ticklake.core.evidence import ASKS
from ticklake.core.kinds import TIME
from ticklake.core.span import Span, subtract
from ticklake.errors import SourceError
from ticklake.sources.base import Page
from ticklake.sources.ccxt.paging import FIRST_IDS, AskFrom, AskNewest, inside, rows_of_window, rows_or_refusal
from ticklake.sources.ccxt.trade_paging import WindowWalk, trade_pages

__all__ = ["by_number", "id_pages", "is_first"]

MOST_FAILURES = 8
"""So often ids may lead nowhere before they are no longer followed: eras of ids are few."""
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
    are newer ones, windows of time lead on until ids do again. A silence is covered only with the trade after it, as a jump
    in the ids says that it was none.

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

    Windows of time are asked for from ``cursor`` on. Nothing came since ``quiet``; once it has *begun*, the last trade stands at
    that very instant. ``requests`` are the calls that no page counts yet.
    """

    walk: WindowWalk
    from_id: AskFrom
    newest: AskNewest
    span: Span
    empty: pl.DataFrame
    cursor: int
    quiet: int
    requests: int = 0
    failures: int = 0
    begun: bool = False

    async def pages(self) -> AsyncIterator[Page]:
        """Yield the pages, oldest first."""
        while self.cursor < self.span.end and self.failures <= MOST_FAILURES:
            rows = await self._next_window()
            if not rows.height:
                continue
            quiet_before = self.quiet
            async for page in self._by_ids(rows):
                yield page
            self.failures += self.quiet < self.span.end
            if self.quiet != quiet_before:
                self.cursor, self.begun = self.quiet, True
                continue
            async for page in self._by_time(self.cursor):
                yield page
        if self.cursor < self.span.end:
            async for page in trade_pages(self.walk, self.newest, Span(self.quiet, self.span.end), self.empty):
                yield self._counted(page)
        elif self.quiet < self.span.end:
            rest = Span(self.quiet, self.span.end)
            yield await _quiet_end(self._ask_id, self.newest, rest, self.requests, begun=self.begun)

    async def _next_window(self) -> pl.DataFrame:
        """Return the trades of the next window of time."""
        window = Span(self.cursor, min(self.cursor + self.walk.calls.longest, self.span.end))
        rows, requests = await rows_of_window(self._ask_time, window)
        self.requests += requests
        self.cursor = window.end
        if is_first(rows):
            # Before the first trade of all there was none, whatever is served.
            self.walk.served_before = True
        return rows

    async def _by_ids(self, rows: pl.DataFrame) -> AsyncIterator[Page]:
        """Follow the ids from the first trade since the silence on, as far as they lead."""
        since = self.quiet + 1 if self.begun else self.quiet
        next_id, follows, requests = await _first_id(self._ask_id, rows, since, self.walk.limit)
        self.requests += requests
        if next_id is None:
            return
        is_oldest = not follows
        async for found in _pages_from(self._ask_id, self.newest, next_id, Span(self.quiet, self.span.end)):
            page = found
            if is_oldest:
                page = _without_older(found)
            # An instant may take several pages, of which the first ones cover nothing.
            is_oldest = is_oldest and not found.frame.height
            yield self._counted(replace(page, frame=inside(page.frame, self.span)))
            self.quiet = max([self.quiet, *(piece.span.end for piece in page.covered)])

    async def _by_time(self, end: int) -> AsyncIterator[Page]:
        """Go on by windows of time up to *end*, where ids lead nowhere."""
        windows = trade_pages(self.walk, self.newest, Span(self.quiet, end), self.empty)
        async for page in _up_to_last_trade(windows):
            yield self._counted(page)
            self.quiet = max([self.quiet, *(piece.span.end for piece in page.covered)])
            times = page.frame["ts"].to_physical()
            self.begun = times.len() > 0 and self.quiet == times.max()

    def _counted(self, page: Page) -> Page:
        """Return a page with the calls that no page counted before it."""
        requests, self.requests = self.requests, 0
        return replace(page, requests=page.requests + requests)

    async def _ask_time(self, window: Span) -> pl.DataFrame:
        return (await self.walk.ask(window, False)).frame

    async def _ask_id(self, first: int) -> pl.DataFrame:
        rows = await rows_or_refusal(self.from_id, first)
        if isinstance(rows, SourceError):
            return self.empty
        return by_number(rows)


async def _up_to_last_trade(pages: AsyncIterator[Page]) -> AsyncIterator[Page]:
    """Yield pages without the silence after the last trade, which is covered with the trade after it."""
    held: list[Page] = []
    async for page in pages:
        if not page.frame.height:
            held.append(page)
            continue
        for earlier in held:
            yield earlier
        last = int(page.frame["ts"].to_physical().max())  # type: ignore[arg-type]
        yield replace(page, covered=tuple(_known(page, last)))
        held = [Page(page.frame.clear(), tuple(_silent(page, last)), 0)]
    for rest in held:
        # Nothing but what is gone counts of the silence at the end.
        gone = tuple(piece for piece in rest.covered if piece.found is not Found.DATA)
        if gone or rest.requests:
            yield replace(rest, covered=gone)


def _known(page: Page, last: int) -> list[Covered]:
    """Return what a page covers up to its last trade, and what it says is lost or gone after it."""
    cut = [
        replace(piece, span=Span(piece.span.start, min(piece.span.end, last)))
        for piece in page.covered
        if piece.found is Found.DATA and piece.span.start < last
    ]
    return sorted([*cut, *(piece for piece in page.covered if piece.found is not Found.DATA)])


def _silent(page: Page, last: int) -> list[Covered]:
    return [
        replace(piece, span=Span(max(piece.span.start, last), piece.span.end))
        for piece in page.covered
        if piece.found is Found.DATA and piece.span.end > last
    ]


def _without_older(page: Page) -> Page:
    """Return a page that begins with the first trade that is served, where that is not the first of all."""
    if not page.frame.height or is_first(page.frame):
        return page
    first = int(page.frame["ts"].to_physical().min())  # type: ignore[arg-type]
    covered: list[Covered] = []
    for piece in page.covered:
        if piece.span.start < first:
            covered.append(
                Covered(Span(piece.span.start, min(piece.span.end, first)), Found.UNAVAILABLE, evidence.NOTHING_OLDER)
            )
        if piece.span.end > first:
            covered.append(replace(piece, span=Span(max(piece.span.start, first), piece.span.end)))
    return replace(page, covered=tuple(covered))


async def _quiet_end(by_id: AskFrom, newest: AskNewest, rest: Span, requests: int, *, begun: bool) -> Page:
    """Cover the silence at the end, unless the newest trades lie in it: then calls by time did not bring them.

    Where no trade came at all, silence is true only if an older trade is served, or the first of all is a newer one.
    """
    last = await newest()
    times, requests = last["ts"].to_physical(), requests + 1
    if ((times > rest.start) & (times < rest.end)).any():
        return Page(last.clear(), (), requests)
    if begun or (times <= rest.start).any():
        return Page(last.clear(), (Covered(rest),), requests)
    oldest, asked = await _page_by_id(by_id, 0)
    requests += asked
    times = oldest["ts"].to_physical()
    if is_first(oldest) or (times <= rest.start).any():
        return Page(last.clear(), (Covered(rest),), requests)
    reason = evidence.NOTHING_OLDER if times.len() else evidence.NOTHING
    return Page(last.clear(), (Covered(rest, Found.UNAVAILABLE, reason),), requests)


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


async def _page_by_id(by_id: AskFrom, next_id: int) -> tuple[pl.DataFrame, int]:
    """Ask for the page that starts at an id; again if it is empty or ids are missing in it.

    Where that id alone is missing, it is asked for from the id before, as the bound may be excluded.
    """
    start = next_id
    for asked in range(1, ASKS + 1):
        rows = await by_id(start)
        rows = rows.filter(_numbers(rows) >= next_id)
        if (rows.height and not _jumps(rows, next_id)) or asked == ASKS:
            return rows, asked
        is_excluded = start == next_id > 0 and rows.height > 0 and _ids(rows)[0] == next_id + 1
        start = next_id - 1 if is_excluded else next_id
    raise AssertionError("unreachable")


def by_number(rows: pl.DataFrame) -> pl.DataFrame:
    """Return trades by their numbers; none if one of them has no number."""
    return rows.sort(_numbers(rows), maintain_order=True) if _is_numbered(rows) else rows.clear()


def _is_numbered(rows: pl.DataFrame) -> bool:
    return bool(rows["id"].str.contains(_WHOLE_NUMBER).fill_null(False).all())


def _numbers(rows: pl.DataFrame) -> pl.Series:
    return rows["id"].str.to_integer(dtype=pl.Int128)


async def _first_id(by_id: AskFrom, found: pl.DataFrame, start: int, limit: int) -> tuple[int | None, bool, int]:
    """Step back until the trade before the first *found* is older than *start*: calls by time may begin late.

    Returns no id if calls by id do not find that trade; whether it follows one that is older; and how many calls that took.
    """
    if not _is_numbered(found):
        return None, False, 0
    known, when = _ids(found)[0], int(found["ts"].to_physical()[0])
    requests, first, step, at = 0, known, 1, known
    while at > 0:
        at = max(at - step, 0)
        rows, asked = await _page_by_id(by_id, at)
        requests += asked
        if at == known - 1 and _leads_elsewhere(rows, known, when):
            return None, False, requests
        older = _older(rows, start)
        if older.height:
            return _ids(older)[-1] + 1, True, requests
        first = min([first, *_ids(rows.filter(rows["ts"].to_physical() <= when))[:1]])
        step = step * 2 if not rows.height or _ids(rows)[0] > at else limit
    return first, False, requests


def _older(rows: pl.DataFrame, start: int) -> pl.DataFrame:
    """Return the trades up to the first one that is not older than *start*, or may be followed by such a one."""
    times = rows["ts"].to_physical()
    return rows.filter((times >= start - _disorder(times)).cum_max().not_())


def _disorder(times: pl.Series) -> int:
    """Return how far times may go back: twice as far as they do among these trades."""
    return 2 * int((times.cum_max() - times).max() or 0)  # type: ignore[arg-type]


def _leads_elsewhere(rows: pl.DataFrame, known: int, when: int) -> bool:
    """Whether a call by id brought other trades than the *known* one, though it reached that far."""
    if rows.height and _ids(rows)[-1] < known:
        return False
    return not rows.filter(id=str(known), ts=pl.lit(when).cast(TIME)).height


def _trade_page(rows: pl.DataFrame, rest: Span, next_id: int, requests: int) -> Page:
    """Cover what *rows* show of *rest*: up to their last instant, or past it where ids are missing.

    Where the page before ended with an instant that lacks ids, *rest* begins behind it, and rows of it still come.
    Where times go back, trades of the next page may be as old.
    """
    times = rows["ts"].to_physical()
    end = min(int(times.max()) - _disorder(times), rest.end)  # type: ignore[arg-type]
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
