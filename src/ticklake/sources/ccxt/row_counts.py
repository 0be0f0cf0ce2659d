"""Count what an exchange sent against what ccxt makes of it: ccxt drops rows, and some of its classes invent them.

ccxt drops the rows whose symbol it does not recognise (Bitstamp's funding rates have none), and fills quiet minutes
with copies of other bars (BitoPro). So every row that its parsers return is remembered during a call, and the call's
result is corrected: a row that the exchange did not send is taken out; a row that was dropped is put back if it certainly
belongs to the market that was asked for, and counted as dropped if it may.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any

import polars as pl

from ticklake.core.coverage import Covered, Found
from ticklake.core.display import counts_text
from ticklake.core.span import hull_of
from ticklake.sources.base import Page
from ticklake.sources.ccxt.exact_time import to_ns

__all__ = ["Answer", "Dropped", "count_rows", "counted_page", "last_answer", "later_answers"]

Row = Any
"""A bar is a list that begins with its time, everything else a mapping with ``timestamp``."""
_time_of_bar = itemgetter(0)

FILTERED = "filtered by symbol"
REFUSED = "refused"
UNPARSED = "unparsed"

_FETCHERS = ("fetch_ohlcv", "fetch_trades", "fetch_funding_rate_history", "fetch_open_interest_history")
_PARSERS = ("parse_ohlcv", "parse_trade", "parse_funding_rate_history", "parse_open_interest")


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that the exchange sent and that is not in the answer: its time in nanoseconds, if known, and why."""

    ts: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call brought.

    ``raw_rows`` is how many rows the exchange sent, ``dropped`` those of them that are not in ``frame``, and
    ``invented`` how many rows of ccxt's were taken out because the exchange did not send them.
    """

    frame: pl.DataFrame
    raw_rows: int = 0
    dropped: tuple[Dropped, ...] = ()
    invented: int = 0

    def is_same(self, other: Answer) -> bool:
        """Whether another call brought the same rows."""
        counts = self.raw_rows, self.dropped, self.invented
        return counts == (other.raw_rows, other.dropped, other.invented) and self.frame.equals(other.frame)


@dataclass(slots=True)
class _Call:
    """The rows of one call on their way through ccxt: parsed one by one, then filtered by symbol."""

    parsed: list[Row] = field(default_factory=list)
    unfiltered: list[Row] = field(default_factory=list)
    raw_rows: int = 0
    dropped: list[Dropped] = field(default_factory=list)
    invented: int = 0


_CALL: ContextVar[_Call | None] = ContextVar("_CALL", default=None)
"""The call that the task makes, or its last one: a task makes one call after the other."""


def count_rows(client: Any) -> None:
    """Make ccxt's object for an exchange count its rows, and correct what its calls for history return."""
    for name in _PARSERS:
        setattr(client, name, _remembering(getattr(client, name)))
    by_value = client.filter_by_value_since_limit

    def filtered(array: Any, *arguments: Any, **options: Any) -> Any:
        call = _CALL.get()
        if call is not None:
            call.unfiltered += client.to_array(array or [])
        return by_value(array, *arguments, **options)

    client.filter_by_value_since_limit = filtered
    for name in _FETCHERS:
        setattr(client, name, _counting(client, getattr(client, name), bars=name == "fetch_ohlcv"))


def last_answer(frame: pl.DataFrame, refused: Sequence[Dropped] = ()) -> Answer:
    """Return the answer of this task's last call, given its rows as a frame and those that no frame can hold."""
    call = _CALL.get() or _Call(raw_rows=frame.height)
    return Answer(frame, call.raw_rows, (*call.dropped, *refused), call.invented)


def counted_page(page: Page, answers: Sequence[Answer]) -> Page:
    """Return the page with the counts of the calls that made it in its notes.

    A span that may lack rows that the exchange sent is ``lost``, not ``data``.
    """
    if not any(answer.dropped or answer.invented for answer in answers):
        # Nearly all pages: their answers need not be compared with each other.
        return page
    dropped: list[Dropped] = []
    invented = sent = 0
    for answer in _distinct(answers):
        dropped += answer.dropped
        invented += answer.invented
        sent += answer.raw_rows
    notes = list(page.notes)
    if invented:
        notes.append(f"{invented:,} rows were refused: ccxt invented them, the exchange did not send them")
    covered = page.covered
    if dropped:
        reason = _dropped_reason(dropped, sent)
        notes.append(reason)
        covered = tuple(_lost_if_dropped(piece, dropped, reason) for piece in covered)
    return replace(page, covered=covered, notes=tuple(notes))


def _dropped_reason(dropped: Sequence[Dropped], sent: int) -> str:
    """Return how many of the rows that were sent are dropped, and why."""
    counts = Counter(row.reason for row in dropped)
    words = counts_text(dict(sorted(counts.items())))
    return f"{len(dropped):,} of {sent:,} rows that the exchange sent are not here: {words}"


