"""Archive plans: which span comes from which file of a dump site, decided before anything is downloaded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ticklake.core.span import Span
from ticklake.core.time import DAY
from ticklake.core.timeframe import Timeframe

__all__ = [
    "MISSES",
    "ArchiveFile",
    "ArchiveTerms",
    "Period",
    "Piece",
    "finer",
    "joined",
    "plan_archives",
    "without_days",
]

MISSES = 3
"""After this many absent days in a row, the rest of their month is fetched by calls."""


class Period(StrEnum):
    """The time that one file of a dump site holds."""

    DAY = "daily"
    MONTH = "monthly"


_STEPS = {Period.DAY: (Timeframe(1, "d"), "%Y-%m-%d"), Period.MONTH: (Timeframe(1, "M"), "%Y-%m")}


@dataclass(frozen=True, slots=True, order=True)
class ArchiveFile:
    """One file: its period, the date in its name (``2024-01-31`` or ``2024-01``), and the span it holds whole."""

    span: Span
    period: Period
    label: str


@dataclass(frozen=True, slots=True)
class ArchiveTerms:
    """Which files a dump site publishes of a dataset, and when a file is worth its download.

    Parameters
    ----------
    periods
        Which files there are.
    offset
        By how much a file's span is shifted from UTC midnights, in nanoseconds: -8 hours where days are China's.
    now
        Files that end later are not there yet.
    page_span
        The time that one call to the exchange covers: a file that would save less than a call is not taken.
    served_from
        The oldest time that calls to the exchange still serve: before it, every file is worth its download.
    """

    periods: tuple[Period, ...]
    now: int
    offset: int = 0
    page_span: int = 0
    served_from: int | None = None

    def only_here(self, span: Span) -> bool:
        """Whether the exchange's own calls no longer reach back to *span*."""
        return self.served_from is not None and span.start < self.served_from


@dataclass(frozen=True, slots=True)
class Piece:
    """A span and the file that holds it; without a file it is fetched by calls to the exchange."""

    span: Span
    file: ArchiveFile | None = None


def plan_archives(want: Span, terms: ArchiveTerms) -> tuple[Piece, ...]:
    """Cut *want* into pieces, in order: whole months first, days for the rest, calls for what no file holds."""
    pieces: list[Piece] = []
    for month in _files(want, Period.MONTH, terms.offset):
        part = month.span.intersect(want)
        if part is None:
            continue
        # A month of which only a part is wanted is fetched by days, unless there are none.
        whole = part == month.span or Period.DAY not in terms.periods
        if Period.MONTH in terms.periods and whole and _is_worth_it(month, part, terms):
            pieces.append(Piece(part, month))
        else:
            pieces += _days(part, terms)
    return joined(pieces)


def finer(piece: Piece, terms: ArchiveTerms) -> tuple[Piece, ...]:
    """Return the pieces that replace one whose file does not exist: days for a month, calls for a day."""
    if piece.file is not None and piece.file.period is Period.MONTH:
        return joined(_days(piece.span, terms))
    return (Piece(piece.span),)


def without_days(pieces: Iterable[Piece], month: str) -> tuple[Piece, ...]:
    """Return the pieces with the days of *month* (``2024-01``) left to calls."""
    kept: list[Piece] = []
    for piece in pieces:
        file = piece.file
        if file is not None and file.period is Period.DAY and file.label[:7] == month:
            kept.append(Piece(piece.span))
        else:
            kept.append(piece)
    return joined(kept)


def joined(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Return the pieces; neighbours without a file become one."""
    kept: list[Piece] = []
    for piece in pieces:
        if kept and _are_one_call(kept[-1], piece):
            kept[-1] = Piece(Span(kept[-1].span.start, piece.span.end))
        else:
            kept.append(piece)
    return tuple(kept)


def _are_one_call(piece: Piece, following: Piece) -> bool:
    return piece.file is None and following.file is None and piece.span.end == following.span.start


def _days(want: Span, terms: ArchiveTerms) -> Sequence[Piece]:
    pieces: list[Piece] = []
    for day in _files(want, Period.DAY, terms.offset):
        part = day.span.intersect(want)
        if part is not None:
            if Period.DAY in terms.periods and _is_worth_it(day, part, terms):
                pieces.append(Piece(part, day))
            else:
                pieces.append(Piece(part))
    return pieces


def _is_worth_it(file: ArchiveFile, part: Span, terms: ArchiveTerms) -> bool:
    # Of long bars and funding rates one call brings more than the file of a month (decision 12).
    return file.span.end <= terms.now and (part.length > terms.page_span or terms.only_here(part))


def _files(want: Span, period: Period, offset: int) -> Iterator[ArchiveFile]:
    """Yield the files whose spans meet *want*, whether they are published or not."""
    step, label_format = _STEPS[period]
    start = step.floor(want.start - offset)
    while start + offset < want.end:
        end = step.next(start)
        date = dt.date(1970, 1, 1) + dt.timedelta(days=start // DAY)
        yield ArchiveFile(Span(start + offset, end + offset), period, date.strftime(label_format))
        start = end
