"""The sessions of securities exchanges, from the package exchange_calendars."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ticklake.core.dataset import Dataset
from ticklake.core.sessions import (
    ALWAYS,
    FOREX,
    VENUES,
    SessionDay,
    Sessions,
    between,
    day_of_calendar,
    forex_closed,
    keeps_days,
)
from ticklake.core.span import Span
from ticklake.core.time import DAY
from ticklake.errors import BadInput, MissingExtra

__all__ = ["KnownSessions"]

_YEAR = 366 * DAY
_FIRST = 1990
_LAST = 2100
"""The years that calendars are made for. Any time outside of them counts as open."""


class KnownSessions(Sessions):
    """Sessions by exchange id: forex by rule, securities exchanges from exchange_calendars, all others never closed.

    Parameters
    ----------
    named
        Calendars of further exchange ids: a name of exchange_calendars like ``XNYS``, ``forex`` or ``always``.
    """

    def __init__(self, named: Mapping[str, str] | None = None) -> None:
        self._calendars = {exchange: venue.calendar for exchange, venue in VENUES.items()}
        self._calendars.update(named or {})

    def closed(self, dataset: Dataset, span: Span) -> list[Span]:
        """Return the closed stretches that meet *span*.

        Raises
        ------
        MissingExtra
            If the calendar is one of exchange_calendars, and that package is not installed.
        BadInput
            If that package has no calendar of that name.
        """
        name = self._calendars.get(dataset.exchange, ALWAYS)
        if name == ALWAYS:
            return []
        if name == FOREX:
            return forex_closed(span)
        sessions = _sessions(name, *_years(span), keeps_days(dataset))
        if not sessions:
            return []
        first_day = sessions[0].start // DAY * DAY
        last_day = -(-sessions[-1].end // DAY) * DAY
        scheduled = Span(first_day, last_day).intersect(span)
        if scheduled is None:
            return []
        return between((session for session in sessions if session.overlaps(scheduled)), scheduled)

    def day(self, exchange: str) -> SessionDay:
        """Return where the days of the exchange's sessions begin, by its calendar."""
        return day_of_calendar(self._calendars.get(exchange, ALWAYS))


def _years(span: Span) -> tuple[int, int]:
    """Return the first and the last year whose sessions *span* needs. Whole years make few entries of the cache."""
    first = 1970 + span.start // _YEAR
    last = 1971 + span.end // (365 * DAY)
    return max(first - 1, _FIRST), max(min(last, _LAST), _FIRST)


@lru_cache(maxsize=32)
def _sessions(name: str, first: int, last: int, days: bool) -> list[Span]:
    """Return when an exchange is open: from open to close without the lunch break, or whole *days* by date."""
    calendar = _calendar(name, first, last)
    if calendar is None:
        return []
    if days:
        dates = calendar.sessions.as_unit("ns").asi8.tolist()
        return [Span(date, date + DAY) for date in dates]
    schedule = calendar.schedule
    opens = schedule["open"].astype("int64").tolist()
    closes = schedule["close"].astype("int64").tolist()
    break_starts = schedule["break_start"].astype("int64").tolist()
    break_ends = schedule["break_end"].astype("int64").tolist()
    without_break = schedule["break_start"].isna().tolist()
    spans: list[Span] = []
    for row, is_continuous in enumerate(without_break):
        if is_continuous:
            spans.append(Span(opens[row], closes[row]))
        else:
            spans.append(Span(opens[row], break_starts[row]))
            spans.append(Span(break_ends[row], closes[row]))
    return spans


def _calendar(name: str, first: int, last: int) -> Any:
    """Return a calendar of these years as far as the package knows them; ``None`` if it knows none of them."""
    try:
        import exchange_calendars
        import pandas
    except ImportError as error:
        raise MissingExtra(
            f"the sessions of {name} need exchange_calendars: pip install 'ticklake[equities]'"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            factory = type(exchange_calendars.get_calendar(name))
        except exchange_calendars.errors.InvalidCalendarName as error:
            raise BadInput(
                f"{name!r} is no calendar: use a name of exchange_calendars like XNYS, or forex, or always"
            ) from error
        # A calendar that is asked for years outside its bounds raises.
        start = max(pandas.Timestamp(first, 1, 1), factory.bound_min() or pandas.Timestamp.min)
        end = min(pandas.Timestamp(last, 12, 31), factory.bound_max() or pandas.Timestamp.max)
        if start >= end:
            return None
        return exchange_calendars.get_calendar(name, start=start, end=end)