def _distinct(answers: Sequence[Answer]) -> list[Answer]:
    """Return the answers without repeated ones: a question may be asked more than once."""
    distinct: list[Answer] = []
    for answer in answers:
        if not any(map(answer.is_same, distinct)):
            distinct.append(answer)
    return distinct


def later_answers(answers: Sequence[Answer], page: Page) -> list[Answer]:
    """Return what the answers say of the time after a page: rows may be held back until their time is settled."""
    if not page.covered:
        return list(answers)
    end = hull_of(page.spans).end
    later = []
    for answer in answers:
        dropped = tuple(row for row in answer.dropped if row.ts is not None and row.ts >= end)
        if dropped:
            later.append(replace(answer, dropped=dropped, invented=0))
    return later


def _lost_if_dropped(piece: Covered, dropped: Sequence[Dropped], reason: str) -> Covered:
    """Return a covered span as lost if a dropped row lies in it, or may."""
    if piece.found is not Found.DATA:
        return piece
    for row in dropped:
        if row.ts is None or row.ts in piece.span:
            return Covered(piece.span, Found.LOST, reason)
    return piece


def _remembering(parse: Callable[..., Row]) -> Callable[..., Row]:
    def parsed(raw: Any, *arguments: Any, **options: Any) -> Row:
        row = parse(raw, *arguments, **options)
        call = _CALL.get()
        if call is not None:
            call.parsed.append(row)
        return row

    return parsed


def _counting(client: Any, fetch: Callable[..., Awaitable[list[Row]]], *, bars: bool) -> Callable[..., Any]:
    async def counted(symbol: str, *arguments: Any, **options: Any) -> list[Row]:
        call = _Call()
        _CALL.set(call)
        rows = await fetch(symbol, *arguments, **options)
        if bars:
            return _sent_bars(call, rows)
        return _rows_of_market(call, rows, symbol, client)

    return counted


def _sent_bars(call: _Call, rows: list[Row]) -> list[Row]:
    """Return the bars that the exchange sent, in time order: all that were parsed, and none that was not."""
    call.raw_rows = len(call.parsed)
    parsed = _identities(call.parsed)
    returned = _identities(rows)
    if rows and not parsed & returned:
        # The class built new lists of what it parsed: only times tell the bars apart.
        sent = Counter(map(_time_of_bar, call.parsed))
        kept = [bar for bar in rows if _time_of_bar(bar) in sent]
        call.invented = len(rows) - len(kept)
        missing = sent - Counter(map(_time_of_bar, kept))
        call.dropped = [Dropped(to_ns(ts), UNPARSED) for ts in missing.elements()]
        return kept
    call.invented = len(returned - parsed)
    return sorted(call.parsed, key=lambda bar: (bar[0] is None, bar[0] or 0))


def _rows_of_market(call: _Call, rows: list[Row], symbol: str, client: Any) -> list[Row]:
    """Return the rows of the asked market, also those that ccxt dropped because they name no symbol or another one."""
    sent = _without_repeats(call.unfiltered or call.parsed)
    call.raw_rows = max(len(sent), len(call.parsed))
    if call.unfiltered and len(call.parsed) > len(sent):
        call.dropped += [Dropped(None, UNPARSED)] * (len(call.parsed) - len(sent))
    returned = _identities(rows)
    known = _identities(sent)
    if rows and not known & returned:
        # The class built new rows after the filter, and nothing tells which of them were sent.
        return rows
    kept = [row for row in rows if id(row) in known]
    call.invented = len(rows) - len(kept)
    is_nameless = all(row.get("symbol") is None for row in sent)
    for row in sent:
        if id(row) in returned:
            continue
        if is_nameless or _names(row, symbol, client):
            kept.append(row)
        elif not _names(row, row.get("symbol"), client):
            call.dropped.append(Dropped(to_ns(row.get("timestamp")), FILTERED))
    return kept


def _identities(rows: list[Row]) -> set[int]:
    """Return which objects the rows are: equal rows may be two that the exchange sent."""
    return set(map(id, rows))


def _without_repeats(rows: list[Row]) -> list[Row]:
    """Return each object once: ccxt may filter the same rows twice."""
    return list(dict(zip(map(id, rows), rows, strict=True)).values())


def _names(row: Row, symbol: str | None, client: Any) -> bool:
    """Whether the exchange's own row names a listed market by its native id."""
    market = (client.markets or {}).get(symbol)
    return market is not None and market["id"] in _values(row)


def _values(row: Row) -> Iterator[Any]:
    info = row.get("info")
    if isinstance(info, dict):
        yield from info.values()
    elif isinstance(info, list):
        yield from info
